//! One line of a json-file log: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…Z"}`.
//!
//! Logs are read at hundreds of MB/s, so the form that Docker and our monitors write is taken apart
//! by hand: one pass, no allocation but into the caller's buffer. Whatever deviates from that form
//! (other member order, spaces, unknown members) goes through `serde_json`, so both ways accept the
//! same language; a property test holds them together. Lines that are no JSON are skipped by the
//! callers, as one torn line must not hide the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

/// Which of a container's streams a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// What a line says, apart from its text, which goes to the caller's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) stream: Stream,
    /// RFC 3339 with up to nine fractional digits, as it is in the file.
    pub(super) time: Cow<'a, str>,
    pub(super) attrs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(default, borrow)]
    log: Cow<'a, str>,
    #[serde(default, borrow)]
    stream: Cow<'a, str>,
    #[serde(default, borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// Appends the text of `line` (without its newline) to `text`; `None` when it is no log line, and
/// then `text` is as before.
pub(super) fn parse<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Line<'a>> {
    let before = text.len();
    if let Some(found) = scan(line, text) {
        return Some(found);
    }
    text.truncate(before);
    let entry: Entry<'a> = serde_json::from_slice(line).ok()?;
    let stream = stream_of(entry.stream.as_bytes())?;
    text.extend_from_slice(entry.log.as_bytes());
    Some(Line { stream, time: entry.time, attrs: entry.attrs })
}

fn stream_of(name: &[u8]) -> Option<Stream> {
    match name {
        b"stdout" => Some(Stream::Stdout),
        b"stderr" => Some(Stream::Stderr),
        _ => None,
    }
}

