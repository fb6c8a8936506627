//! `/images` and `/commit`. Names of images contain slashes, so what is asked of an image is the
//! last segment and everything before it the name.

use hyper::{Method, StatusCode};
use skiff_api::version::ApiVersion;
use skiff_api::{Config, ErrorDetail, ExecCreateResponse, ProgressMessage};
use skiff_engine::image::{CommitRequest, ImportRequest, ListOptions, RemoveOptions};
use tokio::sync::mpsc;

use super::answer::{self, Answer, TAR, empty, json, json_with};
use super::body::{Body, BodyReader, Piece, read_optional_json};
use super::failure::Failure;
use super::{Call, blocking, compat, to_the_end};

pub(super) async fn route(
    call: Call,
    method: &Method,
    segments: &[&str],
) -> Result<Answer, Failure> {
    match (method.as_str(), segments) {
        ("GET", ["json"]) => list(call).await,
        ("GET", ["search"]) => search(&call),
        ("GET", ["get"]) => {
            let names = call.query.all("names").map(str::to_owned).collect();
            save(call, names).await
        }
        ("POST", ["load"]) => Ok(load(call)),
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name @ .., what]) if !name.is_empty() => {
            let name = name.join("/");
            match *what {
                "json" => inspect(call, name).await,
                "history" => history(call, name).await,
                "get" => save(call, vec![name]).await,
                _ => Err(Failure::page_not_found()),
            }
        }
        ("POST", [name @ .., "tag"]) if !name.is_empty() => tag(call, name.join("/")).await,
        ("POST", [name @ .., "push"]) if !name.is_empty() => {
            call.engine.images().push(&name.join("/"))?;
            Ok(empty(StatusCode::OK))
        }
        ("DELETE", name @ [_, ..]) => remove(call, name.join("/")).await,
        _ => Err(Failure::page_not_found()),
    }
}

async fn list(call: Call) -> Result<Answer, Failure> {
    let options = ListOptions {
        all: call.query.flag("all"),
        filters: call.filters()?,
        shared_size: call.query.flag("shared-size"),
        manifests: call.query.flag("manifests"),
    };
    let (images, version) = (call.engine.images(), call.version);
    let mut list = blocking(move || images.list(&options)).await?;
    compat::images(&mut list, version);
    Ok(json(&list))
}

async fn inspect(call: Call, name: String) -> Result<Answer, Failure> {
    let platform = platform(&call);
    let (images, version) = (call.engine.images(), call.version);
    let inspect = blocking(move || images.inspect(&name, platform.as_deref())).await?;
    if version == ApiVersion::MAX {
        return Ok(json(&inspect));
    }
    Ok(json(&compat::image(inspect, version)))
}

async fn history(call: Call, name: String) -> Result<Answer, Failure> {
    let (images, platform) = (call.engine.images(), platform(&call));
    Ok(json(&blocking(move || images.history(&name, platform.as_deref())).await?))
}

async fn tag(call: Call, name: String) -> Result<Answer, Failure> {
    let images = call.engine.images();
    let (repository, tag) = (call.query.text("repo").to_owned(), call.query.text("tag").to_owned());
    blocking(move || images.tag(&name, &repository, &tag)).await?;
    Ok(empty(StatusCode::CREATED))
}

async fn remove(call: Call, name: String) -> Result<Answer, Failure> {
    let options =
        RemoveOptions { force: call.query.flag("force"), no_prune: call.query.flag("noprune") };
    let images = call.engine.images();
    Ok(json(&blocking(move || images.remove(&name, options)).await?))
}

async fn prune(call: Call) -> Result<Answer, Failure> {
    let (images, filters) = (call.engine.images(), call.filters()?);
    Ok(json(&blocking(move || images.prune(&filters)).await?))
}

/// The platform that is asked for: `os/arch[/variant]`, or OCI's object.
fn platform(call: &Call) -> Option<String> {
    let text = call.query.get("platform")?;
    let Ok(platform) = serde_json::from_str::<skiff_api::OciPlatform>(text) else {
        return Some(text.to_owned());
    };
    let parts = [platform.os, platform.architecture, platform.variant];
    Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
}

