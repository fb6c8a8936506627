//! A value to write to a control group file, and the writing of a list of them.
//!
//! `v1::settings` and `v2::settings` make the lists without touching anything.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::error::{CgroupError, Result};
use super::file;

/// Whether the group was just made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Every file has the kernel's default value and there is no process inside.
    Fresh,
    /// There may be processes and earlier limits.
    Running,
}

impl Stage {
    /// The stage of a group whose directories are all new, or not.
    pub(super) fn of_new(is_new: bool) -> Stage {
        if is_new { Stage::Fresh } else { Stage::Running }
    }
}

/// What to do when the kernel has no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Fail,
    /// The value is what the kernel does without the file anyway, or runc passes over it too.
    Skip,
}

/// One value to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting<C> {
    /// Where the file is: the v1 controller, or the v2 controller's name.
    pub(super) controller: C,
    pub(super) file: Cow<'static, str>,
    /// Another file, with its own scale, to use when the first is missing.
    pub(super) or_file: Option<(&'static str, String)>,
    pub(super) value: String,
    pub(super) if_missing: IfMissing,
    /// Try again after all others when the kernel answers EINVAL: values that are checked against
    /// each other (quota, period, burst) fit only in one order, which depends on the old ones.
    pub(super) retry: bool,
}

impl<C> Setting<C> {
    pub(super) fn new(
        controller: C,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Setting<C> {
        Setting {
            controller,
            file: file.into(),
            or_file: None,
            value: value.to_string(),
            if_missing: IfMissing::Fail,
            retry: false,
        }
    }

    pub(super) fn skip_if_missing(mut self) -> Setting<C> {
        self.if_missing = IfMissing::Skip;
        self
    }

    pub(super) fn or_file(mut self, name: &'static str, value: impl ToString) -> Setting<C> {
        self.or_file = Some((name, value.to_string()));
        self
    }

    pub(super) fn with_retry(mut self) -> Setting<C> {
        self.retry = true;
        self
    }
}

/// Writes all settings; `dir_of` tells where a controller's files are, if it is there at all, and
/// `name_of` its name for the error.
pub(super) fn write_all<'a, C: Copy>(
    settings: &[Setting<C>],
    dir_of: impl Fn(C) -> Option<&'a Path>,
    name_of: impl Fn(C) -> &'static str,
) -> Result<()> {
    let mut again: Vec<(&Setting<C>, &Path)> = Vec::new();
    for setting in settings {
        let Some(dir) = dir_of(setting.controller) else {
            if setting.if_missing == IfMissing::Skip {
                continue;
            }
            return Err(CgroupError::MissingController {
                setting: setting.file.to_string(),
                controller: name_of(setting.controller).into(),
            });
        };
        match write_one(dir, setting) {
            Err(error) if setting.retry && error.errno() == Some(Errno::INVAL) => {
                again.push((setting, dir));
            }
            result => result?,
        }
    }
    again.into_iter().try_for_each(|(setting, dir)| write_one(dir, setting))
}

fn write_one<C>(dir: &Path, setting: &Setting<C>) -> Result<()> {
    let first = file::write(dir, &setting.file, &setting.value);
    let result = match (first, &setting.or_file) {
        (Err(error), Some((other, value))) if error.is_missing_file() => {
            file::write(dir, other, value)
        }
        (result, _) => result,
    };
    match result {
        Err(error) if setting.if_missing == IfMissing::Skip && error.is_missing_file() => Ok(()),
        Err(CgroupError::Write { path, value, source }) => Err(explain(path, value, source)),
        result => result,
    }
}

/// Adds the usage to a memory limit that was refused because more is in use.
fn explain(path: PathBuf, value: String, source: std::io::Error) -> CgroupError {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let busy = Errno::from_io_error(&source) == Some(Errno::BUSY);
    if let (true, "memory.limit_in_bytes", Some(dir)) = (busy, name, path.parent()) {
        let number = |name| file::read_number(dir, name).ok().flatten().unwrap_or(0);
        return CgroupError::MemoryInUse {
            limit: value.parse().unwrap_or(-1),
            usage: number("memory.usage_in_bytes"),
            peak: number("memory.max_usage_in_bytes"),
            source,
        };
    }
    CgroupError::Write { path, value, source }
}
