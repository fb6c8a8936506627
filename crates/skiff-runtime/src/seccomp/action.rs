//! What a filter answers.

use super::SeccompError;

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIFICATION: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// EPERM: what a refused call returns when the profile says nothing else.
const DEFAULT_ERRNO: u32 = 1;
const ENOSYS: u32 = 38;

/// A value for the kernel: `SECCOMP_RET_*` with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Action(pub(super) u32);

impl Action {
    pub(super) const NOTIFY: Action = Action(USER_NOTIFICATION);
    /// For calls newer than a profile.
    pub(super) const NO_SUCH_CALL: Action = Action(ERRNO | ENOSYS);
    /// For an architecture that a filter does not name, as libseccomp does.
    pub(super) const BAD_ARCHITECTURE: Action = Action(KILL_THREAD);

    /// Reads an action by the specification's name. `errno` counts for ERRNO and TRACE only.
    pub(super) fn parse(name: &str, errno: Option<u32>) -> Result<Action, SeccompError> {
        let errno = errno.unwrap_or(DEFAULT_ERRNO);
        let with_data = |action: u32| {
            u16::try_from(errno)
                .map(|data| Action(action | u32::from(data)))
                .map_err(|_| SeccompError::Errno(errno))
        };
        Ok(match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action(KILL_THREAD),
            "SCMP_ACT_KILL_PROCESS" => Action(KILL_PROCESS),
            "SCMP_ACT_TRAP" => Action(TRAP),
            "SCMP_ACT_ERRNO" => return with_data(ERRNO),
            "SCMP_ACT_TRACE" => return with_data(TRACE),
            "SCMP_ACT_ALLOW" => Action(ALLOW),
            "SCMP_ACT_LOG" => Action(LOG),
            "SCMP_ACT_NOTIFY" => Action::NOTIFY,
            _ => return Err(SeccompError::Action(name.to_owned())),
        })
    }

    /// Tells whether the call is carried out.
    pub(super) fn lets_through(self) -> bool {
        matches!(self.0 & 0xffff_0000, ALLOW | LOG | TRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_kernels_values() {
        for (name, errno, value) in [
            ("SCMP_ACT_ALLOW", None, 0x7fff_0000),
            ("SCMP_ACT_ERRNO", None, 0x0005_0001),
            ("SCMP_ACT_ERRNO", Some(38), 0x0005_0026),
            ("SCMP_ACT_ERRNO", Some(0), 0x0005_0000),
            ("SCMP_ACT_TRACE", Some(7), 0x7ff0_0007),
            ("SCMP_ACT_KILL", Some(7), 0),
            ("SCMP_ACT_KILL_PROCESS", None, 0x8000_0000),
            ("SCMP_ACT_LOG", None, 0x7ffc_0000),
            ("SCMP_ACT_NOTIFY", None, 0x7fc0_0000),
            ("SCMP_ACT_TRAP", None, 0x0003_0000),
        ] {
            assert_eq!(Action::parse(name, errno).unwrap(), Action(value), "{name}");
        }
        assert!(Action::parse("ALLOW", None).is_err());
        assert!(Action::parse("SCMP_ACT_ERRNO", Some(70_000)).is_err());
    }
}
