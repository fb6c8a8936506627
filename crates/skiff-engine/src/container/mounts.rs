//! What a container wants mounted, from all the places a request says it: `--mount`, `-v`,
//! `--tmpfs`, `--volumes-from`, and the image's volumes. Volumes are made here and held until the
//! container is registered; nothing is mounted yet.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use skiff_api::{Config, HostConfig, Mount, MountPoint, VolumeCreateRequest};
use skiff_model::shortform::{VolumeKind, parse_volume};

use super::record::{MountedImage, Paths, ReadOnly, ResolvedMount};
use crate::Core;
use crate::error::{Error, Kind, Result};
use crate::volume::{self, Held};

/// Mounts with the volumes they need.
#[derive(Default)]
pub(super) struct Resolved {
    pub mounts: Vec<ResolvedMount>,
    /// Kept from being removed until the container's record names them.
    pub held: Vec<Held>,
    pub held_images: Vec<crate::image::Resolved>,
}

/// Resolves all mounts of a request. `existing` volumes and checks come before anything is made.
pub(super) fn resolve(core: &Core, config: &Config, host: &HostConfig) -> Result<Resolved> {
    let mut wanted = Wanted::default();
    for text in host.volumes_from.iter() {
        wanted.take_from(core, text)?;
    }
    for text in host.binds.iter() {
        wanted.add(bind_or_volume(text, &host.volume_driver)?)?;
    }
    for mount in host.mounts.iter() {
        wanted.add(long_form(mount)?)?;
    }
    for (path, options) in host.tmpfs.iter() {
        wanted.add(tmpfs(path, options)?)?;
    }
    for path in config.volumes.keys() {
        let target = destination(path, path)?;
        if !wanted.targets.contains(&target) {
            wanted.add(anonymous(target))?;
        }
    }
    let mut resolved = Resolved::default();
    for (mut mount, request) in wanted.list {
        if mount.point.kind == "image" && mount.image.is_none() {
            let image = image(core, &mount.point.name)?;
            mount.image =
                Some(MountedImage { id: image.id().to_string(), layers: image.chain_ids() });
            resolved.held_images.push(image);
        }
        if let Some(request) = request {
            let held = volume::hold(core, &request)?;
            mount.point.name.clone_from(&held.name);
            mount.point.source = held.data.to_string_lossy().into_owned();
            mount.source = below_volume(&held.data, &mount.subpath);
            // A volume somebody already uses is not filled again.
            mount.copy_up &= mount.subpath.is_empty();
            resolved.held.push(held);
        }
        resolved.mounts.push(mount);
    }
    Ok(resolved)
}

/// The image that a mount names.
fn image(core: &Core, name: &str) -> Result<crate::image::Resolved> {
    // The request is wrong: of a 404 clients think that the container's image is missing.
    crate::image::resolve_for(core, name, None)
        .map_err(|error| error.with_kind(Kind::InvalidArgument))
}

/// Says where the images are mounted that the mounts show, which are the container's own.
pub(super) fn place_images(mounts: &mut [ResolvedMount], paths: &Paths) {
    for (number, mount) in mounts.iter_mut().enumerate().filter(|(_, it)| it.image.is_some()) {
        mount.source = paths.image(number);
        mount.point.source = mount.source.to_string_lossy().into_owned();
    }
}

fn below_volume(data: &Path, subpath: &str) -> PathBuf {
    if subpath.is_empty() { data.to_owned() } else { data.join(subpath) }
}

/// A mount, and the volume to make for it.
type One = (ResolvedMount, Option<VolumeCreateRequest>);

#[derive(Default)]
struct Wanted {
    list: Vec<One>,
    targets: BTreeSet<String>,
}

impl Wanted {
    fn add(&mut self, one: One) -> Result<()> {
        let target = one.0.point.destination.clone();
        if !self.targets.insert(target.clone()) {
            // What `--volumes-from` brought may be replaced.
            let inherited = self.list.iter().position(|(mount, request)| {
                mount.point.destination == target && request.is_none() && mount.inherited()
            });
            match inherited {
                Some(at) => drop(self.list.remove(at)),
                None => return Err(Error::invalid(format!("Duplicate mount point: {target}"))),
            }
        }
        self.list.push(one);
        Ok(())
    }

