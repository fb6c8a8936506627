//! `GET /system/df`, in its form before and since 1.52.

use super::answer::{Answer, json};
use super::failure::Failure;
use super::{Call, blocking};
use skiff_engine::system::DiskUsageOptions;

pub(super) async fn answer(call: Call) -> Result<Answer, Failure> {
    let system = call.engine.system();
    let options = DiskUsageOptions::default();
    Ok(json(&blocking(move || system.disk_usage(&options)).await?))
}
