//! `docker ps`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use skiff_api::inspect::SummaryNetworkSettings;
use skiff_api::{
    ContainerSummary, ContainerSummaryHealth, ContainerSummaryHostConfig, List, Map, PortSummary,
};

use super::filter::Selection;
use super::inspect::{has_ports, network_map, visible_mounts};
use super::registry::View;
use super::words::{LastEnd, describe};
use super::{Containers, ListOptions, spec};
use crate::error::Result;
use crate::{Core, clock};

/// Containers that a list will show, newest first.
pub struct Selected {
    core: Arc<Core>,
    views: Vec<Arc<View>>,
    sized: bool,
}

/// Finds what a list will show.
pub(super) fn select(core: &Arc<Core>, options: &ListOptions) -> Result<Selected> {
    let mut selection = Selection::new(&options.filters)?;
    fill_in(core, options, &mut selection)?;
    let all = options.all || options.limit > 0 || selection.wants_all();
    let mut views: Vec<Arc<View>> = core
        .containers
        .all()
        .iter()
        .map(|container| container.view())
        .filter(|view| (all || view.state.is_active()) && selection.includes(view))
        .collect();
    views.sort_by(|one, other| {
        (other.record.created, &other.record.id).cmp(&(one.record.created, &one.record.id))
    });
    if let Ok(limit) = usize::try_from(options.limit)
        && limit > 0
    {
        views.truncate(limit);
    }
    Ok(Selected { core: core.clone(), views, sized: options.size })
}

impl Selected {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.views.len()
    }

    /// Hands the summaries to `take`, until it refuses one. A thousand of them are never there at
    /// once: their memory would cost more than their making.
    pub fn each(&self, mut take: impl FnMut(ContainerSummary) -> Result<()>) -> Result<()> {
        let now = clock::now();
        let mut images = ImageNames { core: &self.core, known: HashMap::new() };
        for view in &self.views {
            let mut summary = summary(view, now, images.shown(view));
            if self.sized {
                let size = Containers(self.core.clone()).size(&view.record.id)?;
                summary.size_rw = Some(size.rw);
                summary.size_root_fs = Some(size.root_fs);
            }
            take(summary)?;
        }
        Ok(())
    }
}

/// Replaces names in filters by what they stand for.
fn fill_in(core: &Core, options: &ListOptions, selection: &mut Selection<'_>) -> Result<()> {
    for name in options.filters.values("before") {
        let created = core.containers.get(name)?.view().record.created;
        selection.before = Some(selection.before.map_or(created, |before| before.min(created)));
    }
    for name in options.filters.values("since") {
        let created = core.containers.get(name)?.view().record.created;
        selection.since = Some(selection.since.map_or(created, |since| since.max(created)));
    }
    if options.filters.contains("ancestor") {
        let images = core.store.images();
        let mut ids = BTreeSet::new();
        for name in options.filters.values("ancestor") {
            // An image that is not there has no descendants.
            if let Ok(found) = images.resolve(name) {
                ids.insert(found.image.id);
            }
        }
        // Images that were committed from those, and so on.
        let every = images.list();
        loop {
            let before = ids.len();
            for named in &every {
                if named.image.parent.is_some_and(|parent| ids.contains(&parent)) {
                    ids.insert(named.image.id);
                }
            }
            if ids.len() == before {
                break;
            }
        }
        selection.ancestors = Some(ids.iter().map(ToString::to_string).collect());
    }
    Ok(())
}

/// What to show as a container's image: the name it was created with, unless that is another
/// image's by now.
struct ImageNames<'a> {
    core: &'a Core,
    known: HashMap<String, Option<String>>,
}

impl ImageNames<'_> {
    fn shown(&mut self, view: &View) -> String {
        let name = &view.record.config.image;
        let id = self.known.entry(name.clone()).or_insert_with(|| {
            let found = self.core.store.images().resolve(name);
            found.ok().map(|named| named.image.id.to_string())
        });
        match id {
            Some(id) if *id == view.record.image_id => name.clone(),
            _ => view.record.image_id.clone(),
        }
    }
}

fn summary(view: &View, now: i64, image: String) -> ContainerSummary {
    let record = &view.record;
    let end = (view.life.finished_at != 0)
        .then_some(LastEnd { exit_code: view.life.exit_code, at: view.life.finished_at });
    let health = view.health.as_deref();
    ContainerSummary {
        id: record.id.clone(),
        names: vec![format!("/{}", record.name)].into(),
        image,
        image_id: record.image_id.clone(),
        command: command(&spec::arguments(&record.config)),
        created: record.created / 1_000_000_000,
        ports: ports(view),
        labels: if record.config.labels.is_empty() {
            Map::empty()
        } else {
            record.config.labels.clone()
        },
        state: view.state.status().to_owned(),
        status: describe(&view.state, end, health, now),
        host_config: ContainerSummaryHostConfig {
            network_mode: record.host_config.network_mode.clone(),
            annotations: record.host_config.annotations.clone(),
        },
        health: health.map(|health| ContainerSummaryHealth {
            status: health.status.clone(),
            failing_streak: health.failing_streak,
        }),
        network_settings: Some(SummaryNetworkSettings { networks: network_map(record) }),
        mounts: visible_mounts(record).into(),
        ..ContainerSummary::default()
    }
}

/// Program and arguments, those with spaces in quotes.
fn command(arguments: &[String]) -> String {
    let mut words = arguments.iter();
    let mut text = words.next().cloned().unwrap_or_default();
    for word in words {
        text.push(' ');
        if word.contains(' ') {
            text.push('\'');
            text.push_str(word);
            text.push('\'');
        } else {
            text.push_str(word);
        }
    }
    text
}

/// Exposed ports of a running container; none is published without bridge networks.
fn ports(view: &View) -> List<PortSummary> {
    if view.state.live().is_none() || !has_ports(&view.record) {
        return List::empty();
    }
    let port = |key: &String| {
        let (port, kind) = key.split_once('/').unwrap_or((key, "tcp"));
        let private_port = port.parse().ok()?;
        Some(PortSummary { private_port, kind: kind.to_owned(), ..PortSummary::default() })
    };
    view.record.config.exposed_ports.keys().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_are_quoted() {
        let words = ["/bin/sh", "-c", "echo hi", "x"].map(str::to_owned);
        assert_eq!(command(&words), "/bin/sh -c 'echo hi' x");
        assert_eq!(command(&[]), "");
    }
}
