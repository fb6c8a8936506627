//! `info`: the daemon, its host and what it can do.

use std::fmt::Write as _;

use skiff_api::SystemInfo;
use skiff_model::size::binary_size;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{print_one, print_text};
use crate::template::Value;

static FLAGS: &[Flag] =
    &[Flag::text("format", "How to print: 'json', or a Go template").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["system info", "info"],
    usage: "[OPTIONS]",
    summary: "Tell about the daemon and its host",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("How control groups are used", "info -f '{{.CgroupVersion}} {{.CgroupDriver}}'")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = context.context_name()?;
    let format = flags.text("format").to_owned();
    let program = context.program;
    let body = fetch(context);
    if format.is_empty() {
        let mut text = client_text(program, &name);
        let result = match body {
            Ok(body) => {
                let info: SystemInfo = parse(&body)?;
                text.push_str("\nServer:\n");
                text.push_str(&server_text(&info));
                for warning in info.warnings.iter() {
                    tell!("{warning}");
                }
                Ok(())
            }
            Err(failure) => {
                let _ = write!(text, "\nServer:\nERROR: {}\n", failure.message);
                Err(Failure::new("errors pretty printing info"))
            }
        };
        print_text(&text)?;
        return result;
    }
    let mut value: Value = parse(&body?)?;
    if let Value::Struct(fields) = &mut value {
        let client = vec![
            ("Version".to_owned(), Value::text(env!("CARGO_PKG_VERSION"))),
            ("Context".to_owned(), Value::Text(name)),
            ("Plugins".to_owned(), Value::List(Vec::new())),
        ];
        fields.push(("ClientInfo".to_owned(), Value::Struct(client)));
    }
    print_one(&format, &value)
}

fn fetch(context: &mut Context) -> Result<Vec<u8>, Failure> {
    Ok(context.client()?.get("/info")?.body()?)
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::new(format!("error reading response: {error}")))
}

