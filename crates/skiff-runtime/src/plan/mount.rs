//! Mounts: from the words of `mounts[].options` to attributes, propagation and parameters.

use std::path::{Component, Path, PathBuf};

use skiff_model::oci::Mount;
use skiff_sys::mount::{attr, propagation};

use super::invalid;
use super::namespace::{IdMaps, map};
use crate::launch::LaunchError;

/// A mount to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPlan {
    /// Inside the container, absolute, without `.` and `..`.
    pub destination: PathBuf,
    /// As in the specification, for messages.
    pub named_source: String,
    pub source: MountSource,
    /// Attributes (`MOUNT_ATTR_*`) of the mount itself, and of all mounts below it.
    pub set: u64,
    pub clear: u64,
    pub set_recursive: u64,
    pub clear_recursive: u64,
    pub propagation: Option<Propagation>,
    /// Becomes read-only only after `/dev` is filled and other mounts found their places in it.
    pub late_readonly: bool,
    /// Ids are shown through this mapping.
    pub idmap: Option<IdmapPlan>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind { path: PathBuf, recursive: bool },
    /// A file system of its own.
    New { kind: String, parameters: Vec<Parameter>, copy_up: bool },
    /// The container's control groups, in the host's layout.
    Cgroup,
}

/// A parameter of a file system: a flag, or a key with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub key: String,
    pub value: Option<String>,
}

/// An id mapping of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdmapPlan {
    pub maps: IdMaps,
    pub recursive: bool,
}

/// A propagation type and whether it goes down the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// One of [`skiff_sys::mount::propagation`].
    pub kind: u64,
    pub recursive: bool,
}

impl Propagation {
    /// `slave` or `rslave`.
    pub fn slave(recursive: bool) -> Self {
        Self { kind: propagation::SLAVE, recursive }
    }

