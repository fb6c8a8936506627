//! The rows of the flags that describe a container.

use skiff_model::shortform;

use crate::flags::{self, Flag};

fn check<T>(result: shortform::Result<T>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

/// `-a` names a standard stream.
fn check_attach(text: &str) -> Result<(), String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

/// `-e` needs a name.
pub(crate) fn check_env(text: &str) -> Result<(), String> {
    check(shortform::resolve_env(text, |_| None))
}

fn check_label(text: &str) -> Result<(), String> {
    check(shortform::validate_label(text))
}

fn check_host(text: &str) -> Result<(), String> {
    check(shortform::parse_extra_host(text))
}

fn check_mount(text: &str) -> Result<(), String> {
    check(shortform::parse_mount(text))
}

fn check_network(text: &str) -> Result<(), String> {
    check(shortform::parse_network(text))
}

fn check_ulimit(text: &str) -> Result<(), String> {
    check(shortform::parse_ulimit(text))
}

fn check_weight_device(text: &str) -> Result<(), String> {
    check(shortform::parse_weight_device(text))
}

fn check_bps(text: &str) -> Result<(), String> {
    check(shortform::parse_throttle_bps(text))
}

fn check_iops(text: &str) -> Result<(), String> {
    check(shortform::parse_throttle_iops(text))
}

fn check_ip(text: &str) -> Result<(), String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

fn check_domain(text: &str) -> Result<(), String> {
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let trimmed = text.trim().trim_end_matches('.');
    if text.trim() == "." || trimmed.split('.').all(label) {
        return Ok(());
    }
    Err(format!("{text} is not a valid domain"))
}

/// The kernel settings that belong to a namespace of the container.
fn check_sysctl(text: &str) -> Result<(), String> {
    const NAMED: [&str; 10] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.domainname",
        "kernel.hostname",
    ];
    let refused = || Err(format!("sysctl '{text}' is not allowed"));
    let Some((name, _)) = text.split_once('=') else { return refused() };
    let in_namespace = NAMED.contains(&name)
        || ["net.", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix));
    if in_namespace { Ok(()) } else { refused() }
}

/// There are no GPUs yet; a wrong request is still told apart from a right one.
fn check_gpus(text: &str) -> Result<(), String> {
    for field in shortform::split_csv(text).map_err(|error| error.to_string())? {
        match field.split_once('=') {
            Some(("driver" | "count" | "device" | "capabilities" | "options", _)) => {}
            Some((key, _)) => return Err(format!("unexpected key '{key}' in '{field}'")),
            None if field == "all" || field.parse::<u32>().is_ok() => {}
            None => {
                return Err(format!(
                    "invalid count ({field}): value must be either \"all\" or an integer"
                ));
            }
        }
    }
    Ok(())
}

