//! The question before something is removed for good.

use std::io::{self, Write};

/// Asks; only `y` or `yes` is a yes, and the end of the input is a no.
pub(crate) fn confirmed(warning: &str) -> io::Result<bool> {
    say_part!("{warning}\nAre you sure you want to continue? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}
