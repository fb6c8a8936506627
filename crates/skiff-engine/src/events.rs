//! What happens to containers, images and volumes: the last [`KEPT`] events and a live stream of
//! those to come, with Docker's filters and time windows.
//!
//! Emitting never waits. A subscriber that falls [`LIVE`] events behind is cut off rather than told
//! a story with holes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skiff_api::filters::Filters;
use skiff_api::{EventActor, EventMessage, Map};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::clock;

/// Events that `since` can bring back.
pub const KEPT: usize = 256;
/// Events a subscriber may be behind.
const LIVE: usize = 1024;

/// The engine's events. A cheap handle.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    recent: Mutex<VecDeque<Arc<EventMessage>>>,
    live: broadcast::Sender<Arc<EventMessage>>,
}

/// Which events a subscriber wants. Times in nanoseconds since the epoch.
#[derive(Debug, Clone, Default)]
pub struct EventOptions {
    /// Also past ones, from then on.
    pub since: Option<i64>,
    /// None after that; the stream ends then. In the past: only what is remembered.
    pub until: Option<i64>,
    /// `type`, `event`, `container`, `image`, `volume`, `network`, `daemon`, `label`, `scope`, …
    pub filters: Filters,
}

/// A subscription: first the past, then what comes.
pub struct EventStream {
    past: VecDeque<Arc<EventMessage>>,
    live: Option<broadcast::Receiver<Arc<EventMessage>>>,
    deadline: Option<Instant>,
    filters: Filters,
}

impl Default for Events {
    fn default() -> Events {
        let (live, _) = broadcast::channel(LIVE);
        Events(Arc::new(Inner { recent: Mutex::new(VecDeque::with_capacity(KEPT)), live }))
    }
}

impl Events {
    /// Tells that `action` happened to the object `id` of a kind (`container`, `image`, …).
    pub fn emit(&self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let mut recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken under the lock, so that events are in the order of their times.
        let now = clock::now();
        let legacy = matches!(kind, "container" | "image");
        let event = Arc::new(EventMessage {
            status: if legacy { action.to_owned() } else { String::new() },
            id: if legacy { id.to_owned() } else { String::new() },
            from: if kind == "container" {
                attributes.get("image").cloned().unwrap_or_default()
            } else {
                String::new()
            },
            kind: kind.to_owned(),
            action: action.to_owned(),
            actor: EventActor { id: id.to_owned(), attributes: Map::from(attributes) },
            scope: "local".to_owned(),
            time: now / 1_000_000_000,
            time_nano: now,
        });
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(event.clone());
        // No subscriber is no failure.
        drop(self.0.live.send(event));
    }

    /// Subscribes. The caller sees each event once, also those of this very moment.
    pub fn subscribe(&self, options: EventOptions) -> EventStream {
        let EventOptions { since, until, filters } = options;
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut past = VecDeque::new();
        if since.is_some() || until.is_some() {
            let wanted = |event: &&Arc<EventMessage>| {
                since.is_none_or(|since| event.time_nano >= since)
                    && until.is_none_or(|until| event.time_nano <= until)
                    && matches(&filters, event)
            };
            past = recent.iter().filter(wanted).cloned().collect();
        }
        let left = until.map(|until| until.saturating_sub(clock::now()));
        let live = left.is_none_or(|left| left > 0).then(|| self.0.live.subscribe());
        let deadline = left
            .and_then(|left| u64::try_from(left).ok())
            .map(|left| Instant::now() + Duration::from_nanos(left));
        EventStream { past, live, deadline, filters }
    }
}

impl Events {
    /// How many subscribers there are.
    pub fn listeners(&self) -> i64 {
        i64::try_from(self.0.live.receiver_count()).unwrap_or(i64::MAX)
    }
}

impl EventStream {
    /// The next event; `None` when there will be no more. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Arc<EventMessage>> {
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        let live = self.live.as_mut()?;
        let expired = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let next = async {
            loop {
                let event = live.recv().await.ok()?;
                if matches(&self.filters, &event) {
                    return Some(event);
                }
            }
        };
        tokio::select! {
            biased;
            event = next => event,
            () = expired => None,
        }
    }
}

/// Actions whose text goes on after a colon, and which a filter may name without that.
const OPEN_ENDED: [&str; 3] = ["health_status", "exec_create", "exec_start"];