fn client_text(program: &str, context: &str) -> String {
    let name = if program == "docker" { "Docker CLI of Skiff" } else { "Skiff" };
    format!(
        "Client: {name}\n Version:    {}\n Context:    {context}\n Debug Mode: false\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Lines of the form `  Label: value`.
struct Lines(String);

impl Lines {
    fn add(&mut self, label: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, " {label}: {value}");
    }

    fn add_given(&mut self, label: &str, value: &str) {
        if !value.is_empty() {
            self.add(label, value);
        }
    }
}

fn server_text(info: &SystemInfo) -> String {
    let mut lines = Lines(String::new());
    lines.add("Containers", info.containers);
    lines.add(" Running", info.containers_running);
    lines.add(" Paused", info.containers_paused);
    lines.add(" Stopped", info.containers_stopped);
    lines.add("Images", info.images);
    lines.add_given("Server Version", &info.server_version);
    lines.add_given("Storage Driver", &info.driver);
    for (name, value) in info.driver_status.iter() {
        lines.add(&format!(" {name}"), value);
    }
    lines.add_given("Logging Driver", &info.logging_driver);
    lines.add_given("Cgroup Driver", &info.cgroup_driver);
    lines.add_given("Cgroup Version", &info.cgroup_version);
    plugins(info, &mut lines);
    if !info.cdi_spec_dirs.is_empty() {
        let _ = writeln!(lines.0, " CDI spec directories:");
        for dir in info.cdi_spec_dirs.iter() {
            let _ = writeln!(lines.0, "  {dir}");
        }
    }
    lines.add_given("Swarm", &info.swarm.local_node_state);
    runtimes(info, &mut lines);
    security(info, &mut lines);
    host(info, &mut lines);
    registries(info, &mut lines);
    lines.add("Live Restore Enabled", info.live_restore_enabled);
    lines.add_given("Product License", &info.product_license);
    if !info.default_address_pools.is_empty() {
        let _ = writeln!(lines.0, " Default Address Pools:");
        for pool in info.default_address_pools.iter() {
            let _ = writeln!(lines.0, "   Base: {}, Size: {}", pool.base, pool.size);
        }
    }
    if let Some(firewall) = &info.firewall_backend {
        lines.add("Firewall Backend", &firewall.driver);
    }
    lines.0.push('\n');
    lines.0
}

fn plugins(info: &SystemInfo, lines: &mut Lines) {
    let _ = writeln!(lines.0, " Plugins:");
    lines.add(" Volume", info.plugins.volume.join(" "));
    lines.add(" Network", info.plugins.network.join(" "));
    if !info.plugins.authorization.is_empty() {
        lines.add(" Authorization", info.plugins.authorization.join(" "));
    }
    lines.add(" Log", info.plugins.log.join(" "));
}

fn runtimes(info: &SystemInfo, lines: &mut Lines) {
    if !info.runtimes.is_empty() {
        let names: Vec<&str> = info.runtimes.keys().map(String::as_str).collect();
        lines.add("Runtimes", names.join(" "));
        lines.add("Default Runtime", &info.default_runtime);
    }
    lines.add_given("Init Binary", &info.init_binary);
    lines.add_given("containerd version", &info.containerd_commit.id);
    lines.add_given("runc version", &info.runc_commit.id);
    lines.add_given("init version", &info.init_commit.id);
}

/// `name=seccomp,profile=builtin` becomes a heading and its keys.
fn security(info: &SystemInfo, lines: &mut Lines) {
    if info.security_options.is_empty() {
        return;
    }
    let _ = writeln!(lines.0, " Security Options:");
    for option in info.security_options.iter() {
        for part in option.split(',') {
            match part.split_once('=') {
                Some(("name", name)) => drop(writeln!(lines.0, "  {name}")),
                Some(("profile", value)) => drop(writeln!(lines.0, "   Profile: {value}")),
                Some((key, value)) => drop(writeln!(lines.0, "   {key}: {value}")),
                None => drop(writeln!(lines.0, "  {part}")),
            }
        }
    }
}

fn host(info: &SystemInfo, lines: &mut Lines) {
    lines.add_given("Kernel Version", &info.kernel_version);
    lines.add_given("Operating System", &info.operating_system);
    lines.add_given("OSType", &info.os_type);
    lines.add_given("Architecture", &info.architecture);
    lines.add("CPUs", info.ncpu);
    lines.add("Total Memory", binary_size(info.mem_total as f64));
    lines.add_given("Name", &info.name);
    lines.add_given("ID", &info.id);
    lines.add_given("Docker Root Dir", &info.docker_root_dir);
    lines.add("Debug Mode", info.debug);
    if info.debug {
        lines.add(" File Descriptors", info.n_fd);
        lines.add(" Goroutines", info.n_goroutines);
        lines.add(" System Time", &info.system_time);
        lines.add(" EventsListeners", info.n_events_listener);
    }
    lines.add_given("HTTP Proxy", &info.http_proxy);
    lines.add_given("HTTPS Proxy", &info.https_proxy);
    lines.add_given("No Proxy", &info.no_proxy);
    if !info.labels.is_empty() {
        let _ = writeln!(lines.0, " Labels:");
        for label in info.labels.iter() {
            let _ = writeln!(lines.0, "  {label}");
        }
    }
    lines.add("Experimental", info.experimental_build);
}

fn registries(info: &SystemInfo, lines: &mut Lines) {
    let Some(config) = &info.registry_config else { return };
    let insecure = config.index_configs.values().filter(|index| !index.secure);
    let names: Vec<&str> = insecure
        .map(|index| index.name.as_str())
        .chain(config.insecure_registry_cidrs.iter().map(String::as_str))
        .collect();
    if !names.is_empty() {
        let _ = writeln!(lines.0, " Insecure Registries:");
        for name in names {
            let _ = writeln!(lines.0, "  {name}");
        }
    }
    if !config.mirrors.is_empty() {
        let _ = writeln!(lines.0, " Registry Mirrors:");
        for mirror in config.mirrors.iter() {
            let _ = writeln!(lines.0, "  {mirror}");
        }
    }
}
