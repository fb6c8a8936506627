//! `docker load`: what is told while an archive is taken in.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use skiff_api::ProgressMessage;
use skiff_api::progress::ProgressDetail;
use skiff_model::digest::Digest;
use skiff_model::reference::Reference;
use skiff_model::size::human_size;

use super::Progress;
use super::resolve::{parse_platform, short};
use super::tag::emit;
use crate::{Core, Result};

/// Between two messages about one layer.
const INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn load(
    core: &Core,
    archive: &mut dyn Read,
    quiet: bool,
    platform: Option<&str>,
    progress: Progress<'_>,
) -> Result<()> {
    let platform = platform.filter(|text| !text.is_empty()).map(parse_platform).transpose()?;
    let before = names(core);
    let reporter = Mutex::new(Reporter { progress, last: HashMap::new() });
    let loaded = core.store.load(archive, platform.as_ref(), &|layer| {
        if !quiet {
            reporter.lock().unwrap_or_else(PoisonError::into_inner).layer(layer);
        }
    })?;
    let reporter = reporter.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut say = |text: String| {
        (reporter.progress)(ProgressMessage { stream: text, ..ProgressMessage::default() });
    };
    for image in loaded {
        for name in &image.names {
            if let Some(old) = before.get(name).filter(|old| **old != image.id) {
                say(format!(
                    "The image {} already exists, renaming the old one with ID {old} to empty string\n",
                    name.familiar()
                ));
            }
            say(format!("Loaded image: {}\n", name.familiar()));
        }
        if image.names.is_empty() {
            say(format!("Loaded image ID: {}\n", image.id));
        }
        let name = image.names.first().map_or_else(|| image.id.to_string(), Reference::familiar);
        emit(core, &image.id, "load", &name);
    }
    Ok(())
}

fn names(core: &Core) -> BTreeMap<Reference, Digest> {
    let images = core.store.images().list();
    images
        .into_iter()
        .flat_map(|named| named.tags.into_iter().map(move |tag| (tag, named.image.id)))
        .collect()
}

/// Turns the store's progress into messages, not too many of them.
struct Reporter<'a> {
    progress: Progress<'a>,
    /// When each layer was last spoken of.
    last: HashMap<String, Instant>,
}

impl Reporter<'_> {
    fn layer(&mut self, layer: skiff_store::archive::Progress<'_>) {
        let now = Instant::now();
        let is_new = !self.last.contains_key(layer.layer);
        let is_due = self.last.get(layer.layer).is_none_or(|last| now - *last >= INTERVAL);
        if !is_due && layer.current < layer.total {
            return;
        }
        if is_new || is_due {
            self.last.insert(layer.layer.to_owned(), now);
        }
        let detail = ProgressDetail {
            current: layer.current.cast_signed(),
            total: layer.total.cast_signed(),
            ..ProgressDetail::default()
        };
        (self.progress)(ProgressMessage {
            status: "Loading layer".to_owned(),
            progress: bar(layer.current, layer.total),
            progress_detail: Some(detail),
            id: layer_id(layer.layer).to_owned(),
            ..ProgressMessage::default()
        });
    }
}

/// A layer's short name, from its path in the archive: `blobs/sha256/<hex>`, `<hex>/layer.tar` or
/// `<hex>.tar`.
fn layer_id(path: &str) -> &str {
    let longest = path.split('/').max_by_key(|part| part.len()).unwrap_or(path);
    short(longest.split('.').next().unwrap_or(longest))
}

/// Docker's bar: `[=====>     ]  1.2MB/3MB`.
fn bar(current: u64, total: u64) -> String {
    const WIDTH: u64 = 50;
    #[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
    let size = |bytes: u64| human_size(bytes as f64);
    if total == 0 {
        return format!("{:>8}", size(current));
    }
    let done = (current.min(total) * WIDTH / total) as usize;
    let arrow = if current < total { ">" } else { "" };
    let left = WIDTH as usize - done - arrow.len();
    let line = format!("{}{arrow}{}", "=".repeat(done), " ".repeat(left));
    format!("[{line}] {:>8}/{}", size(current), size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_named_by_their_digests() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for path in
            [format!("blobs/sha256/{hex}"), format!("{hex}/layer.tar"), format!("{hex}.tar")]
        {
            assert_eq!(layer_id(&path), "e3b0c44298fc", "{path}");
        }
    }

    #[test]
    fn bars_fill_up() {
        assert_eq!(bar(0, 1000), format!("[>{}]       0B/1kB", " ".repeat(49)));
        assert_eq!(bar(500, 1000), format!("[{}>{}]     500B/1kB", "=".repeat(25), " ".repeat(24)));
        assert_eq!(bar(1000, 1000), format!("[{}]      1kB/1kB", "=".repeat(50)));
        assert_eq!(bar(1000, 0), "     1kB");
    }
}
