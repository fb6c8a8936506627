//! The terminal: is there one, how large is it, and raw mode that is always undone.

use std::io::IsTerminal;

use rustix::stdio;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Whether we read from a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether we write to a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether messages go to a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Rows and columns of the terminal we write to, if it has a size.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdio::stdout()).ok()?;
    (size.ws_row > 0 || size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Columns of the terminal we write to.
pub(crate) fn width() -> Option<usize> {
    size().map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Raw mode of stdin's terminal; dropping it restores what was before.
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches to raw mode, unless stdin is no terminal.
    pub(crate) fn enter() -> std::io::Result<Option<Self>> {
        if !stdin_is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Now, &self.before);
    }
}
