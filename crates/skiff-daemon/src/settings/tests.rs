//! What flags and files become, and how they are refused.

use std::ffi::OsString;

use super::*;

fn given(line: &str) -> Given {
    crate::flags::parse(TABLE, line.split_whitespace().map(OsString::from)).unwrap()
}

/// Settings of a command line without a file.
fn from_flags(line: &str) -> Result<Settings, SettingsError> {
    build(&Merged { values: given(line).values }, None)
}

/// Settings of a command line and a file's text.
fn from_file(line: &str, text: &str) -> Result<Settings, String> {
    let given = given(line);
    let mut values = given.values.clone();
    values.extend(read_file(text.as_bytes(), &given)?);
    build(&Merged { values }, None).map_err(|error| error.to_string())
}

#[test]
fn nothing_given_is_the_defaults() {
    let settings = from_flags("").unwrap();
    assert_eq!(settings.hosts, [Host::Unix("/run/skiff/skiff.sock".into())]);
    assert_eq!(settings.data_root, Path::new("/var/lib/skiff"));
    assert_eq!(settings.pidfile, Path::new("/run/skiff/skiff.pid"));
    assert_eq!(settings.default_shm_size, 64 << 20);
    assert_eq!(settings.runtimes.default, "skiff");
    assert!(settings.tls.is_none() && settings.recorded.is_empty());
}

#[test]
fn flags_and_file_say_the_same() {
    let flags = from_flags(
        "-H unix:///a.sock -H tcp://127.0.0.1:1 --label a=b --exec-opt native.cgroupdriver=systemd \
         --default-ulimit nofile=5:6 --log-opt max-size=1m --add-runtime x=/bin/x -D --mtu 1400 \
         --default-runtime x --default-shm-size 1m --iptables=false",
    )
    .unwrap();
    let file = from_file(
        "",
        r#"{"hosts":["unix:///a.sock","tcp://127.0.0.1:1"],"labels":["a=b"],
            "exec-opts":["native.cgroupdriver=systemd"],
            "default-ulimits":{"nofile":{"Name":"nofile","Soft":5,"Hard":6}},
            "log-opts":{"max-size":"1m"},"runtimes":{"x":{"path":"/bin/x"}},"debug":true,
            "mtu":1400,"default-runtime":"x","default-shm-size":"1m","iptables":false}"#,
    )
    .unwrap();
    assert_eq!(format!("{flags:?}"), format!("{file:?}"));
    assert_eq!(flags.default_ulimits, [("nofile".to_owned(), 5, 6)]);
    assert_eq!(flags.runtimes.others["x"].path, Path::new("/bin/x"));
    assert_eq!(flags.recorded["mtu"], ["1400"]);
    assert!(flags.systemd_cgroup && flags.debug);
}

