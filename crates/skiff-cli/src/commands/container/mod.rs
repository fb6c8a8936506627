//! Commands on containers.

pub(crate) mod attach;
pub(crate) mod commit;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod run;
mod session;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod unpause;
pub(crate) mod update;
pub(crate) mod wait;

use crate::client::{Client, ClientError, encode_component};
use crate::failure::Failure;

/// The path of a container in the API.
pub(crate) fn path(name: &str, rest: &str) -> String {
    format!("/containers/{}{rest}", encode_component(name))
}

/// Does something to each container and prints the names of those it worked for; the others'
/// errors are the command's.
pub(crate) fn for_each(
    client: &mut Client,
    names: &[String],
    mut act: impl FnMut(&mut Client, &str) -> Result<(), ClientError>,
) -> Result<(), Failure> {
    for_each_changed(client, names, |client, name| act(client, name).map(|()| true))
}

/// Likewise, but names only those of which `act` says that it changed them.
pub(crate) fn for_each_changed(
    client: &mut Client,
    names: &[String],
    mut act: impl FnMut(&mut Client, &str) -> Result<bool, ClientError>,
) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for name in names {
        match act(client, name) {
            Ok(true) => say!("{name}"),
            Ok(false) => {}
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Transfer(_))) => {
                return Err(error.into());
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    Failure::join(errors)
}
