//! Settings: flags and `daemon.json` made one, checked, and turned into what the engine needs.
//!
//! The file's keys have the flags' names (lists in the plural). A key that is no option and an
//! option in both places are errors, in dockerd's words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use skiff_engine::config::{BUILT_IN_ALIASES, BUILT_IN_RUNTIME, RuntimeConfig, Runtimes};
use skiff_model::size::parse_bytes;
use thiserror::Error;

use crate::flags::{Flag, FlagError, Given, Takes};
use crate::host::{Host, HostError};
use crate::options::{FILE_ONLY, TABLE};

/// Where the file is, if it is there.
pub(crate) const CONFIG_FILE: &str = "/etc/skiff/daemon.json";
const DATA_ROOT: &str = "/var/lib/skiff";
const EXEC_ROOT: &str = "/run/skiff";

/// Why the daemon does not start.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error(transparent)]
    Flag(#[from] FlagError),
    #[error("\"skiff daemon\" takes no arguments, got {0:?}")]
    Argument(String),
    #[error("unable to configure the Skiff daemon with file {path}: {reason}")]
    File { path: String, reason: String },
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("{0}")]
    Refused(String),
    #[error("invalid value for {option}: {reason}")]
    Value { option: &'static str, reason: String },
    #[error("{option} {path}: {source}")]
    Read { option: &'static str, path: String, source: std::io::Error },
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) verify: bool,
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// Everything that was decided.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) data_root: PathBuf,
    pub(crate) exec_root: PathBuf,
    pub(crate) pidfile: PathBuf,
    /// `None` is docker's group, if there is one.
    pub(crate) group: Option<String>,
    pub(crate) log_level: String,
    pub(crate) log_json: bool,
    pub(crate) debug: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) systemd_cgroup: bool,
    pub(crate) cgroup_parent: String,
    pub(crate) log_driver: String,
    pub(crate) log_opts: BTreeMap<String, String>,
    pub(crate) default_shm_size: i64,
    pub(crate) default_ulimits: Vec<(String, i64, i64)>,
    pub(crate) default_cgroupns_mode: String,
    pub(crate) default_ipc_mode: String,
    pub(crate) seccomp_profile: String,
    pub(crate) no_new_privileges: bool,
    pub(crate) init: bool,
    pub(crate) userns_remap: String,
    pub(crate) dns: Vec<String>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) dns_opts: Vec<String>,
    pub(crate) runtimes: Runtimes,
    /// Options of parts that are not there yet, by flag.
    pub(crate) recorded: BTreeMap<&'static str, Vec<String>>,
}

/// The values of options, wherever they came from.
struct Merged {
    values: BTreeMap<&'static str, Vec<String>>,
}

impl Merged {
    fn list(&self, name: &str) -> Vec<String> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    fn text(&self, name: &str, default: &str) -> String {
        self.values.get(name).and_then(|v| v.last()).map_or(default, String::as_str).to_owned()
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name, "false") == "true"
    }

    fn pairs(&self, option: &'static str) -> Result<Vec<(String, String)>, SettingsError> {
        self.list(option)
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(invalid(option, format!("{text:?} is not key=value"))),
            })
            .collect()
    }
}

fn invalid(option: &'static str, reason: impl Into<String>) -> SettingsError {
    SettingsError::Value { option, reason: reason.into() }
}

/// A refusal in dockerd's words, which name the option themselves.
fn refused(reason: impl Into<String>) -> SettingsError {
    SettingsError::Refused(reason.into())
}

/// Makes the settings of a command line; reads the file.
pub(crate) fn load(given: &Given) -> Result<Settings, SettingsError> {
    if let Some(argument) = given.arguments.first() {
        return Err(SettingsError::Argument(argument.clone()));
    }
    let named = given.values.get("config-file").and_then(|values| values.last());
    let path = PathBuf::from(named.map_or(CONFIG_FILE, String::as_str));
    let file = match std::fs::read(&path) {
        Ok(text) => Some(text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(file_error(&path, format!("open: {error}"))),
    };
    let from_file = match &file {
        Some(text) => read_file(text, given).map_err(|reason| file_error(&path, reason))?,
        None => BTreeMap::new(),
    };
    let mut values = given.values.clone();
    values.extend(from_file);
    build(&Merged { values }, file.map(|_| path))
}

fn file_error(path: &Path, reason: String) -> SettingsError {
    SettingsError::File { path: path.display().to_string(), reason }
}

/// Reads the file's options, as text by flag.
pub(crate) fn read_file(
    text: &[u8],
    given: &Given,
) -> Result<BTreeMap<&'static str, Vec<String>>, String> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(BTreeMap::new());
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut object: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    flatten_proxies(&mut object);
    let unknown: Vec<&str> =
        object.keys().map(String::as_str).filter(|key| !is_known(key)).collect();
    if !unknown.is_empty() {
        return Err(format!(
            "the following directives don't match any configuration option: {}",
            unknown.join(", ")
        ));
    }
    let mut values = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (key, value) in &object {
        let Some(flag) = TABLE.iter().find(|flag| flag.key == key) else { continue };
        let texts = texts(flag, value)?;
        if let Some(from_flag) = given.values.get(flag.name) {
            conflicts.push(format!(
                "{key}: (from flag: {}, from file: {})",
                shown(flag, from_flag),
                shown(flag, &texts)
            ));
        }
        values.insert(flag.name, texts);
    }
    if !conflicts.is_empty() {
        return Err(format!(
            "the following directives are specified both as a flag and in the configuration file: \
             {}",
            conflicts.join(", ")
        ));
    }
    Ok(values)
}

