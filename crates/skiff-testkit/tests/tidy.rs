//! The house rules that can be checked: which crate may know which, what a file must open with,
//! how long it may be, and which licences come in.

use std::collections::{BTreeMap, BTreeSet};

use skiff_testkit::{metadata, sources};

/// ARCHITECTURE.md, "Crates": who may depend on whom inside the house.
const ARROWS: &[(&str, &[&str])] = &[
    ("skiff", &["skiff-cli", "skiff-daemon", "skiff-engine", "skiff-runtime", "skiff-shim"]),
    ("skiff-api", &["skiff-model"]),
    ("skiff-cli", &["skiff-api", "skiff-model", "skiff-sys"]),
    ("skiff-daemon", &["skiff-api", "skiff-engine", "skiff-model"]),
    (
        "skiff-engine",
        &["skiff-api", "skiff-model", "skiff-runtime", "skiff-shim", "skiff-store", "skiff-sys"],
    ),
    ("skiff-model", &[]),
    ("skiff-runtime", &["skiff-model", "skiff-sys"]),
    ("skiff-shim", &["skiff-model", "skiff-runtime", "skiff-sys"]),
    ("skiff-store", &["skiff-model", "skiff-sys"]),
    ("skiff-sys", &[]),
    ("skiff-testkit", &[]),
];

/// Who alone may name a library.
const OWNERS: &[(&str, &[&str])] = &[
    ("libc", &["skiff-sys"]),
    ("hyper", &["skiff-daemon"]),
    ("tokio", &["skiff-daemon", "skiff-engine"]),
    ("flate2", &["skiff-store", "skiff-engine", "skiff-shim"]),
    ("httparse", &["skiff-cli"]),
];

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-3-Clause",
    "BSD-2-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "0BSD",
    "MIT-0",
    "MPL-2.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
];

/// Packages in the lock file, at the most.
const PACKAGES: usize = 300;

/// Lines of a file without its tests, at the most (tables and generated code are named below).
const FILE_LINES: usize = 1000;

fn local_packages() -> Vec<serde_json::Value> {
    let all = metadata();
    let packages = all["packages"].as_array().expect("packages").clone();
    packages.into_iter().filter(|p| p["source"].is_null()).collect()
}

fn dependencies(package: &serde_json::Value, dev: bool) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    let wanted = all.iter().filter(|d| dev || d["kind"].as_str() != Some("dev"));
    wanted.map(|d| d["name"].as_str().expect("name").to_owned()).collect()
}

#[test]
fn crates_know_only_those_below_them() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for package in local_packages() {
        let name = package["name"].as_str().expect("name");
        let allowed = arrows.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        for dependency in dependencies(&package, false).iter().filter(|d| d.starts_with("skiff")) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

#[test]
fn each_danger_has_one_owner() {
    for package in local_packages() {
        let name = package["name"].as_str().expect("name");
        for (library, owners) in OWNERS {
            let uses = dependencies(&package, false).contains(*library);
            assert!(!uses || owners.contains(&name), "{name} must not use {library}");
        }
    }
}

#[test]
fn unsafe_code_is_in_one_crate() {
    for (file, text) in sources() {
        if file.starts_with("crates/skiff-sys/") || file.contains("/tests/") {
            continue;
        }
        let code = text.lines().map(|l| l.split("//").next().unwrap_or_default());
        let found = code.filter(|l| l.contains("unsafe {") || l.contains("unsafe fn")).count();
        assert_eq!(found, 0, "{file}: unsafe code belongs into skiff-sys");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not open with //!");
    }
}

#[test]
fn file_names_are_words_of_the_domain() {
    let forbidden = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "data"];
    for (file, _) in sources() {
        let name = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        assert!(!forbidden.contains(&name), "{file}: find the domain's word for it");
    }
}

#[test]
fn files_have_a_readable_size() {
    for (file, text) in sources() {
        let table = text.lines().take(15).any(|l| l.starts_with("//!") && l.contains("table"));
        let lines =
            text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        assert!(table || lines <= FILE_LINES, "{file}: {lines} lines");
    }
}

#[test]
fn dependencies_are_few_free_and_from_the_registry() {
    let all = metadata();
    let packages = all["packages"].as_array().expect("packages");
    assert!(packages.len() <= PACKAGES, "{} packages", packages.len());
    for package in packages.iter().filter(|p| !p["source"].is_null()) {
        let name = package["name"].as_str().expect("name");
        let source = package["source"].as_str().expect("source");
        assert!(source.starts_with("registry+"), "{name} comes from {source}");
        let licence = package["license"].as_str().unwrap_or_default();
        let free = licence.split(" OR ").flat_map(|l| l.split('/')).any(|choice| {
            let parts = choice.trim_matches(['(', ')', ' ']).split(" AND ");
            parts
                .map(|p| p.trim_matches(['(', ')', ' ']).trim_end_matches(" WITH LLVM-exception"))
                .all(|p| LICENCES.contains(&p))
        });
        assert!(free, "{name}: licence {licence:?} is not on the list");
    }
}
