//! Privileges: `--security-opt`, `--privileged`, and the paths hidden or protected.

use std::path::PathBuf;

use skiff_model::oci::Spec;

use super::{Facts, Input, linux_of, process_of};
use crate::error::{Error, Result};

/// `--security-opt`, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub no_new_privileges: Option<bool>,
    pub seccomp: Seccomp,
    /// `None` is the default profile.
    pub apparmor: Option<String>,
    pub labels: Vec<String>,
    pub writable_cgroups: bool,
    /// Nothing in /proc and /sys is hidden.
    pub system_paths_unconfined: bool,
}

/// Which filter a container gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Seccomp {
    /// The daemon's.
    #[default]
    Default,
    /// The built-in one, whatever the daemon's is.
    Builtin,
    Unconfined,
    /// Docker's JSON, which the client has read from a file.
    Profile(String),
}

impl Options {
    pub(crate) fn parse(list: &[String]) -> Result<Options> {
        let mut options = Options::default();
        for text in list {
            let invalid = || Error::invalid(format!("invalid --security-opt 2: {text:?}"));
            if text == "no-new-privileges" {
                options.no_new_privileges = Some(true);
                continue;
            }
            if text == "disable" {
                options.labels.push(text.clone());
                continue;
            }
            if text == "writable-cgroups" {
                options.writable_cgroups = true;
                continue;
            }
            // The older form has a colon.
            let (key, value) = text
                .split_once('=')
                .or_else(|| text.split_once(':'))
                .ok_or_else(|| Error::invalid(format!("invalid --security-opt 1: {text:?}")))?;
            match key {
                "label" => options.labels.push(value.to_owned()),
                "apparmor" => options.apparmor = Some(value.to_owned()),
                "seccomp" => {
                    options.seccomp = match value {
                        "unconfined" => Seccomp::Unconfined,
                        "builtin" | "default" => Seccomp::Builtin,
                        profile => Seccomp::Profile(profile.to_owned()),
                    };
                }
                "no-new-privileges" => {
                    options.no_new_privileges = Some(boolean(value).ok_or_else(invalid)?);
                }
                "writable-cgroups" => {
                    options.writable_cgroups = boolean(value).ok_or_else(invalid)?;
                }
                "systempaths" if value == "unconfined" => options.system_paths_unconfined = true,
                _ => return Err(invalid()),
            }
        }
        Ok(options)
    }

    /// The profile that is set when the program is executed; empty is none. A default profile is
    /// not loaded by this engine, so only a named one is used.
    pub(crate) fn apparmor_profile(&self, privileged: bool, facts: &Facts) -> String {
        match &self.apparmor {
            Some(profile) if facts.apparmor && !privileged => profile.clone(),
            _ => String::new(),
        }
    }
}

/// Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

pub(super) fn privileges(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let options = Options::parse(&host.security_opt)?;
    let process = process_of(spec);
    process.no_new_privileges = options.no_new_privileges.unwrap_or(input.facts.no_new_privileges);
    process.apparmor_profile = options.apparmor_profile(host.privileged, input.facts);
    Ok(())
}

pub(super) fn system_paths(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    if host.privileged {
        return Ok(());
    }
    let paths = |list: &[String]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
    let linux = linux_of(spec);
    linux.masked_paths = paths(&host.masked_paths);
    linux.readonly_paths = paths(&host.readonly_paths);
    if !linux.masked_paths.is_empty() {
        linux.masked_paths.extend(input.facts.thermal_paths.iter().cloned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_both_forms() {
        let list = [
            "no-new-privileges",
            "seccomp=unconfined",
            "apparmor:mine",
            "label=disable",
            "systempaths=unconfined",
            "writable-cgroups=true",
        ];
        let options = Options::parse(&list.map(str::to_owned)).unwrap();
        assert_eq!(
            options,
            Options {
                no_new_privileges: Some(true),
                seccomp: Seccomp::Unconfined,
                apparmor: Some("mine".to_owned()),
                labels: vec!["disable".to_owned()],
                writable_cgroups: true,
                system_paths_unconfined: true,
            }
        );
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for (text, message) in [
            ("x", "invalid --security-opt 1: \"x\""),
            ("nope=1", "invalid --security-opt 2: \"nope=1\""),
            ("no-new-privileges=maybe", "invalid --security-opt 2: \"no-new-privileges=maybe\""),
        ] {
            let error = Options::parse(&[text.to_owned()]).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