/// Whether an event passes the filters.
fn matches(filters: &Filters, event: &EventMessage) -> bool {
    let attributes = &event.actor.attributes;
    let exact = |key: &str, value: &str| !filters.contains(key) || filters.has(key, value);
    let prefix = |key: &str, values: &[&str]| {
        !filters.contains(key)
            || filters
                .values(key)
                .any(|wanted| values.iter().any(|value| value.starts_with(wanted)))
    };
    let action = !filters.contains("event")
        || filters.values("event").any(|wanted| {
            wanted == event.action
                || (OPEN_ENDED.contains(&wanted)
                    && event.action.split_once(": ").is_some_and(|(head, _)| head == wanted))
        });
    let name = attributes.get("name").map_or("", String::as_str);
    let named = |key: &str| prefix(key, &[event.actor.id.as_str(), name]);
    let of_kind = |key: &str| {
        // A filter on objects of one kind leaves no events of others.
        !filters.contains(key) || (event.kind == key && named(key))
    };
    action
        && exact("type", &event.kind)
        && exact("scope", &event.scope)
        && of_kind("container")
        && of_kind("volume")
        && of_kind("network")
        && of_kind("plugin")
        && of_kind("daemon")
        && image_matches(filters, event, name)
        && filters.values("label").all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => attributes.get(key).is_some_and(|has| has == value),
            None => attributes.contains_key(wanted),
        })
}

/// Images match by id, by name, and by name without its tag; events of containers by their image.
fn image_matches(filters: &Filters, event: &EventMessage, name: &str) -> bool {
    if !filters.contains("image") {
        return true;
    }
    let image = event.actor.attributes.get("image").map_or("", String::as_str);
    let candidates = match event.kind.as_str() {
        "image" => [event.actor.id.as_str(), name],
        "container" => [image, ""],
        _ => return false,
    };
    filters.values("image").any(|wanted| {
        candidates.iter().any(|candidate| {
            *candidate == wanted || (!candidate.is_empty() && without_tag(candidate) == wanted)
        })
    })
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn filters(text: &str) -> Filters {
        Filters::parse(text).unwrap()
    }

    async fn drain(mut stream: EventStream) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(event) = stream.next().await {
            actions.push(event.action.clone());
        }
        actions
    }

    #[tokio::test]
    async fn without_since_only_what_comes_is_seen() {
        let events = Events::default();
        events.emit("container", "create", "c1", BTreeMap::new());
        let mut stream = events.subscribe(EventOptions::default());
        events.emit("container", "start", "c1", BTreeMap::new());
        assert_eq!(stream.next().await.unwrap().action, "start");
    }

    #[tokio::test]
    async fn a_window_in_the_past_ends_with_what_is_remembered() {
        let events = Events::default();
        for number in 0..KEPT + 10 {
            events.emit("container", &format!("a{number}"), "c1", BTreeMap::new());
        }
        let until = Some(clock::now());
        let all = drain(events.subscribe(EventOptions { until, ..EventOptions::default() })).await;
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0], "a10");
    }

    #[tokio::test]
    async fn a_window_into_the_future_ends_by_itself() {
        let events = Events::default();
        events.emit("container", "create", "c1", BTreeMap::new());
        let window = EventOptions {
            since: Some(0),
            until: Some(clock::now() + 50_000_000),
            ..EventOptions::default()
        };
        let stream = events.subscribe(window);
        events.emit("container", "start", "c1", BTreeMap::new());
        assert_eq!(drain(stream).await, ["create", "start"]);
    }

    #[test]
    fn filters_select_as_dockers_do() {
        let events = Events::default();
        let container = attributes(&[("image", "busybox:latest"), ("name", "web"), ("app", "x")]);
        events.emit("container", "health_status: healthy", "abcdef", container);
        events.emit("image", "tag", "sha256:12", attributes(&[("name", "busybox:latest")]));
        events.emit("volume", "mount", "web", attributes(&[("container", "abcdef")]));
        for (filter, expected) in [
            ("{}", 3),
            (r#"{"type":["image","volume"]}"#, 2),
            (r#"{"event":["health_status"]}"#, 1),
            (r#"{"event":["health_status: healthy"]}"#, 1),
            (r#"{"event":["health"]}"#, 0),
            (r#"{"container":["abc"]}"#, 1),
            (r#"{"container":["web"]}"#, 1),
            (r#"{"container":["nope"]}"#, 0),
            (r#"{"image":["busybox"]}"#, 2),
            (r#"{"image":["busybox:latest"],"type":["image"]}"#, 1),
            (r#"{"label":["app=x"]}"#, 1),
            (r#"{"label":["app"]}"#, 1),
            (r#"{"label":["app=y"]}"#, 0),
            (r#"{"volume":["web"]}"#, 1),
            (r#"{"scope":["swarm"]}"#, 0),
        ] {
            let options = EventOptions { since: Some(0), filters: filters(filter), until: None };
            assert_eq!(events.subscribe(options).past.len(), expected, "{filter}");
        }
    }
}