    /// Reads `shared`, `rprivate` and the like.
    pub fn parse(word: &str) -> Option<Self> {
        let (name, recursive) = match word.strip_prefix('r') {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let kind = match name {
            "shared" => propagation::SHARED,
            "slave" => propagation::SLAVE,
            "private" => propagation::PRIVATE,
            "unbindable" => propagation::UNBINDABLE,
            _ => return None,
        };
        Some(Self { kind, recursive })
    }

    /// The same for the whole tree.
    pub fn recursive(self) -> Self {
        Self { recursive: true, ..self }
    }

    /// Private instead of unbindable.
    pub fn unless_unbindable(self) -> Self {
        if self.kind == propagation::UNBINDABLE {
            Self { kind: propagation::PRIVATE, ..self }
        } else {
            self
        }
    }
}

/// Options that are neither attributes nor for the file system.
#[derive(Default)]
struct Words {
    bind: bool,
    recursive_bind: bool,
    copy_up: bool,
    idmap: Option<bool>,
}

pub(crate) fn plan(
    mount: &Mount,
    bundle: &Path,
    label: Option<&str>,
) -> Result<MountPlan, LaunchError> {
    let destination = clean(&mount.destination);
    let name = destination.display().to_string();
    if destination == Path::new("/") {
        return Err(invalid("mount destination can't be '/'"));
    }
    let mut plan = MountPlan {
        destination,
        named_source: mount.source.clone(),
        source: MountSource::Cgroup,
        set: 0,
        clear: 0,
        set_recursive: 0,
        clear_recursive: 0,
        propagation: None,
        late_readonly: false,
        idmap: None,
    };
    let mut words = Words::default();
    let mut parameters = Vec::new();
    for option in mount.options.iter().flat_map(|option| option.split(',')) {
        if !apply_word(option, &mut plan, &mut words) && !option.is_empty() {
            let (key, value) = match option.split_once('=') {
                Some((key, value)) => (key, Some(value.to_owned())),
                None => (option, None),
            };
            parameters.push(Parameter { key: key.to_owned(), value });
        }
    }
    let bind = words.bind || words.recursive_bind || mount.kind == "bind";
    plan.source = if bind {
        if mount.source.is_empty() {
            return Err(invalid(format!("mount {name}: a bind needs a source")));
        }
        MountSource::Bind { path: bundle.join(&mount.source), recursive: words.recursive_bind }
    } else if mount.kind == "cgroup" || mount.kind == "cgroup2" {
        MountSource::Cgroup
    } else {
        new_file_system(mount, parameters, label, &words, &name)?
    };
    if !bind {
        // A new mount is its own whole tree.
        plan.set |= std::mem::take(&mut plan.set_recursive);
        plan.clear |= std::mem::take(&mut plan.clear_recursive);
    }
    // What others are still to be mounted on, or filled into, cannot be read-only yet.
    let fills = matches!(&plan.source, MountSource::New { kind, .. } if kind == "tmpfs");
    if fills && plan.set & attr::RDONLY != 0 {
        plan.set &= !attr::RDONLY;
        plan.late_readonly = true;
    }
    plan.idmap = idmap(mount, &words, bind, &name)?;
    Ok(plan)
}

fn new_file_system(
    mount: &Mount,
    mut parameters: Vec<Parameter>,
    label: Option<&str>,
    words: &Words,
    name: &str,
) -> Result<MountSource, LaunchError> {
    if mount.kind.is_empty() {
        return Err(invalid(format!("mount {name}: the type is missing")));
    }
    if !mount.source.is_empty() {
        let value = Some(mount.source.clone());
        parameters.insert(0, Parameter { key: "source".into(), value });
    }
    // procfs and sysfs are labelled by the policy itself.
    if let Some(label) = label.filter(|_| !matches!(mount.kind.as_str(), "proc" | "sysfs")) {
        parameters.push(Parameter { key: "context".into(), value: Some(label.to_owned()) });
    }
    Ok(MountSource::New { kind: mount.kind.clone(), parameters, copy_up: words.copy_up })
}

fn idmap(
    mount: &Mount,
    words: &Words,
    bind: bool,
    name: &str,
) -> Result<Option<IdmapPlan>, LaunchError> {
    let mapped = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if !mapped {
        return match words.idmap {
            Some(_) => {
                Err(invalid(format!("mount {name}: idmap without uidMappings and gidMappings")))
            }
            None => Ok(None),
        };
    }
    if !bind || mount.uid_mappings.is_empty() || mount.gid_mappings.is_empty() {
        return Err(invalid(format!("mount {name}: id mappings need both kinds, and a bind")));
    }
    Ok(Some(IdmapPlan {
        maps: IdMaps { uid: map(&mount.uid_mappings), gid: map(&mount.gid_mappings) },
        recursive: words.idmap == Some(true),
    }))
}

/// Applies an option that is not the file system's own. Later ones win over earlier ones.
fn apply_word(word: &str, plan: &mut MountPlan, words: &mut Words) -> bool {
    if let Some(found) = Propagation::parse(word) {
        plan.propagation = Some(found);
        return true;
    }
    match word {
        "defaults" | "rw" | "suid" | "dev" | "exec" | "async" | "atime" | "diratime"
        | "relatime" | "norelatime" | "nostrictatime" | "symfollow" | "nomand" | "mand" | "ro"
        | "nosuid" | "nodev" | "noexec" | "noatime" | "nodiratime" | "strictatime"
        | "nosymfollow" => {
            attribute(word, &mut plan.set, &mut plan.clear);
            true
        }
        // Of mount(2)'s own interface; they say nothing that lasts.
        "remount" | "loud" | "silent" | "iversion" | "noiversion" | "nolazytime" => true,
        "bind" => mark(&mut words.bind),
        "rbind" => mark(&mut words.recursive_bind),
        "tmpcopyup" => mark(&mut words.copy_up),
        "idmap" => {
            words.idmap = Some(false);
            true
        }
        "ridmap" => {
            words.idmap = Some(true);
            true
        }
        _ => match word.strip_prefix('r') {
            Some(
                rest @ ("ro" | "rw" | "nosuid" | "suid" | "nodev" | "dev" | "noexec" | "exec"
                | "noatime" | "atime" | "nodiratime" | "diratime" | "relatime"
                | "norelatime" | "strictatime" | "nostrictatime" | "nosymfollow"
                | "symfollow"),
            ) => {
                attribute(rest, &mut plan.set_recursive, &mut plan.clear_recursive);
                true
            }
            _ => false,
        },
    }
}

fn mark(flag: &mut bool) -> bool {
    *flag = true;
    true
}

fn attribute(word: &str, set: &mut u64, clear: &mut u64) {
    let mut put = |bits: u64, on: bool| {
        if on {
            *set |= bits;
            *clear &= !bits;
        } else {
            *set &= !bits;
            *clear |= bits;
        }
    };
    match word {
        "ro" => put(attr::RDONLY, true),
        "rw" => put(attr::RDONLY, false),
        "nosuid" => put(attr::NOSUID, true),
        "suid" => put(attr::NOSUID, false),
        "nodev" => put(attr::NODEV, true),
        "dev" => put(attr::NODEV, false),
        "noexec" => put(attr::NOEXEC, true),
        "exec" => put(attr::NOEXEC, false),
        "nodiratime" => put(attr::NODIRATIME, true),
        "diratime" => put(attr::NODIRATIME, false),
        "nosymfollow" => put(attr::NOSYMFOLLOW, true),
        "symfollow" => put(attr::NOSYMFOLLOW, false),
        // One field of three values: it is cleared as a whole before one is set.
        "noatime" | "strictatime" | "atime" | "relatime" | "norelatime" | "nostrictatime" => {
            put(attr::ATIME, false);
            match word {
                "noatime" => *set |= attr::NOATIME,
                "strictatime" => *set |= attr::STRICTATIME,
                _ => {}
            }
        }
        // `defaults`, and sync or mand, which are not attributes of a mount.
        _ => {}
    }
}

/// Makes a path absolute and takes `.`, `..` and double slashes out of it.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(kind: &str, source: &str, options: &[&str]) -> MountPlan {
        let mount = Mount {
            destination: "/a/../mnt".into(),
            kind: kind.into(),
            source: source.into(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            ..Mount::default()
        };
        plan(&mount, Path::new("/bundle"), None).unwrap()
    }

