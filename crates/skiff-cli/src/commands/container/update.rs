//! `update`: change the limits of containers.

use skiff_api::{Resources, RestartPolicy, UpdateRequest, UpdateResponse};

use super::path;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{self, Flag, Matches, parse_nano_cpus};
use crate::runopts::restart_policy;

static FLAGS: &[Flag] = &[
    Flag::checked(
        "blkio-weight",
        "uint16",
        flags::uint16,
        "Share of block I/O: 10 to 1000, 0 for none",
    ),
    Flag::integer("cpu-period", "Period of the CPU quota, in microseconds"),
    Flag::integer("cpu-quota", "CPU time in each period, in microseconds"),
    Flag::integer("cpu-rt-period", "Period of the real-time quota, in microseconds"),
    Flag::integer("cpu-rt-runtime", "Real-time CPU time in each period, in microseconds"),
    Flag::integer("cpu-shares", "Share of the CPUs when they are busy").short('c'),
    Flag::cpus("cpus", "Number of CPUs, such as 1.5"),
    Flag::text("cpuset-cpus", "CPUs to run on: 0-3 or 0,1"),
    Flag::text("cpuset-mems", "Memory nodes to use: 0-3 or 0,1"),
    Flag::bytes("memory", "Memory limit").short('m'),
    Flag::bytes("memory-reservation", "Memory to fall back to when the host is short"),
    Flag::checked(
        "memory-swap",
        "bytes",
        flags::limit,
        "Memory and swap together; -1 for any amount of swap",
    ),
    Flag::integer("pids-limit", "Limit of processes and threads; -1 for none"),
    Flag::text("restart", "When to start it again"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container update", "update"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Change limits and restart policy of containers",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Half a CPU and 256 MiB", "update --cpus 0.5 -m 256m web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    if flags.values.is_empty() {
        return Err(Failure::new("you must provide one or more flags when using this command"));
    }
    let policy = match flags.text("restart") {
        "" => RestartPolicy::default(),
        text => restart_policy(text).map_err(Failure::new)?,
    };
    let request = UpdateRequest { resources: resources(flags), restart_policy: policy };
    let client = context.client()?;
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    for name in &flags.args {
        let updated: Result<UpdateResponse, _> =
            client.post_json(path(name, "/update"), &request).and_then(|response| response.json());
        match updated {
            Ok(answer) => {
                say!("{name}");
                warnings.extend(answer.warnings.into_vec());
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    if !warnings.is_empty() {
        say!("{}", warnings.join("\n"));
    }
    Failure::join(errors)
}

fn resources(flags: &Matches) -> Resources {
    Resources {
        blkio_weight: flags.integer("blkio-weight") as u16,
        cpuset_cpus: flags.text("cpuset-cpus").to_owned(),
        cpuset_mems: flags.text("cpuset-mems").to_owned(),
        cpu_shares: flags.integer("cpu-shares"),
        memory: flags.bytes("memory"),
        memory_reservation: flags.bytes("memory-reservation"),
        memory_swap: flags.bytes("memory-swap"),
        cpu_period: flags.integer("cpu-period"),
        cpu_quota: flags.integer("cpu-quota"),
        cpu_realtime_period: flags.integer("cpu-rt-period"),
        cpu_realtime_runtime: flags.integer("cpu-rt-runtime"),
        nano_cpus: parse_nano_cpus(flags.text("cpus")).unwrap_or(0),
        pids_limit: flags.is_set("pids-limit").then(|| flags.integer("pids-limit")),
        ..Resources::default()
    }
}
