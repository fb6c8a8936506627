//! The first three descriptors, and the terminal when there is one.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};
use skiff_model::oci::ConsoleSize;
use skiff_sys::resolve;

use super::mount::attach;
use super::{Setup, StdioFds};
use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::report::{CONSOLE, Reporter};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: i64 = 0x1cd1;

/// Installs the given descriptors as 0, 1 and 2.
pub(crate) fn install_stdio(stdio: StdioFds<'_>) -> Result<(), LaunchError> {
    let Some([stdin, stdout, stderr]) = stdio else { return Ok(()) };
    // One of them may itself be 0, 1 or 2: none is overwritten before all are safe above.
    let safe = |fd: BorrowedFd<'_>| {
        rustix::io::fcntl_dupfd_cloexec(fd, 3).context(|| "duplicate a standard descriptor")
    };
    let (stdin, stdout, stderr) = (safe(stdin)?, safe(stdout)?, safe(stderr)?);
    set_stdio(&stdin, &stdout, &stderr)
}

fn set_stdio(stdin: &OwnedFd, stdout: &OwnedFd, stderr: &OwnedFd) -> Result<(), LaunchError> {
    let step = || "install the standard descriptors";
    dup2_stdin(stdin).context(step)?;
    dup2_stdout(stdout).context(step)?;
    dup2_stderr(stderr).context(step)
}

/// Opens a new terminal in the devpts of `root`, hands its master over and makes the other side
/// the process's controlling terminal and its descriptors 0, 1 and 2.
pub(crate) fn open(
    root: BorrowedFd<'_>,
    size: Option<ConsoleSize>,
    reporter: &Reporter,
) -> Result<OwnedFd, LaunchError> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = resolve::open_no_links(root, Path::new("/dev/pts/ptmx"), flags)
        .context(|| "open /dev/pts/ptmx")?;
    // What is found there must be a multiplexer of a devpts, not a file or device of the image.
    let stat = fstat(&master).context(|| "stat /dev/pts/ptmx")?;
    let genuine = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(5, 2)
        && fstatfs(&master).is_ok_and(|fs| fs.f_type == DEVPTS);
    if !genuine {
        let text = "/dev/pts/ptmx is not a terminal multiplexer".to_owned();
        return Err(of_kind(LaunchErrorKind::Failed, text));
    }
    unlockpt(&master).context(|| "unlock the terminal")?;
    // By the master itself and not by name: a name could lead somewhere else by now.
    let peer_flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let peer = ioctl_tiocgptpeer(&master, peer_flags).context(|| "open the terminal")?;
    if let Some(ConsoleSize { height, width }) = size.filter(|size| size.height != 0) {
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&peer, size).context(|| "set the terminal's size")?;
    }
    set_stdio(&peer, &peer, &peer)?;
    rustix::process::ioctl_tiocsctty(&peer).context(|| "set the controlling terminal")?;
    reporter.give(CONSOLE, master.as_fd()).context(|| "hand the terminal over")?;
    Ok(peer)
}

impl Setup<'_> {
    /// Opens the terminal, if the process wants one, and binds it to `/dev/console`.
    pub(super) fn open_console(&mut self) -> Result<(), LaunchError> {
        let process = &self.plan.process;
        if !process.terminal {
            return Ok(());
        }
        let peer = open(self.root.as_fd(), process.console_size, self.reporter)?;
        let mode = Mode::from_raw_mode(0o600);
        let target = resolve::ensure_file(self.root.as_fd(), Path::new("/dev/console"), mode)
            .context(|| "create /dev/console")?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(&peer, "", flags).context(|| "bind the terminal")?;
        attach(&tree, &target)?;
        self.console = Some(peer);
        Ok(())
    }
}