    #[test]
    fn binds_take_their_attributes_and_nothing_else() {
        let plan = planned("bind", "data", &["rbind", "ro", "nosuid", "rprivate", "rro"]);
        assert_eq!(plan.destination, Path::new("/mnt"));
        assert_eq!(plan.source, MountSource::Bind { path: "/bundle/data".into(), recursive: true });
        assert_eq!(plan.set, attr::RDONLY | attr::NOSUID);
        assert_eq!(plan.set_recursive, attr::RDONLY);
        assert_eq!(
            plan.propagation,
            Some(Propagation { kind: propagation::PRIVATE, recursive: true })
        );
    }

    #[test]
    fn the_last_word_wins() {
        let plan = planned("bind", "/x", &["ro", "rw", "noatime", "relatime"]);
        assert_eq!(plan.set, 0);
        assert_eq!(plan.clear, attr::RDONLY | attr::ATIME);
    }

    #[test]
    fn what_is_not_ours_goes_to_the_file_system() {
        let plan = planned("tmpfs", "shm", &["noexec", "mode=1777", "size=65536k", "swap"]);
        let MountSource::New { kind, parameters, .. } = plan.source else { panic!("not new") };
        let text: Vec<_> =
            parameters.iter().map(|p| (p.key.as_str(), p.value.as_deref())).collect();
        assert_eq!(kind, "tmpfs");
        assert_eq!(
            text,
            [
                ("source", Some("shm")),
                ("mode", Some("1777")),
                ("size", Some("65536k")),
                ("swap", None)
            ]
        );
        assert_eq!(plan.set, attr::NOEXEC);
    }

    #[test]
    fn a_read_only_tmpfs_is_filled_first() {
        let plan = planned("tmpfs", "tmpfs", &["ro"]);
        assert!(plan.late_readonly);
        assert_eq!(plan.set, 0);
    }

    #[test]
    fn the_root_is_no_destination() {
        for destination in ["/", "", "/a/..", "//."] {
            let mount = Mount { destination: destination.into(), ..Mount::default() };
            assert!(plan(&mount, Path::new("/"), None).is_err(), "{destination:?}");
        }
    }
}
