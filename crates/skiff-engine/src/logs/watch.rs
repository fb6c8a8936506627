//! Tells followers that something in a log's directory has changed: one inotify instance for all of
//! them, since a host allows few instances (128) and many watches.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// How often a follower looks when the host gives us no more watches.
const POLL: Duration = Duration::from_millis(100);

/// The engine's watcher of log directories.
#[derive(Clone, Default)]
pub struct Watcher(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Made with the first watch, dropped with the last.
    inotify: Option<Arc<AsyncFd<OwnedFd>>>,
    directories: HashMap<i32, Directory>,
}

struct Directory {
    changed: watch::Sender<()>,
    watches: usize,
}

/// One follower's interest; ends when dropped.
pub(super) enum Watch {
    Notified { descriptor: i32, changed: watch::Receiver<()>, watcher: Watcher },
    Polling,
}

impl Watcher {
    /// Watches a directory. Where the host's limits do not allow it, the watch polls.
    pub(super) fn watch(&self, directory: &Path) -> Watch {
        self.try_watch(directory).unwrap_or(Watch::Polling)
    }

    fn try_watch(&self, directory: &Path) -> std::io::Result<Watch> {
        let mut state = self.lock();
        let inotify = match &state.inotify {
            Some(inotify) => inotify.clone(),
            None => {
                let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
                let inotify = Arc::new(register(descriptor)?);
                tokio::spawn(dispatch(inotify.clone(), Arc::downgrade(&self.0)));
                state.inotify = Some(inotify.clone());
                inotify
            }
        };
        let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let descriptor = inotify::add_watch(inotify.get_ref(), directory, events)?;
        let entry = state
            .directories
            .entry(descriptor)
            .or_insert_with(|| Directory { changed: watch::Sender::new(()), watches: 0 });
        entry.watches += 1;
        let changed = entry.changed.subscribe();
        Ok(Watch::Notified { descriptor, changed, watcher: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when something has changed since the last return.
    pub(super) async fn changed(&mut self) {
        match self {
            Watch::Notified { changed, .. } => {
                // The sender is gone when the directory is: the container's end will be told too.
                if changed.changed().await.is_err() {
                    tokio::time::sleep(POLL).await;
                }
            }
            Watch::Polling => tokio::time::sleep(POLL).await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Watch::Notified { descriptor, watcher, .. } = self else { return };
        let mut state = watcher.lock();
        let Some(entry) = state.directories.get_mut(descriptor) else { return };
        entry.watches -= 1;
        if entry.watches > 0 {
            return;
        }
        state.directories.remove(descriptor);
        if let Some(inotify) = &state.inotify {
            // Fails when the directory is gone, and then the watch is, too.
            let _ = inotify::remove_watch(inotify.get_ref(), *descriptor);
        }
    }
}

#[expect(
    deprecated,
    reason = "sound for `OwnedFd`, which always names the same open descriptor; the replacement is \
              an unsafe function because other types may not"
)]
fn register(descriptor: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// Passes events on until the watcher is dropped.
async fn dispatch(inotify: Arc<AsyncFd<OwnedFd>>, state: Weak<Mutex<State>>) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    loop {
        let Ok(mut ready) = inotify.readable().await else { return };
        let mut events = inotify::Reader::new(inotify.get_ref(), &mut buffer);
        while let Ok(event) = events.next() {
            let Some(state) = state.upgrade() else { return };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                for directory in state.directories.values() {
                    directory.changed.send_replace(());
                }
            } else if event.events().contains(inotify::ReadFlags::IGNORED) {
                state.directories.remove(&event.wd());
            } else if let Some(directory) = state.directories.get(&event.wd()) {
                directory.changed.send_replace(());
            }
        }
        ready.clear_ready();
    }
}

#[cfg(test)]
impl Watcher {
    /// How many directories are watched.
    pub(super) fn watched(&self) -> usize {
        self.lock().directories.len()
    }
}
