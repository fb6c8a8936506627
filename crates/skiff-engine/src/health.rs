//! Health checks: probes run as execs, and what their results make of a container.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use skiff_api::{Config, ExecConfig, Health, HealthcheckResult};
use tokio::io::AsyncReadExt;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::container::driver::Command;
use crate::container::registry::Container;
use crate::exec::table::Phase;
use crate::exec::{ExecStartOptions, Execs};
use crate::{Core, clock};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: i64 = 3;
/// Results kept.
const LOG_LENGTH: usize = 5;
/// Bytes of a probe's output kept.
const OUTPUT_LIMIT: usize = 4096;

/// A container's health check with all defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    command: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: i64,
}

impl Check {
    /// The check of a container; `None` when it has none.
    pub(crate) fn of(config: &Config) -> Option<Check> {
        let check = config.healthcheck.as_ref()?;
        let command = match check.test.first().map(String::as_str) {
            Some("CMD") if check.test.len() > 1 => check.test[1..].to_vec(),
            Some("CMD-SHELL") if check.test.len() > 1 => {
                let shell: Vec<String> = if config.shell.is_empty() {
                    vec!["/bin/sh".to_owned(), "-c".to_owned()]
                } else {
                    config.shell.to_vec()
                };
                shell.into_iter().chain([check.test[1].clone()]).collect()
            }
            _ => return None,
        };
        let or = |nanos: i64, default: Duration| match u64::try_from(nanos) {
            Ok(0) | Err(_) => default,
            Ok(nanos) => Duration::from_nanos(nanos),
        };
        Some(Check {
            command,
            interval: or(check.interval, DEFAULT_INTERVAL),
            timeout: or(check.timeout, DEFAULT_TIMEOUT),
            start_period: or(check.start_period, Duration::ZERO),
            start_interval: or(check.start_interval, DEFAULT_START_INTERVAL),
            retries: if check.retries == 0 { DEFAULT_RETRIES } else { check.retries },
        })
    }

    /// Time to the next probe.
    fn pause(&self, health: &Health, running_for: Duration) -> Duration {
        if health.status == "starting" && running_for < self.start_period {
            self.start_interval
        } else {
            self.interval
        }
    }

    /// What a result makes of a container that was in this health before.
    fn judge(&self, before: &Health, result: HealthcheckResult, running_for: Duration) -> Health {
        let mut health = before.clone();
        if result.exit_code == 0 {
            health.failing_streak = 0;
            health.status = "healthy".to_owned();
        } else if health.status == "starting" && running_for < self.start_period {
            // It may still be coming up.
        } else {
            health.failing_streak += 1;
            if health.failing_streak >= self.retries {
                health.status = "unhealthy".to_owned();
            }
        }
        let mut log = health.log.to_vec();
        log.push(result);
        let extra = log.len().saturating_sub(LOG_LENGTH);
        log.drain(..extra);
        health.log = log.into();
        health
    }
}

/// Probes a container until it is aborted. `started_at` in nanoseconds since the epoch.
pub(crate) fn begin(
    core: &Arc<Core>,
    container: &Arc<Container>,
    check: Check,
    started_at: i64,
) -> AbortHandle {
    let (core, container) = (core.clone(), container.clone());
    let already = u64::try_from(clock::now().saturating_sub(started_at)).unwrap_or(0);
    // Measured on the monotonic clock from here on.
    let begun = Instant::now().checked_sub(Duration::from_nanos(already));
    let begun = begun.unwrap_or_else(Instant::now);
    tokio::spawn(async move {
        let mut health = Health { status: "starting".to_owned(), ..Health::default() };
        loop {
            sleep(check.pause(&health, begun.elapsed())).await;
            if let crate::container::state::State::Paused(_) = container.view().state {
                continue;
            }
            let probed_at = begun.elapsed();
            let result = probe(&core, &container, &check).await;
            health = check.judge(&health, result, probed_at);
            if container.commands.send(Command::Health(health.clone())).await.is_err() {
                return;
            }
        }
    })
    .abort_handle()
}

/// Runs one probe.
async fn probe(core: &Arc<Core>, container: &Container, check: &Check) -> HealthcheckResult {
    let start = clock::now();
    let (exit_code, output) = match timeout(check.timeout, run(core, container, check)).await {
        Ok(Ok((exit_code, output))) => (exit_code, output),
        Ok(Err(error)) => (-1, error.to_string()),
        Err(_) => {
            let limit = i64::try_from(check.timeout.as_nanos()).unwrap_or(i64::MAX);
            let limit = skiff_model::duration::format_duration(limit);
            (-1, format!("Health check exceeded timeout ({limit})"))
        }
    };
    HealthcheckResult {
        start: clock::rfc3339(start),
        end: clock::rfc3339(clock::now()),
        exit_code,
        output,
    }
}

