//! `cp`: files between a container and here, as tar archives over the API.
//!
//! Where a copy ends up depends on what is there, as with `cp`: into an existing directory, over a
//! file, or under a new name. [`Placement`] decides it for both directions.

mod pack;
mod unpack;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use skiff_api::PathStat;
use skiff_model::size::human_size_with_precision;

use super::path as container_path;
use crate::client::{Body, Client, Query, Request, Response};
use crate::command::{Arity, Command};
use crate::commands::auth::decode;
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::{Flag, Matches};
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::switch("archive", "Keep owners and groups by number").short('a'),
    Flag::switch("follow-link", "Copy what a symbolic link points to").short('L'),
    Flag::switch("quiet", "Say nothing").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container cp", "cp"],
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary: "Copy files into a container or out of it",
    arity: Arity::Exactly(2),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("Out of a container", "cp web:/etc/nginx/nginx.conf ."),
        ("A tar archive, through a pipe", "cp web:/var/log - | tar t"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let [source, target] = [0, 1].map(|index| split(&flags.args[index]));
    let options = Options { archive: flags.on("archive"), follow: flags.on("follow-link") };
    let (copied, shown) = match (source, target) {
        ((Some(_), _), (Some(_), _)) => {
            return Err(Failure::new("copying between containers is not supported"));
        }
        ((None, _), (None, _)) => {
            return Err(Failure::new("must specify at least one container source"));
        }
        ((Some(container), from), (None, to)) => {
            let copied = copy_out(context.client()?, container, from, to, &options)?;
            (copied, (to != "-").then(|| to.to_owned()))
        }
        ((None, from), (Some(container), to)) => {
            let copied = copy_in(context.client()?, from, container, to, &options)?;
            (copied, (from != "-").then(|| format!("{container}:{to}")))
        }
    };
    // For people only: scripts see the exit code.
    let quiet = flags.on("quiet") || (!flags.is_set("quiet") && !terminal::stdout_is_terminal());
    if let Some(shown) = shown.filter(|_| !quiet) {
        let size = human_size_with_precision(copied as f64, 3);
        tell!("Successfully copied {size} to {shown}");
    }
    Ok(())
}

struct Options {
    archive: bool,
    follow: bool,
}

/// Splits `container:path`; what starts with `/` or `.` is a path here.
fn split(argument: &str) -> (Option<&str>, &str) {
    if argument.starts_with(['/', '.']) {
        return (None, argument);
    }
    match argument.split_once(':') {
        Some((container, path)) => (Some(container), path),
        None => (None, argument),
    }
}

/// Where the archive is unpacked, and what its top is called there (`None`: as it is).
#[derive(Debug, PartialEq, Eq)]
struct Placement {
    directory: String,
    rename: Option<String>,
}

/// What is known about a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Absent,
    File,
    Directory,
}

impl Placement {
    fn decide(source_is_dir: bool, to: &str, target: Target) -> Result<Self, Failure> {
        let wants_directory = to.ends_with('/') || to.ends_with("/.");
        match target {
            Target::Directory => Ok(Self { directory: to.to_owned(), rename: None }),
            Target::File if source_is_dir => Err(Failure::new("cannot copy directory")),
            Target::File if wants_directory => Err(Failure::new("not a directory")),
            Target::Absent if wants_directory && !source_is_dir => {
                Err(Failure::new("no such directory"))
            }
            Target::File | Target::Absent => {
                let trimmed = to.trim_end_matches("/.").trim_end_matches('/');
                let (directory, name) = trimmed.rsplit_once('/').unwrap_or((".", trimmed));
                let directory = if directory.is_empty() { "/" } else { directory };
                Ok(Self { directory: directory.to_owned(), rename: Some(name.to_owned()) })
            }
        }
    }
}

fn archive_query(container: &str, path: &str) -> Query {
    Query::new(container_path(container, "/archive")).add("path", path)
}

/// Asks what a path in a container is.
fn stat(client: &mut Client, container: &str, path: &str) -> Result<Option<PathStat>, Failure> {
    let response = client.exchange(Request::new("HEAD", archive_query(container, path)))?;
    if response.status() == 404 {
        response.finish()?;
        return Ok(None);
    }
    if response.status() >= 400 {
        return Err(response.into_error().into());
    }
    let stat = read_stat(&response)?;
    response.finish()?;
    Ok(Some(stat))
}

fn read_stat(response: &Response) -> Result<PathStat, Failure> {
    response
        .header("x-docker-container-path-stat")
        .and_then(decode)
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Failure::new("the daemon's answer has no path stat"))
}

/// Bits of Go's `os.FileMode`.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;

/// Where a symbolic link in a container leads.
fn link_target(path: &str, stat: &PathStat) -> Option<String> {
    if stat.mode & GO_SYMLINK == 0 || stat.link_target.is_empty() {
        return None;
    }
    if stat.link_target.starts_with('/') {
        return Some(stat.link_target.clone());
    }
    let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    Some(format!("{parent}/{}", stat.link_target))
}

