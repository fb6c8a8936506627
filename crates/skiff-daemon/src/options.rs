//! The table of all options: flag, key of `daemon.json`, help. Docker's names; what belongs to
//! parts that this version does not have is taken and kept, so that existing configurations start.

use crate::flags::{Flag, Takes, Takes::*};

/// The part of the help that an option is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Daemon,
    Container,
    Tls,
    Recorded,
}

const fn flag(
    name: &'static str,
    short: Option<char>,
    takes: Takes,
    key: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, short, takes, key, help }
}

/// Options that are kept for parts to come.
const fn kept(name: &'static str, takes: Takes, key: &'static str) -> Flag {
    Flag { name, short: None, takes, key, help: "" }
}

/// Where each group begins in [`TABLE`].
pub(crate) fn group(name: &str) -> Group {
    let flag = TABLE.iter().find(|flag| flag.name == name);
    match flag {
        Some(flag) if flag.help.is_empty() => Group::Recorded,
        Some(flag) if flag.name.starts_with("tls") => Group::Tls,
        Some(flag) if CONTAINER.contains(&flag.name) => Group::Container,
        _ => Group::Daemon,
    }
}

/// Options that are defaults for containers.
const CONTAINER: [&str; 15] = [
    "cgroup-parent",
    "default-cgroupns-mode",
    "default-ipc-mode",
    "default-runtime",
    "default-shm-size",
    "default-ulimit",
    "dns",
    "dns-opt",
    "dns-search",
    "init",
    "log-driver",
    "log-opt",
    "no-new-privileges",
    "seccomp-profile",
    "userns-remap",
];

/// Every option.
#[rustfmt::skip]
pub(crate) static TABLE: &[Flag] = &[
    flag("host", Some('H'), List, "hosts", "Listen here: unix://PATH, tcp://ADDRESS:PORT or fd:// (repeatable)"),
    flag("config-file", None, Text, "", "Read this file (default /etc/skiff/daemon.json, if it is there)"),
    flag("validate", None, Bool, "", "Check the configuration, say so and leave"),
    flag("data-root", None, Text, "data-root", "Keep containers, images and volumes here (default /var/lib/skiff)"),
    flag("exec-root", None, Text, "exec-root", "Keep what ends with the boot here (default /run/skiff)"),
    flag("pidfile", Some('p'), Text, "pidfile", "Write the process id here (default EXEC-ROOT/skiff.pid)"),
    flag("group", Some('G'), Text, "group", "Give the unix socket to this group (default docker, if there is one)"),
    flag("debug", Some('D'), Bool, "debug", "Log more"),
    flag("log-level", Some('l'), Text, "log-level", "Log from this level on: debug, info, warn, error or fatal (default info)"),
    flag("log-format", None, Text, "log-format", "Log as text or json (default text)"),
    flag("label", None, List, "labels", "Label the daemon, as key=value (repeatable)"),
    flag("live-restore", None, Bool, "live-restore", "Always on: containers do not notice the daemon's end"),
    flag("shutdown-timeout", None, Int, "shutdown-timeout", "Taken; the daemon's end stops no container"),
    flag("storage-driver", Some('s'), Text, "storage-driver", "Only overlay2"),
    flag("exec-opt", None, List, "exec-opts", "native.cgroupdriver=cgroupfs or =systemd"),
    flag("add-runtime", None, List, "runtimes", "Let containers be run by another OCI runtime with runc's command line (NAME=PATH)"),
    flag("version", Some('v'), Bool, "", "Show the version and leave"),
    flag("help", Some('h'), Bool, "", "Show this and leave"),

    flag("cgroup-parent", None, Text, "cgroup-parent", "Put containers' control groups below this one"),
    flag("default-cgroupns-mode", None, Text, "default-cgroupns-mode", "private or host"),
    flag("default-ipc-mode", None, Text, "default-ipc-mode", "private or shareable (default private)"),
    flag("default-runtime", None, Text, "default-runtime", "The runtime of containers that name none (default skiff)"),
    flag("default-shm-size", None, Text, "default-shm-size", "Size of /dev/shm (default 64MiB)"),
    flag("default-ulimit", None, List, "default-ulimits", "A limit as NAME=SOFT[:HARD] (repeatable)"),
    flag("dns", None, List, "dns", "A name server (repeatable)"),
    flag("dns-opt", None, List, "dns-opts", "A resolver option (repeatable)"),
    flag("dns-search", None, List, "dns-search", "A search domain (repeatable)"),
    flag("init", None, Bool, "init", "Run an init that reaps in every container"),
    flag("log-driver", None, Text, "log-driver", "Where output goes: json-file, local or none (default json-file)"),
    flag("log-opt", None, List, "log-opts", "An option of the log driver, as key=value (repeatable)"),
    flag("no-new-privileges", None, Bool, "no-new-privileges", "Let no container gain privileges"),
    flag("userns-remap", None, Text, "userns-remap", "Run containers in user namespaces: default, or USER[:GROUP] of /etc/subuid"),
    flag("seccomp-profile", None, Text, "seccomp-profile", "A seccomp profile's path, builtin or unconfined (default builtin)"),

    flag("tls", None, Bool, "tls", "Speak TLS on tcp:// sockets; implied by --tlsverify"),
    flag("tlsverify", None, Bool, "tlsverify", "Demand a client certificate that --tlscacert signed"),
    flag("tlscacert", None, Text, "tlscacert", "Whom to trust (default ~/.docker/ca.pem)"),
    flag("tlscert", None, Text, "tlscert", "Our certificate (default ~/.docker/cert.pem)"),
    flag("tlskey", None, Text, "tlskey", "Our key (default ~/.docker/key.pem)"),

    kept("allow-direct-routing", Bool, "allow-direct-routing"),
    kept("allow-nondistributable-artifacts", List, "allow-nondistributable-artifacts"),
    kept("api-cors-header", Text, "api-cors-header"),
    kept("authorization-plugin", List, "authorization-plugins"),
    kept("bip", Text, "bip"),
    kept("bip6", Text, "bip6"),
    kept("bridge", Text, "bridge"),
    kept("bridge-accept-fwmark", Text, "bridge-accept-fwmark"),
    kept("cdi-spec-dir", List, "cdi-spec-dirs"),
    kept("containerd", Text, "containerd"),
    kept("containerd-namespace", Text, "containerd-namespace"),
    kept("containerd-plugins-namespace", Text, "containerd-plugins-namespace"),
    kept("cpu-rt-period", Int, "cpu-rt-period"),
    kept("cpu-rt-runtime", Int, "cpu-rt-runtime"),
    kept("cri-containerd", Bool, "cri-containerd"),
    kept("default-address-pool", List, "default-address-pools"),
    kept("default-gateway", Text, "default-gateway"),
    kept("default-gateway-v6", Text, "default-gateway-v6"),
    kept("default-network-opt", List, "default-network-opts"),
    kept("experimental", Bool, "experimental"),
    kept("feature", List, "features"),
    kept("firewall-backend", Text, "firewall-backend"),
    kept("fixed-cidr", Text, "fixed-cidr"),
    kept("fixed-cidr-v6", Text, "fixed-cidr-v6"),
    kept("host-gateway-ip", List, "host-gateway-ips"),
    kept("http-proxy", Text, "http-proxy"),
    kept("https-proxy", Text, "https-proxy"),
    kept("icc", Bool, "icc"),
    kept("init-path", Text, "init-path"),
    kept("insecure-registry", List, "insecure-registries"),
    kept("ip", Text, "ip"),
    kept("ip-forward", Bool, "ip-forward"),
    kept("ip-forward-no-drop", Bool, "ip-forward-no-drop"),
    kept("ip-masq", Bool, "ip-masq"),
    kept("ip6tables", Bool, "ip6tables"),
    kept("iptables", Bool, "iptables"),
    kept("ipv6", Bool, "ipv6"),
    kept("max-concurrent-downloads", Int, "max-concurrent-downloads"),
    kept("max-concurrent-uploads", Int, "max-concurrent-uploads"),
    kept("max-download-attempts", Int, "max-download-attempts"),
    kept("metrics-addr", Text, "metrics-addr"),
    kept("mtu", Int, "mtu"),
    kept("network-control-plane-mtu", Int, "network-control-plane-mtu"),
    kept("no-proxy", Text, "no-proxy"),
    kept("node-generic-resource", List, "node-generic-resources"),
    kept("oom-score-adjust", Int, "oom-score-adjust"),
    kept("raw-logs", Bool, "raw-logs"),
    kept("registry-mirror", List, "registry-mirrors"),
    kept("rootless", Bool, "rootless"),
    kept("selinux-enabled", Bool, "selinux-enabled"),
    kept("storage-opt", List, "storage-opts"),
    kept("swarm-default-advertise-addr", Text, "swarm-default-advertise-addr"),
    kept("userland-proxy", Bool, "userland-proxy"),
    kept("userland-proxy-path", Text, "userland-proxy-path"),
];

