//! `/containers`: everything that is done with containers.

use std::io::Write;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use skiff_api::{ContainerCreateRequest, UpdateRequest};
use skiff_engine::archive::PutOptions;
use skiff_engine::container::{
    AttachOptions, Containers, ListOptions, RemoveOptions, Selected, StartOptions, StopOptions,
    WaitCondition, WaitHandle,
};
use skiff_engine::logs::{LogOptions, Timestamp};

use super::answer::{
    self, Answer, JsonList, MULTIPLEXED_STREAM, RAW_STREAM, TAR, empty, json, json_with, no_content,
};
use super::body::{Body, BodyReader, PieceWriter, json_line, read_json};
use super::failure::Failure;
use super::hijack::hijack;
use super::{Call, base64, blocking, compat, exec, shortcut, to_the_end, websocket};
use skiff_api::version::ApiVersion;

/// How long a failed start of a container that removes itself waits for the removal.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);

/// A list of more containers is sent as it is written.
const MANY: usize = 100;

const PATH_STAT: &str = "x-docker-container-path-stat";

pub(super) async fn route(
    call: Call,
    method: &Method,
    segments: &[&str],
) -> Result<Answer, Failure> {
    match (method.as_str(), segments) {
        ("GET", ["json"]) => list(call).await,
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("DELETE", [name]) => remove(call, name).await,
        ("GET", [name, what]) => read(call, name, what).await,
        ("HEAD", [name, "archive"]) => archive_stat(call, name).await,
        ("PUT", [name, "archive"]) => archive_put(call, name).await,
        ("POST", [name, what]) => act(call, name, what).await,
        ("GET", [name, "attach", "ws"]) => attach_websocket(call, name).await,
        (_, [_, "checkpoints", ..]) => {
            Err(Failure::not_implemented("this version does not checkpoint containers"))
        }
        _ => Err(Failure::page_not_found()),
    }
}

async fn read(call: Call, name: &str, what: &str) -> Result<Answer, Failure> {
    match what {
        "json" => inspect(call, name).await,
        "logs" => logs(&call, name),
        "stats" => stats(call, name).await,
        "top" => top(call, name).await,
        "changes" => changes(call, name).await,
        "export" => export(call, name).await,
        "archive" => archive_get(call, name).await,
        _ => Err(Failure::page_not_found()),
    }
}

async fn act(call: Call, name: &str, what: &str) -> Result<Answer, Failure> {
    match what {
        "start" => start(&call, name).await,
        "stop" => stop(call, name).await,
        "restart" => restart(call, name).await,
        "kill" => kill(call, name).await,
        "pause" | "unpause" => freeze(call, name, what == "pause").await,
        "rename" => rename(call, name).await,
        "update" => update(call, name).await,
        "resize" => resize(&call, name).await,
        "wait" => wait(&call, name).await,
        "attach" => attach(call, name, async {}).await,
        "exec" => exec::create(call, name).await,
        _ => Err(Failure::page_not_found()),
    }
}

async fn list(call: Call) -> Result<Answer, Failure> {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call.query.number("limit", "Atoi")?.unwrap_or(0),
        size: call.query.flag("size"),
        filters: call.filters()?,
    };
    let selected = call.engine.containers().select(&options)?;
    if !options.size && selected.count() > MANY {
        // The client reads the first while the last are written.
        let write = move |writer: &mut PieceWriter| write_list(&selected, writer).map(drop);
        let mut answer = answer::stream(answer::JSON, Body::from_writer(write));
        answer.headers_mut().insert(shortcut::LINES, HeaderValue::from_static("1"));
        return Ok(answer);
    }
    let render = move || write_list(&selected, Vec::new());
    let text = if options.size { blocking(render).await? } else { render()? };
    Ok(answer::with_body(StatusCode::OK, answer::JSON, Body::Full(text.into())))
}

fn write_list<W: Write>(selected: &Selected, writer: W) -> skiff_engine::Result<W> {
    let failed = |error| skiff_engine::Error::failed("write the list of containers", error);
    let mut list = JsonList::new(writer);
    selected.each(|summary| list.push(&summary).map_err(failed))?;
    list.finish().map_err(failed)
}