fn is_known(key: &str) -> bool {
    FILE_ONLY.contains(&key) || TABLE.iter().any(|flag| flag.key == key && !key.is_empty())
}

/// `"proxies": {"http-proxy": …}` is the flags' values in an object.
fn flatten_proxies(object: &mut Map<String, Value>) {
    if let Some(Value::Object(proxies)) = object.remove("proxies") {
        object.extend(proxies);
    }
}

fn shown(flag: &Flag, values: &[String]) -> String {
    match flag.takes {
        Takes::List => format!("[{}]", values.join(" ")),
        Takes::Bool | Takes::Int | Takes::Text => values.concat(),
    }
}

/// A value of the file as the flag would have it.
fn texts(flag: &Flag, value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("{}: unexpected value {value}", flag.key);
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(wrong()),
    };
    match (flag.takes, value) {
        (_, Value::Null) => Ok(Vec::new()),
        (Takes::List, Value::Array(items)) => items
            .iter()
            // Address pools are objects; they are kept as they are.
            .map(|item| if item.is_object() { Ok(item.to_string()) } else { one(item) })
            .collect(),
        (Takes::List, Value::Object(members)) => {
            members.iter().map(|(key, value)| member(flag.key, key, value)).collect()
        }
        (Takes::Bool, Value::Bool(_)) | (Takes::Int, Value::Number(_)) => Ok(vec![one(value)?]),
        (Takes::Text, Value::String(_) | Value::Number(_)) => Ok(vec![one(value)?]),
        _ => Err(wrong()),
    }
}

/// A member of an object as the `key=value` of a flag.
fn member(option: &str, key: &str, value: &Value) -> Result<String, String> {
    let text = match (option, value) {
        ("default-ulimits", Value::Object(limit)) => {
            let number = |name: &str| {
                limit
                    .get(name)
                    .and_then(Value::as_i64)
                    .ok_or_else(|| format!("default-ulimits: {key} has no {name}"))
            };
            format!("{}:{}", number("Soft")?, number("Hard")?)
        }
        ("runtimes", runtime) => return Ok(format!("{key}={}", runtime_text(key, runtime)?)),
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    };
    Ok(format!("{key}={text}"))
}

fn build(merged: &Merged, config_file: Option<PathBuf>) -> Result<Settings, SettingsError> {
    let exec_root = absolute(merged, "exec-root", EXEC_ROOT)?;
    let tls = tls(merged);
    let mut hosts = Vec::new();
    for host in merged.list("host") {
        hosts.push(Host::parse(&host, tls.is_some())?);
    }
    if hosts.is_empty() {
        hosts.push(Host::Unix(exec_root.join("skiff.sock")));
    }
    let labels = merged.list("label");
    check_labels(&labels)?;
    check_storage(merged)?;
    checks::check(merged)?;
    Ok(Settings {
        config_file,
        hosts,
        data_root: absolute(merged, "data-root", DATA_ROOT)?,
        pidfile: match merged.text("pidfile", "").as_str() {
            "" => exec_root.join("skiff.pid"),
            path => PathBuf::from(path),
        },
        exec_root,
        group: merged.values.get("group").and_then(|v| v.last()).cloned(),
        log_level: log_level(merged)?,
        log_json: log_format(merged)?,
        debug: merged.flag("debug"),
        labels,
        tls,
        systemd_cgroup: cgroup_driver(merged)?,
        cgroup_parent: merged.text("cgroup-parent", ""),
        log_driver: merged.text("log-driver", "json-file"),
        log_opts: merged.pairs("log-opt")?.into_iter().collect(),
        default_shm_size: shm_size(merged)?,
        default_ulimits: ulimits(merged)?,
        default_cgroupns_mode: one_of(merged, "default-cgroupns-mode", &["", "private", "host"])
            .map_err(|mode| {
                refused(format!(
                    "default cgroup namespace mode ({mode}) is invalid; use \"host\" or \
                     \"private\""
                ))
            })?,
        default_ipc_mode: one_of(merged, "default-ipc-mode", &["", "private", "shareable"])
            .map_err(|mode| {
                refused(format!(
                    "IPC mode {mode:?} is not supported as default value; use \"shareable\" or \
                     \"private\""
                ))
            })?,
        seccomp_profile: seccomp_profile(merged)?,
        no_new_privileges: merged.flag("no-new-privileges"),
        init: merged.flag("init"),
        userns_remap: merged.text("userns-remap", ""),
        dns: merged.list("dns"),
        dns_search: merged.list("dns-search"),
        dns_opts: merged.list("dns-opt"),
        runtimes: runtimes(merged)?,
        recorded: TABLE
            .iter()
            .filter(|flag| flag.help.is_empty())
            .filter_map(|flag| Some((flag.name, merged.values.get(flag.name)?.clone())))
            .collect(),
    })
}

