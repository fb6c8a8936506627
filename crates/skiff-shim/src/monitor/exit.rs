//! The end of processes, and of the container.
//!
//! Order matters. Of an exec: its last output, then the event, then the end of its client's
//! stream. Of the container: last output, exit record, event, end of the clients' streams; only
//! then the socket's name and what takes long, removing the control group and the mounts, and the event that says so.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use skiff_sys::process::{Exit, wait_any};

use super::task::Task;
use super::{INIT, Monitor};
use crate::protocol::{EXIT_RECORD, Event, ExitRecord};

/// How much more others count than a monitor that only clears away.
const CLEANING_UP: i32 = 10;

/// How far the container's end has come.
#[derive(Debug)]
pub(super) struct Ending {
    /// Others of the container's processes live on when init ends, and have to be killed.
    shares_pids: bool,
    record: Option<ExitRecord>,
    released: bool,
    over: bool,
}

impl Ending {
    pub(super) fn new(shares_pids: bool) -> Ending {
        Ending { shares_pids, record: None, released: false, over: false }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.record.is_some()
    }

    pub(super) fn record(&self) -> Option<ExitRecord> {
        self.record.clone()
    }

    pub(super) fn is_released(&self) -> bool {
        self.released
    }

    /// The monitor has nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

impl Monitor {
    /// Children have ended.
    pub(super) fn reap(&mut self) {
        while self.children.read().is_some() {}
        let mut init = None;
        while let Ok(Some((pid, exit))) = wait_any(false) {
            match self.tasks.iter().find(|(_, task)| task.pid == pid && !task.exited) {
                // Last: the events of execs that ended with it come first.
                Some((&INIT, _)) => init = Some(exit),
                Some((&id, _)) => self.exec_ended(id, exit),
                None => self.other_child_ended(pid, exit),
            }
        }
        if let Some(exit) = init {
            self.container_ended(exit);
        }
    }

    /// A child of ours, or a process that became an orphan in a shared pid namespace.
    fn other_child_ended(&mut self, pid: i32, exit: Exit) {
        if let Some(log) = self.tasks.get_mut(&INIT).and_then(|task| task.log.as_mut()) {
            log.child_ended(pid, exit == Exit::Code(0));
        }
    }

    fn exec_ended(&mut self, id: u32, exit: Exit) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.exited = true;
        task.drain(&mut self.hub);
        if let Some(exec) = task.exec.clone() {
            self.hub.events.push(Event::ExecExited { exec, exit_code: exit.shell_code() });
        }
        // The daemon knows before the client can ask it.
        self.publish();
        if let Some(task) = self.tasks.get_mut(&id) {
            task.finish_clients(&mut self.hub);
        }
    }

    fn container_ended(&mut self, exit: Exit) {
        if self.ending.shares_pids {
            // Failing, there is nothing better to do; removing the group will tell.
            self.container.kill_all();
        }
        let at = crate::log::now();
        if let Some(task) = self.tasks.get_mut(&INIT) {
            task.exited = true;
            task.drain(&mut self.hub);
        }
        self.count_oom_kills();
        let record =
            ExitRecord { exit_code: exit.shell_code(), oom_killed: self.oom_kills > 0, at };
        self.ending.record = Some(record.clone());
        // Without it a daemon that is away would not learn the code; those that are here do.
        let _ = write_record(&self.run_dir, &record);
        self.hub.events.push(Event::Exited(record));
        self.publish();
        if let Some(task) = self.tasks.get_mut(&INIT) {
            task.finish_clients(&mut self.hub);
        }
        self.release();
    }

    /// Lets go of what the container had in the kernel.
    fn release(&mut self) {
        // Whoever waited for the end goes first.
        let _ = rustix::process::nice(CLEANING_UP);
        if let Some(oom) = self.oom.take() {
            self.hub.poll.remove(oom.as_fd());
        }
        // The exit record says it all from here on, and the next run has a socket of its own.
        if let Some(listener) = self.listener.take() {
            self.hub.poll.remove(listener.as_fd());
        }
        for failure in self.container.release() {
            crate::keeper::complain(&format!("{}: {failure}", self.run_dir.display()));
        }
        self.ending.released = true;
        self.hub.events.push(Event::Released);
    }

    /// Moves what is on its way out; finds out whether everything is gone.
    pub(super) fn advance_ending(&mut self) {
        let leaving = self.tasks.values().any(Task::has_leaving_clients);
        if !leaving && !self.ending.has_begun() {
            self.tasks.retain(|id, task| *id == INIT || !task.exited);
            return;
        }
        let now = Instant::now();
        for task in self.tasks.values_mut() {
            task.drop_overdue(&mut self.hub, now);
        }
        self.tasks.retain(|id, task| *id == INIT || !task.exited || task.has_clients());
        if self.ending.has_begun() {
            let clients = self.tasks.values().any(Task::has_clients);
            let execs = self.tasks.values().any(|task| !task.exited);
            let unsent = self.connections.values().any(|it| it.has_unsent() && !it.is_stuck());
            self.ending.over = !clients && !execs && !unsent && self.hub.events.is_empty();
        }
    }
}

/// Puts the record in its place as a whole.
fn write_record(run_dir: &Path, record: &ExitRecord) -> std::io::Result<()> {
    let temporary = run_dir.join(".exit.json.tmp");
    std::fs::write(&temporary, serde_json::to_vec(record)?)?;
    std::fs::rename(temporary, run_dir.join(EXIT_RECORD))
}
