//! Durations in Go's notation (`1h2m3.5s`) and in words (`About a minute`).
//!
//! Docker's flags, health checks and API fields carry Go durations; a duration is an `i64` number
//! of nanoseconds here, as it is there. Nothing here reads a clock.

/// Why a duration could not be read. The texts are those of Go's `time.ParseDuration`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number, or one out of range.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit Go does not know.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
        /// The whole duration as written.
        text: String,
    },
}

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

/// Reads a duration in Go's notation and returns nanoseconds.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (amount, after) = parse_term(rest, text)?;
        total = total.checked_add(amount).ok_or_else(invalid)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// Reads one `<number><unit>` and returns its nanoseconds and what follows.
fn parse_term<'a>(rest: &'a str, text: &str) -> Result<(i128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, after) = rest.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(invalid());
    }
    let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
    let (unit, after) = after.split_at(unit_end);
    let scale = match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => {
            return Err(DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            });
        }
    };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let mut amount = whole.checked_mul(i128::from(scale)).ok_or_else(invalid)?;
    let mut weight = scale as f64;
    let mut part = 0.0;
    for digit in fraction.bytes() {
        weight /= 10.0;
        part += weight * f64::from(digit - b'0');
    }
    // Rounding undoes the binary error of 0.1 and its like before the fraction is cut.
    amount += (part + 1e-6) as i128;
    Ok((amount, after))
}

/// Writes nanoseconds as Go's `Duration.String` does: `1h0m0s`, `1.5s`, `250ms`, `0s`.
pub fn format_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let value = nanoseconds.unsigned_abs();
    let second = SECOND as u64;
    if value == 0 {
        return "0s".to_owned();
    }
    if value < second {
        let (scale, unit) = match value {
            v if v < MICROSECOND as u64 => (1, "ns"),
            v if v < MILLISECOND as u64 => (MICROSECOND as u64, "µs"),
            _ => (MILLISECOND as u64, "ms"),
        };
        return format!("{sign}{}{unit}", decimal(value / scale, value % scale, scale));
    }
    let seconds = decimal(value / second % 60, value % second, second);
    let minutes = value / second / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(whole: u64, fraction: u64, scale: u64) -> String {
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// Writes an age in words, as in Docker's tables: `2 minutes`, `About an hour`, `3 weeks`.
pub fn human_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds / SECOND;
    let minutes = seconds / 60;
    // Docker rounds hours to the nearest, and only them.
    let hours = (nanoseconds as f64 / 3600e9 + 0.5).floor() as i64;
    match (seconds, minutes, hours) {
        (s, _, _) if s < 1 => "Less than a second".to_owned(),
        (1, _, _) => "1 second".to_owned(),
        (s, _, _) if s < 60 => format!("{s} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, m, _) if m < 60 => format!("{m} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, h) if h < 48 => format!("{h} hours"),
        (_, _, h) if h < 24 * 7 * 2 => format!("{} days", h / 24),
        (_, _, h) if h < 24 * 30 * 2 => format!("{} weeks", h / 24 / 7),
        (_, _, h) if h < 24 * 365 * 2 => format!("{} months", h / 24 / 30),
        (_, _, h) => format!("{} years", h / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5 * SECOND),
            ("+5s", 5 * SECOND),
            ("-1.5h", -5400 * SECOND),
            ("1h30m", 5400 * SECOND),
            ("100ms", 100 * MILLISECOND),
            ("1.234ms", 1_234_000),
            (".5s", SECOND / 2),
            ("5.s", 5 * SECOND),
            ("12us", 12_000),
            ("12µs", 12_000),
            ("7ns", 7),
            ("0.1s", 100 * MILLISECOND),
        ] {
            assert_eq!(parse_duration(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn wrong_durations_are_refused_with_gos_words() {
        for (text, message) in [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            (".s", "time: invalid duration \".s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("3", "time: missing unit in duration \"3\""),
            ("3d", "time: unknown unit \"d\" in duration \"3d\""),
            ("9999999h", "time: invalid duration \"9999999h\""),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300 * MILLISECOND, "3.3s"),
            (60 * SECOND, "1m0s"),
            (3600 * SECOND, "1h0m0s"),
            (-90 * SECOND, "-1m30s"),
            (3600 * SECOND + 1, "1h0m0.000000001s"),
        ] {
            assert_eq!(format_duration(nanoseconds), text);
        }
    }

    #[test]
    fn ages_are_put_in_words() {
        let hour = 3600;
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (hour, "About an hour"),
            (hour + 1799, "About an hour"),
            (hour + 1800, "2 hours"),
            (47 * hour, "47 hours"),
            (48 * hour, "2 days"),
            (14 * 24 * hour, "2 weeks"),
            (60 * 24 * hour, "2 months"),
            (729 * 24 * hour, "24 months"),
            (730 * 24 * hour, "2 years"),
        ] {
            assert_eq!(human_duration(seconds * SECOND), text, "{seconds}");
        }
    }
}
