//! `docker commit`: an image from a container.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use skiff_api::{Config, HealthConfig, List, Map};
use skiff_model::digest::Digest;
use skiff_model::image::{ContainerConfig, Empty, Healthcheck, History, ImageConfig};
use skiff_model::reference::Reference;

use super::CommitRequest;
use super::instruction;
use super::tag::named;
use crate::container::Containers;
use crate::container::effect::emit;
use crate::container::record::{Paths, Record};
use crate::container::state::State;
use crate::{Core, Error, Result, clock};

pub(super) async fn commit(core: &Arc<Core>, request: CommitRequest) -> Result<String> {
    let name = named(&request.repository, &request.tag)?;
    let view = core.containers.get(&request.container)?.view();
    let record = view.record.clone();
    if matches!(view.state, State::Dead | State::Removing(_)) {
        return Err(Error::conflict(format!(
            "You cannot commit container {} which is being removed",
            record.id
        )));
    }
    let config = image_config(core, &record, &request)?;
    let containers = Containers(core.clone());
    let pause = request.pause && matches!(view.state, State::Running(_));
    if pause {
        containers.pause(&record.id).await?;
    }
    let task = {
        let (core, record, name) = (core.clone(), record.clone(), name.clone());
        let comment = request.comment.clone();
        tokio::task::spawn_blocking(move || make(&core, &record, config, &comment, name.as_ref()))
    };
    let made = task.await;
    if pause {
        // The container may have ended; what counts is the image.
        let _ = containers.unpause(&record.id).await;
    }
    let id = made.map_err(|error| Error::failed("commit", error))??;
    let shown = name.map(|name| name.familiar()).unwrap_or_default();
    let more = [("comment", request.comment), ("imageID", id.to_string()), ("imageRef", shown)];
    emit(&core.events, &record, "commit", more);
    Ok(id.to_string())
}

fn make(
    core: &Core,
    record: &Record,
    config: ImageConfig,
    comment: &str,
    name: Option<&Reference>,
) -> Result<Digest> {
    let parent = match record.image_id.as_str() {
        "" => None,
        id => Some(id.parse::<Digest>().map_err(|error| {
            Error::failed(format!("record of container {}: image {id:?}", record.id), error)
        })?),
    };
    let upper = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id).upper();
    let directory = File::open(&upper)
        .map_err(|error| Error::failed(format!("open {}", upper.display()), error))?;
    let history = History {
        created: config.created.clone(),
        created_by: record.config.cmd.join(" "),
        author: config.author.clone(),
        comment: comment.to_owned(),
        empty_layer: false,
    };
    let names = name.map(std::slice::from_ref).unwrap_or_default();
    let is_unchanged = skiff_store::tar::walk::names(&directory)
        .map_err(|error| Error::failed(format!("read {}", upper.display()), error))?
        .is_empty();
    match parent {
        Some(parent) if is_unchanged => {
            Ok(core.store.reconfigure(&parent, config, history, names)?)
        }
        parent => Ok(core.store.commit(parent.as_ref(), &directory, config, history, names)?),
    }
}

/// The new image's config: the request's with its changes, completed by the container's.
fn image_config(core: &Core, record: &Record, request: &CommitRequest) -> Result<ImageConfig> {
    let own = from_api(&record.config);
    let mut settings = request.config.as_ref().map_or_else(|| own.clone(), from_api);
    instruction::apply(&mut settings, &request.changes)?;
    complete(&mut settings, own);
    let base = match record.image_id.parse::<Digest>() {
        Ok(id) => ImageConfig::clone(&*core.store.config(&id)?),
        Err(_) => super::import::image_for(&skiff_model::platform::Platform::host()),
    };
    Ok(ImageConfig {
        created: Some(clock::rfc3339(clock::now())),
        author: request.author.clone(),
        comment: request.comment.clone(),
        config: settings,
        // What is about the container that the parent was made of.
        extra: BTreeMap::new(),
        ..base
    })
}

/// Fills what `settings` leaves out.
fn complete(settings: &mut ContainerConfig, own: ContainerConfig) {
    let text = |wanted: &mut String, own: String| {
        if wanted.is_empty() {
            *wanted = own;
        }
    };
    text(&mut settings.user, own.user);
    text(&mut settings.working_dir, own.working_dir);
    text(&mut settings.stop_signal, own.stop_signal);
    for (port, empty) in own.exposed_ports {
        settings.exposed_ports.entry(port).or_insert(empty);
    }
    for (path, empty) in own.volumes {
        settings.volumes.entry(path).or_insert(empty);
    }
    for (name, value) in own.labels {
        settings.labels.entry(name).or_insert(value);
    }
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    for variable in own.env {
        if !settings.env.iter().any(|other| name_of(other) == name_of(&variable)) {
            settings.env.push(variable);
        }
    }
    if settings.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if settings.cmd.as_ref().is_none_or(Vec::is_empty) {
            settings.cmd = own.cmd;
        }
        if settings.entrypoint.is_none() {
            settings.entrypoint = own.entrypoint;
        }
    }
    settings.healthcheck = settings.healthcheck.take().or(own.healthcheck);
    settings.stop_timeout = settings.stop_timeout.or(own.stop_timeout);
    settings.shell = settings.shell.take().or(own.shell);
}

/// The part of a container's config that an image has, too.
fn from_api(config: &Config) -> ContainerConfig {
    let optional = |list: &List<String>| (!list.is_null()).then(|| list.to_vec());
    let set = |map: &Map<skiff_api::Empty>| map.keys().map(|key| (key.clone(), Empty)).collect();
    ContainerConfig {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.to_vec(),
        entrypoint: optional(&config.entrypoint),
        cmd: optional(&config.cmd),
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: (*config.labels).clone(),
        stop_signal: config.stop_signal.clone(),
        stop_timeout: config.stop_timeout,
        healthcheck: config.healthcheck.as_ref().map(health_from_api),
        shell: optional(&config.shell),
        on_build: config.on_build.to_vec(),
        args_escaped: config.args_escaped,
        extra: BTreeMap::new(),
    }
}

fn health_from_api(health: &HealthConfig) -> Healthcheck {
    Healthcheck {
        test: health.test.to_vec(),
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<Vec<String>> {
        Some(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn a_new_entrypoint_drops_the_old_command() {
        let own = ContainerConfig {
            cmd: words("old cmd"),
            entrypoint: words("old entry"),
            env: vec!["A=1".to_owned(), "B=2".to_owned()],
            ..ContainerConfig::default()
        };
        let mut settings = ContainerConfig {
            entrypoint: words("new"),
            env: vec!["B=3".to_owned()],
            ..ContainerConfig::default()
        };
        complete(&mut settings, own.clone());
        assert_eq!((settings.cmd, settings.entrypoint), (None, words("new")));
        assert_eq!(settings.env, ["B=3", "A=1"]);
        let mut settings = ContainerConfig::default();
        complete(&mut settings, own.clone());
        assert_eq!((settings.cmd, settings.entrypoint), (own.cmd, own.entrypoint));
    }
}
