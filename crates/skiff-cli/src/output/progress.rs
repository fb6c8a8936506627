//! Progress of pulls, pushes and loads: lines that are rewritten on a terminal, plain lines
//! elsewhere.

use std::io::{self, BufReader, Read, Write};

use serde::Deserialize;
use skiff_api::{ProgressDetail, ProgressMessage};
use skiff_model::size::human_size;

use crate::failure::{Failure, describe_io};
use crate::terminal;

/// Shows a stream of JSON messages on `out`, a terminal when `rewrites`. `aux` sees results that are out of band.
pub(crate) fn show_progress(
    stream: impl Read,
    out: &mut dyn Write,
    rewrites: bool,
    aux: &mut dyn FnMut(&serde_json::Value),
) -> Result<(), Failure> {
    let mut screen = Screen { ids: Vec::new(), rewrites };
    let mut messages = serde_json::Deserializer::from_reader(BufReader::new(stream));
    loop {
        let message = match ProgressMessage::deserialize(&mut messages) {
            Ok(message) => message,
            Err(error) if error.is_eof() => return Ok(()),
            Err(error) => {
                let error = io::Error::from(error);
                return Err(Failure::new(format!("read progress: {}", describe_io(&error))));
            }
        };
        if let Some(value) = &message.aux {
            aux(value);
        }
        if let Some(detail) = &message.error_detail {
            return Err(Failure::new(detail.message.clone()));
        }
        if !message.error.is_empty() {
            return Err(Failure::new(message.error));
        }
        screen.show(&message, out)?;
        out.flush()?;
    }
}

/// Where on the terminal each object's line is.
struct Screen {
    ids: Vec<String>,
    rewrites: bool,
}

impl Screen {
    fn show(&mut self, message: &ProgressMessage, out: &mut dyn Write) -> io::Result<()> {
        if !message.stream.is_empty() {
            self.ids.clear();
            return write!(out, "{}", message.stream);
        }
        let bar = message.progress_detail.as_ref().map(progress_bar).unwrap_or_default();
        if message.status.is_empty() && bar.is_empty() {
            return Ok(());
        }
        if !self.rewrites {
            // Bars make no sense in a file; the states between them do.
            if !bar.is_empty() {
                return Ok(());
            }
            return match message.id.as_str() {
                "" => writeln!(out, "{}", message.status),
                id => writeln!(out, "{id}: {}", message.status),
            };
        }
        if message.id.is_empty() {
            self.ids.clear();
            return writeln!(out, "{} {bar}", message.status);
        }
        let line = format!("{}: {} {bar}", message.id, message.status);
        let line = line.trim_end();
        match self.ids.iter().position(|id| *id == message.id) {
            Some(position) => {
                let up = self.ids.len() - position;
                write!(out, "\x1b[{up}A\r\x1b[2K{line}\r\x1b[{up}B")
            }
            None => {
                self.ids.push(message.id.clone());
                writeln!(out, "\x1b[2K\r{line}")
            }
        }
    }
}

/// `[=====>     ]  12.3MB/45MB`, as wide as the terminal allows.
fn progress_bar(detail: &ProgressDetail) -> String {
    if detail.current <= 0 && detail.total <= 0 {
        return String::new();
    }
    let current = human_size(detail.current as f64);
    if detail.total <= 0 || detail.current > detail.total {
        return format!("{current:>8}");
    }
    let total = human_size(detail.total as f64);
    let counts = format!("{current:>8}/{total}");
    let width = terminal::width().unwrap_or(80);
    if width < 80 {
        return counts;
    }
    let filled = (detail.current as f64 / detail.total as f64 * 50.0) as usize;
    let head = if filled < 50 { ">" } else { "" };
    let empty = 50usize.saturating_sub(filled + head.len());
    format!("[{}{head}{}] {counts}", "=".repeat(filled), " ".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_how_far_it_is() {
        let detail = ProgressDetail { current: 50, total: 100, ..ProgressDetail::default() };
        let bar = progress_bar(&detail);
        assert!(bar.contains("50B/100B"), "{bar}");
        assert_eq!(progress_bar(&ProgressDetail::default()), "");
    }
}
