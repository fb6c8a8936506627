//! From `linux.cgroupsPath` to directories.

use std::path::{Component, Path, PathBuf};

use super::error::{CgroupError, Result};
use super::layout::{Layout, LayoutMode};
use super::{CgroupConfig, CgroupPaths, Controller, ControllerDir};

/// Resolves the path of a group that we make ourselves.
pub(super) fn resolve(layout: &Layout, config: &CgroupConfig) -> Result<CgroupPaths> {
    let requested = if config.path.is_empty() { &config.id } else { &config.path };
    let (absolute, inside) = clean(requested)?;
    Ok(in_hierarchies(layout, absolute, &inside))
}

/// Places a path, cleaned before, in every hierarchy.
pub(super) fn in_hierarchies(layout: &Layout, absolute: bool, inside: &Path) -> CgroupPaths {
    if let (LayoutMode::Unified, Some(root)) = (layout.mode, &layout.unified) {
        let own = layout.unified_own.as_ref().unwrap_or(root);
        let base = if absolute { root } else { own };
        return CgroupPaths { unified: Some(base.join(inside)), ..CgroupPaths::default() };
    }
    let v1 = layout
        .hierarchies
        .iter()
        .map(|hierarchy| {
            let base = if absolute { &hierarchy.mount_point } else { &hierarchy.own };
            ControllerDir { controllers: hierarchy.controllers.clone(), dir: base.join(inside) }
        })
        .collect();
    CgroupPaths { v1, ..CgroupPaths::default() }
}

/// Finds the groups of a process's `/proc/PID/cgroup` that are a container's own: its id is in the
/// name of each.
pub(super) fn of_process(layout: &Layout, table: &str, id: &str) -> CgroupPaths {
    let mut paths = CgroupPaths::default();
    for line in table.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if !path.contains(id) {
            continue;
        }
        let inside = path.trim_start_matches('/');
        if names.is_empty() {
            let dir = layout.unified.as_ref().map(|root| root.join(inside));
            match layout.mode {
                LayoutMode::Unified => paths.unified = dir,
                LayoutMode::Legacy | LayoutMode::Hybrid => paths.tracking = dir,
            }
            continue;
        }
        let is_named =
            |controller: &Controller| names.split(',').any(|name| name == controller.name());
        let found =
            layout.hierarchies.iter().find(|hierarchy| hierarchy.controllers.iter().any(is_named));
        if let Some(hierarchy) = found {
            let dir = hierarchy.mount_point.join(inside);
            paths.v1.push(ControllerDir { controllers: hierarchy.controllers.clone(), dir });
        }
    }
    paths
}

/// Splits a path into whether it is absolute and its normal components. A path that leaves its
/// base, or is the base, is refused: removing the container would remove what is not its own.
fn clean(requested: &str) -> Result<(bool, PathBuf)> {
    let invalid = |reason| CgroupError::InvalidPath { path: requested.to_owned(), reason };
    if requested.contains(['\0', '\n']) {
        return Err(invalid("contains a control character"));
    }
    let mut inside = PathBuf::new();
    let mut absolute = false;
    for component in Path::new(requested).components() {
        match component {
            Component::RootDir => absolute = true,
            Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(invalid("must not contain \"..\""));
            }
        }
    }
    if inside.as_os_str().is_empty() {
        return Err(invalid("names the root"));
    }
    Ok((absolute, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_own_groups_are_told_from_others() {
        let mounts = "1 0 0:1 / /cg/memory rw - cgroup cgroup rw,memory\n\
                      2 0 0:2 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      3 0 0:3 / /cg/pids rw - cgroup cgroup rw,pids\n\
                      4 0 0:4 / /cg/unified rw - cgroup2 cgroup2 rw\n";
        let hybrid = Layout::parse(mounts, "").unwrap();
        let table = "4:memory:/x/abc\n3:cpu,cpuacct:/x/abc\n2:pids:/\n0::/x/abc\n";
        let paths = of_process(&hybrid, table, "abc");
        let dirs: Vec<_> = paths.v1.iter().map(|dir| dir.dir.as_path()).collect();
        assert_eq!(dirs, [Path::new("/cg/memory/x/abc"), Path::new("/cg/cpu,cpuacct/x/abc")]);
        // Limits are not set there, and it goes with the container all the same.
        assert_eq!(paths.unified, None);
        assert_eq!(paths.tracking.as_deref(), Some(Path::new("/cg/unified/x/abc")));
        assert_eq!(of_process(&hybrid, table, "abd"), CgroupPaths::default());
        let unified = "4 0 0:4 / /cg rw - cgroup2 cgroup2 rw\n";
        let unified = Layout::parse(unified, "0::/\n").unwrap();
        let paths = of_process(&unified, "0::/x/abc\n", "abc");
        assert_eq!(paths.unified.as_deref(), Some(Path::new("/cg/x/abc")));
    }

    #[test]
    fn paths_are_cleaned_and_may_not_leave_their_base() {
        let ok = |path: &str| clean(path).unwrap();
        assert_eq!(ok("/docker/abc"), (true, "docker/abc".into()));
        assert_eq!(ok("//docker/./abc/"), (true, "docker/abc".into()));
        assert_eq!(ok("abc"), (false, "abc".into()));
        for bad in ["/", "", ".", "/a/../b", "..", "a\nb"] {
            assert!(clean(bad).is_err(), "{bad:?}");
        }
    }
}
