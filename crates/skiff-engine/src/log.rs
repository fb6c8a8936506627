//! What the engine complains about to nobody in particular: one line on standard error, at most one
//! a second of each text's beginning, so that a broken disk does not fill another one.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Letters of a text that say what it is about.
const TOPIC: usize = 24;

/// Writes a warning.
pub(crate) fn warn(text: &str) {
    static LAST: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);
    let topic: String = text.chars().take(TOPIC).collect();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.len() > 1000 {
        last.clear();
    }
    let now = Instant::now();
    if let Some(before) = last.insert(topic, now)
        && now - before < Duration::from_secs(1)
    {
        return;
    }
    drop(last);
    // There is nobody to tell that telling failed.
    drop(writeln!(std::io::stderr(), "level=warning msg={text:?}"));
}
