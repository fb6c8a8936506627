//! Which control group hierarchies the host has, and where.
//!
//! Read once for each process from `/proc/self/mountinfo` and `/proc/self/cgroup`; the keeper calls
//! [`host_layout`] before it forks, so that no monitor pays for it. Both files are parsed by pure
//! functions, and every operation of this module takes a `Layout`, so that tests run on made-up
//! trees.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::error::{CgroupError, Result};

/// A v1 controller, or the named hierarchy that systemd tracks services with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Devices,
    Freezer,
    Blkio,
    Pids,
    Hugetlb,
    NetCls,
    NetPrio,
    PerfEvent,
    Rdma,
    Misc,
    /// `name=systemd`.
    Systemd,
}

impl Controller {
    /// Every controller, with the name that `/proc/self/cgroup` gives it.
    const NAMES: [(&'static str, Controller); 15] = [
        ("cpu", Controller::Cpu),
        ("cpuacct", Controller::Cpuacct),
        ("cpuset", Controller::Cpuset),
        ("memory", Controller::Memory),
        ("devices", Controller::Devices),
        ("freezer", Controller::Freezer),
        ("blkio", Controller::Blkio),
        ("pids", Controller::Pids),
        ("hugetlb", Controller::Hugetlb),
        ("net_cls", Controller::NetCls),
        ("net_prio", Controller::NetPrio),
        ("perf_event", Controller::PerfEvent),
        ("rdma", Controller::Rdma),
        ("misc", Controller::Misc),
        ("name=systemd", Controller::Systemd),
    ];

    fn from_name(name: &str) -> Option<Controller> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|&(_, controller)| controller)
    }

    /// The kernel's name for it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |&(name, _)| name)
    }
}

/// How the host mounts control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayoutMode {
    /// One cgroup2 tree with all controllers.
    Unified,
    /// v1 hierarchies only.
    Legacy,
    /// v1 hierarchies with the controllers, and a cgroup2 tree beside them.
    Hybrid,
}

/// One mounted v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Several when they are mounted together, as `cpu,cpuacct` often is.
    pub controllers: Vec<Controller>,
    pub mount_point: PathBuf,
    /// The directory of this process in it.
    pub own: PathBuf,
}

/// The host's control group mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub mode: LayoutMode,
    /// Empty on a unified host. The order is that of creation, and of entering.
    pub hierarchies: Vec<Hierarchy>,
    /// Where cgroup2 is mounted; on a hybrid host it has no controllers we use.
    pub unified: Option<PathBuf>,
    /// The directory of this process in cgroup2.
    pub unified_own: Option<PathBuf>,
}

/// Returns the layout of this host, read at the first call.
pub fn host_layout() -> Result<&'static Layout> {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    if let Some(layout) = LAYOUT.get() {
        return Ok(layout);
    }
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map_err(|source| CgroupError::Read { path: path.into(), source })
    };
    let layout = Layout::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
    Ok(LAYOUT.get_or_init(|| layout))
}

impl Layout {
    /// Makes the layout from the text of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub fn parse(mountinfo: &str, own_cgroups: &str) -> Result<Layout> {
        let mut layout = Layout {
            mode: LayoutMode::Unified,
            hierarchies: Vec::new(),
            unified: None,
            unified_own: None,
        };
        for mount in mountinfo.lines().filter_map(parse_mount) {
            if mount.kind == "cgroup2" {
                if layout.unified.is_none() {
                    let own = own_path(own_cgroups, None);
                    layout.unified_own = Some(below_mount(&mount, own));
                    layout.unified = Some(mount.mount_point);
                }
                continue;
            }
            let controllers: Vec<Controller> =
                mount.options.split(',').filter_map(Controller::from_name).collect();
            let known =
                |c: &Controller| layout.hierarchies.iter().any(|h| h.controllers.contains(c));
            // A second mount of a hierarchy (a container's, say) is the same tree once more.
            if let Some(first) = controllers.first().filter(|c| !known(c)) {
                let own = below_mount(&mount, own_path(own_cgroups, Some(*first)));
                layout.hierarchies.push(Hierarchy {
                    controllers,
                    mount_point: mount.mount_point,
                    own,
                });
            }
        }
        // Entering the freezer last lets a process that joins a paused container get this far in
        // all the others.
        layout.hierarchies.sort_by_key(|h| h.controllers.contains(&Controller::Freezer));
        let has_controllers =
            layout.hierarchies.iter().any(|h| h.controllers != [Controller::Systemd]);
        layout.mode = match (has_controllers, layout.unified.is_some()) {
            (true, true) => LayoutMode::Hybrid,
            (true, false) => LayoutMode::Legacy,
            (false, true) => LayoutMode::Unified,
            (false, false) => return Err(CgroupError::NoCgroups),
        };
        Ok(layout)
    }

    /// Returns the hierarchy a controller is in.
    pub fn hierarchy(&self, controller: Controller) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.controllers.contains(&controller))
    }
}

