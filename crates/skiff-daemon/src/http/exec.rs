//! `/exec`: further processes in running containers.

use hyper::{Method, StatusCode};
use skiff_api::{ExecConfig, ExecCreateResponse, ExecStartRequest};
use skiff_engine::exec::ExecStartOptions;

use super::answer::{Answer, empty, json, json_with};
use super::body::{read_json, read_optional_json};
use super::containers::terminal_size;
use super::failure::Failure;
use super::hijack::hijack;
use super::{Call, shortcut, to_the_end};

pub(super) async fn route(
    call: Call,
    method: &Method,
    segments: &[&str],
) -> Result<Answer, Failure> {
    match (method.as_str(), segments) {
        ("POST", [id, "start"]) => start(call, id).await,
        ("POST", [id, "resize"]) => resize(&call, id).await,
        ("GET", [id, "json"]) => inspect(&call, id).await,
        _ => Err(Failure::page_not_found()),
    }
}

/// `POST /containers/{id}/exec`. With `start` (shortcut.rs) it also starts.
pub(super) async fn create(mut call: Call, container: &str) -> Result<Answer, Failure> {
    let config: ExecConfig = read_json(&call.parts.headers, &mut call.body).await?;
    if config.cmd.is_empty() {
        return Err(Failure::bad_request("No exec command specified"));
    }
    let (execs, container) = (call.engine.execs(), container.to_owned());
    let tty = config.tty;
    let id = to_the_end(async move { execs.create(&container, config).await }).await?;
    if shortcut::is_wanted(&call, "start") {
        let options = ExecStartOptions { tty, ..ExecStartOptions::default() };
        let answer = start_attached(call, &id, options)?;
        return Ok(shortcut::with_id(answer, &id));
    }
    Ok(json_with(StatusCode::CREATED, &ExecCreateResponse { id }))
}

async fn inspect(call: &Call, id: &str) -> Result<Answer, Failure> {
    let execs = call.engine.execs();
    let exec =
        if call.query.flag("wait") { execs.wait(id).await? } else { execs.inspect(id).await? };
    Ok(json(&exec))
}

async fn start(mut call: Call, id: &str) -> Result<Answer, Failure> {
    let request: ExecStartRequest = read_optional_json(&call.parts.headers, &mut call.body).await?;
    let options = ExecStartOptions {
        detach: request.detach,
        tty: request.tty,
        console_size: request.console_size.map(|[height, width]| {
            (u16::try_from(height).unwrap_or(u16::MAX), u16::try_from(width).unwrap_or(u16::MAX))
        }),
    };
    if request.detach {
        let (execs, id) = (call.engine.execs(), id.to_owned());
        to_the_end(async move { execs.start(&id, options, None).await }).await?;
        return Ok(empty(StatusCode::OK));
    }
    start_attached(call, id, options)
}

fn start_attached(call: Call, id: &str, options: ExecStartOptions) -> Result<Answer, Failure> {
    let (execs, id) = (call.engine.execs(), id.to_owned());
    let plan = execs.plan(&id, &options)?;
    let version = call.version;
    hijack(call.into_request()?, version, plan.tty, move |socket, early| async move {
        execs.start(&id, options, Some((socket, early))).await
    })
}

async fn resize(call: &Call, id: &str) -> Result<Answer, Failure> {
    let (width, height) = terminal_size(call)?;
    call.engine.execs().resize(id, width, height).await?;
    Ok(empty(StatusCode::OK))
}
