//! Environment variables and labels: single values and the files they come in.

use super::{Result, refuse};

/// Completes `KEY` from the environment that `lookup` knows; `KEY=value` stays as it is.
///
/// A variable that is not set stays a bare `KEY`, which takes it away from the image's defaults.
pub fn resolve_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String> {
    match text.split_once('=') {
        Some(("", _)) => refuse!("invalid environment variable: {text}"),
        Some(_) => Ok(text.to_owned()),
        None if text.is_empty() => refuse!("invalid environment variable: {text}"),
        None => Ok(match lookup(text) {
            Some(value) => format!("{text}={value}"),
            None => text.to_owned(),
        }),
    }
}

/// Reads a file of variables or labels: a line each, `#` starts a comment line. A bare `KEY` is
/// completed from `lookup` and left out when that does not know it.
pub fn parse_env_file(
    contents: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let contents = contents.strip_prefix('\u{feff}').unwrap_or(contents);
    for line in contents.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split('=').next().unwrap_or(line).trim_start();
        if key.contains(char::is_whitespace) {
            refuse!("variable '{key}' contains whitespaces");
        }
        if key.is_empty() {
            refuse!("no variable name on line '{line}'");
        }
        if line.contains('=') {
            lines.push(line.to_owned());
        } else if let Some(value) = lookup(key) {
            lines.push(format!("{key}={value}"));
        }
    }
    Ok(lines)
}

/// Checks a label: it needs a name.
pub fn validate_label(text: &str) -> Result<()> {
    if text.split('=').next().unwrap_or("").trim().is_empty() {
        refuse!("invalid label '{text}': empty name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(key: &str) -> Option<String> {
        (key == "HOME").then(|| "/h".to_owned())
    }

    #[test]
    fn variables_come_from_the_environment_when_bare() {
        assert_eq!(resolve_env("A=b=c", lookup).unwrap(), "A=b=c");
        assert_eq!(resolve_env("A=", lookup).unwrap(), "A=");
        assert_eq!(resolve_env("HOME", lookup).unwrap(), "HOME=/h");
        assert_eq!(resolve_env("NOPE", lookup).unwrap(), "NOPE");
        assert_eq!(
            resolve_env("=x", lookup).unwrap_err().to_string(),
            "invalid environment variable: =x"
        );
    }

    #[test]
    fn files_hold_a_variable_a_line() {
        let file = "\u{feff}# comment\n\n  A=1 # not a comment\nHOME\nNOPE\nB=\"x\"\r\n";
        assert_eq!(
            parse_env_file(file, lookup).unwrap(),
            ["A=1 # not a comment", "HOME=/h", "B=\"x\""]
        );
        for (text, message) in [
            ("a b=1", "variable 'a b' contains whitespaces"),
            ("=1", "no variable name on line '=1'"),
        ] {
            assert_eq!(parse_env_file(text, lookup).unwrap_err().to_string(), message);
        }
    }
}
