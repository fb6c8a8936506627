//! Several of Docker's requests in one, which our own command line asks for: each round trip costs
//! a `run` as much as its namespaces.
//!
//! ```text
//! POST /containers/create?attach=1&stream=1&...  is also POST /containers/{id}/attach
//!          ...&start=CONDITION                   and POST /containers/{id}/wait?start=1
//! POST /containers/{id}/wait?start=1             is also POST /containers/{id}/start
//! POST /containers/{id}/exec?start=1             is also POST /exec/{id}/start
//! GET  /exec/{id}/json?wait=1                    answers when the process has ended
//! ```
//!
//! What a creation has started is asked for by the same wait as if it had not: it answers how that
//! start went. The requests that attach take the connection over: they must ask for that (`Upgrade`) and are
//! answered 101 with the id in `Skiff-Id` and warnings in `Skiff-Warning`. A daemon that does not
//! know the words ignores them and answers 201, which is how our command line tells them apart.

use hyper::header::{HeaderName, HeaderValue, UPGRADE};

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use skiff_engine::container::WaitHandle;
use tokio::sync::oneshot;

use super::Call;
use super::answer::Answer;
use super::failure::Failure;

/// Says that each item of a list has its own line: our command line reads the first while we write
/// the last.
pub(super) const LINES: HeaderName = HeaderName::from_static("skiff-lines");

const ID: HeaderName = HeaderName::from_static("skiff-id");
const WARNING: HeaderName = HeaderName::from_static("skiff-warning");

/// How long the result of a start is kept for a client that does not come for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the start of a container went: the wait for its end, or what went wrong.
type Started = Result<WaitHandle, Failure>;

/// Starts that came with a creation and that nobody has asked about yet, by container id.
#[derive(Default)]
pub(super) struct Starts(Mutex<HashMap<String, (Instant, oneshot::Receiver<Started>)>>);

impl Starts {
    /// Announces a start; the result is to be sent when there is one.
    pub(super) fn announce(&self, id: &str) -> oneshot::Sender<Started> {
        let (sender, receiver) = oneshot::channel();
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starts.retain(|_, (since, _)| since.elapsed() < PATIENCE);
        starts.insert(id.to_owned(), (Instant::now(), receiver));
        sender
    }

    /// Gives an announced start to who waits for it.
    pub(super) fn claim(&self, id: &str) -> Option<oneshot::Receiver<Started>> {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starts.remove(id).map(|(_, receiver)| receiver)
    }
}

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
