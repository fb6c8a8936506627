//! Contexts: names for daemons, stored as Docker's clients store them, so that both share them.

pub(crate) mod create;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod show;
pub(crate) mod switch;
pub(crate) mod update;

mod definition;

use crate::config::context_meta_dir;
use crate::context::{Context, default_socket};
use crate::failure::Failure;

/// Checks that a name is free, and may be taken at all.
fn check_new(context: &Context, name: &str) -> Result<(), Failure> {
    check_name(name)?;
    if context_meta_dir(&context.config_dir(), name).exists() {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    Ok(())
}

/// Checks a new context's name.
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() {
        return Err(Failure::new("context name cannot be empty"));
    }
    if name == "default" {
        return Err(Failure::new("\"default\" is a reserved context name"));
    }
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts
        || name.len() < 2
        || !bytes.all(|b| b.is_ascii_alphanumeric() || b"_.+-".contains(&b))
    {
        return Err(Failure::new(format!(
            "context name {name:?} is invalid, names are validated against regexp \
             \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
        )));
    }
    Ok(())
}

/// The address of the context called `default`.
fn default_host(context: &Context) -> String {
    context.explicit_host().unwrap_or_else(|| format!("unix://{}", default_socket().display()))
}
