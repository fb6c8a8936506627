//! The network namespace that an idle monitor has ready for its container.
//!
//! Making one takes about as long as all other namespaces together, so it is done before there is
//! a request. It is never one that somebody has used: each idle monitor makes its own, lives in it,
//! and gives it to its one container, or goes back to the host's if that wants another.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use skiff_model::oci::{Namespace, NamespaceKind, Spec};
use skiff_sys::namespace::{NETWORK, join, leave};

/// Being in a fresh network namespace, and the way back.
#[derive(Debug)]
pub(super) struct FreshNetwork {
    host: OwnedFd,
}

impl FreshNetwork {
    /// Moves into a new namespace with its loopback up. `None` where that is not to be had: then
    /// the container's start makes one, or says why it cannot.
    pub(super) fn prepare() -> Option<FreshNetwork> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let host = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty()).ok()?;
        leave(NETWORK).ok()?;
        match skiff_sys::network::loopback_up() {
            Ok(()) => Some(FreshNetwork { host }),
            Err(_) => {
                // The host's is still there to go back to; failing that, a start will fail.
                let _ = join(host.as_fd(), NETWORK);
                None
            }
        }
    }

    /// True if the container takes it; otherwise this process is back in the host's network.
    pub(super) fn offer(self, spec: &Spec) -> std::io::Result<bool> {
        let wanted = wants_its_own(spec);
        if !wanted {
            self.return_home()?;
        }
        Ok(wanted)
    }

    /// Goes back to the host's network: nobody takes this one.
    pub(super) fn return_home(self) -> std::io::Result<()> {
        join(self.host.as_fd(), NETWORK)
    }
}

/// A network that has nothing to do with others, and belongs to the host's users.
fn wants_its_own(spec: &Spec) -> bool {
    let Some(linux) = &spec.linux else { return false };
    let made = |kind: NamespaceKind| linux.namespaces.contains(&Namespace { kind, path: None });
    let users = linux.namespaces.iter().any(|it| it.kind == NamespaceKind::User);
    made(NamespaceKind::Network) && !users
}
