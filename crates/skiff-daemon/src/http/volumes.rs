//! `/volumes`.

use hyper::{Method, StatusCode};
use skiff_api::VolumeCreateRequest;

use super::answer::{Answer, json, json_with, no_content};
use super::body::read_json;
use super::failure::Failure;
use super::{Call, blocking};

pub(super) async fn route(
    mut call: Call,
    method: &Method,
    segments: &[&str],
) -> Result<Answer, Failure> {
    let volumes = call.engine.volumes();
    match (method.as_str(), segments) {
        ("GET", []) => {
            let filters = call.filters()?;
            Ok(json(&blocking(move || volumes.list(&filters)).await?))
        }
        ("POST", ["create"]) => {
            let request: VolumeCreateRequest =
                read_json(&call.parts.headers, &mut call.body).await?;
            let volume = blocking(move || volumes.create(request)).await?;
            Ok(json_with(StatusCode::CREATED, &volume))
        }
        ("POST", ["prune"]) => {
            let mut filters = call.filters()?;
            // Before 1.42 named volumes were pruned, too.
            if call.version < skiff_api::version::ApiVersion::v1(42) {
                filters.add("all", "true");
            }
            Ok(json(&blocking(move || volumes.prune(&filters)).await?))
        }
        ("GET", [name]) => {
            let name = (*name).to_owned();
            Ok(json(&blocking(move || volumes.inspect(&name)).await?))
        }
        ("DELETE", [name]) => {
            let (name, force) = ((*name).to_owned(), call.query.flag("force"));
            blocking(move || volumes.remove(&name, force)).await?;
            Ok(no_content())
        }
        _ => Err(Failure::page_not_found()),
    }
}
