//! Dockerfile instructions that change an image's config (`--change`), pure.

use std::collections::BTreeMap;

use skiff_model::duration::parse_duration;
use skiff_model::image::{ContainerConfig, Empty, Healthcheck};

use super::word::{self, Word};
use crate::{Error, Result};

/// Applies instructions in order.
pub(super) fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<()> {
    let mut command_set = false;
    for line in changes.iter().flat_map(|change| logical_lines(change)) {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        match name.to_ascii_uppercase().as_str() {
            "CMD" => {
                config.cmd = Some(command(config, rest)?);
                command_set = true;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(command(config, rest)?);
                // The old command was the old entrypoint's.
                if !command_set {
                    config.cmd = None;
                }
            }
            "ENV" => set_env(config, rest)?,
            "LABEL" => set_labels(config, rest)?,
            "EXPOSE" => expose(config, rest)?,
            "USER" => config.user = one(config, name, rest)?,
            "WORKDIR" => {
                let path = one(config, name, rest)?;
                config.working_dir = joined(&config.working_dir, &path);
            }
            "STOPSIGNAL" => config.stop_signal = one(config, name, rest)?,
            "VOLUME" => add_volumes(config, rest)?,
            "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
            "ONBUILD" => config.on_build.push(on_build(rest)?),
            other => {
                let name = other.to_ascii_lowercase();
                return Err(Error::invalid(format!("{name} is not a valid change command")));
            }
        }
    }
    Ok(())
}

/// Lines with their continuations joined, without comments and empty ones.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        match line.trim_end().strip_suffix('\\') {
            Some(part) => open.push_str(part),
            None => {
                open.push_str(line);
                lines.push(std::mem::take(&mut open));
            }
        }
    }
    lines.push(open);
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// A JSON list of strings is taken as it is; `None` for every other text.
fn exec_form(rest: &str) -> Option<Vec<String>> {
    rest.starts_with('[').then(|| serde_json::from_str(rest).ok()).flatten()
}

/// A command in exec form, or a line for the shell.
fn command(config: &ContainerConfig, rest: &str) -> Result<Vec<String>> {
    if let Some(words) = exec_form(rest) {
        return Ok(words);
    }
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let shell = config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into()]);
    Ok(shell.into_iter().chain([rest.to_owned()]).collect())
}

fn lookup(config: &ContainerConfig) -> impl Fn(&str) -> Option<String> + '_ {
    |name| {
        config.env.iter().rev().find_map(|variable| {
            let (other, value) = variable.split_once('=')?;
            (other == name).then(|| value.to_owned())
        })
    }
}

fn words(config: &ContainerConfig, rest: &str) -> Result<Vec<Word>> {
    word::split(rest, &lookup(config)).map_err(Error::invalid)
}

fn one(config: &ContainerConfig, name: &str, rest: &str) -> Result<String> {
    let name = name.to_ascii_uppercase();
    let value = word::expand(rest, &lookup(config)).map_err(Error::invalid)?;
    if value.is_empty() {
        return Err(Error::invalid(format!("{name} requires exactly one argument")));
    }
    Ok(value)
}

/// `name=value …`, or the old form `name the rest`.
fn pairs(config: &ContainerConfig, name: &str, rest: &str) -> Result<Vec<(String, String)>> {
    let words = words(config, rest)?;
    let Some(first) = words.first() else {
        return Err(Error::invalid(format!("{name} requires at least one argument")));
    };
    if first.equals.is_none() {
        let (key, value) = rest
            .split_once(char::is_whitespace)
            .ok_or_else(|| Error::invalid(format!("{name} must have two arguments")))?;
        let value = word::expand(value.trim(), &lookup(config)).map_err(Error::invalid)?;
        return Ok(vec![(key.to_owned(), value)]);
    }
    let pair = |word: &Word| match word.equals {
        Some(at) if at > 0 => Ok((word.text[..at].to_owned(), word.text[at + 1..].to_owned())),
        Some(_) => Err(Error::invalid(format!("{name} names can not be blank"))),
        None => Err(Error::invalid(format!(
            "Syntax error - can't find = in {:?}. Must be of the form: name=value",
            word.text
        ))),
    };
    words.iter().map(pair).collect()
}

fn set_env(config: &mut ContainerConfig, rest: &str) -> Result<()> {
    for (name, value) in pairs(config, "ENV", rest)? {
        let variable = format!("{name}={value}");
        let same = |other: &&mut String| other.split('=').next() == Some(name.as_str());
        match config.env.iter_mut().find(same) {
            Some(other) => *other = variable,
            None => config.env.push(variable),
        }
    }
    Ok(())
}

fn set_labels(config: &mut ContainerConfig, rest: &str) -> Result<()> {
    config.labels.extend(pairs(config, "LABEL", rest)?);
    Ok(())
}