/// Keys of `daemon.json` without a flag.
pub(crate) const FILE_ONLY: [&str; 4] =
    ["builder", "host-gateway-ip", "min-api-version", "proxies"];

/// The help. It shows what is used; what is only kept is named at the end.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "Usage:  skiff daemon [OPTIONS]\n\nRun the engine and serve Docker's API.\n\n\
         It listens on unix:///run/skiff/skiff.sock unless told otherwise; clients find it with\n\
         DOCKER_HOST=unix:///run/skiff/skiff.sock. Ending it (SIGTERM) stops no container, starting\n\
         it again picks them up. SIGHUP reads labels and debug from the file again.\n",
    );
    for (title, wanted) in [
        ("Options", Group::Daemon),
        ("Defaults for containers", Group::Container),
        ("TLS, for tcp:// sockets", Group::Tls),
    ] {
        text.push_str(&format!("\n{title}:\n"));
        for flag in TABLE.iter().filter(|flag| group(flag.name) == wanted) {
            let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
            let takes = match flag.takes {
                Bool => "",
                Int => " int",
                Text => " string",
                List => " list",
            };
            let left = format!("  {short}--{}{takes}", flag.name);
            text.push_str(&format!("{left:<36} {}\n", flag.help));
        }
    }
    text.push_str(
        "\nEvery option may stand in the file instead, under the same name (lists in the plural:\n\
         \"hosts\", \"labels\"), but not in both places.\n\n\
         Docker's options for networks, registries and other parts that this version does not\n\
         have are taken and kept.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_keys_are_unique() {
        let names: BTreeSet<_> = TABLE.iter().map(|flag| flag.name).collect();
        assert_eq!(names.len(), TABLE.len());
        let keys: Vec<_> =
            TABLE.iter().map(|f| f.key).chain(FILE_ONLY).filter(|key| !key.is_empty()).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        assert!(CONTAINER.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn the_help_shows_every_used_option_in_little_width() {
        let help = help();
        for flag in TABLE.iter().filter(|flag| !flag.help.is_empty()) {
            assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
        }
        assert!(help.lines().all(|line| line.len() <= 120));
        assert!(!help.contains("--iptables"));
    }
}
