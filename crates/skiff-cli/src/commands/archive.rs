//! Archives between the daemon and a file or a pipe.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::client::{Body, Response};
use crate::failure::{Failure, describe_io};

/// Writes a body to a file (whole or not at all), or to stdout when `path` is empty or `-`.
pub(crate) fn save_to(response: &mut Response, path: &str) -> Result<(), Failure> {
    if path.is_empty() || path == "-" {
        io::copy(response, &mut io::stdout().lock())?;
        return Ok(());
    }
    let path = Path::new(path);
    let fail = |error: io::Error| {
        Failure::new(format!("failed to save to {}: {}", path.display(), describe_io(&error)))
    };
    if path.is_dir() {
        return Err(Failure::new(format!("cannot write to directory {}", path.display())));
    }
    // A pipe or device is written to, not replaced.
    if fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo() || m.file_type().is_char_device()) {
        let mut file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        io::copy(response, &mut file).map_err(fail)?;
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&temporary.0).map_err(fail)?;
    io::copy(response, &mut file).map_err(fail)?;
    fs::rename(&temporary.0, path).map_err(fail)
}

/// A file that is removed unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A body from a file, or from stdin when `path` is empty or `-`.
pub(crate) fn read_from(path: &str) -> Result<Body, Failure> {
    if path.is_empty() || path == "-" {
        return Ok(stdin_body());
    }
    let fail = |error: io::Error| Failure::new(format!("open {path}: {}", describe_io(&error)));
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if metadata.is_dir() {
        return Err(Failure::new(format!("read {path}: is a directory")));
    }
    if metadata.is_file() {
        return Ok(Body::File(file, metadata.len()));
    }
    Ok(Body::Stream(Box::new(file)))
}

/// Standard input as a body; a redirected file is sent as one.
fn stdin_body() -> Body {
    use std::io::Seek;
    use std::os::fd::AsFd;
    let duplicate = io::stdin().as_fd().try_clone_to_owned().map(File::from);
    if let Ok(mut file) = duplicate
        && let Ok(metadata) = file.metadata()
        && metadata.is_file()
        && let Ok(position) = file.stream_position()
    {
        return Body::File(file, metadata.len().saturating_sub(position));
    }
    let stdin: Box<dyn Read> = Box::new(io::stdin());
    Body::Stream(stdin)
}
