//! Requests to one container: find it, ask its driver, hand back what it says.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::driver::{Answering, Command, Wish};
use super::registry::Container;
use super::{RemoveOptions, StartOptions, StopOptions, WaitCondition, WaitHandle, effect, names};
use crate::Core;
use crate::error::{Error, Kind, Result};

/// Puts a question to a container's driver and waits for the answer.
pub(crate) async fn ask<T>(
    container: &Container,
    question: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
) -> Result<T> {
    let gone = || Error::not_found(format!("No such container: {}", container.id));
    let (answer, outcome) = oneshot::channel();
    container.commands.send(question(answer)).await.map_err(|_| gone())?;
    outcome.await.map_err(|_| gone())?
}

async fn wish(container: &Container, asked: &str, wish: Wish) -> Result<()> {
    ask(container, |answer: Answering| Command::Life { asked: asked.to_owned(), wish, answer })
        .await
}

pub(super) async fn start(core: &Arc<Core>, name: &str, options: StartOptions) -> Result<()> {
    if !options.checkpoint.is_empty() {
        return Err(Error::not_implemented("checkpoints are not supported by this engine"));
    }
    wish(&*core.containers.get(name)?, name, Wish::Start).await
}

fn signal_of(word: &str) -> Result<i32> {
    skiff_model::signal::parse(word)
        .ok_or_else(|| Error::invalid(format!("invalid signal: {word}")))
}

pub(super) async fn stop(core: &Arc<Core>, name: &str, options: StopOptions) -> Result<()> {
    let container = core.containers.get(name)?;
    let signal = options.signal.as_deref().filter(|word| !word.is_empty());
    let signal = signal.map(signal_of).transpose()?;
    let stop = Wish::Stop { signal, timeout_s: options.timeout_s, keep: false };
    wish(&container, name, stop).await
}

pub(super) async fn restart(core: &Arc<Core>, name: &str, options: StopOptions) -> Result<()> {
    let container = core.containers.get(name)?;
    let signal = options.signal.as_deref().filter(|word| !word.is_empty());
    let signal = signal.map(signal_of).transpose()?;
    let stop = Wish::Stop { signal, timeout_s: options.timeout_s, keep: true };
    let unchanged = |outcome: Result<()>| match outcome {
        Err(error) if error.kind() == Kind::NotModified => Ok(()),
        other => other,
    };
    unchanged(wish(&container, name, stop).await)?;
    // Another client may have started it in between, which is what was wanted.
    unchanged(wish(&container, name, Wish::Start).await)?;
    effect::emit(&core.events, &container.view().record, "restart", []);
    Ok(())
}

pub(super) async fn kill(core: &Arc<Core>, name: &str, signal: Option<&str>) -> Result<()> {
    let context = |error: Error| error.context(format!("cannot kill container: {name}"));
    let signal = match signal.filter(|word| !word.is_empty() && *word != "0") {
        None => 9,
        Some(word) => signal_of(word).map_err(context)?,
    };
    let container = core.containers.get(name).map_err(context)?;
    wish(&container, name, Wish::Kill { signal }).await
}

pub(super) async fn pause(core: &Arc<Core>, name: &str) -> Result<()> {
    wish(&*core.containers.get(name)?, name, Wish::Pause).await
}

pub(super) async fn unpause(core: &Arc<Core>, name: &str) -> Result<()> {
    wish(&*core.containers.get(name)?, name, Wish::Unpause).await
}

pub(super) async fn remove(core: &Arc<Core>, name: &str, options: RemoveOptions) -> Result<()> {
    let container = core.containers.get(name)?;
    if options.link {
        return Err(Error::invalid(format!("Could not get link {name}: links are not supported")));
    }
    wish(&container, name, Wish::Remove(options)).await
}

pub(super) async fn rename(core: &Arc<Core>, name: &str, to: &str) -> Result<()> {
    if to.is_empty() {
        return Err(Error::invalid("Neither old nor new names may be empty"));
    }
    let container = core.containers.get(name)?;
    let to = names::check(to).map_err(|error| error.context("Error when allocating new name"))?;
    let old = container.view().record.name.clone();
    if old == to {
        return Err(Error::invalid("Renaming a container with the same name as its current name"));
    }
    let reservation = core
        .containers
        .reserve(to, &container.id)
        .map_err(|error| error.context("Error when allocating new name"))?;
    let new = to.to_owned();
    let change = Box::new(move |record: &super::record::Record| {
        Ok(super::record::Record { name: new, ..record.clone() })
    });
    // What it is called when the driver gets to it: two renames at once must not leave a name.
    let before = ask(&container, |answer| Command::Change { change, answer }).await?;
    reservation.keep();
    core.containers.release_name(&before.name, &container.id);
    let attributes = [("oldName", format!("/{}", before.name))];
    effect::emit(&core.events, &container.view().record, "rename", attributes);
    Ok(())
}

pub(super) async fn wait(
    core: &Arc<Core>,
    name: &str,
    condition: WaitCondition,
) -> Result<WaitHandle> {
    let container = core.containers.get(name)?;
    let (registered, done) = oneshot::channel();
    let (ended, answer) = oneshot::channel();
    let gone = || Error::not_found(format!("No such container: {name}"));
    let command = Command::Wait { condition, registered, ended };
    container.commands.send(command).await.map_err(|_| gone())?;
    done.await.map_err(|_| gone())?;
    Ok(WaitHandle(answer))
}
