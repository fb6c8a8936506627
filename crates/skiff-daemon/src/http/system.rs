//! The daemon itself: `_ping`, `version`, `info`, `events`, `system/df`, `auth`, and what this
//! version answers for the parts of Docker it does not have.

use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, PRAGMA};
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use skiff_api::AuthConfig;
use skiff_api::timestamp;
use skiff_engine::events::EventOptions;

use super::answer::{self, Answer, TEXT, json};
use super::body::{Body, json_line, read_json};
use super::failure::Failure;
use super::{Call, blocking, compat, disk_usage};

const BUILDER_VERSION: HeaderName = HeaderName::from_static("builder-version");
const SWARM: HeaderName = HeaderName::from_static("swarm");

pub(super) async fn route(
    call: Call,
    method: &Method,
    segments: &[&str],
) -> Result<Answer, Failure> {
    match (method.as_str(), segments) {
        ("GET", ["version"]) => Ok(json(&call.engine.system().version()?)),
        ("GET", ["info"]) => info(call).await,
        ("GET", ["events"]) => events(&call),
        ("GET", ["system", "df"]) => disk_usage::answer(call).await,
        ("POST", ["auth"]) => auth(call).await,
        ("GET", ["plugins"]) => Ok(json(&[(); 0])),
        ("POST", ["session"]) => Err(Failure::bad_request("no upgrade proto in request")),
        // There is no builder, so nothing is cached; `docker system prune` asks for it.
        ("POST", ["build", "prune"]) => {
            Ok(json(&serde_json::json!({ "CachesDeleted": null, "SpaceReclaimed": 0 })))
        }
        ("POST", ["build", ..]) => Err(Failure::not_implemented("this version builds no images")),
        ("GET", ["plugins", name @ .., "json"]) if !name.is_empty() => {
            Err(no_such_plugin(&name.join("/")))
        }
        ("DELETE", ["plugins", name @ ..]) if !name.is_empty() => {
            Err(no_such_plugin(&name.join("/")))
        }
        (_, ["plugins", ..]) => Err(Failure::not_implemented("this version has no plugins")),
        ("GET", ["distribution", .., "json"]) => {
            Err(Failure::not_implemented("this version has no registry client"))
        }
        _ => Err(Failure::page_not_found()),
    }
}

/// There are none; Docker's client asks for one when nothing else has the name it looks for.
fn no_such_plugin(name: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("plugin {name:?} not found"))
}

/// Answers without the engine, so that a starting daemon is seen to be there.
pub(super) fn ping(method: &Method) -> Result<Answer, Failure> {
    let body = match *method {
        Method::GET => Body::Full("OK".into()),
        Method::HEAD => Body::empty(),
        _ => return Err(Failure::page_not_found()),
    };
    let mut answer = answer::with_body(StatusCode::OK, TEXT, body);
    let headers = answer.headers_mut();
    headers.insert(BUILDER_VERSION, HeaderValue::from_static("1"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(SWARM, HeaderValue::from_static("inactive"));
    Ok(answer)
}

async fn info(call: Call) -> Result<Answer, Failure> {
    let system = call.engine.system();
    let mut info = blocking(move || system.info()).await?;
    // These may have changed since the engine was opened.
    info.labels = call.api.settings.labels().into();
    info.debug = call.api.settings.debug();
    Ok(json(&info))
}

/// `since` or `until` in nanoseconds; besides Unix time all forms of the command line are taken.
fn event_time(call: &Call, key: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = call.query.get(key) else { return Ok(None) };
    let time = match timestamp::parse_unix(text) {
        Ok(time) => time,
        Err(error) => {
            timestamp::parse(text, Timestamp::now(), &TimeZone::system()).map_err(|_| error)?
        }
    };
    Ok(Some(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)))
}

fn events(call: &Call) -> Result<Answer, Failure> {
    let (since, until) = (event_time(call, "since")?, event_time(call, "until")?);
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Failure::bad_request("`since` time must be before `until` time"));
    }
    let version = call.version;
    let mut stream =
        call.engine.events().subscribe(EventOptions { since, until, filters: call.filters()? });
    let body = Body::from_task(|sender| async move {
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = sender.closed() => None,
            };
            let Some(event) = event else { break };
            let line = json_line(&compat::event(&event, version));
            if sender.send(Ok(line.into())).await.is_err() {
                break;
            }
        }
    });
    Ok(answer::stream(answer::JSON, body))
}

async fn auth(mut call: Call) -> Result<Answer, Failure> {
    let login: AuthConfig = read_json(&call.parts.headers, &mut call.body).await?;
    Err(Failure::not_implemented(format!(
        "cannot log in to {:?}: this version has no registry client",
        login.server_address
    )))
}
