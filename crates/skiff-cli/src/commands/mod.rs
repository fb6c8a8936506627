//! The commands. [`TABLE`] is the whole command line: a row for each command, with all its names.
//!
//! Each command is one file: its flags and its row at the top, the function behind it below.

mod archive;
mod auth;
mod build;
mod confirm;
pub(crate) mod container;
mod context;
mod format;
pub(crate) mod image;
mod inspect;
mod login;
mod network;
mod system;
mod tar;
mod volume;

use crate::command::Command;

/// Every command.
pub(crate) static TABLE: &[&Command] = &[
    &container::attach::COMMAND,
    &container::commit::COMMAND,
    &container::copy::COMMAND,
    &container::create::COMMAND,
    &container::diff::COMMAND,
    &container::exec::COMMAND,
    &container::export::COMMAND,
    &container::inspect::COMMAND,
    &container::kill::COMMAND,
    &container::logs::COMMAND,
    &container::ls::COMMAND,
    &container::pause::COMMAND,
    &container::port::COMMAND,
    &container::prune::COMMAND,
    &container::rename::COMMAND,
    &container::restart::COMMAND,
    &container::rm::COMMAND,
    &container::run::COMMAND,
    &container::start::COMMAND,
    &container::stats::COMMAND,
    &container::stop::COMMAND,
    &container::top::COMMAND,
    &container::unpause::COMMAND,
    &container::update::COMMAND,
    &container::wait::COMMAND,
    &context::create::COMMAND,
    &context::export::COMMAND,
    &context::import::COMMAND,
    &context::inspect::COMMAND,
    &context::ls::COMMAND,
    &context::rm::COMMAND,
    &context::show::COMMAND,
    &context::switch::COMMAND,
    &context::update::COMMAND,
    &image::history::COMMAND,
    &image::import::COMMAND,
    &image::inspect::COMMAND,
    &image::load::COMMAND,
    &image::ls::COMMAND,
    &image::prune::COMMAND,
    &image::pull::COMMAND,
    &image::push::COMMAND,
    &image::rm::COMMAND,
    &image::save::COMMAND,
    &image::tag::COMMAND,
    &build::COMMAND,
    &inspect::COMMAND,
    &login::LOGIN,
    &login::LOGOUT,
    &network::inspect::COMMAND,
    &network::ls::COMMAND,
    &network::prune::COMMAND,
    &network::rm::COMMAND,
    &network::create::COMMAND,
    &network::connect::CONNECT,
    &network::connect::DISCONNECT,
    &system::df::COMMAND,
    &system::dial_stdio::COMMAND,
    &system::events::COMMAND,
    &system::info::COMMAND,
    &system::launch_daemon::COMMAND,
    &system::prune::COMMAND,
    &system::version::COMMAND,
    &volume::create::COMMAND,
    &volume::inspect::COMMAND,
    &volume::ls::COMMAND,
    &volume::prune::COMMAND,
    &volume::rm::COMMAND,
    &volume::update::COMMAND,
];

/// The groups, with what they are about.
pub(crate) static GROUPS: &[(&str, &str)] = &[
    ("container", "Manage containers"),
    ("context", "Manage contexts"),
    ("image", "Manage images"),
    ("network", "Manage networks"),
    ("system", "Manage the daemon"),
    ("volume", "Manage volumes"),
];

/// The commands people need first.
pub(crate) static COMMON: &[&str] =
    &["run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "version", "info"];

/// Commands of Docker's that are not here yet, and what helps meanwhile.
pub(crate) static LATER: &[(&str, &str)] = &[
    ("bake", ""),
    ("builder", ""),
    ("buildx", ""),
    ("checkpoint", ""),
    ("compose", "; Docker's compose plugin works with Skiff's socket (DOCKER_HOST)"),
    ("config", ""),
    ("manifest", ""),
    ("node", ""),
    ("plugin", ""),
    ("search", ""),
    ("secret", ""),
    ("service", ""),
    ("stack", ""),
    ("swarm", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_command() {
        let mut paths: Vec<&str> =
            TABLE.iter().flat_map(|command| command.paths).copied().collect();
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn every_visible_command_teaches_by_example() {
        for command in TABLE.iter().filter(|command| !command.summary.is_empty()) {
            assert!(!command.examples.is_empty(), "{}", command.paths[0]);
            assert!(!command.summary.ends_with('.'), "{}", command.paths[0]);
        }
    }

    #[test]
    fn flags_of_a_command_do_not_collide() {
        for command in TABLE {
            let flags: Vec<_> = command.flags.iter().flat_map(|group| group.iter()).collect();
            for (index, flag) in flags.iter().enumerate() {
                for other in &flags[index + 1..] {
                    assert_ne!(flag.long, other.long, "{}", command.paths[0]);
                    assert!(
                        flag.short.is_none() || flag.short != other.short,
                        "{}: -{:?}",
                        command.paths[0],
                        flag.short
                    );
                }
            }
        }
    }
}