/// With `attach` (shortcut.rs) it also attaches, and with `start` starts.
async fn create(mut call: Call) -> Result<Answer, Failure> {
    let name = call.query.get("name").map(str::to_owned);
    let platform = call.query.get("platform").map(str::to_owned);
    let request: ContainerCreateRequest = read_json(&call.parts.headers, &mut call.body).await?;
    if request == ContainerCreateRequest::default() {
        return Err(Failure::bad_request("config cannot be empty in order to create a container"));
    }
    let start: Option<WaitCondition> = call.query.get("start").map(str::parse).transpose()?;
    let containers = call.engine.containers();
    let created = to_the_end(async move {
        containers.create(name.as_deref(), platform.as_deref(), request).await
    });
    let created = created.await?;
    if shortcut::is_wanted(&call, "attach") {
        let id = created.id.clone();
        let announced = start.map(|condition| (condition, call.api.starts.announce(&id)));
        let containers = call.engine.containers();
        let then = async move {
            if let Some((condition, announced)) = announced {
                let started = start_and_wait(&containers, &id, condition).await;
                // Nobody asks, if the client has gone.
                drop(announced.send(started));
            }
        };
        let answer = attach(call, &created.id, then).await?;
        let answer = shortcut::with_warnings(answer, &created.warnings);
        return Ok(shortcut::with_id(answer, &created.id));
    }
    Ok(json_with(StatusCode::CREATED, &created))
}

async fn inspect(call: Call, name: &str) -> Result<Answer, Failure> {
    let containers = call.engine.containers();
    let mut inspect = if call.query.flag("size") {
        let name = name.to_owned();
        blocking(move || containers.inspect(&name, true)).await?
    } else {
        containers.inspect(name, false)?
    };
    compat::container(&mut inspect, call.version);
    Ok(json(&inspect))
}

async fn start(call: &Call, name: &str) -> Result<Answer, Failure> {
    let options = StartOptions { checkpoint: call.query.text("checkpoint").to_owned() };
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move { containers.start(&name, options).await }).await?;
    Ok(no_content())
}

/// Starts a container when a wait for its end is in place.
async fn start_and_wait(
    containers: &Containers,
    name: &str,
    condition: WaitCondition,
) -> Result<WaitHandle, Failure> {
    let mut handle = containers.wait(name, condition).await?;
    let (starter, id) = (containers.clone(), name.to_owned());
    let start = async move { starter.start(&id, StartOptions::default()).await };
    if let Err(failure) = to_the_end(start).await {
        // What did not start and goes away is gone when its failure is told.
        if condition == WaitCondition::Removed {
            drop(tokio::time::timeout(REMOVAL_PATIENCE, &mut handle).await);
        }
        return Err(failure);
    }
    Ok(handle)
}

fn stop_options(call: &Call) -> Result<StopOptions, Failure> {
    Ok(StopOptions {
        signal: call.query.get("signal").map(str::to_owned),
        timeout_s: call.query.number("t", "Atoi")?,
    })
}

async fn stop(call: Call, name: &str) -> Result<Answer, Failure> {
    let options = stop_options(&call)?;
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move { containers.stop(&name, options).await }).await?;
    Ok(no_content())
}

async fn restart(call: Call, name: &str) -> Result<Answer, Failure> {
    let options = stop_options(&call)?;
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move { containers.restart(&name, options).await }).await?;
    Ok(no_content())
}

async fn kill(call: Call, name: &str) -> Result<Answer, Failure> {
    let signal = call.query.get("signal").map(str::to_owned);
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move { containers.kill(&name, signal.as_deref()).await }).await?;
    Ok(no_content())
}

async fn freeze(call: Call, name: &str, frozen: bool) -> Result<Answer, Failure> {
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move {
        if frozen { containers.pause(&name).await } else { containers.unpause(&name).await }
    })
    .await?;
    Ok(no_content())
}

async fn rename(call: Call, name: &str) -> Result<Answer, Failure> {
    let (name, to) = (name.to_owned(), call.query.text("name").to_owned());
    let containers = call.engine.containers();
    to_the_end(async move { containers.rename(&name, &to).await }).await?;
    Ok(no_content())
}