    /// `container[:ro|rw]`: its binds and volumes.
    fn take_from(&mut self, core: &Core, text: &str) -> Result<()> {
        let (name, mode) = text.split_once(':').unwrap_or((text, "rw"));
        if !matches!(mode, "ro" | "rw" | "z" | "Z") {
            return Err(Error::invalid(format!("invalid mode for volumes-from: {mode}")));
        }
        // The request is wrong: of a 404 clients think that the image is missing, and pull it.
        let from = core.containers.get(name);
        let from = from.map_err(|error| error.with_kind(Kind::InvalidArgument))?;
        let view = from.view();
        for mount in view.record.mounts.iter().filter(|mount| mount.point.kind != "tmpfs") {
            let mut mount = mount.clone();
            if mode == "ro" {
                mount.point.rw = false;
                mount.read_only = ReadOnly::Recursive;
            }
            mount.anonymous = false;
            mount.copy_up = false;
            let target = mount.point.destination.clone();
            if self.targets.insert(target) {
                // The volume exists and the other container holds it by naming it.
                self.list.push((mount, None));
            }
        }
        Ok(())
    }
}

impl ResolvedMount {
    /// Taken over from another container.
    fn inherited(&self) -> bool {
        self.point.kind == "volume" && !self.point.name.is_empty()
    }
}

/// Checks and cleans the path of a mount in the container.
fn destination(path: &str, spec: &str) -> Result<String> {
    let invalid =
        |why: String| Error::invalid(format!("invalid volume specification: '{spec}': {why}"));
    if !path.starts_with('/') {
        return Err(invalid(format!("invalid mount path: '{path}' mount path must be absolute")));
    }
    if path.contains('\0') {
        return Err(invalid("invalid mount path: it contains a NUL character".to_owned()));
    }
    match clean(path) {
        root if root == "/" => {
            Err(invalid("invalid specification: destination can't be '/'".to_owned()))
        }
        path => Ok(path),
    }
}

/// Go's `path.Clean` for an absolute path.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", parts.join("/"))
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// `-v`.
fn bind_or_volume(text: &str, driver: &str) -> Result<One> {
    let spec = parse_volume(text).map_err(|error| Error::invalid(error.to_string()))?;
    let target = destination(&spec.target, text)?;
    let mut mount = ResolvedMount {
        point: MountPoint { destination: target, rw: true, ..MountPoint::default() },
        ..ResolvedMount::default()
    };
    let mut no_copy = false;
    for option in &spec.options {
        match option.as_str() {
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "default" => {}
            "ro" => {
                mount.point.rw = false;
                mount.read_only = ReadOnly::Recursive;
            }
            "nocopy" if spec.kind != VolumeKind::Bind => no_copy = true,
            option if PROPAGATIONS.contains(&option) && spec.source.starts_with('/') => {
                option.clone_into(&mut mount.point.propagation);
            }
            _ => return Err(Error::invalid(format!("invalid mode: {}", spec.options.join(",")))),
        }
    }
    mount.point.mode = spec.options.join(",");
    if spec.source.starts_with('/') {
        let source = clean(&spec.source);
        mount.point.kind = "bind".to_owned();
        mount.point.source.clone_from(&source);
        mount.source = PathBuf::from(source);
        mount.create_source = true;
        if mount.point.propagation.is_empty() {
            mount.point.propagation = "rprivate".to_owned();
        }
        return Ok((mount, None));
    }
    mount.point.kind = "volume".to_owned();
    mount.point.driver = "local".to_owned();
    mount.anonymous = spec.source.is_empty();
    mount.copy_up = !no_copy;
    if mount.point.mode.is_empty() {
        mount.point.mode = "z".to_owned();
    }
    let request = VolumeCreateRequest {
        name: spec.source,
        driver: driver.to_owned(),
        ..VolumeCreateRequest::default()
    };
    Ok((mount, Some(request)))
}