/// Kills a probe that is dropped before it ended: one that takes too long.
struct Guard<'a> {
    core: &'a Core,
    container: &'a Container,
    exec: String,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let runs = matches!(
            self.core.execs.lock().get(&self.exec).map(|exec| exec.phase),
            Some(Phase::Starting | Phase::Running { .. })
        );
        if runs {
            let command = Command::SignalExec { exec: self.exec.clone(), signal: 9 };
            // With a full queue it is killed with the container at the latest.
            drop(self.container.commands.try_send(command));
        }
    }
}

async fn run(
    core: &Arc<Core>,
    container: &Container,
    check: &Check,
) -> crate::Result<(i64, String)> {
    let execs = Execs(core.clone());
    let config = ExecConfig {
        cmd: check.command.iter().cloned().collect(),
        attach_stdout: true,
        attach_stderr: true,
        ..ExecConfig::default()
    };
    let exec = execs.create(&container.id, config).await?;
    let guard = Guard { core, container, exec: exec.clone() };
    let failed = |error| crate::Error::failed("connect to a health check", error);
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let mut ours = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
    let ended = core.execs.lock().get(&exec).map(|exec| exec.ended.subscribe());
    let stream = Some((OwnedFd::from(theirs), Vec::new()));
    execs.start(&exec, ExecStartOptions::default(), stream).await?;
    let output = read_frames(&mut ours).await;
    if let Some(mut ended) = ended {
        // The sender is gone when the container is.
        drop(ended.wait_for(|ended| *ended).await);
    }
    let exit_code = execs.inspect(&exec).await?.exit_code.unwrap_or(-1);
    drop(guard);
    Ok((exit_code, output))
}

/// Reads Docker's frames to the end and keeps the first bytes of what they hold.
async fn read_frames(stream: &mut tokio::net::UnixStream) -> String {
    let mut output = Vec::new();
    let mut header = [0; 8];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut body = stream.take(u64::from(length));
        let mut chunk = [0; 4096];
        loop {
            match body.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let room = OUTPUT_LIMIT.saturating_sub(output.len());
                    output.extend_from_slice(&chunk[..count.min(room)]);
                }
            }
        }
    }
    String::from_utf8_lossy(&output).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> Config {
        serde_json::from_value(json).unwrap()
    }

    fn result(exit_code: i64) -> HealthcheckResult {
        HealthcheckResult { exit_code, ..HealthcheckResult::default() }
    }

    #[test]
    fn checks_are_read_from_the_configuration() {
        for (json, command) in [
            (serde_json::json!({}), None),
            (serde_json::json!({"Healthcheck": {"Test": []}}), None),
            (serde_json::json!({"Healthcheck": {"Test": ["NONE"]}}), None),
            (serde_json::json!({"Healthcheck": {"Test": ["CMD", "a", "b"]}}), Some(vec!["a", "b"])),
            (
                serde_json::json!({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}),
                Some(vec!["/bin/sh", "-c", "a b"]),
            ),
            (
                serde_json::json!(
                    {"Shell": ["/x", "-y"], "Healthcheck": {"Test": ["CMD-SHELL", "a"]}}
                ),
                Some(vec!["/x", "-y", "a"]),
            ),
        ] {
            let found = Check::of(&config(json.clone())).map(|check| check.command);
            let expected =
                command.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, expected, "{json}");
        }
    }

    #[test]
    fn failures_count_after_the_start_period_only() {
        let check = Check::of(&config(serde_json::json!({"Healthcheck": {
            "Test": ["CMD", "x"], "Retries": 2, "StartPeriod": 10_000_000_000_u64
        }})))
        .unwrap();
        let mut health = Health { status: "starting".to_owned(), ..Health::default() };
        for (exit_code, at, status, streak) in [
            (1, 1, "starting", 0),
            (1, 9, "starting", 0),
            (1, 11, "starting", 1),
            (1, 12, "unhealthy", 2),
            (0, 13, "healthy", 0),
            (1, 14, "healthy", 1),
            (-1, 15, "unhealthy", 2),
        ] {
            health = check.judge(&health, result(exit_code), Duration::from_secs(at));
            assert_eq!((health.status.as_str(), health.failing_streak), (status, streak), "{at}");
        }
        assert_eq!(health.log.len(), LOG_LENGTH);
    }
}
