//! The filters of `ps` and `container prune`. Pure: what they compare with is in [`Subject`].

use std::collections::BTreeSet;

use skiff_api::filters::{FilterError, Filters};

use super::registry::View;
use super::state::State;
use crate::error::{Error, Result};

const KNOWN: [&str; 16] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "label!",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

const STATES: [&str; 7] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// Filters of a list, checked, with names of other objects replaced by what they stand for.
pub(super) struct Selection<'a> {
    filters: &'a Filters,
    exited: Vec<i32>,
    /// Ids of images that containers must be made of.
    pub ancestors: Option<BTreeSet<String>>,
    /// Creation times between which containers must have been created.
    pub before: Option<i64>,
    pub since: Option<i64>,
    expose: Vec<Ports>,
    publish: Vec<Ports>,
}

/// A range of ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

fn bad(error: &FilterError) -> Error {
    Error::invalid(error.to_string())
}

fn bad_value(key: &str, value: &str) -> Error {
    bad(&FilterError::Value { key: key.to_owned(), values: vec![value.to_owned()] })
}

impl<'a> Selection<'a> {
    pub(super) fn new(filters: &'a Filters) -> Result<Selection<'a>> {
        filters.accept_only(&KNOWN).map_err(|error| bad(&error))?;
        for value in filters.values("status") {
            if !STATES.contains(&value) {
                return Err(bad_value("status", value));
            }
        }
        for value in filters.values("health") {
            if !HEALTHS.contains(&value) {
                return Err(bad_value("health", value));
            }
        }
        let exited = filters
            .values("exited")
            .map(|value| value.parse().map_err(|_| bad_value("exited", value)))
            .collect::<Result<_>>()?;
        let ports = |key: &str| -> Result<Vec<Ports>> {
            filters
                .values(key)
                .map(|value| parse_ports(value).ok_or_else(|| bad_value(key, value)))
                .collect()
        };
        filters.boolean("is-task", false).map_err(|error| bad(&error))?;
        Ok(Selection {
            filters,
            exited,
            ancestors: None,
            before: None,
            since: None,
            expose: ports("expose")?,
            publish: ports("publish")?,
        })
    }

    /// Whether containers that do not run are meant, too.
    pub(super) fn wants_all(&self) -> bool {
        self.filters.contains("status")
    }

    /// Whether a container is selected.
    pub(super) fn includes(&self, view: &View) -> bool {
        let record = &view.record;
        let filters = self.filters;
        let state = view.state.status();
        let named = |name: &str| {
            filters.matches_pattern("name", name)
                || filters.matches_pattern("name", &format!("/{name}"))
        };
        let health = view.health.as_ref().map_or("none", |health| health.status.as_str());
        named(&record.name)
            && filters.matches_pattern("id", &record.id)
            && filters.matches_exactly("status", state)
            && filters.matches_exactly("health", health)
            && filters.accepts_labels(&record.config.labels)
            && filters.matches_exactly("isolation", &record.host_config.isolation)
            && !filters.boolean("is-task", false).unwrap_or(false)
            && self.exit_code(view)
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.ancestors.as_ref().is_none_or(|ids| ids.contains(&record.image_id))
            && self.volume(view)
            && self.network(view)
            && self.ports(view)
    }

    fn exit_code(&self, view: &View) -> bool {
        self.exited.is_empty()
            || (matches!(view.state, State::Exited | State::Dead)
                && self.exited.contains(&view.life.exit_code))
    }

    fn volume(&self, view: &View) -> bool {
        !self.filters.contains("volume")
            || view.record.mounts.iter().any(|mount| {
                self.filters.has("volume", &mount.point.destination)
                    || (!mount.point.name.is_empty()
                        && self.filters.has("volume", &mount.point.name))
                    || self.filters.has("volume", &mount.point.source)
            })
    }

    fn network(&self, view: &View) -> bool {
        let mode = &view.record.host_config.network_mode;
        let mode = if mode == "default" { "bridge" } else { mode };
        self.filters.matches_exactly("network", mode)
    }

    fn ports(&self, view: &View) -> bool {
        let any = |wanted: &[Ports], keys: &mut dyn Iterator<Item = &String>| {
            wanted.is_empty()
                || keys.filter_map(|key| parse_ports(key)).any(|port| {
                    wanted.iter().any(|range| {
                        range.protocol == port.protocol
                            && (range.first..=range.last).contains(&port.first)
                    })
                })
        };
        any(&self.expose, &mut view.record.config.exposed_ports.keys())
            && any(&self.publish, &mut view.record.host_config.port_bindings.keys())
    }
}

/// `80`, `80/udp`, `8000-8080/tcp`.
fn parse_ports(text: &str) -> Option<Ports> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then(|| Ports { first, last, protocol: protocol.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::record::{Life, Record};
    use crate::container::state::Live;

    fn view(json: serde_json::Value, state: State) -> View {
        let record: Record = serde_json::from_value(json).unwrap();
        let life = Life { exit_code: 3, ..Life::default() };
        View { record: Arc::new(record), state, life, health: None }
    }

    #[test]
    fn each_filter_selects() {
        let one = view(
            serde_json::json!({
                "id": "abc123", "name": "web", "image_id": "sha256:1", "created": 100,
                "config": {"Labels": {"a": "1"}, "ExposedPorts": {"80/tcp": {}}},
                "host_config": {"NetworkMode": "none",
                                "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
                "mounts": [{"point": {"Name": "data", "Destination": "/data", "Source": "/x"}}]
            }),
            State::Exited,
        );
        for (filter, expected) in [
            ("{}", true),
            (r#"{"name":["we"]}"#, true),
            (r#"{"name":["^/web$"]}"#, true),
            (r#"{"name":["^eb"]}"#, false),
            (r#"{"id":["abc"]}"#, true),
            (r#"{"id":["xyz"]}"#, false),
            (r#"{"status":["exited"]}"#, true),
            (r#"{"status":["running"]}"#, false),
            (r#"{"exited":["3"]}"#, true),
            (r#"{"exited":["0"]}"#, false),
            (r#"{"label":["a=1"]}"#, true),
            (r#"{"label":["b"]}"#, false),
            (r#"{"label!":["a"]}"#, false),
            (r#"{"volume":["data"]}"#, true),
            (r#"{"volume":["/data"]}"#, true),
            (r#"{"volume":["nope"]}"#, false),
            (r#"{"network":["none"]}"#, true),
            (r#"{"network":["bridge"]}"#, false),
            (r#"{"expose":["80"]}"#, true),
            (r#"{"expose":["70-90/tcp"]}"#, true),
            (r#"{"expose":["80/udp"]}"#, false),
            (r#"{"publish":["80"]}"#, true),
            (r#"{"publish":["81"]}"#, false),
            (r#"{"health":["none"]}"#, true),
            (r#"{"health":["healthy"]}"#, false),
            (r#"{"is-task":["false"]}"#, true),
            (r#"{"is-task":["true"]}"#, false),
        ] {
            let filters = Filters::parse(filter).unwrap();
            let selection = Selection::new(&filters).unwrap();
            assert_eq!(selection.includes(&one), expected, "{filter}");
        }
        let filters = Filters::default();
        let mut selection = Selection::new(&filters).unwrap();
        selection.before = Some(100);
        assert!(!selection.includes(&one));
        selection.before = Some(101);
        selection.since = Some(99);
        selection.ancestors = Some(["sha256:1".to_owned()].into());
        assert!(selection.includes(&one));
    }

    #[test]
    fn an_exit_code_is_not_that_of_a_running_container() {
        let running = State::Running(Live { pid: 1, started_at: 0 });
        let one = view(serde_json::json!({"id": "a"}), running);
        let filters = Filters::parse(r#"{"exited":["3"]}"#).unwrap();
        assert!(!Selection::new(&filters).unwrap().includes(&one));
    }

    #[test]
    fn wrong_filters_are_refused_in_dockers_words() {
        for (filter, message) in [
            (r#"{"nope":["x"]}"#, "invalid filter 'nope'"),
            (r#"{"until":["x"]}"#, "invalid filter 'until'"),
            (r#"{"status":["x"]}"#, "invalid filter 'status=[x]'"),
            (r#"{"exited":["x"]}"#, "invalid filter 'exited=[x]'"),
            (r#"{"health":["x"]}"#, "invalid filter 'health=[x]'"),
            (r#"{"publish":["x"]}"#, "invalid filter 'publish=[x]'"),
        ] {
            let filters = Filters::parse(filter).unwrap();
            let error = Selection::new(&filters).err().unwrap();
            assert_eq!(error.to_string(), message, "{filter}");
        }
    }
}
