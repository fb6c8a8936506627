//! Making an exec instance.

use std::sync::Arc;

use skiff_api::ExecConfig;

use crate::Core;
use crate::container::attach::detach_sequence;
use crate::container::effect;
use crate::container::state::{Event, step};
use crate::error::{Error, Result};

pub(super) fn create(core: &Arc<Core>, name: &str, config: ExecConfig) -> Result<String> {
    let container = core.containers.get(name)?;
    let view = container.view();
    permitted(&view, name)?;
    if config.cmd.is_empty() {
        return Err(Error::invalid("No exec command specified"));
    }
    for variable in config.env.iter() {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(Error::invalid(format!("invalid environment variable: {variable}")));
        }
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    let texts = config.cmd.iter().chain(config.env.iter()).chain([&config.working_dir]);
    if texts.into_iter().any(|text| text.contains('\0')) {
        return Err(Error::invalid("the configuration contains a NUL character"));
    }
    if !config.detach_keys.is_empty() {
        detach_sequence(Some(&config.detach_keys))?;
    }
    let id = new_id()?;
    let action = format!("exec_create: {}", config.cmd.join(" "));
    core.execs.add(id.clone(), container.id.clone(), config);
    effect::emit(&core.events, &view.record, &action, [("execID", id.clone())]);
    Ok(id)
}

/// Whether processes can be started in a container now.
pub(super) fn permitted(view: &crate::container::registry::View, asked: &str) -> Result<()> {
    use crate::container::state::Denied;
    match step(&view.state, Event::Exec) {
        Ok(_) => Ok(()),
        // It is not there yet: Docker calls that not running.
        Err(Denied::Later) => {
            Err(Denied::NotRunning.error(&view.record.id, &view.record.name, asked))
        }
        Err(denied) => Err(denied.error(&view.record.id, &view.record.name, asked)),
    }
}

fn new_id() -> Result<String> {
    let mut bytes = [0_u8; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::failed("get random bytes", std::io::Error::from(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
