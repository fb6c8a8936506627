//! Answers: JSON with Docker's trailing newline, empty ones, streams, and the headers that every
//! answer has.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use skiff_api::ErrorBody;

use super::body::{Body, json_line};
use super::failure::Failure;

/// An answer of ours.
pub(crate) type Answer = Response<Body>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(crate) const RAW_STREAM: HeaderValue =
    HeaderValue::from_static("application/vnd.docker.raw-stream");
pub(crate) const MULTIPLEXED_STREAM: HeaderValue =
    HeaderValue::from_static("application/vnd.docker.multiplexed-stream");

const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const DOCKER_EXPERIMENTAL: HeaderName = HeaderName::from_static("docker-experimental");
const OSTYPE: HeaderName = HeaderName::from_static("ostype");

/// An answer with any body.
pub(crate) fn with_body(status: StatusCode, kind: HeaderValue, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// 200 and a JSON value.
pub(crate) fn json<T: Serialize>(value: &T) -> Answer {
    json_with(StatusCode::OK, value)
}

/// A JSON value with another status.
pub(crate) fn json_with<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    with_body(status, JSON, Body::Full(json_line(value).into()))
}

/// A JSON list that is written as it comes about.
#[derive(Default)]
pub(crate) struct JsonList(Vec<u8>);

impl JsonList {
    pub(crate) fn push<T: Serialize>(&mut self, item: &T) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, item).expect("wire types are always JSON");
    }

    /// 200 and the list.
    pub(crate) fn answer(mut self) -> Answer {
        let end: &[u8] = if self.0.is_empty() { b"[]\n" } else { b"]\n" };
        self.0.extend_from_slice(end);
        with_body(StatusCode::OK, JSON, Body::Full(self.0.into()))
    }
}

/// A status and nothing else.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// 204.
pub(crate) fn no_content() -> Answer {
    empty(StatusCode::NO_CONTENT)
}

/// 200 and a body that comes piece by piece.
pub(crate) fn stream(kind: HeaderValue, body: Body) -> Answer {
    with_body(StatusCode::OK, kind, body)
}

/// The answer of a request that failed.
pub(crate) fn failure(failure: Failure) -> Answer {
    if failure.status == StatusCode::NOT_MODIFIED {
        return empty(failure.status);
    }
    if failure.plain {
        let text = format!("{}\n", failure.message);
        return with_body(failure.status, TEXT, Body::Full(text.into()));
    }
    json_with(failure.status, &ErrorBody { message: failure.message })
}

/// Adds what every answer carries.
pub(crate) fn finish(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("1.56"));
    headers.insert(DOCKER_EXPERIMENTAL, HeaderValue::from_static("false"));
    headers.insert(OSTYPE, HeaderValue::from_static("linux"));
    headers.insert(SERVER, const { HeaderValue::from_static(super::SERVER_NAME) });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use skiff_api::version::ApiVersion;

    #[test]
    fn the_announced_version_is_the_newest_served() {
        let answer = finish(no_content());
        assert_eq!(answer.headers()["api-version"], ApiVersion::MAX.to_string().as_str());
    }

    #[test]
    fn a_list_that_comes_about_is_the_list() {
        for items in [&[][..], &[1], &[1, 2, 3]] {
            let mut list = JsonList::default();
            items.iter().for_each(|item| list.push(item));
            let Body::Full(text) = list.answer().into_body() else { panic!("a whole body") };
            assert_eq!(text, json_line(&items));
        }
    }

    #[test]
    fn not_modified_has_no_body() {
        let error = skiff_engine::Error::not_modified("already started");
        let answer = failure(error.into());
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert!(hyper::body::Body::is_end_stream(answer.body()));
    }
}
