//! The process itself: program, identity, limits.

use std::path::PathBuf;

use skiff_model::capability;
use skiff_model::oci::{Capabilities, ConsoleSize, Personality, Process, Scheduler, Seccomp};
use skiff_sys::exec::StringArray;
use skiff_sys::process as sys;

use super::invalid;
use crate::facts::HostFacts;
use crate::launch::{LaunchError, UserRequest};
use crate::seccomp;

/// A process, ready to be made out of the child.
#[derive(Debug, Clone)]
pub struct ProcessPlan {
    pub args: StringArray,
    /// `args[0]` as text, for messages and the search in `PATH`.
    pub program: String,
    /// Without `HOME` if the specification has none.
    pub env: StringArray,
    pub has_home: bool,
    /// Value of `PATH`; `None` if the environment has none.
    pub search_path: Option<String>,
    pub cwd: PathBuf,
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    pub user: UserPlan,
    pub umask: u32,
    /// `None` leaves the sets as they are.
    pub capabilities: Option<CapabilityPlan>,
    pub rlimits: Vec<RlimitPlan>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    /// (class, level)
    pub io_priority: Option<(u8, u16)>,
    pub scheduler: Option<sys::Scheduler>,
    pub personality: Option<u32>,
    /// Written to the process's `attr/exec` of the security module.
    pub apparmor_profile: Option<String>,
    pub selinux_label: Option<String>,
    pub seccomp: Option<SeccompPlan>,
    pub last_capability: u8,
}

impl ProcessPlan {
    /// Whether a security module is told about the process.
    pub(crate) fn has_label(&self) -> bool {
        self.apparmor_profile.is_some() || self.selinux_label.is_some()
    }
}

/// Whom to run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserPlan {
    Ids {
        uid: u32,
        gid: u32,
        additional_gids: Vec<u32>,
    },
    /// To be looked up in the container.
    Words(UserRequest),
}

impl RlimitPlan {
    /// What has to be set while the right to raise hard limits is still there; `current` is the
    /// hard limit in force. The number of descriptors is otherwise left for the end, since setting
    /// up needs some.
    pub(crate) fn early(&self, current: u64) -> Option<(u64, u64)> {
        if self.is_final() {
            return (self.hard > current).then_some((self.hard, self.hard));
        }
        Some((self.soft, self.hard))
    }

    /// Says whether the limit is set right before the program is executed.
    pub(crate) fn is_final(&self) -> bool {
        self.resource == sys::RLIMIT_NOFILE
    }
}

/// Capability sets as masks, within what the kernel knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilityPlan {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompPlan {
    pub program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Who answers for the calls that the filter leaves to somebody else.
    pub agent: Option<SeccompAgent>,
}

/// A program that listens for seccomp notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeccompAgent {
    /// Its socket.
    pub path: PathBuf,
    /// Sent along as it is.
    pub metadata: String,
}

impl SeccompPlan {
    /// A program that was compiled before, by [`seccomp::default_program`] or the same rules.
    pub(super) fn compiled(program: Vec<u8>) -> Self {
        Self { program, flags: seccomp::DEFAULT_FLAGS, agent: None }
    }
}

/// A resource limit by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RlimitPlan {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

const DEFAULT_UMASK: u32 = 0o022;

/// Largest id the kernel's signed interfaces and Docker agree on.
const MAX_ID: u32 = i32::MAX as u32;

