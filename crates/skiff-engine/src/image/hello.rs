//! The built-in image `skiff/hello`: a machine without a registry in reach can run a container.
//!
//! Its only file is this executable, which prints [`hello_text`] when it is called `hello`. It is
//! made the first time somebody asks for it.

use skiff_model::image::{ContainerConfig, History, ImageConfig};
use skiff_model::platform::Platform;
use skiff_model::reference::Reference;
use skiff_store::make::MemoryFile;

use super::import::image_for;
use super::tag::emit;
use crate::{Core, Error, Result, clock};

/// The image's name.
pub const HELLO_IMAGE: &str = "skiff/hello:latest";

/// Last component of argument 0 by which the executable knows that it is the image's program.
pub const HELLO_PROGRAM: &str = "hello";

/// What the image's program prints.
#[must_use]
pub fn hello_text() -> String {
    format!(
        "Hello from Skiff {version}!

This text was printed by a process in a container. To get here:

 1. The command `skiff run` asked the Skiff daemon for a container of the image {HELLO_IMAGE}.
 2. The image needs no registry: the daemon made it from its own executable, the one file it has.
 3. The daemon prepared a root file system from the image's layer, and a keeper process started
    this program in namespaces and a control group of its own, with a short list of capabilities
    and a filter on its system calls.
 4. What the program wrote went to a log file and to your terminal, and now it ends.

To go on, make an image of any root file system and look around in it:

    tar -C rootfs -c . | skiff import - mine
    skiff run -it mine sh
",
        version = env!("CARGO_PKG_VERSION")
    )
}

/// Whether a name means the built-in image.
pub(super) fn is_meant(name: &str) -> bool {
    let reference = Reference::parse_normalized(name).map(Reference::with_default_tag);
    reference.is_ok_and(|reference| reference.familiar() == HELLO_IMAGE)
}

/// Makes the image.
pub(super) fn make(core: &Core) -> Result<()> {
    let failed = |error: std::io::Error| Error::failed(format!("make {HELLO_IMAGE}"), error);
    let executable = std::fs::read("/proc/self/exe").map_err(failed)?;
    let program = format!("/{HELLO_PROGRAM}");
    let created = Some(clock::rfc3339(clock::now()));
    let history = History {
        created: created.clone(),
        created_by: "skiff: made from its own executable".to_owned(),
        ..History::default()
    };
    let config = ImageConfig {
        created,
        config: ContainerConfig {
            cmd: Some(vec![program]),
            env: vec!["PATH=/".to_owned()],
            working_dir: "/".to_owned(),
            ..ContainerConfig::default()
        },
        ..image_for(&Platform::host())
    };
    let file = MemoryFile { path: HELLO_PROGRAM, mode: 0o755, contents: &executable };
    let name = Reference::parse_normalized(HELLO_IMAGE)
        .map_err(|error| Error::internal(error.to_string()))?;
    let id = core.store.from_memory(&[file], config, history, &[name])?;
    emit(core, &id, "import", HELLO_IMAGE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_known_by_its_names() {
        for (name, expect) in [
            ("skiff/hello", true),
            ("skiff/hello:latest", true),
            ("docker.io/skiff/hello", true),
            ("skiff/hello:1", false),
            ("hello", false),
            ("library/hello", false),
            ("", false),
        ] {
            assert_eq!(is_meant(name), expect, "{name}");
        }
    }
}
