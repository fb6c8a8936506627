//! `docker version`: what this engine is.

use skiff_api::SystemVersion;
use skiff_api::system::{PlatformName, VersionComponent};
use skiff_api::version::ApiVersion;

use super::host;
use crate::{Core, Result};

/// Version of the engine.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Set by release builds; others do not know.
pub(crate) const COMMIT: &str = match option_env!("SKIFF_GIT_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

const BUILD_TIME: &str = match option_env!("SKIFF_BUILD_TIME") {
    Some(time) => time,
    None => "",
};

pub(super) fn version(_core: &Core) -> Result<SystemVersion> {
    let kernel = host::kernel_version();
    let details = [
        ("ApiVersion", ApiVersion::MAX.to_string()),
        ("MinAPIVersion", ApiVersion::MIN.to_string()),
        ("Arch", arch().to_owned()),
        ("BuildTime", BUILD_TIME.to_owned()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", COMMIT.to_owned()),
        ("GoVersion", String::new()),
        ("KernelVersion", kernel.clone()),
        ("Os", "linux".to_owned()),
    ];
    let engine = VersionComponent {
        name: "Engine".to_owned(),
        version: VERSION.to_owned(),
        details: details.into_iter().collect(),
    };
    Ok(SystemVersion {
        platform: PlatformName { name: "Skiff".to_owned() },
        version: VERSION.to_owned(),
        api_version: ApiVersion::MAX.to_string(),
        min_api_version: ApiVersion::MIN.to_string(),
        os: "linux".to_owned(),
        arch: arch().to_owned(),
        components: vec![engine].into(),
        git_commit: COMMIT.to_owned(),
        go_version: String::new(),
        kernel_version: kernel,
        experimental: false,
        build_time: BUILD_TIME.to_owned(),
    })
}

/// Go's word for the processor, which Docker uses here.
pub(crate) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