#[test]
fn a_runtime_of_the_file_has_a_path_and_arguments() {
    let text = r#"{"runtimes":{"a":{"path":"crun","runtimeArgs":["--debug","--x=y z"]},
                               "b":{"path":"/sbin/runc","runtimeArgs":null}},
                   "default-runtime":"b"}"#;
    let settings = from_file("", text).unwrap();
    let a = RuntimeConfig { path: "crun".into(), args: vec!["--debug".into(), "--x=y z".into()] };
    let b = RuntimeConfig { path: "/sbin/runc".into(), args: Vec::new() };
    let expect = [("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(settings.runtimes.others, expect.into());
    assert_eq!(settings.runtimes.default, "b");
    for (text, expect) in [
        (r#"{"runtimes":{"runc":{"path":"/x"}}}"#, "runtime name 'runc' is reserved"),
        (r#"{"runtimes":{"a":{}}}"#, "runtimes: a: a path must be configured"),
        (r#"{"runtimes":{"a":{"path":""}}}"#, "runtimes: a: a path must be configured"),
        (
            r#"{"runtimes":{"a":{"runtimeType":"io.containerd.kata.v2"}}}"#,
            "runtimes: a: runtimeType: only runtimes with a path are supported, which have runc's \
             command line",
        ),
        (
            r#"{"runtimes":{"a":{"path":"/x","runtimeArgs":"-d"}}}"#,
            r#"runtimes: a: unexpected value "-d""#,
        ),
    ] {
        assert_eq!(from_file("", text).unwrap_err(), expect, "{text}");
    }
}

#[test]
fn the_file_is_refused_in_the_words_of_dockerd() {
    for (line, text, expect) in [
        (
            "",
            r#"{"nope":1,"debug":true,"x":2}"#,
            "the following directives don't match any configuration option: nope, x",
        ),
        (
            "-D --label a=b",
            r#"{"debug":false,"labels":["c=d","e=f"]}"#,
            "the following directives are specified both as a flag and in the configuration file: \
             debug: (from flag: true, from file: false), labels: (from flag: [a=b], from file: \
             [c=d e=f])",
        ),
        ("", r#"{"debug":"yes"}"#, r#"debug: unexpected value "yes""#),
        ("", r#"{"hosts":"unix:///x"}"#, r#"hosts: unexpected value "unix:///x""#),
    ] {
        assert_eq!(from_file(line, text).unwrap_err(), expect, "{text}");
    }
    assert!(from_file("", "{").is_err());
    assert!(from_file("", "[]").is_err());
    assert!(from_file("", "").is_ok());
    assert!(from_file("", "\u{feff}{}").is_ok());
    assert!(from_file("", r#"{"proxies":{"http-proxy":"http://x"},"builder":{}}"#).is_ok());
}

#[test]
fn wrong_values_are_refused() {
    for (line, expect) in [
        (
            "-s btrfs",
            "failed to start daemon: error initializing graphdriver: driver not supported: btrfs",
        ),
        ("--label x", "bad attribute format: x"),
        ("--label a=1 --label a=2", "conflict labels for a=2 and a=1"),
        ("-l loud", "invalid logging level: loud"),
        ("--log-format xml", "invalid value for log-format: invalid log format: xml"),
        ("--exec-opt a=b", "invalid value for exec-opt: invalid option: a=b"),
        ("--add-runtime x", "invalid value for add-runtime: invalid runtime argument: x"),
        ("--add-runtime x=", "invalid value for add-runtime: invalid runtime argument: x="),
        ("--add-runtime a/b=c", "invalid value for add-runtime: invalid runtime argument: a/b=c"),
        ("--add-runtime skiff=/x", "runtime name 'skiff' is reserved"),
        (
            "--add-runtime x=io.containerd.kata.v2",
            "runtimes: x: io.containerd.kata.v2 is a shim of containerd: only runtimes with a path \
             are supported, which have runc's command line",
        ),
        (
            "--add-runtime x=/a --add-runtime x=/b",
            "invalid value for add-runtime: runtime 'x' was already defined",
        ),
        ("--default-runtime kata", "specified default runtime 'kata' does not exist"),
        (
            "--default-ulimit nofile=5:4",
            "invalid value for default-ulimit: ulimit soft limit must be less than or equal to \
             hard limit: nofile",
        ),
        (
            "--default-ipc-mode host",
            "IPC mode \"host\" is not supported as default value; use \"shareable\" or \"private\"",
        ),
        (
            "--exec-opt native.cgroupdriver=x",
            "failed to start daemon: native.cgroupdriver option x not supported",
        ),
        (
            "--default-cgroupns-mode x",
            "default cgroup namespace mode (x) is invalid; use \"host\" or \"private\"",
        ),
        ("--default-ulimit nope=1", "invalid value for default-ulimit: invalid ulimit type: nope"),
        ("--add-runtime runc=/x", "runtime name 'runc' is reserved"),
        ("--dns 1.2.3", "1.2.3 is not an ip address"),
        ("--dns-search -bad-", "-bad- is not a valid domain"),
        ("--mtu=-1", "invalid default MTU: -1"),
        ("--max-concurrent-uploads=-1", "invalid max concurrent uploads: -1"),
        ("--max-download-attempts=0", "invalid max download attempts: 0"),
        ("--registry-mirror ftp://x", "invalid mirror: unsupported scheme \"ftp\" in \"ftp://x\""),
        (
            "--registry-mirror http://x/y",
            "invalid mirror: path, query, or fragment at end of the URI in \"http://x/y\"",
        ),
        ("--log-opt x", "invalid value for log-opt: \"x\" is not key=value"),
    ] {
        assert_eq!(from_flags(line).unwrap_err().to_string(), expect, "{line}");
    }
    let error = load(&given("x")).unwrap_err().to_string();
    assert_eq!(error, "\"skiff daemon\" takes no arguments, got \"x\"");
    let error = load(&given("--config-file /nonexistent/x.json")).unwrap_err().to_string();
    assert!(
        error.starts_with("unable to configure the Skiff daemon with file /nonexistent/x.json")
    );
}

#[test]
fn tls_has_docker_s_default_paths() {
    let settings = from_flags("--tlsverify --tlscert /c.pem -H tcp://0.0.0.0").unwrap();
    let tls = settings.tls.unwrap();
    assert!(tls.verify && tls.ca.ends_with("ca.pem"));
    assert_eq!(tls.cert, Path::new("/c.pem"));
    assert_eq!(settings.hosts, [Host::Tcp("0.0.0.0".into(), 2376)]);
}
