//! Executing programs.

use std::ffi::{CStr, CString, NulError};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A null-terminated array of strings, as `execve(2)` takes for arguments and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StringArray {
    strings: Vec<CString>,
}

impl StringArray {
    /// Copies strings; fails on the first that holds a NUL byte.
    pub fn new<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Result<Self, NulError> {
        let strings = strings.into_iter().map(|string| CString::new(string.as_ref()));
        Ok(Self { strings: strings.collect::<Result<_, _>>()? })
    }

    /// Appends a string.
    pub fn push(&mut self, string: CString) {
        self.strings.push(string);
    }

    /// The strings.
    pub fn as_slice(&self) -> &[CString] {
        &self.strings
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        let end = std::iter::once(std::ptr::null());
        self.strings.iter().map(|string| string.as_ptr()).chain(end).collect()
    }
}

/// Replaces the process; returns only the reason why that failed.
///
/// [execve(2)](https://man7.org/linux/man-pages/man2/execve.2.html)
pub fn execve(path: &CStr, args: &StringArray, env: &StringArray) -> io::Error {
    let (argv, envp) = (args.pointers(), env.pointers());
    // SAFETY: both arrays end with null and point to strings that `args` and `env` keep alive.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces the process by the program that `file` is open on; returns only why that failed.
///
/// [execveat(2)](https://man7.org/linux/man-pages/man2/execveat.2.html)
pub fn execve_fd(file: BorrowedFd<'_>, args: &StringArray, env: &StringArray) -> io::Error {
    let (argv, envp) = (args.pointers(), env.pointers());
    // SAFETY: as in `execve`; the empty path is a static C string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}
