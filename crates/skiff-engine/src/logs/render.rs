//! From lines of the file to what a client reads.

use std::collections::BTreeMap;

use super::line::{self, Line, Stream};
use super::{CHUNK, LogOptions, Timestamp};
use crate::Error;

/// Number of the stream in a frame's header on which the daemon itself reports an error.
const SYSTEM_ERROR: u8 = 3;

/// Options, and whether `since` has been reached.
pub(super) struct Renderer {
    options: LogOptions,
    text: Vec<u8>,
}

impl Renderer {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self { options: options.clone(), text: Vec::new() }
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        self.options.until
    }

    /// Appends `lines` (whole ones, each with its newline) to `chunk` until that is full. Gives the
    /// number of bytes of `lines` that are done with, and false when all that follows is too late.
    pub(super) fn render(&mut self, lines: &[u8], chunk: &mut Vec<u8>) -> (usize, bool) {
        let mut used = 0;
        while chunk.len() < CHUNK {
            let Some(length) = memchr::memchr(b'\n', &lines[used..]) else { break };
            let line = &lines[used..used + length];
            used += length + 1;
            self.text.clear();
            let mut text = std::mem::take(&mut self.text);
            // A line that is no JSON was torn by a crash or a full disk: skip it.
            let late = match line::parse(line, &mut text) {
                Some(line) => self.render_line(&line, &text, chunk),
                None => false,
            };
            self.text = text;
            if late {
                return (used, false);
            }
        }
        (used, true)
    }

    /// True when the line is past `until`.
    fn render_line(&self, line: &Line<'_>, text: &[u8], chunk: &mut Vec<u8>) -> bool {
        let options = &self.options;
        if options.since.is_some() || options.until.is_some() {
            let time = Timestamp::from_rfc3339(&line.time);
            if options.until.is_some_and(|until| time.is_some_and(|time| time > until)) {
                return true;
            }
            if options.since.is_some_and(|since| time.is_some_and(|time| time < since)) {
                return false;
            }
        }
        let (wanted, number) = match line.stream {
            Stream::Stdout => (options.stdout, 1),
            Stream::Stderr => (options.stderr, 2),
        };
        if wanted {
            self.frame(number, chunk, |chunk| {
                if options.timestamps {
                    push_fixed_time(&line.time, chunk);
                }
                if options.details {
                    push_attributes(&line.attrs, chunk);
                }
                chunk.extend_from_slice(text);
            });
        }
        false
    }

    /// Appends what `content` appends, with a header before it if frames are wanted.
    fn frame(&self, stream: u8, chunk: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
        if !self.options.multiplexed {
            return content(chunk);
        }
        let header = chunk.len();
        chunk.extend_from_slice(&[stream, 0, 0, 0, 0, 0, 0, 0]);
        content(chunk);
        let length = u32::try_from(chunk.len() - header - 8).unwrap_or(u32::MAX);
        chunk[header + 4..header + 8].copy_from_slice(&length.to_be_bytes());
    }

    /// Docker's words for a log that cannot be read on.
    pub(super) fn render_error(&self, error: &Error, chunk: &mut Vec<u8>) {
        self.frame(SYSTEM_ERROR, chunk, |chunk| {
            chunk.extend_from_slice(format!("Error grabbing logs: {error}\n").as_bytes());
        });
    }
}

/// Times are written with as many digits as needed and shown with nine, so that columns line up.
fn push_fixed_time(time: &str, chunk: &mut Vec<u8>) {
    let zone = time.find(['Z', '+']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    chunk.extend_from_slice(whole.as_bytes());
    chunk.push(b'.');
    chunk.extend_from_slice(fraction.as_bytes());
    chunk.extend(std::iter::repeat_n(b'0', 9usize.saturating_sub(fraction.len())));
    chunk.extend_from_slice(zone.as_bytes());
    chunk.push(b' ');
}

/// `a=1,b=2 ` by name, escaped as in a query.
fn push_attributes(attrs: &BTreeMap<String, String>, chunk: &mut Vec<u8>) {
    for (index, (name, value)) in attrs.iter().enumerate() {
        if index > 0 {
            chunk.push(b',');
        }
        push_query_escaped(name, chunk);
        chunk.push(b'=');
        push_query_escaped(value, chunk);
    }
    chunk.push(b' ');
}

fn push_query_escaped(text: &str, chunk: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => chunk.push(byte),
            b' ' => chunk.push(b'+'),
            _ => chunk.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"log":"one\n","stream":"stdout","time":"2026-01-01T00:00:01Z"}"#,
        "\n",
        r#"{"log":"two\n","stream":"stderr","attrs":{"k":"a b","j":"="},"time":"2026-01-01T00:00:02.5Z"}"#,
        "\n",
        "{\"log\":\"torn\n",
        r#"{"log":"part","stream":"stdout","time":"2026-01-01T00:00:03.123456789Z"}"#,
        "\n",
    );

    fn check(options: LogOptions, expect: &str) {
        let mut chunk = Vec::new();
        Renderer::new(&options).render(LINES.as_bytes(), &mut chunk);
        assert_eq!(String::from_utf8(chunk).unwrap(), expect, "{options:?}");
    }

    fn both() -> LogOptions {
        LogOptions { stdout: true, stderr: true, ..LogOptions::default() }
    }

    #[test]
    fn options_decide_what_is_shown() {
        check(both(), "one\ntwo\npart");
        check(LogOptions { stderr: false, ..both() }, "one\npart");
        check(LogOptions { stdout: false, ..both() }, "two\n");
        check(
            LogOptions { timestamps: true, ..both() },
            "2026-01-01T00:00:01.000000000Z one\n2026-01-01T00:00:02.500000000Z two\n\
             2026-01-01T00:00:03.123456789Z part",
        );
        check(LogOptions { details: true, ..both() }, " one\nj=%3D,k=a+b two\n part");
        let at = Timestamp::from_rfc3339("2026-01-01T00:00:02.5Z");
        check(LogOptions { since: at, ..both() }, "two\npart");
        check(LogOptions { until: at, ..both() }, "one\ntwo\n");
    }

    #[test]
    fn frames_carry_stream_and_length() {
        let mut chunk = Vec::new();
        let options = LogOptions { multiplexed: true, ..both() };
        Renderer::new(&options).render(LINES.as_bytes(), &mut chunk);
        assert_eq!(
            chunk,
            b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x04two\n\x01\0\0\0\0\0\0\x04part"
        );
    }
}
