//! `--ulimit name=soft[:hard]`

use super::{Result, refuse};

/// A limit of `setrlimit(2)`; -1 is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// The name without `RLIMIT_`, in lower case.
    pub name: String,
    /// What holds until the process changes it.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

/// Names of the limits there are, without `RLIMIT_`.
pub const ULIMIT_NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one limit.
pub fn parse_ulimit(text: &str) -> Result<Ulimit> {
    let Some((name, limits)) = text.split_once('=') else {
        refuse!("invalid ulimit argument: {text}");
    };
    if !ULIMIT_NAMES.contains(&name) {
        refuse!("invalid ulimit type: {name}");
    }
    let number = |text: &str| -> Result<i64> {
        match text.parse() {
            Ok(number) => Ok(number),
            Err(_) => refuse!("strconv.ParseInt: parsing {text:?}: invalid syntax"),
        }
    };
    let parts: Vec<&str> = limits.split(':').collect();
    let (soft, hard) = match parts[..] {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => refuse!(
            "too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        ),
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        if soft == -1 {
            refuse!(
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), \
                 hard: {hard}"
            );
        }
        refuse!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}");
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let read = |text| parse_ulimit(text).map(|u| (u.soft, u.hard)).map_err(|e| e.to_string());
        assert_eq!(read("nofile=512:1024"), Ok((512, 1024)));
        assert_eq!(read("nofile=512"), Ok((512, 512)));
        assert_eq!(read("core=-1"), Ok((-1, -1)));
        assert_eq!(read("core=0:-1"), Ok((0, -1)));
        assert_eq!(read("x"), Err("invalid ulimit argument: x".to_owned()));
        assert_eq!(read("foo=1"), Err("invalid ulimit type: foo".to_owned()));
        assert_eq!(
            read("nofile=2:1"),
            Err("ulimit soft limit must be less than or equal to hard limit: 2 > 1".to_owned())
        );
        assert!(read("nofile=1:2:3").is_err());
        assert!(read("nofile=x").is_err());
    }
}
