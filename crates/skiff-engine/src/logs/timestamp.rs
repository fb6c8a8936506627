//! Points in time as the log knows them: seconds and nanoseconds since the epoch, UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(time: jiff::Timestamp) -> Self {
        let nanoseconds = time.as_nanosecond();
        let seconds = nanoseconds.div_euclid(1_000_000_000);
        let rest = nanoseconds.rem_euclid(1_000_000_000);
        Self { seconds: seconds as i64, nanoseconds: rest as u32 }
    }
}

impl Timestamp {
    /// From RFC 3339 as it stands in a log: `2026-11-24T06:40:11.123Z` or with `+01:00`.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (main, rest) = bytes.split_at_checked(19)?;
        if [main[4], main[7], main[10], main[13], main[16]] != *b"--T::" {
            return None;
        }
        let zone = rest.iter().position(|byte| b"Z+-".contains(byte))?;
        let (fraction, zone) = rest.split_at(zone);
        let fraction = match fraction.split_first() {
            None => fraction,
            Some((b'.', digits)) => digits,
            Some(_) => return None,
        };
        let day = days(number(&main[0..4])?, number(&main[5..7])?, number(&main[8..10])?);
        let clock =
            number(&main[11..13])? * 3600 + number(&main[14..16])? * 60 + number(&main[17..19])?;
        let seconds = day * 86_400 + clock - offset(zone)?;
        Some(Self { seconds, nanoseconds: nanoseconds(fraction)? })
    }

    /// How long until this time; zero when it has passed.
    pub(super) fn remaining(self) -> Duration {
        let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return Duration::ZERO };
        let Ok(seconds) = u64::try_from(self.seconds) else { return Duration::ZERO };
        Duration::new(seconds, self.nanoseconds).saturating_sub(now)
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(value)
}

/// Up to nine digits after the point; further ones are cut.
fn nanoseconds(digits: &[u8]) -> Option<u32> {
    let mut value = 0;
    for at in 0..9 {
        let digit = digits.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u32::from(digit - b'0');
    }
    Some(value)
}

fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = match zone.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    match digits {
        [hours @ .., b':', _, _] if hours.len() == 2 => {
            Some(sign * (number(hours)? * 3600 + number(&digits[3..])? * 60))
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a date in the Gregorian calendar. Years are counted from March, so that
/// the leap day is the last of its year; 400 of them have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let in_era = year.rem_euclid(400);
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_what_jiff_says() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T23:59:59.999999999Z",
            "2026-11-24T06:40:11.5Z",
            "2026-03-01T00:00:00.000000001+05:30",
            "1969-12-31T23:59:59-01:00",
            "2100-03-01T12:00:00Z",
        ] {
            let found = Timestamp::from_rfc3339(text).unwrap();
            let expect: jiff::Timestamp = text.parse().unwrap();
            let nanoseconds =
                i128::from(found.seconds) * 1_000_000_000 + i128::from(found.nanoseconds);
            assert_eq!(nanoseconds, expect.as_nanosecond(), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-24T06:40:11",
            "2026-11-24 06:40:11Z",
            "2026-11-24T06:4x:11Z",
            "2026-11-24T06:40:11.Zx",
            "2026-11-24T06:40:11,5Z",
            "2026-11-24T06:40:11+1:00",
        ] {
            assert_eq!(Timestamp::from_rfc3339(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_before_the_epoch_count_down() {
        let expect = Timestamp { seconds: -1, nanoseconds: 999_999_999 };
        let time = jiff::Timestamp::from_nanosecond(-1).unwrap();
        assert_eq!(Timestamp::from(time), expect);
    }
}
