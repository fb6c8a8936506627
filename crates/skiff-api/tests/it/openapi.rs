//! Our types against Docker's OpenAPI description: a value made from each definition, with every
//! field set, must come through our type unchanged.
//!
//! `engine-api-1.56.json` holds the names and types of the definitions of API 1.56, one a line,
//! without their texts. What is left out on purpose stands in [`LEFT_OUT`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Fields that Docker has and we do not: Windows, Swarm, plugins, containerd, signatures.
const LEFT_OUT: [&str; 23] = [
    "ContainerInspectResponse.Storage",
    "ContainerStatsResponse.memory_stats.commitbytes",
    "ContainerStatsResponse.memory_stats.commitpeakbytes",
    "ContainerStatsResponse.memory_stats.privateworkingset",
    "ContainerStatsResponse.networks.key.endpoint_id",
    "ContainerStatsResponse.networks.key.instance_id",
    "ImageInspect.Identity",
    "ImageInspect.Manifests",
    "ImageSummary.Manifests",
    "Network.Peers",
    "NetworkInspect.Peers",
    "NetworkInspect.Services",
    "NetworkInspect.Status",
    "SystemInfo.Containerd",
    "SystemInfo.NRI",
    "SystemInfo.Swarm.Cluster",
    "SystemInfo.Swarm.Managers",
    "SystemInfo.Swarm.Nodes",
    // The sample is an empty object, which Go leaves out.
    "SystemVersion.Components.Details",
    // Described as a resource, but in Go it is a field of the host configuration.
    "UpdateConfig.Init",
    "Volume.ClusterVolume",
    "VolumeCreateRequest.ClusterVolumeSpec",
    "VolumeListResponse.Volumes.ClusterVolume",
];

type Definitions = BTreeMap<String, Value>;

fn definitions() -> Definitions {
    serde_json::from_str(include_str!("engine-api-1.56.json")).expect("the file is JSON")
}

/// A value of a schema with every field set to something that is not empty.
fn sample(definitions: &Definitions, schema: &Value, depth: usize) -> Value {
    assert!(depth < 20, "the definitions are not recursive");
    let inner = |schema: &Value| sample(definitions, schema, depth + 1);
    if let Some(name) = schema["$ref"].as_str() {
        return inner(&definitions[name]);
    }
    let mut object = Map::new();
    if let Some(parts) = schema["allOf"].as_array() {
        for part in parts {
            match inner(part) {
                Value::Object(members) => object.extend(members),
                other => return other,
            }
        }
    }
    if let Some(properties) = schema["properties"].as_object() {
        object.extend(properties.iter().map(|(name, schema)| (name.clone(), inner(schema))));
    }
    if schema["additionalProperties"].is_object() {
        object.insert("key".to_owned(), inner(&schema["additionalProperties"]));
    }
    match schema["type"].as_str() {
        Some("array") => json!([inner(&schema["items"]), inner(&schema["items"])]),
        Some("string") => match schema["enum"].as_array() {
            Some(words) => words.last().expect("an enum has words").clone(),
            None => json!("text"),
        },
        Some("integer") => json!(2),
        Some("boolean") => json!(true),
        Some("object") | None => Value::Object(object),
        Some(other) => panic!("unknown type {other}"),
    }
}

/// Lists what `ours` lost, changed or added.
fn differences(wanted: &Value, ours: &Value, path: &str, found: &mut Vec<String>) {
    match (wanted, ours) {
        (Value::Object(wanted), Value::Object(ours)) => {
            for (name, value) in wanted {
                let path = format!("{path}.{name}");
                match ours.get(name) {
                    Some(ours) => differences(value, ours, &path, found),
                    None => found.push(format!("lost {path}")),
                }
            }
            for name in ours.keys().filter(|name| !wanted.contains_key(*name)) {
                found.push(format!("added {path}.{name}"));
            }
        }
        (Value::Array(wanted), Value::Array(ours)) if wanted.len() == ours.len() => {
            for (wanted, ours) in wanted.iter().zip(ours) {
                differences(wanted, ours, path, found);
            }
        }
        _ if wanted == ours => {}
        _ => found.push(format!("changed {path}: {wanted} to {ours}")),
    }
}

fn check<T: Serialize + DeserializeOwned>(definitions: &Definitions, name: &str) -> Vec<String> {
    let wanted = sample(definitions, &definitions[name], 0);
    let value: T = match skiff_api::go_json::decode(wanted.to_string().as_bytes()) {
        Ok(value) => value,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut found = Vec::new();
    differences(&wanted, &serde_json::to_value(&value).expect("types serialise"), name, &mut found);
    found
}

macro_rules! check_all {
    ($definitions:expr; $($name:literal => $ty:ty),* $(,)?) => {{
        let mut found = Vec::new();
        $( found.extend(check::<$ty>($definitions, $name)); )*
        found
    }};
}

#[test]
fn every_described_field_comes_through_our_types() {
    use skiff_api::*;
    let definitions = definitions();
    let found = check_all!(&definitions;
        "AuthConfig" => AuthConfig,
        "AuthResponse" => AuthResponse,
        "ContainerConfig" => Config,
        "ContainerCreateResponse" => CreateResponse,
        "ContainerInspectResponse" => ContainerInspect,
        "ContainerPrune" => ContainersPruneReport,
        "ContainerState" => ContainerState,
        "ContainerStatsResponse" => ContainerStats,
        "ContainerSummary" => ContainerSummary,
        "ContainerTopResponse" => TopResponse,
        "ContainerUpdateResponse" => UpdateResponse,
        "ContainerWaitResponse" => WaitResponse,
        "CreateConfig" => ContainerCreateRequest,
        "CreateImageInfo" => ProgressMessage,
        "ErrorResponse" => ErrorBody,
        "EventMessage" => EventMessage,
        "ExecConfig" => ExecConfig,
        "ExecInspect" => ExecInspect,
        "ExecStartConfig" => ExecStartRequest,
        "FilesystemChange" => ChangeItem,
        "HealthConfig" => HealthConfig,
        "HostConfig" => HostConfig,
        "IDResponse" => ExecCreateResponse,
        "ImageDeleteResponseItem" => ImageDeleteItem,
        "ImageHistoryResponseItem" => HistoryItem,
        "ImageInspect" => ImageInspect,
        "ImagePrune" => ImagesPruneReport,
        "ImageSummary" => ImageSummary,
        "Mount" => Mount,
        "Network" => Network,
        "NetworkConnectRequest" => NetworkConnectRequest,
        "NetworkCreate" => NetworkCreateRequest,
        "NetworkCreateResponse" => NetworkCreateResponse,
        "NetworkDisconnectRequest" => NetworkDisconnectRequest,
        "NetworkInspect" => Network,
        "NetworkPrune" => NetworksPruneReport,
        "SystemDataUsage" => DiskUsage,
        "SystemInfo" => SystemInfo,
        "SystemVersion" => SystemVersion,
        "UpdateConfig" => UpdateRequest,
        "Volume" => Volume,
        "VolumeCreateRequest" => VolumeCreateRequest,
        "VolumeListResponse" => VolumeListResponse,
        "VolumePrune" => VolumesPruneReport,
    );
    let found: BTreeSet<String> = found.into_iter().collect();
    let expected: BTreeSet<String> = LEFT_OUT.iter().map(|path| format!("lost {path}")).collect();
    assert_eq!(found, expected);
}
