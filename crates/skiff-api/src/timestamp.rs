//! Points in time as clients write them: `--since 10m`, `--until 2026-01-02T15:04:05`.
//!
//! [`parse`] takes every form of the command line, [`parse_unix`] only the one that goes over the
//! wire in `since` and `until` (`1136073600.000000001`). The clock is the caller's.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use skiff_model::duration::parse_duration;
use thiserror::Error;

/// The text is no point in time.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TimestampError {
    /// It is not `seconds[.nanoseconds]`.
    #[error("strconv.ParseInt: parsing {0:?}: invalid syntax")]
    Unix(String),
    /// It is none of the known forms.
    #[error("failed to parse value as time or duration: {0:?}")]
    Unknown(String),
    /// No calendar reaches that far.
    #[error("time {0:?} is out of range")]
    Range(String),
}

/// Reads Unix seconds, RFC 3339 (the time, seconds or zone may be missing; the zone is then
/// `zone`), or a Go duration before `now`.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimestampError> {
    if let Ok(nanoseconds) = parse_duration(text)
        && text != "0"
    {
        return now
            .checked_sub(SignedDuration::from_nanos(nanoseconds))
            .map_err(|_| TimestampError::Range(text.to_owned()));
    }
    if let Ok(time) = parse_unix(text) {
        return Ok(time);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let civil = parse_civil(text).ok_or_else(|| TimestampError::Unknown(text.to_owned()))?;
    match zone.to_timestamp(civil.0) {
        Ok(_) if civil.1 => {
            TimeZone::UTC.to_timestamp(civil.0).map_err(|_| TimestampError::Range(text.to_owned()))
        }
        Ok(time) => Ok(time),
        Err(_) => Err(TimestampError::Range(text.to_owned())),
    }
}

/// Reads a date with as much of a time as is there; the flag says that it ends in `Z`.
fn parse_civil(text: &str) -> Option<(DateTime, bool)> {
    let (body, utc) = match text.strip_suffix('Z') {
        Some(body) => (body, true),
        None => (text, false),
    };
    if let Ok(date) = body.parse::<Date>()
        && body.len() == 10
    {
        return Some((date.to_datetime(jiff::civil::Time::midnight()), utc));
    }
    let (date, time) = body.split_once('T')?;
    let padded = match time.len() {
        2 => format!("{date}T{time}:00:00"),
        5 => format!("{date}T{time}:00"),
        _ => body.to_owned(),
    };
    padded.parse().ok().map(|civil| (civil, utc))
}

/// Reads `seconds` or `seconds.nanoseconds`.
pub fn parse_unix(text: &str) -> Result<Timestamp, TimestampError> {
    let refuse = || TimestampError::Unix(text.to_owned());
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if seconds.is_empty() || fraction.bytes().any(|b| !b.is_ascii_digit()) {
        return Err(refuse());
    }
    let seconds: i64 = seconds.parse().map_err(|_| refuse())?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i32 = digits.parse().map_err(|_| refuse())?;
    Timestamp::new(seconds, nanoseconds).map_err(|_| TimestampError::Range(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_command_line_is_read() {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expect) in [
            ("10m", "2026-06-01T11:50:00Z"),
            ("1h30m", "2026-06-01T10:30:00Z"),
            ("-10m", "2026-06-01T12:10:00Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1136073600", "2006-01-01T00:00:00Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
            ("2006-01-02T15:04:05.25Z", "2006-01-02T15:04:05.25Z"),
            ("2006-01-02T15:04:05+01:00", "2006-01-02T14:04:05Z"),
            ("2006-01-02T15:04:05", "2006-01-02T13:04:05Z"),
            ("2006-01-02T15:04", "2006-01-02T13:04:00Z"),
            ("2006-01-02T15", "2006-01-02T13:00:00Z"),
            ("2006-01-02T15Z", "2006-01-02T15:00:00Z"),
            ("2006-01-02", "2006-01-01T22:00:00Z"),
            ("2006-01-02Z", "2006-01-02T00:00:00Z"),
        ] {
            let expect: Timestamp = expect.parse().unwrap();
            assert_eq!(parse(text, now, &zone), Ok(expect), "{text}");
        }
        for text in ["", "abc", "10", "2006-13-01", "1e3", "10x", "2006-01-02T"] {
            let parsed = parse(text, now, &zone);
            assert!(parsed.is_err() || text == "10", "{text}: {parsed:?}");
        }
    }

    #[test]
    fn the_wire_form_is_seconds() {
        assert_eq!(parse_unix("1.000000001").unwrap().as_nanosecond(), 1_000_000_001);
        assert_eq!(
            parse_unix("abc").unwrap_err().to_string(),
            r#"strconv.ParseInt: parsing "abc": invalid syntax"#
        );
        for text in ["", ".5", "1.x", "1.-1", "99999999999999"] {
            assert!(parse_unix(text).is_err(), "{text}");
        }
    }
}