struct MountLine<'a> {
    root: String,
    mount_point: PathBuf,
    kind: &'a str,
    options: &'a str,
}

/// Parses a line of mountinfo (proc_pid_mountinfo(5)) if it is a control group mount.
fn parse_mount(line: &str) -> Option<MountLine<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let kind = after.next()?;
    if kind != "cgroup" && kind != "cgroup2" {
        return None;
    }
    let options = after.nth(1)?;
    let mut before = before.split(' ').skip(3);
    let root = unescape(before.next()?);
    let mount_point = PathBuf::from(unescape(before.next()?));
    Some(MountLine { root, mount_point, kind, options })
}

/// Undoes the octal escapes of mountinfo (space, tab, newline, backslash).
fn unescape(field: &str) -> String {
    if !field.contains('\\') {
        return field.to_owned();
    }
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Finds the path in `/proc/self/cgroup` for a controller, or for cgroup2 with `None`.
fn own_path(own_cgroups: &str, controller: Option<Controller>) -> &str {
    for line in own_cgroups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(path)) = (fields.next(), fields.next()) else { continue };
        let found = match controller {
            None => names.is_empty(),
            Some(controller) => names.split(',').any(|name| name == controller.name()),
        };
        if found {
            return path;
        }
    }
    "/"
}

/// Joins a path of `/proc/self/cgroup` to its mount. Inside a container the mount shows a subtree,
/// and paths are given either from the hierarchy's root or (cgroup namespace) from the subtree.
fn below_mount(mount: &MountLine<'_>, own: &str) -> PathBuf {
    let own = Path::new(own);
    let inside = own.strip_prefix(&mount.root).or_else(|_| own.strip_prefix("/"));
    match inside {
        Ok(inside) if !inside.as_os_str().is_empty() && !own.starts_with("/..") => {
            mount.mount_point.join(inside)
        }
        _ => mount.mount_point.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
36 31 0:33 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 31 0:32 / /other/memory rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn hybrid_hosts_keep_v1_controllers_and_the_freezer_comes_last() {
        let own = "4:memory:/user/a\n2:cpu,cpuacct:/\n1:name=systemd:/x\n0::/u\n";
        let layout = Layout::parse(HYBRID, own).unwrap();
        assert_eq!(layout.mode, LayoutMode::Hybrid);
        assert_eq!(layout.unified.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert_eq!(layout.unified_own.as_deref(), Some(Path::new("/sys/fs/cgroup/unified/u")));
        assert_eq!(layout.hierarchies.len(), 4);
        assert_eq!(layout.hierarchies[3].controllers, [Controller::Freezer]);
        let memory = layout.hierarchy(Controller::Memory).unwrap();
        assert_eq!(memory.mount_point, Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(memory.own, Path::new("/sys/fs/cgroup/memory/user/a"));
        let cpu = layout.hierarchy(Controller::Cpuacct).unwrap();
        assert_eq!(cpu.controllers, [Controller::Cpu, Controller::Cpuacct]);
    }

    #[test]
    fn a_single_cgroup2_mount_is_unified() {
        let layout = Layout::parse(
            "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::/init.scope\n",
        )
        .unwrap();
        assert_eq!(layout.mode, LayoutMode::Unified);
        assert_eq!(layout.unified_own.as_deref(), Some(Path::new("/sys/fs/cgroup/init.scope")));
    }

    #[test]
    fn own_directories_are_found_inside_a_container() {
        let line = "1 0 0:3 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for (own, expect) in [
            ("3:memory:/docker/abc\n", "/sys/fs/cgroup/memory"),
            ("3:memory:/docker/abc/child\n", "/sys/fs/cgroup/memory/child"),
            ("3:memory:/\n", "/sys/fs/cgroup/memory"),
            ("3:memory:/../x\n", "/sys/fs/cgroup/memory"),
            ("", "/sys/fs/cgroup/memory"),
        ] {
            let layout = Layout::parse(line, own).unwrap();
            assert_eq!(layout.hierarchies[0].own, Path::new(expect), "{own:?}");
            assert_eq!(layout.mode, LayoutMode::Legacy);
        }
    }

    #[test]
    fn a_host_without_control_groups_is_an_error() {
        assert!(Layout::parse("1 0 0:3 / / rw - ext4 /dev/vda rw\n", "").is_err());
    }

    #[test]
    fn escaped_mount_points_are_decoded() {
        assert_eq!(unescape("/a\\040b\\134040"), "/a b\\040");
    }
}
