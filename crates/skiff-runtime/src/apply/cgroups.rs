//! The container's view of control groups at `/sys/fs/cgroup`.
//!
//! On v2 it is a cgroup2 mount, rooted by the cgroup namespace. On v1 and hybrid hosts it is a
//! tmpfs in which each hierarchy's directory of the container is bound under the hierarchy's name:
//! with and without a cgroup namespace that shows the container's own groups and no others.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use skiff_sys::mount::{Change, attr, set_attributes};
use skiff_sys::resolve;

use super::mount::{attach, set_readonly};
use super::source::open_bind;
use super::{Setup, file_system};
use crate::cgroup::host_layout;
use crate::failure::{Context, of_kind, reason};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::{MountPlan, Parameter};

/// Parameters of the tmpfs in which the hierarchies are shown side by side.
pub(crate) fn hierarchies_directory() -> Vec<Parameter> {
    vec![file_system::value("source", "tmpfs"), file_system::value("mode", "755")]
}

impl Setup<'_> {
    pub(super) fn mount_cgroups(
        &mut self,
        index: usize,
        plan: &MountPlan,
    ) -> Result<(), LaunchError> {
        if self.cgroup.unified.is_some() {
            return self.mount_v2(plan);
        }
        let ready = self.sources.contexts.remove(&index);
        self.mount_v1(plan, ready)
    }

    fn mount_v2(&self, plan: &MountPlan) -> Result<(), LaunchError> {
        let dir = self.cgroup.unified.as_deref().unwrap_or(Path::new("/sys/fs/cgroup"));
        let target = self.cgroup_target(plan)?;
        let tree = match file_system::make("cgroup2", &[], plan.set) {
            Ok(tree) => tree,
            // Refused in user namespaces without a cgroup namespace of their own.
            Err((error, _)) if matches!(error.raw_os_error(), Some(1 | 16)) => {
                let tree = open_bind(dir, false)?;
                let change = Change { set: plan.set, ..Change::default() };
                set_attributes(tree.as_fd(), &change).context(|| "set mount attributes")?;
                tree
            }
            Err((error, said)) => {
                let text = format!("mount cgroup2: {}{said}", reason(&error));
                return Err(of_kind(LaunchErrorKind::Failed, text));
            }
        };
        attach(&tree, &target)
    }

    fn mount_v1(&self, plan: &MountPlan, ready: Option<OwnedFd>) -> Result<(), LaunchError> {
        let target = self.cgroup_target(plan)?;
        // It is made read-only when it is filled.
        let (parameters, attributes) = (hierarchies_directory(), plan.set & !attr::RDONLY);
        let base = file_system::make_unless_ready(ready, "tmpfs", &parameters, attributes)
            .map_err(|(error, _)| error)
            .context(|| "mount a tmpfs for control groups")?;
        attach(&base, &target)?;
        let layout = host_layout().map_err(|error| {
            of_kind(LaunchErrorKind::Failed, format!("control groups: {error}"))
        })?;
        for group in &self.cgroup.v1 {
            let hierarchy = layout
                .hierarchies
                .iter()
                .find(|hierarchy| hierarchy.controllers == group.controllers);
            let Some(name) = hierarchy.and_then(|hierarchy| hierarchy.mount_point.file_name())
            else {
                continue;
            };
            let step = || format!("show control group {}", group.dir.display());
            mkdirat(&base, name, Mode::from_raw_mode(0o755)).context(step)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = openat(&base, name, flags, Mode::empty()).context(step)?;
            let tree = open_bind(&group.dir, false)?;
            let change = Change { set: plan.set, ..Change::default() };
            set_attributes(tree.as_fd(), &change).context(step)?;
            attach(&tree, &place)?;
            // cpu and cpuacct mounted together are found under either name.
            if name.as_encoded_bytes().contains(&b',') {
                for controller in &group.controllers {
                    symlinkat(name, &base, controller.name()).context(step)?;
                }
            }
        }
        if plan.set & attr::RDONLY != 0 {
            set_readonly(base.as_fd()).context(|| "make the control groups read-only")?;
        }
        Ok(())
    }

    fn cgroup_target(&self, plan: &MountPlan) -> Result<OwnedFd, LaunchError> {
        let path = &plan.destination;
        resolve::ensure_dir(self.root.as_fd(), path, Mode::from_raw_mode(0o755))
            .context(|| format!("create mountpoint for {} mount", path.display()))
    }
}