async fn save(call: Call, names: Vec<String>) -> Result<Answer, Failure> {
    let (images, platform) = (call.engine.images(), platform(&call));
    let planner = images.clone();
    let plan = blocking(move || planner.plan_save(&names, platform.as_deref())).await?;
    Ok(answer::stream(TAR, Body::from_writer(move |writer| images.save(&plan, writer))))
}

/// Sends one line of progress; Docker ends them with both characters.
fn send(sender: &mpsc::Sender<Piece>, message: &ProgressMessage) {
    let mut line = serde_json::to_vec(message).expect("wire types are always JSON");
    line.extend_from_slice(b"\r\n");
    // A client that left does not stop what it began.
    drop(sender.blocking_send(Ok(line.into())));
}

fn send_failure(sender: &mpsc::Sender<Piece>, error: &skiff_engine::Error) {
    let message = error.to_string();
    send(
        sender,
        &ProgressMessage {
            error_detail: Some(ErrorDetail { message: message.clone(), ..Default::default() }),
            error: message,
            ..Default::default()
        },
    );
}

/// Loading answers 200 before it reads, so what goes wrong is a line of progress.
fn load(call: Call) -> Answer {
    let (images, platform) = (call.engine.images(), platform(&call));
    let quiet = call.query.flag_or("quiet", true);
    let mut archive = BodyReader::new(call.body);
    let (sender, receiver) = mpsc::channel(16);
    tokio::task::spawn_blocking(move || {
        let mut progress = |message: ProgressMessage| send(&sender, &message);
        let loaded = images.load(&mut archive, quiet, platform.as_deref(), &mut progress);
        if let Err(error) = loaded {
            send_failure(&sender, &error);
        }
    });
    answer::stream(answer::JSON, Body::Pieces(receiver))
}

async fn create(call: Call) -> Result<Answer, Failure> {
    if let Some(name) = call.query.get("fromImage") {
        call.engine.images().pull(name)?;
        return Ok(empty(StatusCode::OK));
    }
    let source = call.query.text("fromSrc").to_owned();
    if source != "-" {
        return Err(Failure::not_implemented(format!(
            "cannot import from {source:?}: this version imports from the request body only"
        )));
    }
    let request = ImportRequest {
        repository: call.query.text("repo").to_owned(),
        tag: call.query.text("tag").to_owned(),
        message: call.query.text("message").to_owned(),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        platform: platform(&call),
        source,
    };
    let images = call.engine.images();
    let mut archive = BodyReader::new(call.body);
    let id = blocking(move || images.import(&mut archive, &request)).await?;
    let mut line = serde_json::to_vec(&ProgressMessage { status: id, ..Default::default() })
        .expect("wire types are always JSON");
    line.extend_from_slice(b"\r\n");
    Ok(answer::stream(answer::JSON, Body::Full(line.into())))
}

fn search(call: &Call) -> Result<Answer, Failure> {
    let limit = call.query.number("limit", "Atoi")?.unwrap_or(25);
    if !(0..=100).contains(&limit) {
        return Err(Failure::bad_request(format!(
            "limit {limit} is outside the range of [1, 100]"
        )));
    }
    call.engine.images().search(call.query.text("term"))?;
    Ok(empty(StatusCode::OK))
}

/// `POST /commit`.
pub(super) async fn commit(mut call: Call) -> Result<Answer, Failure> {
    let config: Option<Config> = read_optional_json(&call.parts.headers, &mut call.body).await?;
    let query = &call.query;
    let request = CommitRequest {
        container: query.text("container").to_owned(),
        repository: query.text("repo").to_owned(),
        tag: query.text("tag").to_owned(),
        author: query.text("author").to_owned(),
        comment: query.text("comment").to_owned(),
        pause: query.flag_or("pause", true),
        changes: query.all("changes").map(str::to_owned).collect(),
        config,
    };
    let images = call.engine.images();
    let id = to_the_end(async move { images.commit(request).await }).await?;
    Ok(json_with(StatusCode::CREATED, &ExecCreateResponse { id }))
}
