//! Answers: JSON with Docker's trailing newline, empty ones, streams, and the headers that every
//! answer has.

use std::io::{self, Write};

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
///
/// Each item has its line, so that a reader finds its end without understanding it.
pub(crate) struct JsonList<W> {
    writer: W,
    is_empty: bool,
}

impl<W: Write> JsonList<W> {
    pub(crate) fn new(writer: W) -> Self {
        JsonList { writer, is_empty: true }
    }

    pub(crate) fn push<T: Serialize>(&mut self, item: &T) -> io::Result<()> {
        self.writer.write_all(if self.is_empty { b"[" } else { b",\n" })?;
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut self.writer, item)?)
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.writer.write_all(if self.is_empty { b"[]\n" } else { b"]\n" })?;
        Ok(self.writer)
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
            let mut list = JsonList::new(Vec::new());
            items.iter().for_each(|item| list.push(item).unwrap());
            let text = list.finish().unwrap();
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), items.len().max(1));
            assert_eq!(serde_json::from_slice::<Vec<i32>>(&text).unwrap(), items);
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
