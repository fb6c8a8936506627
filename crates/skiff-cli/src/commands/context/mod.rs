//! Contexts: names for daemons, stored as Docker's clients store them, so that both share them.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod rm;
pub(crate) mod show;
pub(crate) mod switch;

use crate::context::{Context, default_socket};
use crate::failure::Failure;

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
