//! Getting idle monitors from the keeper, and a keeper when there is none.

use std::path::PathBuf;

use skiff_shim::client::{KeeperConfig, ensure_keeper};

use crate::container::monitor::{Monitor, nobody_listens};
use crate::error::{Error, Result};

/// The way to the keeper of an exec root.
pub(crate) struct Keeper {
    pub(crate) executable: PathBuf,
    pub(crate) exec_root: PathBuf,
    pub(crate) data_root: PathBuf,
    /// One start at a time.
    starting: tokio::sync::Mutex<()>,
}

impl Keeper {
    pub(crate) fn new(executable: PathBuf, exec_root: PathBuf, data_root: PathBuf) -> Keeper {
        Keeper { executable, exec_root, data_root, starting: tokio::sync::Mutex::new(()) }
    }

    /// Sees to it that a keeper of this executable answers.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let _one = self.starting.lock().await;
        let (executable, exec_root, data_root) =
            (self.executable.clone(), self.exec_root.clone(), self.data_root.clone());
        tokio::task::spawn_blocking(move || {
            ensure_keeper(KeeperConfig {
                executable: &executable,
                exec_root: &exec_root,
                data_root: &data_root,
            })
        })
        .await
        .map_err(|error| Error::failed("start the keeper", error))?
        .map_err(|error| Error::failed("start the keeper", error))
    }

    /// An idle monitor. When the keeper is gone, another one is started.
    pub(crate) async fn monitor(&self) -> Result<Monitor> {
        match Monitor::idle(&self.exec_root).await {
            Ok(monitor) => return Ok(monitor),
            Err(error) if nobody_listens(&error) => {}
            Err(error) => return Err(Error::failed("connect to the keeper", error)),
        }
        self.ensure().await?;
        Monitor::idle(&self.exec_root)
            .await
            .map_err(|error| Error::failed("connect to the keeper", error))
    }
}