fn expose(config: &mut ContainerConfig, rest: &str) -> Result<()> {
    let words = words(config, rest)?;
    if words.is_empty() {
        return Err(Error::invalid("EXPOSE requires at least one argument"));
    }
    for word in words {
        let invalid = || Error::invalid(format!("invalid containerPort: {}", word.text));
        let (ports, protocol) = word.text.split_once('/').unwrap_or((&word.text, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(Error::invalid(format!("invalid proto: {protocol}")));
        }
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (first, last) = first.parse::<u16>().ok().zip(last.parse().ok()).ok_or_else(invalid)?;
        if first > last {
            return Err(invalid());
        }
        config
            .exposed_ports
            .extend((first..=last).map(|port| (format!("{port}/{protocol}"), Empty)));
    }
    Ok(())
}

fn add_volumes(config: &mut ContainerConfig, rest: &str) -> Result<()> {
    let paths = match exec_form(rest) {
        Some(paths) => paths,
        None => words(config, rest)?.into_iter().map(|word| word.text).collect(),
    };
    if paths.is_empty() {
        return Err(Error::invalid("VOLUME requires at least one argument"));
    }
    let volumes: BTreeMap<String, Empty> = paths
        .into_iter()
        .map(|path| match path.trim() {
            "" => Err(Error::invalid("VOLUME specified can not be an empty string")),
            path => Ok((path.to_owned(), Empty)),
        })
        .collect::<Result<_>>()?;
    config.volumes.extend(volumes);
    Ok(())
}

/// A path below the one before, cleaned.
fn joined(current: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("/{current}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn healthcheck(rest: &str) -> Result<Healthcheck> {
    let mut health = Healthcheck::default();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let duration = || parse_duration(value).map_err(|error| Error::invalid(error.to_string()));
        match name {
            "interval" => health.interval = duration()?,
            "timeout" => health.timeout = duration()?,
            "start-period" => health.start_period = duration()?,
            "start-interval" => health.start_interval = duration()?,
            "retries" => {
                health.retries = value.parse().map_err(|_| {
                    Error::invalid(format!("--retries must be a number, not {value:?}"))
                })?;
            }
            _ => return Err(Error::invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    health.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" => vec!["NONE".to_owned()],
        "CMD" => match exec_form(rest.trim()) {
            Some(words) => [vec!["CMD".to_owned()], words].concat(),
            None if rest.trim().is_empty() => {
                return Err(Error::invalid("missing command after HEALTHCHECK CMD"));
            }
            None => vec!["CMD-SHELL".to_owned(), rest.trim().to_owned()],
        },
        _ => {
            return Err(Error::invalid(format!("unknown type {kind:?} in HEALTHCHECK (try CMD)")));
        }
    };
    Ok(health)
}

fn on_build(rest: &str) -> Result<String> {
    let first = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match first.as_str() {
        "" => Err(Error::invalid("ONBUILD requires at least one argument")),
        "ONBUILD" => Err(Error::invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
        "MAINTAINER" | "FROM" => {
            Err(Error::invalid(format!("{first} isn't allowed as an ONBUILD trigger")))
        }
        _ => Ok(rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<ContainerConfig> {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        let mut config = ContainerConfig {
            cmd: Some(vec!["old".to_owned()]),
            env: vec!["PATH=/bin".to_owned()],
            working_dir: "/srv".to_owned(),
            ..ContainerConfig::default()
        };
        apply(&mut config, &changes).map(|()| config)
    }

    #[test]
    fn instructions_change_the_config() {
        let config = changed(&[
            r#"ENTRYPOINT ["/x", "y"]"#,
            "env A=1 B='two words' PATH=/x:$PATH",
            "ENV OLD the rest",
            r#"LABEL a="b c" d=e"#,
            "EXPOSE 80 53/udp 8000-8002",
            "USER nobody:nogroup",
            "WORKDIR app",
            "WORKDIR ../$A",
            r#"VOLUME /a /b"#,
            r#"VOLUME ["/c d"]"#,
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s --retries=3 CMD curl -f http://x",
            "ONBUILD RUN make",
        ])
        .unwrap();
        assert_eq!(config.entrypoint.unwrap(), ["/x", "y"]);
        assert_eq!(config.cmd, None);
        assert_eq!(config.env, ["PATH=/x:/bin", "A=1", "B=two words", "OLD=the rest"]);
        let labels: Vec<_> = config.labels.into_iter().collect();
        assert_eq!(labels, [("a".into(), "b c".into()), ("d".into(), "e".into())]);
        let ports: Vec<_> = config.exposed_ports.into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
        assert_eq!((&*config.user, &*config.working_dir), ("nobody:nogroup", "/srv/1"));
        assert_eq!(config.volumes.into_keys().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
        assert_eq!(config.stop_signal, "SIGINT");
        let health = config.healthcheck.unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "curl -f http://x"]);
        assert_eq!((health.interval, health.retries), (5_000_000_000, 3));
        assert_eq!(config.on_build, ["RUN make"]);
    }

    #[test]
    fn commands_come_in_two_forms() {
        for (change, expect) in [
            (r#"CMD ["a", "b c"]"#, &["a", "b c"][..]),
            ("CMD a $b", &["/bin/sh", "-c", "a $b"]),
            ("CMD [not json", &["/bin/sh", "-c", "[not json"]),
            ("CMD a \\\n b", &["/bin/sh", "-c", "a  b"]),
        ] {
            assert_eq!(changed(&[change]).unwrap().cmd.unwrap(), expect, "{change}");
        }
        let both = changed(&["CMD a", "ENTRYPOINT [\"b\"]"]).unwrap();
        assert_eq!(both.cmd.unwrap()[2], "a");
    }

    #[test]
    fn what_is_no_change_is_refused_in_dockers_words() {
        for (change, expect) in [
            ("RUN make", "run is not a valid change command"),
            ("NOPE x", "nope is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("ENV a", "ENV must have two arguments"),
            ("ENV a=1 b", "Syntax error - can't find = in \"b\". Must be of the form: name=value"),
            ("LABEL =x", "LABEL names can not be blank"),
            ("EXPOSE 80/xyz", "invalid proto: xyz"),
            ("EXPOSE 99999", "invalid containerPort: 99999"),
            ("USER", "USER requires exactly one argument"),
            ("HEALTHCHECK nope", "unknown type \"nope\" in HEALTHCHECK (try CMD)"),
            ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
            ("ENV a='b", "unexpected end of statement while looking for matching single-quote"),
        ] {
            assert_eq!(changed(&[change]).unwrap_err().to_string(), expect, "{change}");
        }
    }
}