/// A volume that the image declares.
fn anonymous(target: String) -> One {
    let mount = ResolvedMount {
        point: MountPoint {
            kind: "volume".to_owned(),
            destination: target,
            driver: "local".to_owned(),
            rw: true,
            ..MountPoint::default()
        },
        anonymous: true,
        copy_up: true,
        ..ResolvedMount::default()
    };
    (mount, Some(VolumeCreateRequest::default()))
}

fn tmpfs_target(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    destination(path, path).map_err(|error| match clean(path).as_str() {
        "/" => Error::invalid("invalid specification: destination can't be '/'"),
        _ => error,
    })
}

/// `--tmpfs path[:options]`. These are not among the container's mount points, as with Docker.
fn tmpfs(path: &str, options: &str) -> Result<One> {
    let target = tmpfs_target(path)?;
    let options: Vec<String> = options.split_terminator(',').map(str::to_owned).collect();
    // Docker reads them from the last to the first.
    for option in options.iter().rev() {
        check_tmpfs_option(option)?;
    }
    let mount = ResolvedMount {
        point: MountPoint {
            kind: "tmpfs".to_owned(),
            destination: target,
            rw: !options.iter().any(|option| option == "ro"),
            ..MountPoint::default()
        },
        tmpfs_options: options,
        ..ResolvedMount::default()
    };
    Ok((mount, None))
}

const TMPFS_FLAGS: [&str; 24] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "relatime",
    "norelatime",
    "strictatime",
];

fn check_tmpfs_option(option: &str) -> Result<()> {
    let known = match option.split_once('=') {
        Some((key, _)) => {
            matches!(key, "mode" | "size" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol")
        }
        None => TMPFS_FLAGS.contains(&option) || PROPAGATIONS.contains(&option),
    };
    if known {
        return Ok(());
    }
    // Go's form of a list: the name, and the value if there is one.
    let words = option.splitn(2, '=').map(|word| format!("{word:?}")).collect::<Vec<_>>();
    Err(Error::invalid(format!("invalid tmpfs option [{}]", words.join(" "))))
}

/// `--mount`.
fn long_form(mount: &Mount) -> Result<One> {
    let kind = mount.kind.as_str();
    let invalid =
        |why: String| Error::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    if !matches!(kind, "bind" | "volume" | "tmpfs" | "image") {
        return match kind {
            "cluster" | "npipe" => Err(Error::not_implemented(format!(
                "mounts of type \"{kind}\" are not supported by this version"
            ))),
            _ => Err(invalid("mount type unknown".to_owned())),
        };
    }
    if mount.target.is_empty() {
        return Err(invalid("field Target must not be empty".to_owned()));
    }
    if !mount.target.starts_with('/') {
        return Err(invalid(format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.target
        )));
    }
    let target = clean(&mount.target);
    if target == "/" {
        return Err(invalid("invalid specification: destination can't be '/'".to_owned()));
    }
    let foreign = [
        ("bind", mount.bind_options.is_some(), "BindOptions"),
        ("volume", mount.volume_options.is_some(), "VolumeOptions"),
        ("tmpfs", mount.tmpfs_options.is_some(), "TmpfsOptions"),
        ("image", mount.image_options.is_some(), "ImageOptions"),
    ];
    if let Some((_, _, field)) = foreign.iter().find(|(of, set, _)| *set && *of != kind) {
        return Err(invalid(format!("field {field} must not be specified")));
    }
    let base = ResolvedMount {
        point: MountPoint {
            kind: kind.to_owned(),
            destination: target,
            rw: !mount.read_only,
            ..MountPoint::default()
        },
        read_only: if mount.read_only { ReadOnly::Recursive } else { ReadOnly::No },
        ..ResolvedMount::default()
    };
    match kind {
        "bind" => long_bind(mount, base).map(|mount| (mount, None)).map_err(invalid),
        "volume" => long_volume(mount, base).map_err(invalid),
        "image" => long_image(mount, base).map(|mount| (mount, None)).map_err(invalid),
        _ => long_tmpfs(mount, base).map(|mount| (mount, None)).map_err(invalid),
    }
}

