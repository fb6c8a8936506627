//! Names: which are allowed, and random ones for containers that got none.

use crate::error::{Error, Result};

const LEFT: [&str; 64] = [
    "amber", "ample", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid",
    "clever", "cosy", "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fond",
    "frank", "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble",
    "jolly", "keen", "kind", "light", "lively", "lucid", "lucky", "mellow", "merry", "mild",
    "modest", "neat", "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick",
    "quiet", "rapid", "ready", "sharp", "silent", "smart", "snug", "solid", "steady", "sunny",
    "swift", "tidy", "warm", "witty",
];

const RIGHT: [&str; 72] = [
    "abel",
    "ampere",
    "archimedes",
    "babbage",
    "banach",
    "bell",
    "bernoulli",
    "bohr",
    "boole",
    "bose",
    "boyle",
    "brahe",
    "cantor",
    "carson",
    "cauchy",
    "celsius",
    "church",
    "conway",
    "copernicus",
    "coulomb",
    "curie",
    "darwin",
    "descartes",
    "diesel",
    "dijkstra",
    "dirac",
    "edison",
    "einstein",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "fourier",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goedel",
    "hamilton",
    "heisenberg",
    "hertz",
    "hilbert",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "joule",
    "kelvin",
    "kepler",
    "knuth",
    "kovalevskaya",
    "lamarr",
    "laplace",
    "leibniz",
    "linnaeus",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "newton",
    "noether",
    "ohm",
    "pascal",
    "planck",
    "ramanujan",
    "turing",
    "volta",
];

/// A name from random numbers; from the second try on with a digit.
pub(super) fn random(number: u64, attempt: u32) -> String {
    let pick = |list: &[&'static str], number: u64| {
        let len = list.len() as u64;
        list[usize::try_from(number % len).expect("a remainder by a length is an index")]
    };
    let left = pick(&LEFT, number);
    let right = pick(&RIGHT, number >> 16);
    if attempt == 0 {
        format!("{left}_{right}")
    } else {
        format!("{left}_{right}{}", (number >> 32) % 10_u64.pow(attempt.min(9)))
    }
}

/// Checks a name a client gave, and takes a leading slash off.
pub(super) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if is_valid(bare) {
        return Ok(bare);
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

fn is_valid(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() > 1
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "_.-".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers() {
        let long = "x".repeat(300);
        for (name, bare) in [
            ("abc", Some("abc")),
            ("/abc", Some("abc")),
            ("a1", Some("a1")),
            ("A_.-", Some("A_.-")),
            (long.as_str(), Some(long.as_str())),
            ("a", None),
            ("", None),
            ("/", None),
            ("-x", None),
            (".x", None),
            ("a b", None),
            ("a/b", None),
            ("é", None),
            ("a\n", None),
            ("..", None),
            ("//ab", None),
        ] {
            assert_eq!(check(name).ok(), bare, "{name:?}");
        }
        assert_eq!(
            check("a b").unwrap_err().to_string(),
            "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn random_names_are_valid_and_many() {
        let names: std::collections::BTreeSet<_> =
            (0..2000_u64).map(|n| random(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0)).collect();
        assert!(names.len() > 1000);
        assert!(names.iter().all(|name| check(name).is_ok()));
        assert!(check(&random(7, 3)).is_ok());
    }
}
