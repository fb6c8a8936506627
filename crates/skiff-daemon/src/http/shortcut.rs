//! Two of Docker's requests in one, which our own command line asks for: each round trip costs a
//! `run` as much as its namespaces.
//!
//! ```text
//! POST /containers/create?attach=1&stream=1&...  is also POST /containers/{id}/attach
//! POST /containers/{id}/wait?start=1             is also POST /containers/{id}/start
//! POST /containers/{id}/exec?start=1             is also POST /exec/{id}/start
//! GET  /exec/{id}/json?wait=1                    answers when the process has ended
//! ```
//!
//! The first and the third take the connection over: they must ask for that (`Upgrade`) and are
//! answered 101 with the id in `Skiff-Id` and warnings in `Skiff-Warning`. A daemon that does not
//! know the words ignores them and answers 201, which is how our command line tells them apart.

use hyper::header::{HeaderName, HeaderValue, UPGRADE};

use super::Call;
use super::answer::Answer;

const ID: HeaderName = HeaderName::from_static("skiff-id");
const WARNING: HeaderName = HeaderName::from_static("skiff-warning");

/// Whether a request asks for its continuation `name` too, and can be given it.
pub(super) fn is_wanted(call: &Call, name: &str) -> bool {
    call.query.flag(name) && call.parts.headers.contains_key(UPGRADE)
}

/// Adds what the answer that was left out would have said.
pub(super) fn with_id(mut answer: Answer, id: &str) -> Answer {
    let id = HeaderValue::from_str(id).expect("ids are hexadecimal");
    answer.headers_mut().insert(ID, id);
    answer
}

/// Adds the warnings of a container's creation; a line each.
pub(super) fn with_warnings(mut answer: Answer, warnings: &[String]) -> Answer {
    for line in warnings.iter().flat_map(|warning| warning.lines()) {
        if let Ok(line) = HeaderValue::from_str(line) {
            answer.headers_mut().append(WARNING, line);
        }
    }
    answer
}