pub(super) fn plan(
    process: &Process,
    user: Option<&UserRequest>,
    facts: &HostFacts,
) -> Result<ProcessPlan, LaunchError> {
    let program = process.args.first().ok_or_else(|| invalid("args must not be empty"))?;
    if !process.cwd.starts_with('/') {
        return Err(invalid("Cwd must be an absolute path"));
    }
    let nul = |what: &'static str| move |_| invalid(format!("{what}: contains a NUL byte"));
    let variable = |name: &str| {
        process.env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    };
    if process.cwd.contains('\0') {
        return Err(invalid("cwd: contains a NUL byte"));
    }
    Ok(ProcessPlan {
        args: StringArray::new(&process.args).map_err(nul("args"))?,
        program: program.clone(),
        env: StringArray::new(unique(&process.env)).map_err(nul("env"))?,
        has_home: variable("HOME").is_some_and(|home| !home.is_empty()),
        search_path: variable("PATH").map(str::to_owned),
        cwd: PathBuf::from(&process.cwd),
        terminal: process.terminal,
        console_size: process.console_size,
        user: user_plan(process, user)?,
        umask: process.user.umask.unwrap_or(DEFAULT_UMASK) & 0o777,
        capabilities: process
            .capabilities
            .as_ref()
            .map(|sets| capabilities(sets, facts.last_capability))
            .transpose()?,
        rlimits: rlimits(process)?,
        no_new_privileges: process.no_new_privileges,
        oom_score_adj: oom_score_adj(process.oom_score_adj)?,
        io_priority: io_priority(process)?,
        scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
        personality: None,
        apparmor_profile: apparmor(&process.apparmor_profile, facts)?,
        selinux_label: selinux(&process.selinux_label, facts)?,
        seccomp: None,
        last_capability: facts.last_capability,
    })
}

/// Keeps the last value of each variable, at the place of the first, as runc does: programs
/// disagree on which of two counts.
fn unique(env: &[String]) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::with_capacity(env.len());
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut places = std::collections::HashMap::with_capacity(env.len());
    for entry in env.iter().map(String::as_str) {
        match places.entry(name(entry)) {
            std::collections::hash_map::Entry::Occupied(place) => kept[*place.get()] = entry,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(entry);
            }
        }
    }
    kept
}

fn user_plan(process: &Process, user: Option<&UserRequest>) -> Result<UserPlan, LaunchError> {
    if let Some(request) = user {
        return Ok(UserPlan::Words(request.clone()));
    }
    let user = &process.user;
    let mut ids = user.additional_gids.iter().chain([&user.uid, &user.gid]);
    if ids.any(|id| *id > MAX_ID) {
        return Err(invalid("uids and gids must be in range 0-2147483647"));
    }
    Ok(UserPlan::Ids {
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids.clone(),
    })
}

/// Masks of the sets. Capabilities the running kernel does not know yet are left out, as runc
/// does with a warning; names that nobody knows are errors.
fn capabilities(sets: &Capabilities, last: u8) -> Result<CapabilityPlan, LaunchError> {
    let known = u64::MAX >> (63 - u32::from(last.min(63)));
    let mask = |names: &Vec<String>| {
        capability::mask(names)
            .map(|mask| mask & known)
            .map_err(|name| invalid(format!("unknown capability {name:?}")))
    };
    Ok(CapabilityPlan {
        bounding: mask(&sets.bounding)?,
        effective: mask(&sets.effective)?,
        permitted: mask(&sets.permitted)?,
        inheritable: mask(&sets.inheritable)?,
        ambient: mask(&sets.ambient)?,
    })
}

fn rlimits(process: &Process) -> Result<Vec<RlimitPlan>, LaunchError> {
    let plan = |limit: &skiff_model::oci::Rlimit| {
        let resource = sys::rlimit_number(&limit.kind)
            .ok_or_else(|| invalid(format!("invalid rlimit type {}", limit.kind)))?;
        if limit.soft > limit.hard {
            return Err(invalid(format!("{}: soft limit above the hard one", limit.kind)));
        }
        Ok(RlimitPlan { resource, soft: limit.soft, hard: limit.hard })
    };
    process.rlimits.iter().map(plan).collect()
}

fn oom_score_adj(value: Option<i32>) -> Result<Option<i32>, LaunchError> {
    match value {
        Some(value) if !(-1000..=1000).contains(&value) => {
            Err(invalid(format!("oomScoreAdj {value}: range is [-1000, 1000]")))
        }
        other => Ok(other),
    }
}

