//! Byte sizes as Docker's users write and read them.
//!
//! Reading: `64m`, `1.5g`, `100kB`, `2 GiB`, always in powers of 1024 ([`parse_bytes`]), or in powers
//! of 1000 ([`parse_decimal_bytes`]). Writing: `1.24MB` ([`human_size`]) and `1.184MiB`
//! ([`binary_size`]). Digits and units are those of Docker's own tools, because scripts compare
//! them; the odd case (`1e+03MB`) is kept on purpose.

use std::fmt::Write as _;

/// Why a size could not be read. The texts are those Docker's clients print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No digits at all, or a negative number.
    #[error("invalid size: '{0}'")]
    Invalid(String),
    /// What follows the number is no unit.
    #[error("invalid suffix: '{0}'")]
    Suffix(String),
    /// The number itself is malformed.
    #[error("strconv.ParseFloat: parsing {0:?}: invalid syntax")]
    Number(String),
}

/// Reads a size whose units are powers of 1024, whatever their spelling (`k`, `kb`, `KiB`).
pub fn parse_bytes(text: &str) -> Result<i64, SizeError> {
    parse_with_base(text, 1024.0)
}

/// Reads a size whose units are powers of 1000.
pub fn parse_decimal_bytes(text: &str) -> Result<i64, SizeError> {
    parse_with_base(text, 1000.0)
}

fn parse_with_base(text: &str, base: f64) -> Result<i64, SizeError> {
    let last = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(|| SizeError::Invalid(text.to_owned()))?;
    let (number, unit) = match text.as_bytes()[last] {
        b' ' => (&text[..last], &text[last + 1..]),
        _ => text.split_at(last + 1),
    };
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E' | '_');
    let value: f64 = match number.parse() {
        Ok(value) if number.chars().all(plain) => value,
        _ => return Err(SizeError::Number(number.to_owned())),
    };
    if value < 0.0 {
        return Err(SizeError::Invalid(text.to_owned()));
    }
    let unit = unit.to_ascii_lowercase();
    let power = unit_power(&unit).ok_or(SizeError::Suffix(unit))?;
    // The cast saturates, which is what an absurdly large limit should do.
    Ok((value * base.powi(power)) as i64)
}

fn unit_power(unit: &str) -> Option<i32> {
    let mut chars = unit.chars();
    let power = match chars.next() {
        None => return Some(0),
        Some('b') => return chars.next().is_none().then_some(0),
        Some(letter) => "kmgtp".find(letter)? as i32 + 1,
    };
    matches!(chars.as_str(), "" | "b" | "ib").then_some(power)
}

const DECIMAL_UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// Writes a size in powers of 1000 with four significant digits: `12.35MB`.
pub fn human_size(bytes: f64) -> String {
    human_size_with_precision(bytes, 4)
}

/// Writes a size in powers of 1000 with the given number of significant digits.
pub fn human_size_with_precision(bytes: f64, digits: usize) -> String {
    scaled(bytes, 1000.0, digits, &DECIMAL_UNITS)
}

/// Writes a size in powers of 1024 with four significant digits: `11.77MiB`.
pub fn binary_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, 4, &BINARY_UNITS)
}

fn scaled(mut value: f64, base: f64, digits: usize, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= base && unit < units.len() - 1 {
        value /= base;
        unit += 1;
    }
    let mut text = format_general(value, digits);
    text.push_str(units[unit]);
    text
}

/// Writes a float as C's and Go's `%.<digits>g` do: significant digits, no trailing zeros, and an
/// exponent once the number needs more digits than it may have.
pub fn format_general(value: f64, digits: usize) -> String {
    let digits = digits.max(1);
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { format!("{value}") };
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("{:e} always writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a decimal exponent");
    if exponent < -4 || exponent >= digits as i32 {
        let mut text = trim_zeros(mantissa).to_owned();
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(text, "e{sign}{:02}", exponent.abs());
        return text;
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("32m", 32 << 20),
            ("1.5g", 3 << 29),
            ("2 GiB", 2 << 30),
            ("1t", 1 << 40),
            ("1p", 1 << 50),
            ("32.", 32),
            (".5k", 512),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!(parse_decimal_bytes("32kB"), Ok(32_000));
        assert_eq!(parse_decimal_bytes("1.5MiB"), Ok(1_500_000));
    }

    #[test]
    fn wrong_sizes_are_refused_with_dockers_words() {
        for (text, message) in [
            ("", "invalid size: ''"),
            ("hello", "invalid size: 'hello'"),
            ("-32", "invalid size: '-32'"),
            ("-1m", "invalid size: '-1m'"),
            ("32bb", "invalid suffix: 'bb'"),
            ("32mm", "invalid suffix: 'mm'"),
            ("32kib2", "strconv.ParseFloat: parsing \"32kib2\": invalid syntax"),
            ("1.2.3m", "strconv.ParseFloat: parsing \"1.2.3\": invalid syntax"),
            ("32 q", "invalid suffix: 'q'"),
            ("32kilo", "invalid suffix: 'kilo'"),
        ] {
            assert_eq!(parse_bytes(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn sizes_are_written_as_docker_writes_them() {
        for (bytes, decimal, binary) in [
            (0.0, "0B", "0B"),
            (1000.0, "1kB", "1000B"),
            (1024.0, "1.024kB", "1KiB"),
            (1_000_000.0, "1MB", "976.6KiB"),
            (1_048_576.0, "1.049MB", "1MiB"),
            (2_748_779_069_440.0, "2.749TB", "2.5TiB"),
            (4_261_550.0, "4.262MB", "4.064MiB"),
            (999.9, "999.9B", "999.9B"),
        ] {
            assert_eq!(human_size(bytes), decimal);
            assert_eq!(binary_size(bytes), binary);
        }
        assert_eq!(human_size_with_precision(4_261_550.0, 3), "4.26MB");
        assert_eq!(human_size_with_precision(77_800_000.0, 3), "77.8MB");
        assert_eq!(human_size_with_precision(999_900_000.0, 3), "1e+03MB");
    }
}
