//! From flags to the body of `POST /containers/create`.

use skiff_api::{Config, ContainerCreateRequest, Empty, HealthConfig, List, Map};
use skiff_model::shortform::{self, VolumeKind};

use super::{Result, host, network};
use crate::flags::Matches;

/// Builds the request for the image and command in the arguments.
pub(crate) fn build(flags: &Matches) -> Result<ContainerCreateRequest> {
    let [image, command @ ..] = flags.args.as_slice() else {
        return Err("no image specified".to_owned());
    };
    let mut config = Config { image: image.clone(), ..Config::default() };
    process(flags, &mut config)?;
    streams(flags, &mut config);
    if !command.is_empty() {
        config.cmd = command.to_vec().into();
    }
    config.healthcheck = health(flags)?;
    let binds = volumes(flags, &mut config)?;
    let host_config = host::build(flags, &mut config, binds)?;
    let networking_config = network::build(flags)?;
    Ok(ContainerCreateRequest {
        config,
        host_config: Some(host_config),
        networking_config: Some(networking_config),
    })
}

fn process(flags: &Matches, config: &mut Config) -> Result<()> {
    flags.text("hostname").clone_into(&mut config.hostname);
    flags.text("domainname").clone_into(&mut config.domainname);
    flags.text("user").clone_into(&mut config.user);
    flags.text("workdir").clone_into(&mut config.working_dir);
    flags.text("stop-signal").clone_into(&mut config.stop_signal);
    if flags.is_set("stop-timeout") {
        config.stop_timeout = Some(flags.integer("stop-timeout"));
    }
    match flags.given("entrypoint") {
        // An empty one takes the image's away.
        Some("") => config.entrypoint = vec![String::new()].into(),
        Some(entrypoint) => config.entrypoint = vec![entrypoint.to_owned()].into(),
        None => {}
    }
    config.env = environment(flags)?.into();
    config.labels = labels(flags)?;
    flags.text("mac-address").clone_into(&mut config.mac_address);
    if !config.mac_address.is_empty() && !is_mac(&config.mac_address) {
        return Err(format!("{} is not a valid mac address", config.mac_address));
    }
    Ok(())
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok())
}

/// Variables of files first, so that single ones win.
pub(super) fn environment(flags: &Matches) -> Result<Vec<String>> {
    let lookup = |key: &str| std::env::var(key).ok();
    let mut variables = Vec::new();
    for file in flags.all("env-file") {
        let contents = read_text(file)?;
        let lines = shortform::parse_env_file(&contents, lookup)
            .map_err(|error| format!("invalid env file ({file}): {error}"))?;
        variables.extend(lines);
    }
    for variable in flags.all("env") {
        let variable = shortform::resolve_env(variable, lookup).map_err(|e| e.to_string())?;
        variables.push(variable);
    }
    Ok(variables)
}

/// Reads a file that a flag names, with Go's words when that fails.
pub(super) fn read_text(path: &str) -> Result<String> {
    let bytes = std::fs::read(path)
        .map_err(|error| format!("open {path}: {}", crate::failure::describe_io(&error)))?;
    String::from_utf8(bytes)
        .map_err(|_| format!("invalid env file ({path}): contains invalid utf8 bytes"))
}

fn labels(flags: &Matches) -> Result<Map<String>> {
    let mut labels = Map::from_iter(Vec::<(String, String)>::new());
    let mut insert = |label: &str| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.to_owned(), value.to_owned());
    };
    for file in flags.all("label-file") {
        let contents = read_text(file)?;
        // A bare name is a label without a value here, not a variable of ours.
        let lines = shortform::parse_env_file(&contents, |_| Some(String::new()))
            .map_err(|error| format!("invalid env file ({file}): {error}"))?;
        lines.iter().for_each(|line| insert(line));
    }
    flags.all("label").for_each(insert);
    Ok(labels)
}

fn streams(flags: &Matches, config: &mut Config) {
    config.tty = flags.on("tty");
    config.open_stdin = flags.on("interactive");
    let chosen: Vec<String> = flags.all("attach").map(str::to_ascii_lowercase).collect();
    let has = |name: &str| chosen.iter().any(|stream| stream == name);
    config.attach_stdin = has("stdin");
    config.attach_stdout = has("stdout");
    config.attach_stderr = has("stderr");
    if chosen.is_empty() {
        config.attach_stdout = true;
        config.attach_stderr = true;
        config.attach_stdin = config.open_stdin;
    }
    config.stdin_once = config.open_stdin && config.attach_stdin;
}

fn health(flags: &Matches) -> Result<Option<HealthConfig>> {
    const DURATIONS: [&str; 4] =
        ["health-interval", "health-timeout", "health-start-period", "health-start-interval"];
    let command = flags.text("health-cmd");
    let any = !command.is_empty()
        || flags.integer("health-retries") != 0
        || DURATIONS.iter().any(|name| flags.duration(name) != 0);
    if flags.on("no-healthcheck") {
        if any {
            return Err("--no-healthcheck conflicts with --health-* options".to_owned());
        }
        let test = vec!["NONE".to_owned()].into();
        return Ok(Some(HealthConfig { test, ..HealthConfig::default() }));
    }
    if !any {
        return Ok(None);
    }
    for name in DURATIONS {
        if flags.duration(name) < 0 {
            return Err(format!("--{name} cannot be negative"));
        }
    }
    if flags.integer("health-retries") < 0 {
        return Err("--health-retries cannot be negative".to_owned());
    }
    let test = match command {
        "" => List::default(),
        line => vec!["CMD-SHELL".to_owned(), line.to_owned()].into(),
    };
    Ok(Some(HealthConfig {
        test,
        interval: flags.duration("health-interval"),
        timeout: flags.duration("health-timeout"),
        start_period: flags.duration("health-start-period"),
        start_interval: flags.duration("health-start-interval"),
        retries: flags.integer("health-retries"),
    }))
}

/// Splits `-v` into those with a source (returned) and new anonymous volumes.
fn volumes(flags: &Matches, config: &mut Config) -> Result<Vec<String>> {
    let mut binds = Vec::new();
    let mut anonymous = Map::default();
    for text in flags.all("volume") {
        let spec = shortform::parse_volume(text).map_err(|error| error.to_string())?;
        match spec.kind {
            VolumeKind::Anonymous => {
                anonymous.insert(spec.target, Empty);
            }
            // Relative paths are the client's, so only the client can complete them.
            VolumeKind::Bind if spec.source.starts_with('.') => {
                let rest = &text[spec.source.len()..];
                binds.push(format!("{}{rest}", absolute(&spec.source)?));
            }
            _ => binds.push(text.to_owned()),
        }
    }
    config.volumes = anonymous;
    Ok(binds)
}

/// Completes a relative path and resolves its `.` and `..` by name.
pub(super) fn absolute(path: &str) -> Result<String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let mut parts: Vec<&str> = Vec::new();
    let here = here.to_string_lossy();
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{here}/{path}") };
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}