/// The flags of `run` and `create`.
pub(crate) static CONTAINER_FLAGS: &[Flag] = &[
    // The process.
    Flag::checked_list("attach", "list", check_attach, "Attach to STDIN, STDOUT or STDERR")
        .short('a'),
    Flag::text("entrypoint", "Run this instead of the image's ENTRYPOINT"),
    Flag::checked_list("env", "list", check_env, "Set a variable: KEY=value, or KEY for ours")
        .short('e'),
    Flag::list("env-file", "Read variables from a file"),
    Flag::list("group-add", "Join a further group, by name or number"),
    Flag::switch("help", "Print this text").hidden(),
    Flag::text("hostname", "Host name in the container").short('h'),
    Flag::text("domainname", "NIS domain name in the container"),
    Flag::switch("init", "Run an init that forwards signals and reaps processes"),
    Flag::switch("interactive", "Keep STDIN open, attached or not").short('i'),
    Flag::switch("tty", "Give the process a terminal").short('t'),
    Flag::text("user", "User and group: <name|uid>[:<group|gid>]").short('u'),
    Flag::text("workdir", "Working directory in the container").short('w'),
    Flag::text("stop-signal", "Signal that asks the process to stop"),
    Flag::integer("stop-timeout", "Seconds between that signal and SIGKILL"),
    // The container.
    Flag::text("name", "Name of the container"),
    Flag::text("cidfile", "Write the container's ID to this file"),
    Flag::checked_list("label", "list", check_label, "Set a label").short('l'),
    Flag::list("label-file", "Read labels from a file"),
    Flag::checked_list(
        "annotation",
        "map",
        flags::anything,
        "Set an annotation for the OCI runtime",
    ),
    Flag::text("platform", "Platform of the image: os[/arch[/variant]]"),
    Flag::text("pull", "When to pull the image: always, missing or never").default("missing"),
    Flag::switch("quiet", "Say nothing while pulling").short('q'),
    Flag::switch("rm", "Remove the container and its anonymous volumes when it exits"),
    Flag::text("restart", "When to start it again: no, on-failure[:max], always, unless-stopped")
        .default("no"),
    Flag::text("runtime", "OCI runtime to use"),
    // Resources.
    Flag::checked(
        "blkio-weight",
        "uint16",
        flags::uint16,
        "Share of block I/O: 10 to 1000, 0 for none",
    ),
    Flag::checked_list(
        "blkio-weight-device",
        "list",
        check_weight_device,
        "Share of one device: path:weight",
    ),
    Flag::text("cgroup-parent", "Control group above the container's"),
    Flag::text("cgroupns", "Cgroup namespace: host or private"),
    Flag::integer("cpu-count", "CPU count (Windows only)"),
    Flag::integer("cpu-percent", "CPU percent (Windows only)"),
    Flag::integer("cpu-period", "Period of the CPU quota, in microseconds"),
    Flag::integer("cpu-quota", "CPU time in each period, in microseconds"),
    Flag::integer("cpu-rt-period", "Period of the real-time quota, in microseconds"),
    Flag::integer("cpu-rt-runtime", "Real-time CPU time in each period, in microseconds"),
    Flag::integer("cpu-shares", "Share of the CPUs when they are busy").short('c'),
    Flag::cpus("cpus", "Number of CPUs, such as 1.5"),
    Flag::text("cpuset-cpus", "CPUs to run on: 0-3 or 0,1"),
    Flag::text("cpuset-mems", "Memory nodes to use: 0-3 or 0,1"),
    Flag::list("device", "Give a device: path[:path][:rwm]"),
    Flag::list("device-cgroup-rule", "Allow devices by a rule: \"c 1:3 rwm\""),
    Flag::checked_list(
        "device-read-bps",
        "list",
        check_bps,
        "Limit reading: path:bytes per second",
    ),
    Flag::checked_list(
        "device-read-iops",
        "list",
        check_iops,
        "Limit reading: path:operations per second",
    ),
    Flag::checked_list(
        "device-write-bps",
        "list",
        check_bps,
        "Limit writing: path:bytes per second",
    ),
    Flag::checked_list(
        "device-write-iops",
        "list",
        check_iops,
        "Limit writing: path:operations per second",
    ),
    Flag::checked("gpus", "gpu-request", check_gpus, "Give GPUs (comes with a later version)"),
    Flag::bytes("io-maxbandwidth", "Bandwidth limit of the system drive (Windows only)"),
    Flag::checked(
        "io-maxiops",
        "uint",
        flags::uint64,
        "IOps limit of the system drive (Windows only)",
    ),
    Flag::bytes("kernel-memory", "Kernel memory limit").hidden(),
    Flag::bytes("memory", "Memory limit").short('m'),
    Flag::bytes("memory-reservation", "Memory to fall back to when the host is short"),
    Flag::checked(
        "memory-swap",
        "bytes",
        flags::limit,
        "Memory and swap together; -1 for any amount of swap",
    ),
    Flag::integer("memory-swappiness", "How readily to swap: 0 to 100, -1 for the host's")
        .default("-1"),
    Flag::switch("oom-kill-disable", "Wait instead of being killed when out of memory"),
    Flag::integer("oom-score-adj", "How likely to be killed: -1000 to 1000"),
    Flag::integer("pids-limit", "Limit of processes and threads; -1 for none"),
    Flag::bytes("shm-size", "Size of /dev/shm"),
    Flag::checked_list("ulimit", "ulimit", check_ulimit, "Set a limit: name=soft[:hard]"),
    // Isolation.
    Flag::list("cap-add", "Add a capability"),
    Flag::list("cap-drop", "Drop a capability"),
    Flag::switch("privileged", "Give all capabilities and devices, mask nothing"),
    Flag::list("security-opt", "Set a security option, such as seccomp=unconfined"),
    Flag::checked_list(
        "sysctl",
        "map",
        check_sysctl,
        "Set a kernel parameter of the container's namespaces",
    ),
    Flag::text("ipc", "IPC namespace: private, shareable, host, none or container:ID"),
    Flag::text("isolation", "Isolation technology (Windows only)"),
    Flag::text("pid", "PID namespace: host or container:ID"),
    Flag::text("userns", "User namespace: host"),
    Flag::text("uts", "UTS namespace: host"),
    Flag::switch("disable-content-trust", "Accepted and ignored").default("true").hidden(),
    Flag::switch("use-api-socket", "Mount the daemon's socket"),
    // Files.
    Flag::checked_list(
        "mount",
        "mount",
        check_mount,
        "Mount: type=bind|volume|tmpfs,source=,target=,…",
    ),
    Flag::switch("read-only", "Make the root file system read-only"),
    Flag::list("storage-opt", "Set an option of the storage driver: key=value"),
    Flag::list("tmpfs", "Mount a tmpfs: path[:options]"),
    Flag::list("volume", "Mount: [source:]target[:options]").short('v'),
    Flag::text("volume-driver", "Driver of new volumes"),
    Flag::list("volumes-from", "Mount what another container has mounted"),
    // Network.
    Flag::checked_list("add-host", "list", check_host, "Add a line to /etc/hosts: host:ip"),
    Flag::checked_list("dns", "list", check_ip, "Set a DNS server"),
    Flag::list("dns-opt", "Set an option of resolv.conf").hidden(),
    Flag::list("dns-option", "Set an option of resolv.conf"),
    Flag::checked_list("dns-search", "list", check_domain, "Set a DNS search domain"),
    Flag::list("expose", "Declare a port or a range: 80-81/udp"),
    Flag::text("ip", "IPv4 address on its network"),
    Flag::text("ip6", "IPv6 address on its network"),
    Flag::list("link", "Link to another container: name[:alias]"),
    Flag::checked_list("link-local-ip", "list", check_ip, "Set a link-local address"),
    Flag::text("mac-address", "MAC address on its network"),
    Flag::checked_list(
        "network",
        "network",
        check_network,
        "Connect to a network: none, host, container:ID or a name",
    ),
    Flag::checked_list("net", "network", check_network, "Connect to a network").hidden(),
    Flag::list("network-alias", "Add a name on its network"),
    Flag::list("net-alias", "Add a name on its network").hidden(),
    Flag::list("publish", "Publish a port: [[ip:]host:]container[/proto]").short('p'),
    Flag::switch("publish-all", "Publish all exposed ports to free ones").short('P'),
    // Logs and health.
    Flag::text("log-driver", "Where the output goes"),
    Flag::list("log-opt", "Set an option of the log driver"),
    Flag::text("health-cmd", "Command that checks health"),
    Flag::duration("health-interval", "Time between checks (ms|s|m|h)").default("0s"),
    Flag::integer("health-retries", "Failures in a row that mean unhealthy"),
    Flag::duration("health-start-interval", "Time between checks while starting (ms|s|m|h)")
        .default("0s"),
    Flag::duration("health-start-period", "Time in which failures do not count (ms|s|m|h)")
        .default("0s"),
    Flag::duration("health-timeout", "Time a check may take (ms|s|m|h)").default("0s"),
    Flag::switch("no-healthcheck", "Ignore the image's HEALTHCHECK"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_sysctls_are_allowed() {
        assert!(check_sysctl("net.ipv4.ip_forward=1").is_ok());
        assert!(check_sysctl("kernel.shmmax=1").is_ok());
        assert_eq!(
            check_sysctl("kernel.panic=1").unwrap_err(),
            "sysctl 'kernel.panic=1' is not allowed"
        );
        assert_eq!(check_sysctl("x").unwrap_err(), "sysctl 'x' is not allowed");
    }

    #[test]
    fn names_and_letters_are_unique() {
        for (index, flag) in CONTAINER_FLAGS.iter().enumerate() {
            for other in &CONTAINER_FLAGS[index + 1..] {
                assert_ne!(flag.long, other.long);
                assert!(flag.short.is_none() || flag.short != other.short, "{}", flag.long);
            }
        }
    }
}
