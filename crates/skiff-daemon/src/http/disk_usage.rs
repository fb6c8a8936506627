//! `GET /system/df`, in its form before and since 1.52.

use skiff_api::version::ApiVersion;
use skiff_engine::system::{DiskUsageOptions, DiskUsageTypes};

use super::answer::{Answer, json};
use super::failure::Failure;
use super::{Call, blocking, compat};

pub(super) async fn answer(call: Call) -> Result<Answer, Failure> {
    let options = DiskUsageOptions {
        types: DiskUsageTypes::parse(call.query.all("type"))?,
        verbose: call.query.flag("verbose"),
        legacy: call.version < ApiVersion::v1(52),
    };
    let (system, version) = (call.engine.system(), call.version);
    let mut usage = blocking(move || system.disk_usage(&options)).await?;
    compat::disk_usage(&mut usage, version);
    Ok(json(&usage))
}