async fn update(mut call: Call, name: &str) -> Result<Answer, Failure> {
    let request: UpdateRequest = read_json(&call.parts.headers, &mut call.body).await?;
    let (containers, name) = (call.engine.containers(), name.to_owned());
    Ok(json(&to_the_end(async move { containers.update(&name, request).await }).await?))
}

async fn remove(call: Call, name: &str) -> Result<Answer, Failure> {
    let options = RemoveOptions {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    let (containers, name) = (call.engine.containers(), name.to_owned());
    to_the_end(async move { containers.remove(&name, options).await }).await?;
    Ok(no_content())
}

async fn prune(call: Call) -> Result<Answer, Failure> {
    let filters = call.filters()?;
    let containers = call.engine.containers();
    Ok(json(&to_the_end(async move { containers.prune(&filters).await }).await?))
}

/// Headers are sent as soon as the wait is registered, so that a client can start the container
/// when it has them and misses nothing.
async fn wait(call: &Call, name: &str) -> Result<Answer, Failure> {
    let condition: WaitCondition = call.query.text("condition").parse()?;
    let containers = call.engine.containers();
    let handle = if !call.query.flag("start") {
        containers.wait(name, condition).await?
    } else if let Some(started) = call.api.starts.claim(name) {
        started.await.map_err(|_| {
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the start was given up")
        })??
    } else {
        start_and_wait(&containers, name, condition).await?
    };
    let later = Body::Later(Box::pin(async move { json_line(&handle.await).into() }));
    Ok(answer::stream(answer::JSON, later))
}

/// Reads `h` and `w`, in characters.
pub(super) fn terminal_size(call: &Call) -> Result<(u16, u16), Failure> {
    let side = |key: &str| {
        let text = call.query.text(key);
        text.parse::<u32>()
            .map_err(|_| {
                Failure::bad_request(format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
            })
            .map(|side| u16::try_from(side).unwrap_or(u16::MAX))
    };
    Ok((side("w")?, side("h")?))
}

async fn resize(call: &Call, name: &str) -> Result<Answer, Failure> {
    let (width, height) = terminal_size(call)?;
    call.engine.containers().resize(name, width, height).await?;
    Ok(empty(StatusCode::OK))
}

/// `then` is done when the client's stream is the container's.
async fn attach(
    call: Call,
    name: &str,
    then: impl Future<Output = ()> + Send + 'static,
) -> Result<Answer, Failure> {
    let query = &call.query;
    let options = AttachOptions {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        stream: query.flag("stream"),
        logs: query.flag("logs"),
        detach_keys: query.get("detachKeys").map(str::to_owned),
    };
    let containers = call.engine.containers();
    let plan = containers.attach(name, options).await?;
    let (version, tty) = (call.version, plan.tty);
    hijack(call.into_request()?, version, tty, move |socket, early| async move {
        containers.attach_stream(plan, socket, early).await?;
        then.await;
        Ok(())
    })
}

async fn attach_websocket(call: Call, name: &str) -> Result<Answer, Failure> {
    let handshake = websocket::handshake(&call.parts.headers)?;
    let query = &call.query;
    // Before 1.42 all streams were attached, whatever was asked for.
    let all = call.version < ApiVersion::v1(42);
    let options = AttachOptions {
        stdin: all || query.flag("stdin"),
        stdout: all || query.flag("stdout"),
        stderr: all || query.flag("stderr"),
        stream: query.flag("stream"),
        logs: query.flag("logs"),
        detach_keys: query.get("detachKeys").map(str::to_owned),
    };
    let is_text = call.version < ApiVersion::v1(28);
    let containers = call.engine.containers();
    let mut plan = containers.attach(name, options).await?;
    // The frames of a WebSocket are the only ones.
    plan.multiplexed = false;
    Ok(websocket::serve(call.into_request()?, handshake, is_text, move |socket| async move {
        containers.attach_stream(plan, socket, Vec::new()).await
    }))
}

/// Reads `since` or `until`; 0 is the same as none.
fn log_time(call: &Call, key: &str) -> Result<Option<Timestamp>, Failure> {
    let text = call.query.text(key);
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    Ok(Some(skiff_api::timestamp::parse_unix(text)?.into()))
}

fn logs(call: &Call, name: &str) -> Result<Answer, Failure> {
    let query = &call.query;
    let options = LogOptions {
        follow: query.flag("follow"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: log_time(call, "since")?,
        until: log_time(call, "until")?,
        timestamps: query.flag("timestamps"),
        // Anything that is no number is all, as in Docker.
        tail: query.get("tail").and_then(|tail| tail.parse().ok()),
        details: query.flag("details"),
        ..LogOptions::default()
    };
    let logs = call.engine.containers().logs(name, options)?;
    let multiplexed = !logs.tty && call.version >= ApiVersion::v1(42);
    let kind = if multiplexed { MULTIPLEXED_STREAM } else { RAW_STREAM };
    Ok(answer::stream(kind, Body::Chunks(logs.chunks)))
}

async fn stats(call: Call, name: &str) -> Result<Answer, Failure> {
    let containers = call.engine.containers();
    if !call.query.flag_or("stream", true) {
        return Ok(json(&containers.stats(name, call.query.flag("one-shot")).await?));
    }
    let mut samples = containers.stats_stream(name).await?;
    let body = Body::from_task(|sender| async move {
        loop {
            let sample = tokio::select! {
                sample = samples.recv() => sample,
                () = sender.closed() => None,
            };
            let Some(sample) = sample else { break };
            if sender.send(Ok(json_line(&sample).into())).await.is_err() {
                break;
            }
        }
    });
    Ok(answer::stream(answer::JSON, body))
}

async fn top(call: Call, name: &str) -> Result<Answer, Failure> {
    let arguments = call.query.text("ps_args").to_owned();
    let (containers, name) = (call.engine.containers(), name.to_owned());
    Ok(json(&blocking(move || containers.top(&name, &arguments)).await?))
}

async fn changes(call: Call, name: &str) -> Result<Answer, Failure> {
    let (containers, name) = (call.engine.containers(), name.to_owned());
    let changes = blocking(move || containers.changes(&name)).await?;
    // Nothing changed is null, as Go writes a list that was never made.
    Ok(json(&Some(changes).filter(|changes| !changes.is_empty())))
}

async fn export(call: Call, name: &str) -> Result<Answer, Failure> {
    let (containers, name) = (call.engine.containers(), name.to_owned());
    let export = blocking(move || containers.export(&name)).await?;
    Ok(answer::stream(TAR, Body::from_writer(move |writer| export.write(writer))))
}

fn archive_path(call: &Call) -> Result<String, Failure> {
    match call.query.get("path") {
        Some(path) => Ok(path.to_owned()),
        None => Err(Failure::bad_request("bad parameter: path cannot be empty")),
    }
}

fn path_stat(stat: &skiff_api::PathStat) -> HeaderValue {
    let line = serde_json::to_vec(stat).expect("wire types are always JSON");
    HeaderValue::try_from(base64::encode(&line)).expect("base64 is a valid header")
}

async fn archive_stat(call: Call, name: &str) -> Result<Answer, Failure> {
    let path = archive_path(&call)?;
    let (containers, name) = (call.engine.containers(), name.to_owned());
    let stat = blocking(move || containers.archive_stat(&name, &path)).await?;
    let mut answer = empty(StatusCode::OK);
    answer.headers_mut().insert(PATH_STAT, path_stat(&stat));
    Ok(answer)
}

async fn archive_get(call: Call, name: &str) -> Result<Answer, Failure> {
    let path = archive_path(&call)?;
    let (containers, name) = (call.engine.containers(), name.to_owned());
    let found = blocking(move || containers.archive_get(&name, &path)).await?;
    let stat = path_stat(found.stat());
    let body = Body::from_writer(move |writer| found.write(writer));
    let mut answer = answer::stream(TAR, body);
    answer.headers_mut().insert(PATH_STAT, stat);
    Ok(answer)
}

async fn archive_put(call: Call, name: &str) -> Result<Answer, Failure> {
    let path = archive_path(&call)?;
    let options = PutOptions {
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let (containers, name) = (call.engine.containers(), name.to_owned());
    let mut archive = BodyReader::new(call.body);
    blocking(move || containers.archive_put(&name, &path, &mut archive, options)).await?;
    Ok(empty(StatusCode::OK))
}