fn io_priority(process: &Process) -> Result<Option<(u8, u16)>, LaunchError> {
    let Some(wanted) = &process.io_priority else { return Ok(None) };
    let class = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(invalid(format!("invalid ioPriority.class {other:?}"))),
    };
    match u16::try_from(wanted.priority) {
        Ok(level @ 0..=7) => Ok(Some((class, level))),
        _ => Err(invalid(format!("invalid ioPriority.priority {}", wanted.priority))),
    }
}

fn scheduler(wanted: &Scheduler) -> Result<sys::Scheduler, LaunchError> {
    let policy = match wanted.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(invalid(format!("invalid scheduler policy {other:?}"))),
    };
    let mut flags = 0;
    for flag in &wanted.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(invalid(format!("invalid scheduler flag {other:?}"))),
        };
    }
    Ok(sys::Scheduler {
        policy,
        flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    })
}

pub(super) fn personality(wanted: Option<&Personality>) -> Result<Option<u32>, LaunchError> {
    let Some(wanted) = wanted else { return Ok(None) };
    if !wanted.flags.is_empty() {
        return Err(invalid("linux.personality.flags is not supported"));
    }
    match wanted.domain.as_str() {
        "LINUX" => Ok(Some(0x0000)),
        "LINUX32" => Ok(Some(0x0008)),
        other => Err(invalid(format!("invalid personality domain {other:?}"))),
    }
}

/// A profile that is asked for on a host without AppArmor is an error, except the names that mean
/// "whatever is usual here".
fn apparmor(profile: &str, facts: &HostFacts) -> Result<Option<String>, LaunchError> {
    match profile {
        "" => Ok(None),
        profile if facts.apparmor => Ok(Some(profile.to_owned())),
        "unconfined" | "docker-default" | "skiff-default" => Ok(None),
        profile => Err(invalid(format!(
            "apparmor profile {profile:?} specified in the config, but apparmor is not enabled in the system"
        ))),
    }
}

fn selinux(label: &str, facts: &HostFacts) -> Result<Option<String>, LaunchError> {
    match label {
        "" => Ok(None),
        label if facts.selinux => Ok(Some(label.to_owned())),
        _ => Err(invalid(
            "selinux label is specified in config, but selinux is disabled or not supported",
        )),
    }
}

/// Compiles the filter of a specification.
pub fn compile_seccomp(profile: Option<&Seccomp>) -> Result<Option<SeccompPlan>, LaunchError> {
    let Some(profile) = profile else { return Ok(None) };
    let filter = seccomp::compile(profile).map_err(|error| invalid(format!("seccomp: {error}")))?;
    if filter.notify && profile.listener_path.is_empty() {
        return Err(invalid("listenerPath must be set when the SCMP_ACT_NOTIFY action is used"));
    }
    let agent = filter.notify.then(|| SeccompAgent {
        path: PathBuf::from(&profile.listener_path),
        metadata: profile.listener_metadata.clone(),
    });
    Ok(Some(SeccompPlan { program: filter.program, flags: filter.flags, agent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let env: Vec<String> = ["A=1", "B=2", "A=3", "C"].map(str::to_owned).into();
        assert_eq!(unique(&env), ["A=3", "B=2", "C"]);
    }

    #[test]
    fn unknown_capabilities_are_errors_and_new_ones_are_left_out() {
        let sets = |names: &[&str]| Capabilities {
            effective: names.iter().map(|&name| name.to_owned()).collect(),
            ..Capabilities::default()
        };
        assert_eq!(capabilities(&sets(&["CAP_BPF", "CAP_CHOWN"]), 37).unwrap().effective, 1);
        assert_eq!(capabilities(&sets(&["CAP_BPF"]), 40).unwrap().effective, 1 << 39);
        assert!(capabilities(&sets(&["CAP_NOPE"]), 40).is_err());
    }
}