/// The form that is written; `None` for every other.
fn scan<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Option<Line<'a>> {
    let rest = line.strip_prefix(br#"{"log":""#)?;
    let rest = unescape(rest, text)?;
    let rest = rest.strip_prefix(br#","stream":"std"#)?;
    let (stream, rest) = if let Some(rest) = rest.strip_prefix(br#"out""#) {
        (Stream::Stdout, rest)
    } else {
        (Stream::Stderr, rest.strip_prefix(br#"err""#)?)
    };
    let (attrs, rest) = match rest.strip_prefix(br#","attrs":"#) {
        Some(rest) => scan_attrs(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let rest = rest.strip_prefix(br#","time":""#)?;
    let time = rest.strip_suffix(br#""}"#)?;
    if !time.iter().all(|byte| byte.is_ascii_digit() || b"-:.+TZ".contains(byte)) {
        return None;
    }
    let time = std::str::from_utf8(time).ok()?;
    Some(Line { stream, time: Cow::Borrowed(time), attrs })
}

/// An object of strings, and what follows it.
fn scan_attrs(rest: &[u8]) -> Option<(BTreeMap<String, String>, &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
    let attrs = values.next()?.ok()?;
    Some((attrs, &rest[values.byte_offset()..]))
}

/// Appends the JSON string that `rest` continues (after its opening quote); gives what follows the
/// closing quote. `None` for anything that is not a valid JSON string, or not UTF-8.
fn unescape<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    let start = text.len();
    let mut checked_ascii = true;
    loop {
        let plain = plain_prefix(rest, &mut checked_ascii)?;
        text.extend_from_slice(&rest[..plain]);
        let special = rest[plain];
        rest = &rest[plain + 1..];
        if special == b'"' {
            let valid = checked_ascii || std::str::from_utf8(&text[start..]).is_ok();
            return valid.then_some(rest);
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        match escape {
            b'n' => text.push(b'\n'),
            b't' => text.push(b'\t'),
            b'r' => text.push(b'\r'),
            b'"' | b'\\' | b'/' => text.push(escape),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'u' => rest = unescape_unicode(rest, text)?,
            _ => return None,
        }
    }
}

/// Length of the part of `rest` that stands for itself; `None` when it ends without a quote or
/// holds a control character, which JSON forbids in strings.
fn plain_prefix(rest: &[u8], ascii: &mut bool) -> Option<usize> {
    let mut at = 0;
    // Words of eight bytes without a quote, a backslash, a control or a non-ASCII byte.
    while let Some(word) = rest.get(at..at + 8) {
        let word = u64::from_le_bytes(word.try_into().expect("the slice is eight bytes long"));
        if has_special(word) {
            break;
        }
        at += 8;
    }
    loop {
        match *rest.get(at)? {
            b'"' | b'\\' => return Some(at),
            0..0x20 => return None,
            0x80.. => *ascii = false,
            _ => {}
        }
        at += 1;
    }
}

/// Whether one of the eight bytes of `word` is `"`, `\`, below 0x20, or above 0x7f. May say yes for
/// a word that has none (a borrow from a neighbour), never no for one that has.
fn has_special(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero_byte = |value: u64| value.wrapping_sub(ONES) & !value & HIGHS;
    let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_byte(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    (quote | backslash | control | (word & HIGHS)) != 0
}

/// `XXXX` after `\u`. A surrogate that is not half of a pair is left to `serde_json` to refuse.
fn unescape_unicode<'a>(rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, mut rest) = hex4(rest)?;
    let code = if (0xd800..0xdc00).contains(&first) {
        let (second, after) = hex4(rest.strip_prefix(br"\u")?)?;
        if !(0xdc00..0xe000).contains(&second) {
            return None;
        }
        rest = after;
        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
    } else {
        first
    };
    let letter = char::from_u32(code)?;
    text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

fn hex4(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = rest.split_at_checked(4)?;
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_hand(line: &str) -> Option<(Line<'_>, String)> {
        let mut text = Vec::new();
        let found = scan(line.as_bytes(), &mut text)?;
        Some((found, String::from_utf8(text).unwrap()))
    }

    fn by_serde(line: &str) -> (Stream, String, String, BTreeMap<String, String>) {
        let entry: Entry<'_> = serde_json::from_str(line).unwrap();
        let stream = stream_of(entry.stream.as_bytes()).unwrap();
        (stream, entry.log.into_owned(), entry.time.into_owned(), entry.attrs)
    }

    #[test]
    fn the_written_form_needs_no_fallback() {
        let line = "{\"log\":\"a\\tb \\\"c\\\" \\u003cd\\u003e ü \\ud83d\\ude00 1234567890\\n\",\
                    \"stream\":\"stderr\",\"time\":\"2026-11-24T06:40:11.5Z\"}";
        let (found, text) = by_hand(line).unwrap();
        assert_eq!(text, "a\tb \"c\" <d> ü 😀 1234567890\n");
        assert_eq!((found.stream, &*found.time), (Stream::Stderr, "2026-11-24T06:40:11.5Z"));
    }

    #[test]
    fn attributes_are_read() {
        let line = r#"{"log":"x\n","stream":"stdout","attrs":{"a":"}","b":"\""},"time":"2026-01-01T00:00:00Z"}"#;
        let (found, _) = by_hand(line).unwrap();
        let expect = [("a".into(), "}".into()), ("b".into(), "\"".into())];
        assert_eq!(found.attrs, BTreeMap::from(expect));
    }

    #[test]
    fn other_member_orders_are_understood() {
        let mut text = b"kept ".to_vec();
        let line = br#"{ "time": "2026-01-01T00:00:00Z", "stream": "stdout", "log": "hi\n" }"#;
        assert_eq!(parse(line, &mut text).unwrap().stream, Stream::Stdout);
        assert_eq!(text, b"kept hi\n");
    }

    #[test]
    fn torn_lines_leave_the_buffer_alone() {
        let whole = br#"{"log":"hello\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#;
        for end in 0..whole.len() {
            let mut text = b"kept".to_vec();
            assert_eq!(parse(&whole[..end], &mut text), None, "cut at {end}");
            assert_eq!(text, b"kept");
        }
    }

    proptest! {
        #[test]
        fn by_hand_and_by_serde_are_one(
            log in "\\PC{0,40}|[ -~\\n\\t\\x00-\\x1f\u{80}-\u{10ffff}]{0,80}",
            stdout: bool,
            attrs in prop::collection::btree_map("[a-z\"]{0,3}", "[ -~]{0,4}", 0..3),
        ) {
            let mut line = format!(
                r#"{{"log":{},"stream":"{}""#,
                serde_json::to_string(&log).unwrap(),
                if stdout { "stdout" } else { "stderr" },
            );
            if !attrs.is_empty() {
                line += &format!(r#","attrs":{}"#, serde_json::to_string(&attrs).unwrap());
            }
            line += r#","time":"2026-11-24T06:40:11.123456789Z"}"#;
            let (found, text) = by_hand(&line).expect("the written form");
            let expect = by_serde(&line);
            prop_assert_eq!((found.stream, text, found.time.into_owned(), found.attrs), expect);
        }

        #[test]
        fn damaged_lines_are_never_taken_differently(
            at in 0usize..90,
            byte: u8,
        ) {
            let mut line = br#"{"log":"hello \u00e4 \"w\\orld\" ....\n","stream":"stdout","time":"2026-01-01T00:00:00Z"}"#.to_vec();
            let at = at % line.len();
            line[at] = byte;
            let mut text = Vec::new();
            if let Some(found) = scan(&line, &mut text) {
                let entry: Entry<'_> = serde_json::from_slice(&line).expect("scan took it");
                prop_assert_eq!(text, entry.log.as_bytes());
                prop_assert_eq!(Some(found.stream), stream_of(entry.stream.as_bytes()));
                prop_assert_eq!(found.time, entry.time);
            }
        }
    }
}