fn long_bind(mount: &Mount, mut base: ResolvedMount) -> Result<ResolvedMount, String> {
    if mount.source.is_empty() {
        return Err("field Source must not be empty".to_owned());
    }
    if !mount.source.starts_with('/') {
        return Err(format!("invalid mount path: '{}' mount path must be absolute", mount.source));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    let source = clean(&mount.source);
    if !options.create_mountpoint && !Path::new(&source).exists() {
        return Err(format!("bind source path does not exist: {source}"));
    }
    match options.propagation.as_str() {
        "" => base.point.propagation = "rprivate".to_owned(),
        propagation if PROPAGATIONS.contains(&propagation) => {
            base.point.propagation = options.propagation.clone();
        }
        other => return Err(format!("invalid propagation mode: {other}")),
    }
    if options.read_only_non_recursive && options.read_only_force_recursive {
        return Err(
            "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive".to_owned()
        );
    }
    if options.read_only_non_recursive && !mount.read_only {
        return Err(
            "mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive".to_owned()
        );
    }
    if options.read_only_force_recursive {
        if !mount.read_only {
            return Err("mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive"
                .to_owned());
        }
        if base.point.propagation != "rprivate" {
            return Err("mount options conflict: BindOptions.ReadOnlyForceRecursive && \
                        BindOptions.Propagation != MountPropagationRPrivate"
                .to_owned());
        }
        base.read_only = ReadOnly::ForceRecursive;
    }
    if options.read_only_non_recursive {
        base.read_only = ReadOnly::Shallow;
    }
    base.non_recursive = options.non_recursive;
    base.create_source = options.create_mountpoint;
    base.source = PathBuf::from(&source);
    base.point.source = source;
    Ok(base)
}

fn long_volume(mount: &Mount, mut base: ResolvedMount) -> Result<One, String> {
    let options = mount.volume_options.clone().unwrap_or_default();
    if mount.source.is_empty() && mount.read_only {
        return Err("must not set ReadOnly mode when using anonymous volumes".to_owned());
    }
    check_subpath(&options.subpath)?;
    base.anonymous = mount.source.is_empty();
    base.copy_up = !options.no_copy;
    base.subpath = options.subpath;
    base.point.driver = "local".to_owned();
    base.point.mode = "z".to_owned();
    let driver = options.driver_config.unwrap_or_default();
    let request = VolumeCreateRequest {
        name: mount.source.clone(),
        driver: driver.name,
        driver_opts: driver.options,
        labels: options.labels,
    };
    Ok((base, Some(request)))
}

fn check_subpath(subpath: &str) -> Result<(), String> {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    match Path::new(subpath).components().all(inside) {
        true => Ok(()),
        false => Err("subpath must be a relative path within the volume".to_owned()),
    }
}

/// An image's files are for looking at, whatever the request says.
fn long_image(mount: &Mount, mut base: ResolvedMount) -> Result<ResolvedMount, String> {
    if mount.source.is_empty() {
        return Err("field Source must not be empty".to_owned());
    }
    let options = mount.image_options.clone().unwrap_or_default();
    check_subpath(&options.subpath)?;
    base.subpath = options.subpath;
    base.point.name.clone_from(&mount.source);
    base.point.propagation = "rprivate".to_owned();
    base.point.rw = false;
    base.read_only = ReadOnly::Recursive;
    Ok(base)
}

fn long_tmpfs(mount: &Mount, mut base: ResolvedMount) -> Result<ResolvedMount, String> {
    if !mount.source.is_empty() {
        return Err("field Source must not be specified".to_owned());
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    if options.size_bytes < 0 {
        return Err("size must not be negative".to_owned());
    }
    if options.size_bytes > 0 {
        base.tmpfs_options.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        base.tmpfs_options.push(format!("mode={:o}", options.mode));
    }
    for option in options.options.iter() {
        let text = match &option[..] {
            [flag] => flag.clone(),
            [key, value] => format!("{key}={value}"),
            _ => return Err("invalid option array length".to_owned()),
        };
        check_tmpfs_option(&text).map_err(|error| error.to_string())?;
        base.tmpfs_options.push(text);
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_binds_or_volumes() {
        for (text, kind, source, target, rw, propagation) in [
            ("/a:/b", "bind", "/a", "/b", true, "rprivate"),
            ("/a/../c:/b/:ro", "bind", "/c", "/b", false, "rprivate"),
            ("/a:/b:rslave,ro", "bind", "/a", "/b", false, "rslave"),
            ("data:/b:nocopy", "volume", "", "/b", true, ""),
            ("/b", "volume", "", "/b", true, ""),
        ] {
            let (mount, request) = bind_or_volume(text, "").unwrap();
            assert_eq!(mount.point.kind, kind, "{text}");
            assert_eq!(mount.point.source, source, "{text}");
            assert_eq!(mount.point.destination, target, "{text}");
            assert_eq!(mount.point.rw, rw, "{text}");
            assert_eq!(mount.point.propagation, propagation, "{text}");
            assert_eq!(request.is_some(), kind == "volume", "{text}");
        }
    }

    #[test]
    fn wrong_short_forms_are_refused() {
        for (text, message) in [
            ("/a:/b:bad", "invalid mode: bad"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("data:/b:rshared", "invalid mode: rshared"),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount path: 'b' mount path must be \
                 absolute",
            ),
            (
                "/a:/",
                "invalid volume specification: '/a:/': invalid specification: destination can't \
                 be '/'",
            ),
        ] {
            assert_eq!(bind_or_volume(text, "").unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn wrong_long_forms_are_refused_in_dockers_words() {
        let mount = |json: serde_json::Value| serde_json::from_value::<Mount>(json).unwrap();
        for (json, message) in [
            (
                serde_json::json!({"Type": "bind", "Source": "/nope-x", "Target": "/b"}),
                "invalid mount config for type \"bind\": bind source path does not exist: /nope-x",
            ),
            (
                serde_json::json!({"Type": "bind", "Source": "rel", "Target": "/b"}),
                "invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must \
                 be absolute",
            ),
            (
                serde_json::json!({"Type": "bind", "Source": "/tmp", "Target": "/"}),
                "invalid mount config for type \"bind\": invalid specification: destination can't \
                 be '/'",
            ),
            (
                serde_json::json!({"Type": "bind", "Source": "/tmp"}),
                "invalid mount config for type \"bind\": field Target must not be empty",
            ),
            (
                serde_json::json!({"Type": "nope", "Target": "/b"}),
                "invalid mount config for type \"nope\": mount type unknown",
            ),
            (
                serde_json::json!({"Type": "image", "Target": "/b"}),
                "invalid mount config for type \"image\": field Source must not be empty",
            ),
            (
                serde_json::json!({
                    "Type": "image", "Source": "x", "Target": "/b",
                    "ImageOptions": {"Subpath": "../x"}
                }),
                "invalid mount config for type \"image\": subpath must be a relative path within the \
                 volume",
            ),
            (
                serde_json::json!({"Type": "tmpfs", "Target": "/b", "ImageOptions": {}}),
                "invalid mount config for type \"tmpfs\": field ImageOptions must not be specified",
            ),
            (
                serde_json::json!({"Type": "tmpfs", "Target": "/b", "BindOptions": {}}),
                "invalid mount config for type \"tmpfs\": field BindOptions must not be specified",
            ),
            (
                serde_json::json!(
                    {"Type": "tmpfs", "Target": "/b", "TmpfsOptions": {"SizeBytes": -1}}
                ),
                "invalid mount config for type \"tmpfs\": size must not be negative",
            ),
        ] {
            assert_eq!(long_form(&mount(json)).unwrap_err().to_string(), message);
        }
    }
}
