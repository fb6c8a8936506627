//! Signal names and numbers (`signal(7)`), for architectures with the generic numbering (all we
//! build for: x86-64 and arm64).

/// Numbers 1 to 31.
const STANDARD: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Second names.
const ALIASES: [(&str, i32); 4] = [("IOT", 6), ("CLD", 17), ("POLL", 29), ("UNUSED", 31)];

/// First real-time signal a program can use with glibc; its threads keep 32 and 33.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Reads a signal as Docker and runc do: a number from 1 to 64, or a name in any case, with or
/// without `SIG`, including `RTMIN+3` and `RTMAX-2`.
pub fn parse(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return real_time(RTMIN, rest, '+');
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        return real_time(RTMAX, rest, '-');
    }
    let standard = STANDARD.iter().position(|known| *known == name);
    if let Some(at) = standard {
        return i32::try_from(at + 1).ok();
    }
    ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, number)| *number)
}

/// Reads what follows `RTMIN` or `RTMAX`: nothing, or the sign and at most two digits.
fn real_time(base: i32, rest: &str, sign: char) -> Option<i32> {
    if rest.is_empty() {
        return Some(base);
    }
    let digits = rest.strip_prefix(sign)?;
    if digits.len() > 2 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let offset: i32 = digits.parse().ok()?;
    let number = if sign == '-' { base - offset } else { base + offset };
    (RTMIN..=RTMAX).contains(&number).then_some(number)
}

/// Returns a signal's name without `SIG`, or `None` for numbers out of range.
pub fn name(number: i32) -> Option<String> {
    match number {
        1..=31 => Some(STANDARD[usize::try_from(number).ok()? - 1].to_owned()),
        RTMIN => Some("RTMIN".to_owned()),
        35..=49 => Some(format!("RTMIN+{}", number - RTMIN)),
        50..=63 => Some(format!("RTMAX-{}", RTMAX - number)),
        RTMAX => Some("RTMAX".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_numbers() {
        for (word, expected) in [
            ("9", Some(9)),
            ("KILL", Some(9)),
            ("SIGKILL", Some(9)),
            ("sigterm", Some(15)),
            ("IOT", Some(6)),
            ("SYS", Some(31)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-14", Some(50)),
            ("64", Some(64)),
            ("0", None),
            ("65", None),
            ("-1", None),
            ("", None),
            ("SIG", None),
            ("EXIT", None),
            ("NOPE", None),
            ("RTMIN+31", None),
            ("RTMIN3", None),
            ("RTMAX+1", None),
            ("RTMIN+-1", None),
        ] {
            assert_eq!(parse(word), expected, "{word:?}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        for number in (1..=31).chain(RTMIN..=RTMAX) {
            let name = name(number).unwrap();
            assert_eq!(parse(&name), Some(number), "{name}");
        }
        assert_eq!(name(0), None);
        assert_eq!(name(32), None);
    }
}
