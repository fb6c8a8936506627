//! Checks of flag values, with the words of Go's parsers.

use skiff_model::{duration, size};

/// Accepts everything.
pub(crate) fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
pub(crate) fn parse_boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Reads a number as Go's `strconv.ParseInt(text, 0, 64)` does: decimal, `0x`, `0o`, `0b`.
pub(crate) fn parse_integer(text: &str) -> Result<i64, String> {
    let error = |reason| format!("strconv.ParseInt: parsing {text:?}: {reason}");
    match magnitude(text.trim_start_matches(['-', '+'])) {
        _ if text.starts_with("--") || text.starts_with("++") => Err(error("invalid syntax")),
        None => Err(error("invalid syntax")),
        Some(value) => {
            let value = if text.starts_with('-') { -value } else { value };
            i64::try_from(value).map_err(|_| error("value out of range"))
        }
    }
}

fn magnitude(digits: &str) -> Option<i128> {
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // All digits are valid, so only the size can be wrong: saturate and let the caller range-check.
    Some(i128::from_str_radix(digits, radix).unwrap_or(i128::MAX))
}

/// Checks an unsigned number of at most 16 bits.
pub(crate) fn uint16(text: &str) -> Result<(), String> {
    unsigned(text, i128::from(u16::MAX))
}

/// Checks an unsigned number of at most 64 bits.
pub(crate) fn uint64(text: &str) -> Result<(), String> {
    unsigned(text, i128::from(u64::MAX))
}

fn unsigned(text: &str, largest: i128) -> Result<(), String> {
    let error = |reason| format!("strconv.ParseUint: parsing {text:?}: {reason}");
    match magnitude(text) {
        None => Err(error("invalid syntax")),
        Some(value) if value > largest => Err(error("value out of range")),
        Some(_) => Ok(()),
    }
}

pub(super) fn bytes(text: &str) -> Result<(), String> {
    size::parse_bytes(text).map(|_| ()).map_err(|error| error.to_string())
}

/// Reads a size where `-1` means "no limit".
pub(super) fn parse_limit(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    size::parse_bytes(text).map_err(|error| error.to_string())
}

/// Checks a size where `-1` means "no limit".
pub(crate) fn limit(text: &str) -> Result<(), String> {
    parse_limit(text).map(|_| ())
}

pub(super) fn duration(text: &str) -> Result<(), String> {
    duration::parse_duration(text).map(|_| ()).map_err(|error| error.to_string())
}

pub(super) fn cpus(text: &str) -> Result<(), String> {
    parse_nano_cpus(text).map(|_| ())
}

/// Turns a decimal number of CPUs (or a fraction `a/b`) into billionths of a CPU.
pub(crate) fn parse_nano_cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    if let Some((above, below)) = text.split_once('/') {
        let above: i128 = above.parse().map_err(|_| wrong())?;
        let below: i128 = below.parse().map_err(|_| wrong())?;
        let scaled = above.checked_mul(1_000_000_000).ok_or_else(wrong)?;
        if below <= 0 {
            return Err(wrong());
        }
        if scaled % below != 0 {
            return Err("value is too precise".to_owned());
        }
        return i64::try_from(scaled / below).map_err(|_| wrong());
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let value = whole.checked_mul(1_000_000_000).and_then(|v| v.checked_add(fraction));
    value.map(|v| if negative { -v } else { v }).ok_or_else(wrong)
}

/// Checks the form of one `--filter` value.
pub(crate) fn filter(text: &str) -> Result<(), String> {
    // Docker ignores an empty filter.
    if text.is_empty() || text.contains('=') {
        return Ok(());
    }
    Err("bad format of filter (expected name=value)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_go_reads_them() {
        for (text, value) in [("7", 7), ("-1", -1), ("+3", 3), ("0x10", 16), ("010", 8), ("0", 0)] {
            assert_eq!(parse_integer(text), Ok(value), "{text}");
        }
        for text in ["", "x", "1.5", "--1", "0x", "1 "] {
            assert!(parse_integer(text).unwrap_err().ends_with("invalid syntax"), "{text}");
        }
        assert_eq!(
            parse_integer("9223372036854775808").unwrap_err(),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"
        );
    }

    #[test]
    fn cpus_are_exact_decimals() {
        for (text, nano) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".25", 250_000_000),
            ("1.500000000000", 1_500_000_000),
            ("1/4", 250_000_000),
            ("-1", -1_000_000_000),
        ] {
            assert_eq!(parse_nano_cpus(text), Ok(nano), "{text}");
        }
        assert_eq!(parse_nano_cpus("0.1234567891").unwrap_err(), "value is too precise");
        assert_eq!(parse_nano_cpus("1/3").unwrap_err(), "value is too precise");
        assert_eq!(parse_nano_cpus("x").unwrap_err(), "failed to parse x as a rational number");
    }
}
