//! `update`: changes limits of a running container.

use std::io::Read;
use std::process::ExitCode;

use skiff_model::oci::{BlockIo, Cpu, Memory, Pids, Resources};
use skiff_model::size;

use super::args::{Flag, Parsed};
use super::{CommandError, Global, Result, Verb};

pub(super) static VERB: Verb = Verb {
    name: "update",
    about: "update container resource constraints",
    usage: "[command options] <container-id>",
    flags: &[
        Flag::value("resources").short("r"),
        Flag::value("blkio-weight"),
        Flag::value("cpu-period"),
        Flag::value("cpu-quota"),
        Flag::value("cpu-burst"),
        Flag::value("cpu-share"),
        Flag::value("cpu-rt-period"),
        Flag::value("cpu-rt-runtime"),
        Flag::value("cpu-idle"),
        Flag::value("cpuset-cpus"),
        Flag::value("cpuset-mems"),
        Flag::value("kernel-memory"),
        Flag::value("kernel-memory-tcp"),
        Flag::value("memory"),
        Flag::value("memory-reservation"),
        Flag::value("memory-swap"),
        Flag::value("pids-limit"),
    ],
    flags_anywhere: true,
    arguments: (1, 1),
    run: update,
};

fn update(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let resources = match parsed.get("resources") {
        Some(path) => read(path)?,
        None => from_flags(parsed)?,
    };
    if container.process().is_none() {
        return Err(CommandError::new("container not running"));
    }
    container.cgroup().update(&resources)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &str) -> Result<Resources> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| CommandError::io(path, error))?;
    serde_json::from_str(&text).map_err(|error| CommandError::new(format!("{path}: {error}")))
}

fn from_flags(parsed: &Parsed) -> Result<Resources> {
    // A 0 among these flags says "leave it".
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let unsigned =
        |name: &str| parsed.number(name).map(|value| value.filter(|value: &u64| *value != 0));
    let bytes = |name: &str| {
        let parse = |text: &str| match text {
            "-1" => Ok(-1),
            text => size::parse_bytes(text)
                .map_err(|error| CommandError::new(format!("invalid value for {name}: {error}"))),
        };
        parsed.get(name).map(parse).transpose().map(set)
    };
    let words = |name: &str| parsed.get(name).unwrap_or_default().to_owned();
    let weight = parsed.number::<u16>("blkio-weight")?.filter(|weight| *weight != 0);
    Ok(Resources {
        memory: Some(Memory {
            limit: bytes("memory")?,
            reservation: bytes("memory-reservation")?,
            swap: bytes("memory-swap")?,
            kernel: bytes("kernel-memory")?,
            kernel_tcp: bytes("kernel-memory-tcp")?,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: unsigned("cpu-share")?,
            quota: set(parsed.number("cpu-quota")?),
            burst: parsed.number("cpu-burst")?,
            period: unsigned("cpu-period")?,
            realtime_runtime: set(parsed.number("cpu-rt-runtime")?),
            realtime_period: unsigned("cpu-rt-period")?,
            cpus: words("cpuset-cpus"),
            mems: words("cpuset-mems"),
            idle: parsed.number("cpu-idle")?,
        }),
        pids: set(parsed.number("pids-limit")?).map(|limit| Pids { limit }),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    })
}
