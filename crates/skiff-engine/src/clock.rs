//! Wall-clock time as the engine keeps it: nanoseconds since the epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A time as Docker writes it (RFC 3339, nanoseconds, UTC); 0 is Go's zero time.
pub(crate) fn rfc3339(nanos: i64) -> String {
    if nanos == 0 {
        return skiff_api::ZERO_TIME.to_owned();
    }
    match jiff::Timestamp::from_nanosecond(i128::from(nanos)) {
        Ok(time) => time.to_string(),
        Err(_) => skiff_api::ZERO_TIME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0001-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:00.000000001Z"),
            (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        ] {
            assert_eq!(rfc3339(nanos), text);
        }
    }
}
