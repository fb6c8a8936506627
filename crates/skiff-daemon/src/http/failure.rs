//! What becomes of an error: a status and `{"message":"…"}`. The one table from the engine's kinds
//! to HTTP.

use hyper::StatusCode;
use skiff_api::filters::FilterError;
use skiff_api::go_json::BodyError;
use skiff_api::timestamp::TimestampError;
use skiff_engine::{Error, Kind};

/// A request that was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Sent as plain text instead of JSON: for clients too old to know JSON errors.
    pub(crate) plain: bool,
}

impl Failure {
    /// Any status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), plain: false }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 for a path or method that is not served; dockerd never says 405.
    pub(crate) fn page_not_found() -> Failure {
        Failure::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// 501: what this version does not do.
    pub(crate) fn not_implemented(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::NOT_IMPLEMENTED, message)
    }
}

/// The status of each kind of engine error.
pub(crate) fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::InvalidArgument => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::new(status(error.kind()), error.to_string())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Failure {
        Failure::bad_request(error.to_string())
    }
}

impl From<FilterError> for Failure {
    fn from(error: FilterError) -> Failure {
        Failure::bad_request(error.to_string())
    }
}

impl From<TimestampError> for Failure {
    fn from(error: TimestampError) -> Failure {
        Failure::bad_request(error.to_string())
    }
}
