//! Which containers there are: by id, by name, by unique prefix of an id.
//!
//! A name is reserved before the container exists and released when it is gone; reserving is
//! atomic, so of many creates with one name exactly one wins. Lookups never wait for a driver.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use skiff_model::digest::Digest;
use skiff_store::Pins;
use tokio::sync::{Notify, mpsc};

use super::driver::Command;
use super::record::{Life, Record};
use super::state::State;
use crate::error::{Error, Result};

/// All containers of an engine.
#[derive(Default)]
pub struct Registry {
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    by_id: BTreeMap<String, Arc<Container>>,
    /// Name (without slash) to id.
    names: BTreeMap<String, String>,
}

/// One container: what readers see of it, and the way to its driver.
pub struct Container {
    pub id: String,
    pub(crate) commands: mpsc::Sender<Command>,
    view: RwLock<Arc<View>>,
    /// Clients that have announced to attach and have not handed over their stream yet.
    pub(crate) attaching: Attaching,
}

/// Counts announced clients, so that a start can wait for them: what the container writes first
/// must not be lost on them.
#[derive(Default)]
pub(crate) struct Attaching {
    count: AtomicUsize,
    changed: Notify,
}

/// An announcement; dropping it takes it back.
pub(crate) struct Ticket(Arc<Container>);

impl Attaching {
    /// Whether nobody is announced.
    pub(crate) fn none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Resolves when an announced client came or gave up.
    pub(crate) async fn notified(&self) {
        self.changed.notified().await;
    }
}

impl Ticket {
    pub(crate) fn new(container: Arc<Container>) -> Ticket {
        container.attaching.count.fetch_add(1, Ordering::AcqRel);
        Ticket(container)
    }

    pub(crate) fn container(&self) -> &Arc<Container> {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.attaching.count.fetch_sub(1, Ordering::AcqRel);
        self.0.attaching.changed.notify_one();
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({})", self.0.id)
    }
}

/// A container at one moment.
#[derive(Debug, Clone)]
pub struct View {
    pub record: Arc<Record>,
    pub state: State,
    /// Newer than `record.life`.
    pub life: Life,
    pub health: Option<Arc<skiff_api::Health>>,
}

impl Container {
    pub(crate) fn new(id: String, commands: mpsc::Sender<Command>, view: View) -> Container {
        Container {
            id,
            commands,
            view: RwLock::new(Arc::new(view)),
            attaching: Attaching::default(),
        }
    }

    /// The last published view.
    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For its driver only.
    pub(crate) fn publish(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }
}

/// A reserved name; released on drop unless the container was registered.
pub struct Reservation<'a> {
    registry: &'a Registry,
    pub name: String,
    kept: bool,
}

