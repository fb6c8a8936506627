//! Exec instances: what they are and how far they are. They live as long as the daemon: after a
//! restart running execs go on, but nobody can ask for them, as with Docker.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skiff_api::ExecConfig;
use tokio::sync::watch;

use crate::clock;

/// All exec instances of an engine.
#[derive(Default)]
pub(crate) struct Table {
    instances: Mutex<HashMap<String, Exec>>,
}

/// One instance.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) container: String,
    pub(crate) config: ExecConfig,
    pub(crate) phase: Phase,
    /// The client attached to it, by its number.
    pub(crate) client: Option<u64>,
    /// Turns true when it has ended.
    pub(crate) ended: watch::Sender<bool>,
}

/// How far an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    Starting,
    Running { pid: i32 },
    Ended { exit_code: i32, pid: i32, at: i64 },
}

/// Ended instances can be asked about for this long.
const KEPT_NANOS: i64 = 300_000_000_000;

impl Table {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<String, Exec>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: String, container: String, config: ExecConfig) {
        let mut instances = self.lock();
        let now = clock::now();
        instances.retain(|_, exec| match exec.phase {
            Phase::Ended { at, .. } => now.saturating_sub(at) < KEPT_NANOS,
            Phase::Created | Phase::Starting | Phase::Running { .. } => true,
        });
        let ended = watch::channel(false).0;
        let exec = Exec { container, config, phase: Phase::Created, client: None, ended };
        instances.insert(id, exec);
    }

    /// It runs, unless its end was faster than the answer to its start.
    pub(crate) fn started(&self, id: &str, pid: i32) {
        if let Some(exec) = self.lock().get_mut(id) {
            match &mut exec.phase {
                Phase::Created | Phase::Starting => exec.phase = Phase::Running { pid },
                Phase::Ended { pid: last, .. } => *last = pid,
                Phase::Running { .. } => {}
            }
        }
    }

    /// It has ended. False when it is not known or had ended before.
    pub(crate) fn exited(&self, id: &str, exit_code: i32) -> bool {
        let mut instances = self.lock();
        let Some(exec) = instances.get_mut(id) else { return false };
        exec.end(exit_code)
    }

    /// Ids of instances that ended with their container.
    pub(crate) fn container_ended(&self, container: &str) -> Vec<String> {
        let mut ended = Vec::new();
        for (id, exec) in self.lock().iter_mut().filter(|(_, exec)| exec.container == container) {
            let runs = matches!(exec.phase, Phase::Starting | Phase::Running { .. });
            if runs && exec.end(137) {
                ended.push(id.clone());
            }
        }
        ended
    }

    pub(crate) fn container_removed(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container != container);
    }

    /// The exec whose client this is.
    pub(crate) fn detached(&self, client: u64) -> Option<String> {
        let instances = self.lock();
        let mut found = instances.iter().filter(|(_, exec)| exec.client == Some(client));
        found.next().map(|(id, _)| id.clone())
    }

    /// Ids of a container's instances that have not ended, in no order.
    pub(crate) fn of_container(&self, container: &str) -> Vec<String> {
        self.lock()
            .iter()
            .filter(|(_, exec)| exec.container == container)
            .filter(|(_, exec)| !matches!(exec.phase, Phase::Ended { .. }))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

impl Exec {
    fn end(&mut self, exit_code: i32) -> bool {
        let pid = match self.phase {
            Phase::Ended { .. } => return false,
            Phase::Running { pid } => pid,
            Phase::Created | Phase::Starting => 0,
        };
        self.phase = Phase::Ended { exit_code, pid, at: clock::now() };
        self.ended.send_replace(true);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_overtakes_the_start_is_kept() {
        let table = Table::default();
        table.add("e".to_owned(), "c".to_owned(), ExecConfig::default());
        table.lock().get_mut("e").unwrap().phase = Phase::Starting;
        assert_eq!(table.of_container("c"), ["e"]);
        assert!(table.exited("e", 3));
        table.started("e", 77);
        assert!(!table.exited("e", 4));
        let phase = table.lock()["e"].phase;
        assert!(matches!(phase, Phase::Ended { exit_code: 3, pid: 77, .. }));
        assert!(table.of_container("c").is_empty());
    }

    #[test]
    fn execs_end_and_go_with_their_container() {
        let table = Table::default();
        for id in ["a", "b", "other"] {
            let container = if id == "other" { "d" } else { "c" };
            table.add(id.to_owned(), container.to_owned(), ExecConfig::default());
        }
        table.started("a", 5);
        assert_eq!(table.container_ended("c"), ["a"]);
        table.container_removed("c");
        assert_eq!(table.lock().keys().collect::<Vec<_>>(), ["other"]);
    }
}
