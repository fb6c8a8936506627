//! `port`: where a container's ports are published.

use skiff_api::ContainerInspect;

use super::path;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;
use crate::output::print_text;

pub(crate) static COMMAND: Command = Command {
    paths: &["container port", "port"],
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
    summary: "Show where a container's ports are published",
    arity: Arity::Range(1, 2),
    flags: &[],
    interspersed: true,
    examples: &[("Address at which port 80 is reached", "port web 80/tcp")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    let container: ContainerInspect = context.client()?.get_json(path(name, "/json"))?;
    let address = |ip: &str, port: &str| {
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    };
    let ports = &container.network_settings.ports;
    let mut lines = Vec::new();
    if let Some(wanted) = flags.args.get(1) {
        let key = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
        if key.split('/').next().is_none_or(|port| port.parse::<u16>().is_err()) {
            return Err(Failure::new(format!("Error: invalid port ({wanted}): invalid syntax")));
        }
        match ports.get(&key) {
            Some(bindings) if !bindings.is_empty() => {
                lines.extend(bindings.iter().map(|b| address(&b.host_ip, &b.host_port)));
            }
            _ => {
                return Err(Failure::new(format!(
                    "Error: No public port '{wanted}' published for {name}"
                )));
            }
        }
    } else {
        for (key, bindings) in ports {
            let to = |b: &skiff_api::PortBinding| {
                format!("{key} -> {}", address(&b.host_ip, &b.host_port))
            };
            lines.extend(bindings.iter().map(to));
        }
    }
    lines.sort_by_key(|line| sort_key(line));
    print_text(&lines.into_iter().map(|line| line + "\n").collect::<String>())?;
    Ok(())
}

/// Numbers before the first other letter sort as numbers.
fn sort_key(line: &str) -> (u32, String) {
    let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
    (digits.parse().unwrap_or(0), line.to_owned())
}
