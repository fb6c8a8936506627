//! What the tests of the house rules read: the workspace's files and its dependency graph.
//!
//! For development only; nothing here is part of the product. The rules themselves are in
//! `tests/tidy.rs`.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root directory.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the crate is in it")
}

/// Every Rust source file under `crates/`, as (path relative to the root, text).
pub fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    walk(&root.join("crates"), &mut |path| {
        if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(path).expect("sources are UTF-8");
            let name = path.strip_prefix(&root).expect("under the root").display().to_string();
            found.push((name, text));
        }
    });
    found.sort();
    found
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).expect("readable directory") {
        let path = entry.expect("readable entry").path();
        if !path.is_dir() {
            visit(&path);
        } else if path.file_name().is_none_or(|name| name != "target") {
            walk(&path, visit);
        }
    }
}

/// `cargo metadata` of the workspace.
pub fn metadata() -> serde_json::Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}
