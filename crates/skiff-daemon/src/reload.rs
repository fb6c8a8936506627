//! The settings that SIGHUP changes: labels, debug, and who runs containers. Of those that dockerd
//! reloads, live-restore is always on here, shutdown-timeout has no meaning without its end, and
//! the registries' wait for the part that needs them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use skiff_engine::config::Runtimes;

use crate::flags::Given;
use crate::logging::{self, Level};
use crate::settings::{self, Settings, SettingsError};

struct Current {
    labels: Vec<String>,
    debug: bool,
}

/// What may change while the daemon runs.
pub(crate) struct Reloadable {
    given: Given,
    config_file: Option<PathBuf>,
    current: Mutex<Current>,
}

impl Reloadable {
    /// The settings at the start, and the command line to read them again with.
    pub(crate) fn new(given: Given, settings: &Settings) -> Reloadable {
        apply(settings);
        Reloadable {
            given,
            config_file: settings.config_file.clone(),
            current: Mutex::new(Current { labels: settings.labels.clone(), debug: settings.debug }),
        }
    }

    pub(crate) fn labels(&self) -> Vec<String> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).labels.clone()
    }

    pub(crate) fn debug(&self) -> bool {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).debug
    }

    /// Reads the file again; what is the engine's is given back. On an error nothing changes, and
    /// without a file there is nothing to change.
    pub(crate) fn reload(&self) -> Result<Option<Runtimes>, SettingsError> {
        if self.config_file.is_none() && !std::path::Path::new(settings::CONFIG_FILE).exists() {
            return Ok(None);
        }
        let settings = settings::load(&self.given)?;
        apply(&settings);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current { labels: settings.labels, debug: settings.debug };
        Ok(Some(settings.runtimes))
    }
}

fn apply(settings: &Settings) {
    let level = if settings.debug { Level::Debug } else { Level::parse(&settings.log_level) };
    logging::set_level(level);
    logging::set_json(settings.log_json);
}
