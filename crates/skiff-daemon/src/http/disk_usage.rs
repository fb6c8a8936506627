//! `GET /system/df`, in its form before and since 1.52.

use skiff_api::version::ApiVersion;
use skiff_engine::system::{DiskUsageOptions, DiskUsageTypes};

use super::answer::{Answer, json};
use super::failure::Failure;
use super::{Call, blocking};

pub(super) async fn answer(call: Call) -> Result<Answer, Failure> {
    let options = DiskUsageOptions {
        types: DiskUsageTypes::parse(call.query.all("type"))?,
        verbose: call.query.flag("verbose"),
        legacy: call.version < ApiVersion::v1(52),
    };
    let system = call.engine.system();
    Ok(json(&blocking(move || system.disk_usage(&options)).await?))
}
