//! `context export`: a context as a tar archive, in Docker's form: `meta.json` and
//! `tls/<endpoint>/<file>`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use super::definition::Definition;
use crate::command::{Arity, Command};
use crate::commands::tar::{BLOCK, Header};
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::Matches;
use crate::terminal;

pub(crate) static COMMAND: Command = Command {
    paths: &["context export"],
    usage: "[OPTIONS] CONTEXT [FILE|-]",
    summary: "Write a context to a file or to standard output",
    arity: Arity::Range(1, 2),
    flags: &[],
    interspersed: true,
    examples: &[(
        "To another machine",
        "context export builder - | ssh other docker context import builder -",
    )],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    let archive = pack(&Definition::load(context, name)?);
    let default = format!("{name}.dockercontext");
    let path = flags.args.get(1).unwrap_or(&default);
    if path == "-" {
        if terminal::stdout_is_terminal() {
            return Err(Failure::new(
                "cowardly refusing to export to a terminal, specify a file path",
            ));
        }
        std::io::stdout().lock().write_all(&archive)?;
        return Ok(());
    }
    // It may hold a key, and must not replace anything.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(&archive))
        .map_err(|error| Failure::new(format!("open {path}: {}", describe_io(&error))))?;
    tell!("Written file {path:?}");
    Ok(())
}

fn pack(definition: &Definition) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, mode: u32, contents: Option<&[u8]>| {
        let header = Header {
            name: name.to_owned(),
            kind: if contents.is_some() { b'0' } else { b'5' },
            mode,
            size: contents.map_or(0, <[u8]>::len) as u64,
            ..Header::default()
        };
        archive.extend(header.encode());
        archive.extend_from_slice(contents.unwrap_or_default());
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    };
    add("meta.json", 0o644, Some(definition.meta_text().as_bytes()));
    add("tls", 0o700, None);
    let endpoints: BTreeSet<&str> =
        definition.files.keys().filter_map(|place| Some(place.split_once('/')?.0)).collect();
    for endpoint in endpoints {
        add(&format!("tls/{endpoint}"), 0o700, None);
        let own = definition.files.iter().filter(|(place, _)| {
            place.split_once('/').is_some_and(|(directory, _)| directory == endpoint)
        });
        for (place, bytes) in own {
            add(&format!("tls/{place}"), 0o600, Some(bytes));
        }
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::import::unpack;
    use super::*;

    #[test]
    fn what_is_exported_can_be_imported() {
        let definition = Definition {
            meta: json!({ "Name": "a1", "Metadata": {}, "Endpoints": { "docker": { "Host": "ssh://x" } } }),
            files: [("docker/ca.pem".to_owned(), vec![7; 600]), ("k8s/x".to_owned(), vec![8; 5])]
                .into_iter()
                .collect(),
        };
        let archive = pack(&definition);
        assert_eq!(unpack(&mut &archive[..]).unwrap(), definition);
        // Docker's own leaves out what fills the last block, and the end.
        let short = archive.len() - 2 * BLOCK - (BLOCK - 5);
        assert_eq!(unpack(&mut &archive[..short]).unwrap(), definition);
    }
}
