//! A request's configuration over its image's, by Docker's rules. Pure.

use skiff_api::{Config, HealthConfig, List};
use skiff_model::image::ContainerConfig;

use crate::error::{Error, Result};

/// Fills in from the image what the request leaves open.
pub(super) fn with_image(mut config: Config, image: &ContainerConfig) -> Result<Config> {
    let set = |own: &mut String, images: &String| {
        if own.is_empty() {
            own.clone_from(images);
        }
    };
    set(&mut config.user, &image.user);
    set(&mut config.working_dir, &image.working_dir);
    set(&mut config.stop_signal, &image.stop_signal);
    config.stop_timeout = config.stop_timeout.or(image.stop_timeout);
    for port in image.exposed_ports.keys() {
        config.exposed_ports.entry(port.clone()).or_default();
    }
    for path in image.volumes.keys() {
        config.volumes.entry(path.clone()).or_default();
    }
    for (key, value) in &image.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    environment(&mut config, image);
    program(&mut config, image)?;
    config.healthcheck = health(config.healthcheck, image);
    config.on_build = List::default();
    Ok(config)
}

/// The request's variables first, then those of the image that it does not set.
fn environment(config: &mut Config, image: &ContainerConfig) {
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let set: std::collections::BTreeSet<String> =
        config.env.iter().map(|variable| name(variable)).collect();
    for variable in &image.env {
        if !set.contains(&name(variable)) {
            config.env.push(variable.clone());
        }
    }
}

/// An entry point of the request takes the image's command away, too; `[""]` takes only the entry
/// point away.
fn program(config: &mut Config, image: &ContainerConfig) -> Result<()> {
    if config.entrypoint.is_empty() {
        if config.cmd.is_empty()
            && let Some(cmd) = &image.cmd
        {
            config.cmd = cmd.iter().cloned().collect();
            config.args_escaped = image.args_escaped;
        }
        if config.entrypoint.is_null()
            && let Some(entrypoint) = &image.entrypoint
        {
            config.entrypoint = entrypoint.iter().cloned().collect();
        }
    }
    if config.entrypoint.len() == 1 && config.entrypoint[0].is_empty() {
        config.entrypoint = List::default();
    }
    if config.entrypoint.is_empty() && config.cmd.is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

fn health(own: Option<HealthConfig>, image: &ContainerConfig) -> Option<HealthConfig> {
    let Some(images) = &image.healthcheck else { return own };
    let mut check = own.unwrap_or_default();
    if check.test.is_empty() {
        check.test = images.test.iter().cloned().collect();
    }
    for (own, images) in [
        (&mut check.interval, images.interval),
        (&mut check.timeout, images.timeout),
        (&mut check.start_period, images.start_period),
        (&mut check.start_interval, images.start_interval),
        (&mut check.retries, images.retries),
    ] {
        if *own == 0 {
            *own = images;
        }
    }
    Some(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> List<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn entry_point_and_command_follow_dockers_table() {
        let image = ContainerConfig {
            entrypoint: Some(strings(&["/entry"])),
            cmd: Some(strings(&["image-cmd"])),
            ..ContainerConfig::default()
        };
        for (entrypoint, cmd, expected) in [
            (List::default(), List::default(), &["/entry", "image-cmd"][..]),
            (List::default(), words(&["own"]), &["/entry", "own"][..]),
            (words(&["/own"]), List::default(), &["/own"][..]),
            (words(&["/own"]), words(&["own"]), &["/own", "own"][..]),
            (words(&[""]), words(&["own"]), &["own"][..]),
            (List::empty(), List::default(), &["image-cmd"][..]),
        ] {
            let request = Config { entrypoint, cmd, ..Config::default() };
            let merged = with_image(request.clone(), &image).unwrap();
            let arguments: Vec<_> = merged.entrypoint.iter().chain(merged.cmd.iter()).collect();
            assert_eq!(arguments, expected, "{request:?}");
        }
        let request = Config { entrypoint: words(&[""]), ..Config::default() };
        let error = with_image(request, &ContainerConfig::default()).unwrap_err();
        assert_eq!(error.to_string(), "no command specified");
    }

    #[test]
    fn variables_labels_and_sets_are_joined_and_the_request_wins() {
        let image: ContainerConfig = serde_json::from_value(serde_json::json!({
            "Cmd": ["x"], "Env": ["A=image", "B=image"], "Labels": {"a": "image", "b": "image"},
            "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "User": "image",
            "Healthcheck": {"Test": ["CMD", "ok"], "Retries": 7}
        }))
        .unwrap();
        let request: Config = serde_json::from_value(serde_json::json!({
            "Env": ["B=own"], "Labels": {"b": "own"}, "User": "own",
            "Healthcheck": {"Interval": 5}
        }))
        .unwrap();
        let merged = with_image(request, &image).unwrap();
        assert_eq!(*merged.env, strings(&["B=own", "A=image"]));
        assert_eq!(merged.labels["a"], "image");
        assert_eq!(merged.labels["b"], "own");
        assert_eq!(merged.user, "own");
        assert!(merged.exposed_ports.contains_key("80/tcp"));
        assert!(merged.volumes.contains_key("/data"));
        let check = merged.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries, check.test.len()), (5, 7, 2));
    }
}