fn absolute(
    merged: &Merged,
    option: &'static str,
    default: &str,
) -> Result<PathBuf, SettingsError> {
    let path = PathBuf::from(merged.text(option, default));
    std::path::absolute(&path).map_err(|error| invalid(option, error.to_string()))
}

fn tls(merged: &Merged) -> Option<Tls> {
    let verify = merged.flag("tlsverify");
    if !verify && !merged.flag("tls") {
        return None;
    }
    let directory = std::env::var_os("DOCKER_CERT_PATH").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".docker"),
        PathBuf::from,
    );
    let path = |option: &str, name: &str| match merged.text(option, "").as_str() {
        "" => directory.join(name),
        path => PathBuf::from(path),
    };
    Some(Tls {
        verify,
        ca: path("tlscacert", "ca.pem"),
        cert: path("tlscert", "cert.pem"),
        key: path("tlskey", "key.pem"),
    })
}

fn check_labels(labels: &[String]) -> Result<(), SettingsError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for label in labels {
        let Some((key, value)) = label.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(refused(format!("bad attribute format: {label}")));
        };
        if let Some(before) = seen.insert(key, value).filter(|before| *before != value) {
            return Err(refused(format!("conflict labels for {key}={value} and {key}={before}")));
        }
    }
    Ok(())
}

fn check_storage(merged: &Merged) -> Result<(), SettingsError> {
    match merged.text("storage-driver", "overlay2").as_str() {
        "" | "overlay2" | "overlayfs" => Ok(()),
        other => Err(refused(format!(
            "failed to start daemon: error initializing graphdriver: driver not supported: {other}"
        ))),
    }
}

/// A runtime of the file as the flag would have it: its path, and with arguments the object itself,
/// which no path looks like.
fn runtime_text(name: &str, runtime: &Value) -> Result<String, String> {
    let member = |key: &str| runtime.get(key).filter(|value| !value.is_null());
    for key in ["runtimeType", "options"] {
        if member(key).is_some() {
            return Err(format!(
                "runtimes: {name}: {key}: only runtimes with a path are supported, which have \
                 runc's command line"
            ));
        }
    }
    let path = member("path").and_then(Value::as_str).filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| format!("runtimes: {name}: a path must be configured"))?;
    match member("runtimeArgs") {
        None => Ok(path.to_owned()),
        Some(Value::Array(args)) if args.iter().all(Value::is_string) => {
            Ok(serde_json::json!({"path": path, "runtimeArgs": args}).to_string())
        }
        Some(other) => Err(format!("runtimes: {name}: unexpected value {other}")),
    }
}

fn runtimes(merged: &Merged) -> Result<Runtimes, SettingsError> {
    let option = "add-runtime";
    let mut others = BTreeMap::new();
    for text in merged.list(option) {
        let wrong = || invalid(option, format!("invalid runtime argument: {text}"));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, value) = (name.trim(), value.trim());
        // It becomes the name of a directory.
        let is_name = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
        if !is_name || value.is_empty() {
            return Err(wrong());
        }
        // They mean ours, for clients that name Docker's.
        if name == BUILT_IN_RUNTIME || BUILT_IN_ALIASES.contains(&name) {
            return Err(refused(format!("runtime name '{name}' is reserved")));
        }
        let runtime = runtime(value);
        // containerd's name of a shim, which has another command line than runc.
        if runtime.path.to_str().is_some_and(|path| path.starts_with("io.containerd.")) {
            let reason = format!("{} is a shim of containerd", runtime.path.display());
            return Err(refused(format!(
                "runtimes: {name}: {reason}: only runtimes with a path are supported, which have \
                 runc's command line"
            )));
        }
        if others.insert(name.to_owned(), runtime).is_some() {
            return Err(invalid(option, format!("runtime '{name}' was already defined")));
        }
    }
    let default = match merged.text("default-runtime", BUILT_IN_RUNTIME) {
        name if name.is_empty() => BUILT_IN_RUNTIME.to_owned(),
        name => name,
    };
    let built_in = default == BUILT_IN_RUNTIME || BUILT_IN_ALIASES.contains(&default.as_str());
    if !built_in && !others.contains_key(&default) {
        let reason = format!("specified default runtime '{default}' does not exist");
        return Err(refused(reason));
    }
    Ok(Runtimes { others, default })
}

