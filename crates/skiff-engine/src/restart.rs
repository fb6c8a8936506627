//! Whether and when an ended container is started again. Pure.

use std::time::Duration;

use skiff_api::RestartPolicy;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A container that ran this long was well: its next failure counts as the first.
const HEALTHY_RUN: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) exit_code: i32,
    /// Somebody asked for it.
    pub(crate) by_user: bool,
    pub(crate) ran_for: Duration,
}

/// The growing delay between restarts of one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    /// Decides what follows an ending; `restarts` have been before. `Some` is the delay.
    pub(crate) fn decide(
        &mut self,
        policy: &RestartPolicy,
        restarts: i64,
        ending: Ending,
    ) -> Option<Duration> {
        if ending.by_user || !wants_restart(policy, restarts, ending.exit_code) {
            return None;
        }
        if ending.ran_for >= HEALTHY_RUN {
            self.0 = Duration::ZERO;
        }
        self.0 = if self.0.is_zero() { FIRST_DELAY } else { (self.0 * 2).min(LONGEST_DELAY) };
        Some(self.0)
    }
}

fn wants_restart(policy: &RestartPolicy, restarts: i64, exit_code: i32) -> bool {
    match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let limit = policy.maximum_retry_count;
            exit_code != 0 && (limit == 0 || restarts < limit)
        }
        _ => false,
    }
}

/// Whether a container that does not run is started when the daemon starts: it was started
/// before, and its policy would start it again.
pub(crate) fn wanted_at_boot(
    policy: &RestartPolicy,
    restarts: i64,
    stopped: bool,
    exit_code: i32,
) -> bool {
    match policy.name.as_str() {
        "unless-stopped" => !stopped,
        // An explicit stop holds only until the daemon starts again: that is what sets the two
        // policies apart.
        "always" => true,
        _ => !stopped && wants_restart(policy, restarts, exit_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, maximum_retry_count: i64) -> RestartPolicy {
        RestartPolicy { name: name.to_owned(), maximum_retry_count }
    }

    fn ending(exit_code: i32, by_user: bool, seconds: u64) -> Ending {
        Ending { exit_code, by_user, ran_for: Duration::from_secs(seconds) }
    }

    #[test]
    fn each_policy_decides_by_exit_code_count_and_who_ended_it() {
        for (name, limit, restarts, exit_code, by_user, expected) in [
            ("", 0, 0, 1, false, false),
            ("no", 0, 0, 1, false, false),
            ("always", 0, 0, 0, false, true),
            ("always", 0, 99, 137, false, true),
            ("always", 0, 0, 0, true, false),
            ("unless-stopped", 0, 0, 0, false, true),
            ("unless-stopped", 0, 0, 0, true, false),
            ("on-failure", 0, 1000, 1, false, true),
            ("on-failure", 0, 0, 0, false, false),
            ("on-failure", 3, 2, 1, false, true),
            ("on-failure", 3, 3, 1, false, false),
            ("on-failure", 3, 0, 1, true, false),
        ] {
            let decided = Backoff::default().decide(
                &policy(name, limit),
                restarts,
                ending(exit_code, by_user, 0),
            );
            assert_eq!(decided.is_some(), expected, "{name}:{limit} {restarts} {exit_code}");
        }
    }

    #[test]
    fn delays_double_to_a_minute_and_start_over_after_a_long_run() {
        let mut backoff = Backoff::default();
        let always = policy("always", 0);
        let delays: Vec<_> = (0..12)
            .map(|_| backoff.decide(&always, 0, ending(1, false, 0)).unwrap().as_millis())
            .collect();
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000];
        assert_eq!(delays, expected);
        let after = backoff.decide(&always, 0, ending(1, false, 10)).unwrap();
        assert_eq!(after, Duration::from_millis(100));
    }

    #[test]
    fn at_boot_always_forgets_a_stop_and_unless_stopped_does_not() {
        for (name, stopped, exit_code, expected) in [
            ("always", true, 0, true),
            ("unless-stopped", true, 0, false),
            ("unless-stopped", false, 0, true),
            ("on-failure", false, 1, true),
            ("on-failure", false, 0, false),
            ("on-failure", true, 1, false),
            ("no", false, 1, false),
        ] {
            let decided = wanted_at_boot(&policy(name, 0), 0, stopped, exit_code);
            assert_eq!(decided, expected, "{name} {stopped} {exit_code}");
        }
    }
}
