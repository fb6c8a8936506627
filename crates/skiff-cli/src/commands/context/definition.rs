//! What a context consists of: its description and the files its connection needs. Reading it from
//! the store, from `--docker` and writing it to the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::default_host;
use crate::client::Endpoint;
use crate::config::{context_meta, context_meta_dir, context_tls_dir, home, write_private};
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::{Flag, Matches};

/// The flag that says where the daemon is.
pub(super) const DOCKER: Flag = Flag::checked_list(
    "docker",
    "stringToString",
    check_pairs,
    "Where the daemon is: host=,ca=,cert=,key=,skip-tls-verify=,from=",
);

fn check_pairs(text: &str) -> Result<(), String> {
    match text.split(',').find(|pair| !pair.contains('=')) {
        Some(pair) => Err(format!("{pair} must be formatted as key=value")),
        None => Ok(()),
    }
}

/// One context.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    /// What `meta.json` says.
    pub(super) meta: Value,
    /// Certificates and keys, by their place, as `docker/ca.pem`.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Definition {
    /// Reads a context; `default` is what the environment says.
    pub(super) fn load(context: &Context, name: &str) -> Result<Self, Failure> {
        if name == "default" {
            let endpoint = json!({ "Host": default_host(context), "SkipTLSVerify": false });
            let meta = json!({ "Name": name, "Metadata": {}, "Endpoints": { "docker": endpoint } });
            return Ok(Self { meta, files: BTreeMap::new() });
        }
        let dir = context.config_dir();
        let meta = context_meta(&dir, name).map_err(Failure::new)?;
        let mut files = BTreeMap::new();
        // Other programs may have added endpoints of their own.
        for endpoint in entries(&context_tls_dir(&dir, name)) {
            for file in entries(&endpoint) {
                let last = |path: &Path| path.file_name().unwrap_or_default().to_os_string();
                let place = PathBuf::from(last(&endpoint)).join(last(&file));
                files.insert(place.to_string_lossy().into_owned(), read(&file)?);
            }
        }
        Ok(Self { meta, files })
    }

    /// Replaces the daemon's address by what the flag says; without it everything stays.
    pub(super) fn point_to(&mut self, context: &Context, flags: &Matches) -> Result<(), Failure> {
        let wrong =
            |why: String| Failure::new(format!("unable to create docker endpoint config: {why}"));
        let pairs: Vec<(&str, &str)> = flags
            .all("docker")
            .flat_map(|text| text.split(','))
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        if pairs.is_empty() {
            return Ok(());
        }
        let mut endpoint = json!({ "SkipTLSVerify": false });
        let mut files = BTreeMap::new();
        for (key, value) in pairs {
            match key {
                "from" => {
                    let from = Self::load(context, value).map_err(|error| wrong(error.message))?;
                    endpoint = from.meta["Endpoints"]["docker"].clone();
                    files = from.files;
                    files.retain(|place, _| place.starts_with("docker/"));
                }
                "host" => {
                    Endpoint::parse(value, None).map_err(wrong)?;
                    endpoint["Host"] = value.into();
                }
                "ca" | "cert" | "key" => {
                    let bytes = read(&expand(value)).map_err(|error| wrong(error.message))?;
                    files.insert(format!("docker/{key}.pem"), bytes);
                }
                "skip-tls-verify" => {
                    let skips = crate::flags::parse_boolean(value).map_err(|_| {
                        wrong(format!("skip-tls-verify: parsing {value:?}: invalid syntax"))
                    })?;
                    endpoint["SkipTLSVerify"] = skips.into();
                }
                _ => return Err(wrong(format!("unrecognized config key: {key}"))),
            }
        }
        self.meta["Endpoints"]["docker"] = endpoint;
        self.files.retain(|place, _| !place.starts_with("docker/"));
        self.files.append(&mut files);
        Ok(())
    }

    /// Describes it anew, if there are words for it.
    pub(super) fn describe(&mut self, description: &str) {
        if !description.is_empty() {
            self.meta["Metadata"]["Description"] = description.into();
        }
    }

    /// Writes it under this name, in place of what was there.
    pub(super) fn store(mut self, context: &Context, name: &str) -> Result<(), Failure> {
        self.meta["Name"] = name.into();
        let dir = context.config_dir();
        let tls = context_tls_dir(&dir, name);
        match fs::remove_dir_all(&tls) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::new(format!(
                    "remove {}: {}",
                    tls.display(),
                    describe_io(&error)
                )));
            }
            _ => {}
        }
        for (place, bytes) in &self.files {
            write_private(&tls.join(place), bytes)?;
        }
        let path = context_meta_dir(&dir, name).join("meta.json");
        write_private(&path, self.meta_text().as_bytes())
    }

    /// The description as Docker orders it.
    pub(super) fn meta_text(&self) -> String {
        let part = |key: &str| match &self.meta[key] {
            Value::Null => json!({}),
            part => part.clone(),
        };
        format!(
            "{{\"Name\":{},\"Metadata\":{},\"Endpoints\":{}}}",
            self.meta["Name"],
            part("Metadata"),
            part("Endpoints")
        )
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    // No directory, no files.
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::new(format!("open {}: {}", path.display(), describe_io(&error))))
}

fn expand(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => path.into(),
    }
}
