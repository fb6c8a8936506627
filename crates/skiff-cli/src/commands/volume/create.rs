//! `volume create`: a volume with a name, options and labels.

use std::collections::BTreeMap;

use skiff_api::{Volume, VolumeCreateRequest};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::text("driver", "Driver of the volume").short('d').default("local"),
    Flag::list("label", "Set a label"),
    Flag::text("name", "Name of the volume").hidden(),
    Flag::list("opt", "Set an option of the driver: key=value").short('o'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume create"],
    usage: "[OPTIONS] [VOLUME]",
    summary: "Make a volume",
    arity: Arity::AtMost(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("Mount it with -v data:/path", "volume create data"),
        ("In memory", "volume create -o type=tmpfs -o device=tmpfs -o o=size=64m scratch"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = match (flags.given("name"), flags.args.first()) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(
                "conflicting options: cannot specify a volume name through both --name and as a positional arg",
            ));
        }
        (given, argument) => given.or(argument.map(String::as_str)).unwrap_or("").to_owned(),
    };
    let pairs = |flag: &str| -> BTreeMap<String, String> {
        flags
            .all(flag)
            .map(|text| text.split_once('=').unwrap_or((text, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let request = VolumeCreateRequest {
        driver: flags.text("driver").to_owned(),
        driver_opts: pairs("opt").into(),
        labels: pairs("label").into(),
        name,
    };
    let volume: Volume = context.client()?.post_json("/volumes/create", &request)?.json()?;
    say!("{}", volume.name);
    Ok(())
}