impl Registry {
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `name` for the container `id`.
    pub fn reserve(&self, name: &str, id: &str) -> Result<Reservation<'_>> {
        let mut index = self.write();
        if let Some(owner) = index.names.get(name) {
            return Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \
                 \"{owner}\". You have to remove (or rename) that container to be able to reuse \
                 that name."
            )));
        }
        index.names.insert(name.to_owned(), id.to_owned());
        Ok(Reservation { registry: self, name: name.to_owned(), kept: false })
    }

    /// Makes a container visible under its reserved name.
    pub fn register(&self, container: Arc<Container>, mut reservation: Reservation<'_>) {
        reservation.kept = true;
        self.write().by_id.insert(container.id.clone(), container);
    }

    /// Makes a recorded container visible. When its name is taken (a damaged data root), it is
    /// reachable by its id only.
    pub fn restore(&self, container: Arc<Container>) {
        let name = container.view().record.name.clone();
        let mut index = self.write();
        index.names.entry(name).or_insert_with(|| container.id.clone());
        index.by_id.insert(container.id.clone(), container);
    }

    /// Forgets a container and its name.
    pub fn remove(&self, id: &str) {
        let mut index = self.write();
        if let Some(container) = index.by_id.remove(id) {
            let name = &container.view().record.name;
            if index.names.get(name).is_some_and(|owner| owner == id) {
                index.names.remove(name);
            }
        }
    }

    /// Releases the old name of a container that was renamed.
    pub fn release_name(&self, name: &str, id: &str) {
        let mut index = self.write();
        if index.names.get(name).is_some_and(|owner| owner == id) {
            index.names.remove(name);
        }
    }

    /// Finds a container by full id, name (with or without slash), or unique prefix of its id.
    pub fn get(&self, asked: &str) -> Result<Arc<Container>> {
        if asked.is_empty() {
            return Err(Error::invalid("no container name or ID supplied"));
        }
        let index = self.read();
        if let Some(container) = index.by_id.get(asked) {
            return Ok(container.clone());
        }
        let name = asked.strip_prefix('/').unwrap_or(asked);
        if let Some(container) = index.names.get(name).and_then(|id| index.by_id.get(id)) {
            return Ok(container.clone());
        }
        let mut matches =
            index.by_id.range(asked.to_owned()..).take_while(|(id, _)| id.starts_with(asked));
        match (matches.next(), matches.next()) {
            (Some((_, container)), None) => Ok(container.clone()),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("multiple IDs found with provided prefix: {asked}")))
            }
            (None, _) => Err(Error::not_found(format!("No such container: {asked}"))),
        }
    }

    /// What containers keep of images from being collected.
    pub(crate) fn pins(&self) -> Pins {
        let mut pins = Pins::default();
        for container in self.all() {
            let record = container.view().record.clone();
            pins.images.extend(record.images().filter_map(|id| id.parse::<Digest>().ok()));
            let mounted = record.mounts.iter().filter_map(|mount| mount.image.as_ref());
            let chains = std::iter::once(&record.layers).chain(mounted.map(|image| &image.layers));
            let tops = chains.filter_map(|chain| chain.last());
            pins.layers.extend(tops.filter_map(|layer| layer.parse::<Digest>().ok()));
        }
        pins
    }

    /// All containers, in no useful order.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.read().by_id.values().cloned().collect()
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.registry.write().names.remove(&self.name);
        }
    }
}

impl Reservation<'_> {
    /// Keeps the name although no container is registered with it (a rename).
    pub fn keep(mut self) {
        self.kept = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn add(registry: &Registry, id: &str, name: &str) {
        let record = Record { id: id.to_owned(), name: name.to_owned(), ..Record::default() };
        let view = View {
            record: Arc::new(record),
            state: State::Created,
            life: Life::default(),
            health: None,
        };
        let (commands, _) = mpsc::channel(1);
        let reservation = registry.reserve(name, id).unwrap();
        registry.register(Arc::new(Container::new(id.to_owned(), commands, view)), reservation);
    }

    #[test]
    fn lookup_prefers_id_then_name_then_prefix() {
        let registry = Registry::default();
        add(&registry, "abc111", "one");
        add(&registry, "abc222", "abc1");
        for (asked, expected) in [
            ("abc111", Ok("abc111")),
            ("one", Ok("abc111")),
            ("/one", Ok("abc111")),
            ("abc1", Ok("abc222")),
            ("abc11", Ok("abc111")),
            ("abc2", Ok("abc222")),
            ("abc", Err("multiple IDs found with provided prefix: abc")),
            ("nope", Err("No such container: nope")),
            ("", Err("no container name or ID supplied")),
        ] {
            let found = registry.get(asked).map(|container| container.id.clone());
            let found = found.map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{asked}");
        }
    }

    #[test]
    fn a_name_belongs_to_one_container_until_it_is_released() {
        let registry = Registry::default();
        add(&registry, "abc111", "web");
        let error = registry.reserve("web", "def").err().unwrap();
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(
            error.to_string(),
            "Conflict. The container name \"/web\" is already in use by container \"abc111\". You \
             have to remove (or rename) that container to be able to reuse that name."
        );
        registry.remove("abc111");
        drop(registry.reserve("web", "def").unwrap());
        drop(registry.reserve("web", "def").unwrap());
    }
}
