//! Capabilities that nobody knows.
//!
//! The specification wants a warning for them and no failure; programs that write one for a newer
//! kernel than ours must run. The library refuses them: the engine checks names before.

use skiff_model::capability;
use skiff_model::oci::Process;

use super::log::Log;

/// Takes unknown names out of a process's sets and says so.
pub(super) fn drop_unknown(process: &mut Process, log: &Log) {
    let Some(sets) = &mut process.capabilities else { return };
    let mut unknown = Vec::new();
    for set in [
        &mut sets.bounding,
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
        &mut sets.ambient,
    ] {
        set.retain(|name| {
            let known = capability::number(name).is_some();
            if !known && !unknown.contains(name) {
                unknown.push(name.clone());
            }
            known
        });
    }
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        log.warn(&format!("ignoring unknown or unavailable capabilities: {names}"));
    }
}