/// Reads what [`runtime_text`] wrote, or a flag's path.
fn runtime(text: &str) -> RuntimeConfig {
    let object: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let member = |key: &str| object.as_ref().and_then(|object| object.get(key));
    let path = member("path").and_then(Value::as_str).unwrap_or(text);
    let args = member("runtimeArgs").and_then(Value::as_array).into_iter().flatten();
    RuntimeConfig {
        path: PathBuf::from(path),
        args: args.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn log_level(merged: &Merged) -> Result<String, SettingsError> {
    let level = merged.text("log-level", "info").to_ascii_lowercase();
    match level.as_str() {
        "debug" | "info" | "warn" | "warning" | "error" | "fatal" => Ok(level),
        _ => Err(refused(format!("invalid logging level: {level}"))),
    }
}

fn log_format(merged: &Merged) -> Result<bool, SettingsError> {
    match merged.text("log-format", "text").as_str() {
        "text" | "" => Ok(false),
        "json" => Ok(true),
        other => Err(invalid("log-format", format!("invalid log format: {other}"))),
    }
}

fn cgroup_driver(merged: &Merged) -> Result<bool, SettingsError> {
    let mut systemd = false;
    for (key, value) in merged.pairs("exec-opt")? {
        match (key.to_ascii_lowercase().as_str(), value.as_str()) {
            ("native.cgroupdriver", "cgroupfs") => systemd = false,
            ("native.cgroupdriver", "systemd") => systemd = true,
            ("native.cgroupdriver", other) => {
                return Err(refused(format!(
                    "failed to start daemon: native.cgroupdriver option {other} not supported"
                )));
            }
            _ => return Err(invalid("exec-opt", format!("invalid option: {key}={value}"))),
        }
    }
    Ok(systemd)
}

fn shm_size(merged: &Merged) -> Result<i64, SettingsError> {
    let text = merged.text("default-shm-size", "64MiB");
    match parse_bytes(&text) {
        Ok(size) if size > 0 => Ok(size),
        Ok(_) => Err(invalid("default-shm-size", format!("{text:?} is not above zero"))),
        Err(error) => Err(invalid("default-shm-size", error.to_string())),
    }
}

fn ulimits(merged: &Merged) -> Result<Vec<(String, i64, i64)>, SettingsError> {
    let option = "default-ulimit";
    let mut limits = Vec::new();
    for (name, value) in merged.pairs(option)? {
        if !skiff_model::shortform::ULIMIT_NAMES.contains(&name.as_str()) {
            return Err(invalid(option, format!("invalid ulimit type: {name}")));
        }
        let number = |text: &str| {
            if text == "unlimited" {
                return Ok(-1);
            }
            text.parse::<i64>().map_err(|error| invalid(option, format!("{name}: {error}")))
        };
        let (soft, hard) = value.split_once(':').unwrap_or((&value, &value));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if hard != -1 && (soft == -1 || soft > hard) {
            return Err(invalid(
                option,
                format!("ulimit soft limit must be less than or equal to hard limit: {name}"),
            ));
        }
        limits.push((name, soft, hard));
    }
    Ok(limits)
}

/// The value, if it is one of these; otherwise the value as an error.
fn one_of(merged: &Merged, option: &'static str, allowed: &[&str]) -> Result<String, String> {
    let value = merged.text(option, "");
    if allowed.contains(&value.as_str()) { Ok(value) } else { Err(value) }
}

fn seccomp_profile(merged: &Merged) -> Result<String, SettingsError> {
    let option = "seccomp-profile";
    let value = merged.text(option, "");
    match value.as_str() {
        "" | "builtin" => return Ok(String::new()),
        "unconfined" => return Ok(value),
        _ => {}
    }
    match std::fs::metadata(&value) {
        Ok(_) => Ok(value),
        Err(source) => Err(SettingsError::Read { option, path: value, source }),
    }
}

/// Settings without flags and file.
#[cfg(test)]
pub(crate) fn defaults() -> Settings {
    build(&Merged { values: BTreeMap::new() }, None).expect("the defaults are valid")
}

mod checks;
#[cfg(test)]
mod tests;
