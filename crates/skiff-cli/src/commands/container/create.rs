//! `create`: make a container and print its id. `run` uses the same steps.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use skiff_api::{ContainerCreateRequest, CreateResponse};
use skiff_model::platform::Platform;

use super::session::Attachment;
use crate::client::{Client, ClientError, Query, Request, Upgraded};
use crate::command::{Arity, Command};
use crate::commands::image::pull;
use crate::context::{Context, env};
use crate::failure::Failure;
use crate::flags::Matches;
use crate::runopts::{self, CONTAINER_FLAGS};
use crate::stream::Signals;

pub(crate) static COMMAND: Command = Command {
    paths: &["container create", "create"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary: "Make a container without starting it",
    arity: Arity::AtLeast(1),
    flags: &[CONTAINER_FLAGS],
    interspersed: false,
    examples: &[
        ("Make a container now and start it later", "create --name web -p 8080:80 nginx"),
        ("See what was made", "container inspect web"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let request =
        runopts::build(flags).map_err(|error| with_help(context, Failure::new(error), 125))?;
    let made = create(context, flags, &request, None)?;
    say!("{}", made.created.id);
    Ok(())
}

/// Adds the program's name and where to find help, as Docker does for `run` and `create`.
pub(super) fn with_help(context: &Context, failure: Failure, code: u8) -> Failure {
    if failure.message.is_empty() {
        return failure;
    }
    let (program, path) = (context.program, context.path);
    let code = if failure.code == 1 { code } else { failure.code };
    Failure::with_code(
        code,
        format!(
            "{program}: {}\n\nRun '{program} {path} --help' for more information",
            failure.message
        ),
    )
}

/// A container that was made.
pub(super) struct Made {
    pub(super) created: CreateResponse,
    /// Its streams, if they were asked for and the daemon attaches in the same request.
    pub(super) stream: Option<Upgraded>,
    /// Caught from before the container could have been started.
    pub(super) signals: Option<Signals>,
}

/// What else a daemon of ours may do in the request that creates.
pub(super) struct Continuation<'a> {
    pub(super) attachment: &'a Attachment<'a>,
    /// For what end of the container we will wait when it has been started, too.
    pub(super) condition: &'a str,
}

/// Makes the container, pulling its image if need be. `next` is what will be asked for then.
pub(super) fn create(
    context: &mut Context,
    flags: &Matches,
    request: &ContainerCreateRequest,
    next: Option<Continuation<'_>>,
) -> Result<Made, Failure> {
    let policy = flags.text("pull");
    if !matches!(policy, "always" | "missing" | "never") {
        return Err(Failure::new(format!(
            "invalid pull option: '{policy}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let platform = match flags.given("platform") {
        Some(platform) => platform.to_owned(),
        None => env("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
    };
    if !platform.is_empty() {
        platform
            .parse::<Platform>()
            .map_err(|error| Failure::new(format!("error parsing specified platform: {error}")))?;
    }
    let mut id_file = IdFile::open(flags.text("cidfile"))?;
    let image = &request.config.image;
    let quiet = flags.on("quiet");
    if policy == "always" {
        pull::pull_for_run(context, image, &platform, quiet)?;
    }
    let name = flags.text("name").trim_start_matches('/');
    let mut query = Query::new("/containers/create").add_given("name", name);
    // Asked only if it matters: the question costs a round trip.
    if !platform.is_empty() && context.client()?.version()? >= (1, 41) {
        query = query.add_given("platform", &platform);
    }
    // A container may not run before its id is in the file.
    let starts = next.is_some() && id_file.file.is_none();
    let upgrade = next.is_some();
    if let Some(Continuation { attachment, condition }) = next {
        query = attachment.wishes(query.add("attach", "1"));
        query = query.add_given("start", if starts { condition } else { "" });
    }
    let path = query.finish();
    let post = |client: &mut Client| -> Result<_, Failure> {
        let signals = if starts { Some(Signals::catch()?) } else { None };
        let made = post(client, request, &path, upgrade);
        if made.is_ok() {
            return Ok(made.map(|made| Made { signals, ..made }));
        }
        signals.map_or(Ok(()), Signals::release)?;
        Ok(made)
    };
    let mut outcome = post(context.client()?)?;
    if policy == "missing"
        && let Err(ClientError::Answer { status: 404, message }) = &outcome
        && message.contains("No such image")
    {
        if !quiet {
            tell!("Unable to find image '{}' locally", pull::familiar_name(image));
        }
        pull::pull_for_run(context, image, &platform, quiet)?;
        outcome = post(context.client()?)?;
    }
    let made = outcome?;
    for warning in &made.created.warnings {
        tell!("WARNING: {warning}");
    }
    id_file.write(&made.created.id)?;
    Ok(made)
}

fn post(
    client: &mut Client,
    request: &ContainerCreateRequest,
    path: &str,
    upgrade: bool,
) -> Result<Made, ClientError> {
    let request = Request::new("POST", path).json(request)?;
    let response = client.call(if upgrade { request.upgrade() } else { request })?;
    match response.header("skiff-id").map(str::to_owned) {
        Some(id) if response.status() == 101 => {
            let warnings = response.headers("skiff-warning").map(str::to_owned).collect();
            let created = CreateResponse { id, warnings };
            Ok(Made { created, stream: Some(response.into_upgraded()), signals: None })
        }
        _ => Ok(Made { created: response.json()?, stream: None, signals: None }),
    }
}

/// `--cidfile`: must not exist before, and is gone again when there is no container.
struct IdFile {
    path: PathBuf,
    file: Option<std::fs::File>,
    written: bool,
}

impl IdFile {
    fn open(path: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(path);
        if path.as_os_str().is_empty() {
            return Ok(Self { path, file: None, written: false });
        }
        if Path::exists(&path) {
            return Err(Failure::new(format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            )));
        }
        let file =
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| {
                Failure::new(format!(
                    "failed to create the container ID file: open {}: {}",
                    path.display(),
                    crate::failure::describe_io(&error)
                ))
            })?;
        Ok(Self { path, file: Some(file), written: false })
    }

    fn write(&mut self, id: &str) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            file.write_all(id.as_bytes())?;
            self.written = true;
        }
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if self.file.is_some() && !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