fn absolute_in_container(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn copy_out(
    client: &mut Client,
    container: &str,
    from: &str,
    to: &str,
    options: &Options,
) -> Result<u64, Failure> {
    let mut from = absolute_in_container(from);
    if options.follow
        && let Some(target) =
            stat(client, container, &from)?.and_then(|stat| link_target(&from, &stat))
    {
        from = target;
    }
    let mut response = client.get(archive_query(container, &from))?;
    if to == "-" {
        return Ok(io::copy(&mut response, &mut io::stdout().lock())?);
    }
    let is_dir = read_stat(&response)?.mode & GO_DIRECTORY != 0;
    let placement = Placement::decide(is_dir, to, local_target(to))?;
    let mut counted = Counted { inner: response, count: 0 };
    let root = PathBuf::from(&placement.directory);
    unpack::unpack(&mut counted, &root, placement.rename.as_deref(), options.archive)?;
    // What follows the archive's end belongs to the answer.
    io::copy(&mut counted, &mut io::sink())?;
    Ok(counted.count)
}

fn local_target(path: &str) -> Target {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Target::Directory,
        Ok(_) => Target::File,
        Err(_) => Target::Absent,
    }
}

fn copy_in(
    client: &mut Client,
    from: &str,
    container: &str,
    to: &str,
    options: &Options,
) -> Result<u64, Failure> {
    let mut to = absolute_in_container(to);
    let mut found = stat(client, container, &to)?;
    if let Some(target) = found.as_ref().and_then(|stat| link_target(&to, stat)) {
        found = stat(client, container, &target)?;
        to = target;
    }
    let target = match found {
        Some(stat) if stat.mode & GO_DIRECTORY != 0 => Target::Directory,
        Some(_) => Target::File,
        None => Target::Absent,
    };
    let copied = std::rc::Rc::default();
    let (directory, body) = if from == "-" {
        if target != Target::Directory {
            return Err(Failure::new(format!(
                "destination \"{container}:{to}\" must be a directory"
            )));
        }
        (to, Body::Stream(Box::new(io::stdin())))
    } else {
        let packed = local_source(from, &to, target, options)?;
        let shared: std::rc::Rc<std::cell::Cell<u64>> = std::rc::Rc::clone(&copied);
        (packed.0, Body::Stream(Box::new(Shared { inner: packed.1, count: shared })))
    };
    let query = Query::new(container_path(container, "/archive"))
        .add("path", &directory)
        .add("noOverwriteDirNonDir", "true")
        .add_given("copyUIDGID", if options.archive { "true" } else { "" });
    client.call(Request::new("PUT", query).body("application/x-tar", body))?.finish()?;
    Ok(copied.get())
}

/// The archive of a path here, and where it is to be unpacked.
fn local_source(
    from: &str,
    to: &str,
    target: Target,
    options: &Options,
) -> Result<(String, pack::Packer), Failure> {
    let fail = |error: io::Error| Failure::new(format!("lstat {from}: {}", describe_io(&error)));
    // A trailing slash or dot means what the link points to, as it does everywhere.
    let follow = options.follow || from.ends_with('/') || from.ends_with("/.");
    let path = Path::new(from);
    let metadata = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let metadata = metadata.map_err(fail)?;
    if from.ends_with('/') && !metadata.is_dir() {
        return Err(Failure::new(format!("{from}: not a directory")));
    }
    let placement = Placement::decide(metadata.is_dir(), to, target)?;
    let contents_only = from == "." || from.ends_with("/.");
    let real = if follow { fs::canonicalize(path).map_err(fail)? } else { path.to_owned() };
    let own_name = path.file_name().or(real.file_name()).map(|n| n.to_string_lossy().into_owned());
    let name = match placement.rename {
        Some(name) => name,
        None if contents_only => ".".to_owned(),
        None => own_name.unwrap_or_else(|| ".".to_owned()),
    };
    Ok((placement.directory, pack::Packer::new(real, name)))
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// Counts what is read where somebody else can see it.
struct Shared {
    inner: pack::Packer,
    count: std::rc::Rc<std::cell::Cell<u64>>,
}

impl Read for Shared {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_at_the_container() {
        assert_eq!(split("web:/a"), (Some("web"), "/a"));
        assert_eq!(split("./web:/a"), (None, "./web:/a"));
        assert_eq!(split("/a:b"), (None, "/a:b"));
        assert_eq!(split("file"), (None, "file"));
    }

    #[test]
    fn copies_are_placed_as_cp_does() {
        let place = |dir, to, target| {
            Placement::decide(dir, to, target).map(|p| (p.directory, p.rename)).ok()
        };
        let into = |directory: &str| Some((directory.to_owned(), None));
        let named =
            |directory: &str, name: &str| Some((directory.to_owned(), Some(name.to_owned())));
        assert_eq!(place(false, "/tmp", Target::Directory), into("/tmp"));
        assert_eq!(place(false, "/tmp/x", Target::File), named("/tmp", "x"));
        assert_eq!(place(false, "/x", Target::Absent), named("/", "x"));
        assert_eq!(place(true, "/x/", Target::Absent), named("/", "x"));
        assert_eq!(place(false, "x", Target::Absent), named(".", "x"));
        assert_eq!(place(false, "/x/", Target::Absent), None);
        assert_eq!(place(true, "/x", Target::File), None);
    }
}
