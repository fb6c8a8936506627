//! What commands print: tables, templates over rows, ages and progress.

mod list;
mod progress;
mod table;
mod time;

pub(crate) use list::{Listing, print_one};
pub(crate) use progress::show_progress;
pub(crate) use table::Table;
pub(crate) use time::{
    api_timestamp, created_ago, local_time, local_timestamp, parse_time, short_id, truncate_text,
};

use std::io::{self, Write};

/// Writes text to stdout as it is.
pub(crate) fn print_text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
