//! What a start takes long to make and nearly every container needs alike, made before there is a
//! request: namespaces that the caller lives in meanwhile, and file systems in them.
//!
//! None of it was ever used by anybody: each caller makes its own, and gives it to one container
//! or goes back to where it came from. A container that asks for something else than what is ready
//! gets it made as if nothing were; which of it fits is found by comparing, so a wrong guess here
//! costs time and nothing else.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use skiff_model::oci::Mount;
use skiff_sys::namespace::{IPC, NETWORK, USER, join, leave};

use crate::apply;
use crate::cgroup::host_layout;
use crate::failure::Context;
use crate::launch::LaunchError;
use crate::plan::{self, MountSource, Op, Parameter, Plan};

/// A mount that containers have: destination, type, source, options.
pub type SystemMount = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// The mounts of every container of Docker's, in their order. Its shared memory is [`SHM`].
pub const MOUNTS: [SystemMount; 6] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
];

/// The shared memory that a container has for itself, at its default size.
pub const SHM: SystemMount =
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]);

/// A file system that is mounted nowhere.
#[derive(Debug)]
struct Ready {
    kind: String,
    parameters: Vec<Parameter>,
    context: OwnedFd,
}

impl Ready {
    /// The kind of namespace that it shows; 0 if it shows none.
    fn shows(&self) -> u64 {
        match self.kind.as_str() {
            "sysfs" => NETWORK,
            "mqueue" => IPC,
            _ => 0,
        }
    }
}

/// What nearly every container needs: the mounts above that say nothing of their container, and
/// what the setup adds.
fn usual() -> Vec<(String, Vec<Parameter>)> {
    let tmpfs = || "tmpfs".to_owned();
    let mut usual = vec![(tmpfs(), apply::empty_directory())];
    for (destination, kind, source, options) in MOUNTS.iter().chain([&SHM]) {
        let mount = Mount {
            destination: (*destination).into(),
            kind: (*kind).to_owned(),
            source: (*source).to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Mount::default()
        };
        match plan::plan_mount(&mount, Path::new("/"), None).map(|plan| plan.source) {
            // Only a process of the container can make the one of its process ids.
            Ok(MountSource::New { kind, .. }) if kind == "proc" => {}
            Ok(MountSource::New { kind, parameters, .. }) => usual.push((kind, parameters)),
            Ok(MountSource::Cgroup) => {
                let v1 = host_layout().is_ok_and(|layout| !layout.hierarchies.is_empty());
                usual.extend(v1.then(|| (tmpfs(), apply::hierarchies_directory())));
            }
            Ok(MountSource::Bind { .. }) | Err(_) => {}
        }
    }
    usual
}

/// A namespace that was moved into, and the way back.
#[derive(Debug)]
struct Entered {
    kind: u64,
    home: OwnedFd,
}

impl Entered {
    fn new(kind: u64, path: &str) -> Option<Entered> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open(path, flags, Mode::empty()).ok()?;
        leave(kind).ok()?;
        Some(Entered { kind, home })
    }

    fn return_home(&self) -> Result<(), LaunchError> {
        join(self.home.as_fd(), self.kind).context(|| "return to the host's namespaces")
    }
}

/// What is ready for one container.
#[derive(Debug, Default)]
pub struct Prepared {
    namespaces: Vec<Entered>,
    file_systems: Vec<Ready>,
    /// Of the namespaces that a container has taken.
    taken: u64,
}

impl Prepared {
    /// Moves the calling process into namespaces of its own and makes file systems in them, as far
    /// as all that is to be had: what is missing is made when it is needed, or says then why it
    /// cannot be.
    pub fn make() -> Prepared {
        let mut namespaces = Vec::new();
        namespaces.extend(Entered::new(IPC, "/proc/self/ns/ipc"));
        if let Some(network) = Entered::new(NETWORK, "/proc/self/ns/net") {
            match skiff_sys::network::loopback_up() {
                Ok(()) => namespaces.push(network),
                // The host's is still there to go back to; failing that, a start will fail.
                Err(_) => drop(network.return_home()),
            }
        }
        let make = |(kind, parameters): (String, Vec<Parameter>)| {
            let context = apply::make_context(&kind, &parameters).ok()?;
            Some(Ready { kind, parameters, context })
        };
        let file_systems = usual().into_iter().filter_map(make).collect();
        Prepared { namespaces, file_systems, taken: 0 }
    }

    /// Goes back to the host's namespaces: nobody takes these.
    pub fn return_home(&mut self) -> Result<(), LaunchError> {
        self.namespaces.drain(..).try_for_each(|entered| entered.return_home())
    }

    /// Takes out of the plan what is done already, and goes back to the host's namespaces of the
    /// kinds that the plan has no use for.
    pub(crate) fn offer(&mut self, plan: &mut Plan) -> Result<(), LaunchError> {
        // What belongs to the host's root cannot be given to users of a namespace.
        if plan.namespaces.has_own(USER) {
            return self.return_home();
        }
        let create = &mut plan.namespaces.create;
        for entered in self.namespaces.drain(..) {
            if *create & entered.kind == 0 {
                entered.return_home()?;
            }
            self.taken |= *create & entered.kind;
        }
        *create &= !self.taken;
        if self.taken & NETWORK != 0 {
            plan.ops.retain(|op| !matches!(op, Op::LoopbackUp));
        }
        Ok(())
    }

    /// Gives a file system away that was made like this. Those that show a namespace are the
    /// container's only if the namespace is.
    pub(crate) fn take(&mut self, kind: &str, parameters: &[Parameter]) -> Option<OwnedFd> {
        let fits = |it: &Ready| it.kind == kind && it.parameters == parameters;
        let index = self.file_systems.iter().position(fits)?;
        // Who takes no namespace either has users of its own, or it is not worth while.
        let own = self.taken != 0 && self.file_systems[index].shows() & !self.taken == 0;
        own.then(|| self.file_systems.swap_remove(index).context)
    }
}
