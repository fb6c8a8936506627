//! Negotiation of the API version: one `_ping`, on the connection that is used afterwards.

use super::{Client, ClientError, NEWEST_API, Request};

/// What a daemon without the header speaks.
const OLDEST_API: (u32, u32) = (1, 24);

/// Asks the daemon for its newest version and returns the newest both know.
pub(super) fn negotiate(client: &mut Client) -> Result<(u32, u32), ClientError> {
    let mut response = client.exchange(Request::new("HEAD", "/_ping").unversioned())?;
    // Podman's and very old daemons know GET only.
    if response.status() >= 400 {
        response.finish()?;
        response = client.exchange(Request::new("GET", "/_ping").unversioned())?;
    }
    let theirs = response.header("api-version").and_then(parse_version).unwrap_or(OLDEST_API);
    response.finish()?;
    Ok(theirs.min(NEWEST_API))
}

/// Reads `1.41`.
pub(crate) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().trim_start_matches('v').split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
