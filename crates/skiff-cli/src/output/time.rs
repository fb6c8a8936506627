//! Times as commands show and take them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use skiff_model::duration;

/// Nanoseconds since 1970.
fn now_nanoseconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos() as i64)
}

/// `5 minutes ago`, from Unix seconds.
pub(crate) fn created_ago(seconds: i64) -> String {
    let age = now_nanoseconds().saturating_sub(seconds.saturating_mul(1_000_000_000));
    format!("{} ago", duration::human_duration(age))
}

/// Reads an RFC 3339 time.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// `2024-05-17 10:11:12 +0200 CEST`, from Unix seconds.
pub(crate) fn local_time(seconds: i64) -> String {
    let Ok(timestamp) = Timestamp::from_second(seconds) else { return String::new() };
    let zoned = timestamp.to_zoned_datetime(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// `2024-05-17T10:11:12.123456789+02:00`, from Unix nanoseconds.
pub(crate) fn local_timestamp(nanoseconds: i64) -> String {
    let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(nanoseconds)) else {
        return String::new();
    };
    let zoned = timestamp.to_zoned_datetime(TimeZone::system());
    let offset = match zoned.offset().seconds() {
        0 => "Z".to_owned(),
        _ => zoned.strftime("%:z").to_string(),
    };
    format!("{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
}

/// Turns what users give for `--since` and `--until` into what the API takes: an age such as `10m`,
/// a date, a time, or Unix seconds become `seconds.nanoseconds`; anything else goes as it is.
pub(crate) fn api_timestamp(text: &str) -> String {
    if let Ok(age) = duration::parse_duration(text) {
        return seconds_and_fraction(now_nanoseconds().saturating_sub(age));
    }
    if let Some(timestamp) = parse_time(text) {
        return seconds_and_fraction(timestamp.as_nanosecond() as i64);
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d"] {
        let parsed = DateTime::strptime(format, text)
            .or_else(|_| jiff::civil::Date::strptime(format, text).map(DateTime::from));
        if let Ok(local) = parsed
            && let Ok(zoned) = local.to_zoned_datetime(TimeZone::system())
        {
            return seconds_and_fraction(zoned.timestamp().as_nanosecond() as i64);
        }
    }
    text.to_owned()
}

fn seconds_and_fraction(nanoseconds: i64) -> String {
    format!(
        "{}.{:09}",
        nanoseconds.div_euclid(1_000_000_000),
        nanoseconds.rem_euclid(1_000_000_000)
    )
}

/// The twelve letters by which people call a container or an image.
pub(crate) fn short_id(id: &str) -> String {
    let bare = id.strip_prefix("sha256:").unwrap_or(id);
    bare.chars().take(12).collect()
}

/// Cuts a text to `width` characters, the last of which is then an ellipsis.
pub(crate) fn truncate_text(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sent_as_seconds_with_a_fraction() {
        assert_eq!(api_timestamp("2013-01-02T13:23:37Z"), "1357133017.000000000");
        assert_eq!(api_timestamp("2013-01-02T13:23:37.5+01:00"), "1357129417.500000000");
        assert_eq!(api_timestamp("1136073600.000000001"), "1136073600.000000001");
        assert_eq!(api_timestamp("nonsense"), "nonsense");
        assert!(api_timestamp("2013-01-02").ends_with(".000000000"));
        assert!(api_timestamp("2013-01-02T13:23:37").ends_with(".000000000"));
        assert!(api_timestamp("10m").contains('.'));
    }

    #[test]
    fn texts_are_cut_with_an_ellipsis() {
        assert_eq!(truncate_text("\"sh -c true\"", 20), "\"sh -c true\"");
        assert_eq!(truncate_text("0123456789", 5), "0123…");
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
    }
}
