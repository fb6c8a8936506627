//! The table for a container.

use skiff_api::TopResponse;

use super::args;
use super::columns::{Column, Host};
use super::process::Process;
use super::users::Names;
use crate::container::state::State;
use crate::{Core, Error, Result, system};

pub(super) fn top(core: &Core, name: &str, ps_args: &str) -> Result<TopResponse> {
    let columns = args::columns(ps_args)?;
    let view = core.containers.get(name)?.view();
    let id = &view.record.id;
    if matches!(view.state, State::Restarting) {
        return Err(Error::conflict(format!(
            "Container {id} is restarting, wait until the container is running"
        )));
    }
    let Some(live) = view.state.live() else {
        return Err(Error::conflict(format!("container {id} is not running")));
    };
    let pids = crate::container::cgroup::of(&view.record, live.pid)?
        .all_procs()
        .map_err(|error| Error::failed(format!("list processes of container {id}"), error))?;
    table(&pids, &columns, &host())
}

fn host() -> Host {
    Host {
        names: Names::of_host(),
        now: jiff::Timestamp::now(),
        zone: jiff::tz::TimeZone::system(),
        booted: booted(),
        ticks_per_second: rustix::param::clock_ticks_per_second(),
        page_size: rustix::param::page_size() as u64,
        memory: system::host::memory().cast_unsigned(),
    }
}

/// When the host started, in Unix seconds, as the kernel says it in `/proc/stat`.
fn booted() -> i64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok()).unwrap_or_default()
}

fn table(pids: &[i32], columns: &[Column], host: &Host) -> Result<TopResponse> {
    let mut processes = Vec::with_capacity(pids.len());
    for &pid in pids {
        let read = Process::read(pid)
            .map_err(|error| Error::failed(format!("read process {pid}"), error))?;
        // One that has ended meanwhile is not there.
        let Some(process) = read else { continue };
        processes.push(columns.iter().map(|column| column.show(&process, host)).collect());
    }
    Ok(TopResponse {
        titles: columns.iter().map(|column| column.title().to_owned()).collect(),
        processes: processes.into(),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the host's `ps` on this test's own process. Times and sizes move between the two
    /// looks, so only columns that stand still are compared.
    #[test]
    fn the_table_is_what_ps_prints() {
        let names = "user,pid,ppid,pgid,sid,tty,ni,pri,uid,gid,group,start_time,comm,args";
        let pid = std::process::id();
        let output = Command::new("ps").args(["-ww", "-q", &pid.to_string(), "-o", names]).output();
        let Ok(output) = output else { return };
        let text = String::from_utf8(output.stdout).unwrap();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let columns = args::columns(&format!("-o {names}")).unwrap();
        let found = table(&[pid.try_into().unwrap()], &columns, &host()).unwrap();
        let mut lines = text.lines();
        assert_eq!(found.titles.to_vec(), words(lines.next().unwrap()));
        assert_eq!(words(&found.processes[0].join(" ")), words(lines.next().unwrap()));
    }

    #[test]
    fn processes_that_ended_are_left_out() {
        let columns = args::columns("").unwrap();
        assert!(table(&[i32::MAX], &columns, &host()).unwrap().processes.is_empty());
    }
}
