//! The client's configuration directory: `config.json` and the contexts beside it, in Docker's own
//! layout, so that both command lines share them.
//!
//! `config.json` belongs to many programs; what we do not know is kept as it is.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};

use crate::client::{Endpoint, TlsFiles};
use crate::failure::{Failure, describe_io};

/// The contents of `config.json`.
pub(crate) struct Config {
    path: PathBuf,
    values: Map<String, Value>,
    unreadable: bool,
}

impl Config {
    /// Reads the file; an absent one is empty. One that cannot be read is no reason not to run a
    /// container: it is reported, treated as empty, and never written over.
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join("config.json");
        let result = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Map::new()),
            Err(error) => Err(format!("open {}: {}", path.display(), describe_io(&error))),
        };
        let unreadable = result.is_err();
        let values = result.unwrap_or_else(|error| {
            tell!("WARNING: Error loading config file: {error}");
            Map::new()
        });
        Self { path, values, unreadable }
    }

    /// A text value.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    /// Sets a text value, or removes it when empty, and writes the file.
    pub(crate) fn set_text(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        if value.is_empty() {
            self.values.remove(key);
        } else {
            self.values.insert(key.to_owned(), value.into());
        }
        self.save()
    }

    /// Changes the logins and writes the file.
    pub(crate) fn edit_auths(
        &mut self,
        edit: impl FnOnce(&mut Map<String, Value>) -> bool,
    ) -> Result<bool, Failure> {
        let auths = self.values.entry("auths").or_insert_with(|| Map::new().into());
        let Some(auths) = auths.as_object_mut() else {
            return Err(Failure::new(format!("{}: \"auths\" is no object", self.path.display())));
        };
        let changed = edit(auths);
        if changed {
            self.save()?;
        }
        Ok(changed)
    }

    /// The login stored for a registry: the base64 of `user:password`.
    pub(crate) fn auth(&self, registry: &str) -> Option<&Map<String, Value>> {
        self.values.get("auths")?.get(registry)?.as_object()
    }

    /// Headers to be added to each request.
    pub(crate) fn http_headers(&self) -> Vec<(String, String)> {
        let Some(headers) = self.values.get("HttpHeaders").and_then(Value::as_object) else {
            return Vec::new();
        };
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .filter(|(name, value)| {
                !name.contains([':', '\r', '\n']) && !value.contains(['\r', '\n'])
            })
            .collect()
    }

    fn save(&self) -> Result<(), Failure> {
        if self.unreadable {
            return Err(Failure::new(format!(
                "not written, because it could not be read: {}",
                self.path.display()
            )));
        }
        let text = serde_json::to_vec_pretty(&self.values)
            .map_err(|error| Failure::new(error.to_string()))?;
        write_private(&self.path, &text)
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let fail = |error: std::io::Error| {
        Failure::new(format!("write {}: {}", path.display(), describe_io(&error)))
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(fail)?;
    // A link stays a link: people keep their configuration elsewhere.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = target.with_file_name(name);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fail)?;
    file.write_all(bytes).and_then(|()| fs::rename(&temporary, &target)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        fail(error)
    })
}

/// The user's home directory.
pub(crate) fn home() -> PathBuf {
    std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| "/root".into(), Into::into)
}

/// The directory name of a context: the hash keeps any name out of the path.
pub(crate) fn context_id(name: &str) -> String {
    digest(&SHA256, name.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a context's description is.
pub(crate) fn context_meta_dir(config_dir: &Path, name: &str) -> PathBuf {
    config_dir.join("contexts/meta").join(context_id(name))
}

/// Where a context's certificates are.
pub(crate) fn context_tls_dir(config_dir: &Path, name: &str) -> PathBuf {
    config_dir.join("contexts/tls").join(context_id(name))
}

/// Reads a context's description.
pub(crate) fn context_meta(config_dir: &Path, name: &str) -> Result<Value, String> {
    let path = context_meta_dir(config_dir, name).join("meta.json");
    let bytes = fs::read(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!(
            "context {name:?}: context not found: open {}: no such file or directory",
            path.display()
        ),
        _ => format!("context {name:?}: open {}: {}", path.display(), describe_io(&error)),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("context {name:?}: parse {}: {error}", path.display()))
}

/// The endpoint a context points to.
pub(crate) fn context_endpoint(config_dir: &Path, name: &str) -> Result<Endpoint, String> {
    let meta = context_meta(config_dir, name)?;
    let docker = &meta["Endpoints"]["docker"];
    let host = docker["Host"].as_str().unwrap_or_default();
    if host.is_empty() {
        return Err(format!("context {name:?} has no docker endpoint"));
    }
    let dir = context_tls_dir(config_dir, name).join("docker");
    let existing = |file: &str| Some(dir.join(file)).filter(|path| path.exists());
    let skip = docker["SkipTLSVerify"].as_bool().unwrap_or(false);
    let files = TlsFiles {
        ca: existing("ca.pem"),
        cert: existing("cert.pem"),
        key: existing("key.pem"),
        verify: !skip,
    };
    let uses_tls = skip || files.ca.is_some() || files.cert.is_some();
    Endpoint::parse(host, uses_tls.then_some(&files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_directories_are_dockers() {
        assert_eq!(
            context_id("nope"),
            "ca3704aa0b06f5954c79ee837faa152d84d6b2d42838f0637a15eda8337dbdce"
        );
    }
}
