//! Removal in two steps: a rename that is done at once, and the deletion, which a thread does
//! behind.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::durable::ensure_dir;
use crate::error::{Result, StoreError};
use crate::names::Names;

/// How long after a removal its deletion begins: who asked for it has the processors to himself
/// until he has his answer.
const DELAY: Duration = Duration::from_millis(5);
/// How long the thread waits for more.
const LINGER: Duration = Duration::from_secs(1);

/// The trash directory and its thread, which lives while there is something to delete and a little
/// longer.
pub(crate) struct Trash(Arc<Shared>);

struct Shared {
    path: PathBuf,
    names: Names,
    state: Mutex<State>,
    /// There is something to delete.
    filled: Condvar,
    /// Everything is deleted.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    /// The thread lives.
    running: bool,
    /// There is something it has not yet seen.
    pending: bool,
    /// It is deleting, or about to.
    busy: bool,
}

impl Trash {
    /// Opens the directory; what an earlier process left there is deleted.
    pub(crate) fn open(path: PathBuf, names: Names) -> Result<Self> {
        ensure_dir(&path)?;
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        let shared = Shared { path, names, state: Mutex::default(), filled, emptied };
        let trash = Self(Arc::new(shared));
        let left = std::fs::read_dir(&trash.0.path)
            .map_err(|error| StoreError::io("read", &trash.0.path, error))?;
        if left.count() > 0 {
            trash.wake();
        }
        Ok(trash)
    }

    /// Takes `path` away at once; absence is no error. Call [`Trash::wake`] when done.
    pub(crate) fn put(&self, path: &Path) -> Result<bool> {
        let target = self.0.path.join(self.0.names.next());
        match std::fs::rename(path, target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("remove", path, error)),
        }
    }

    /// Starts deleting.
    pub(crate) fn wake(&self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending = true;
        if state.running {
            self.0.filled.notify_one();
        } else {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("trash".into());
            // Without a thread what is there is deleted at the next wake or open.
            state.running = thread.spawn(move || shared.run()).is_ok();
        }
    }

    /// Waits until everything is deleted.
    pub(crate) fn wait(&self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running && (state.pending || state.busy) {
            state = self.0.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn run(&self) {
        while self.next() {
            std::thread::sleep(DELAY);
            // What came meanwhile is seen as well.
            self.state.lock().unwrap_or_else(PoisonError::into_inner).pending = false;
            self.empty();
        }
    }

    /// Waits for something to delete; false when there was nothing for long, and the thread ends.
    fn next(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy = state.pending;
        if !state.pending {
            self.emptied.notify_all();
            let waited = self.filled.wait_timeout_while(state, LINGER, |state| !state.pending);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.busy = state.pending;
        state.running = state.pending;
        state.running
    }

    /// What cannot be deleted now is tried again at the next open.
    fn empty(&self) {
        let Ok(dir) = File::open(&self.path) else { return };
        let Ok(names) = crate::tar::walk::names(&dir) else { return };
        for name in names {
            use std::os::unix::ffi::OsStrExt;
            let _ = crate::remove::tree_at(&dir, OsStr::from_bytes(&name));
        }
    }
}
