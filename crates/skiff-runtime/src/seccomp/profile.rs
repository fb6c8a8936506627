//! Docker's JSON profiles.
//!
//! They are the specification's `linux.seccomp` with three additions: `archMap`, the old `name`
//! beside `names`, and conditions (`includes`, `excludes`) on capabilities, architecture and
//! kernel. Resolving them here gives the specification's form. Unknown fields are ignored and names
//! of fields match in any case, as in Go.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;
use skiff_model::oci::{Seccomp, SeccompArg, SeccompSyscall};

use super::SeccompError;
use super::arch::Arch;

/// Reads a profile for a container with these capabilities in its bounding set, on this machine.
/// `None` is a profile without content, which means no filter.
pub fn profile_from_json(json: &str, caps: &[String]) -> Result<Option<Seccomp>, SeccompError> {
    let host = Host { caps, arch: Arch::NATIVE, kernel: host_kernel() };
    resolve(parse(json)?, &host)
}

/// What conditions are about.
pub(super) struct Host<'a> {
    pub(super) caps: &'a [String],
    pub(super) arch: Arch,
    pub(super) kernel: KernelVersion,
}

/// First two numbers of a kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KernelVersion {
    pub(super) kernel: u64,
    pub(super) major: u64,
}

impl KernelVersion {
    /// Reads a release as `6.18.44-generic`.
    fn of_release(release: &str) -> Option<KernelVersion> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some(KernelVersion { kernel: next()?, major: next()? })
    }

    /// Reads `minKernel`, which is exactly two numbers; the empty text is no condition.
    fn of_condition(text: &str) -> Result<Option<KernelVersion>, SeccompError> {
        if text.is_empty() {
            return Ok(None);
        }
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u8>().ok()).flatten().map(u64::from)
        };
        let version = text.split_once('.').and_then(|(kernel, major)| {
            Some(KernelVersion { kernel: number(kernel)?, major: number(major)? })
        });
        match version {
            Some(KernelVersion { kernel: 0, major: 0 }) | None => Err(SeccompError::Decode(
                format!("invalid kernel version: \"{text}\", expected \"<kernel>.<major>\""),
            )),
            version => Ok(version),
        }
    }
}

/// Returns this host's kernel version; an unreadable one counts as old.
pub(super) fn host_kernel() -> KernelVersion {
    static KERNEL: OnceLock<KernelVersion> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        let release = rustix::system::uname();
        let release = release.release().to_string_lossy();
        KernelVersion::of_release(&release).unwrap_or(KernelVersion { kernel: 0, major: 0 })
    })
}

/// The profile as it is written; field names in small letters, see [`go_like`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    #[serde(rename = "defaultaction")]
    default_action: String,
    #[serde(rename = "defaulterrnoret")]
    default_errno_ret: Option<u32>,
    architectures: Vec<String>,
    #[serde(rename = "archmap")]
    arch_map: Vec<ArchMap>,
    flags: Vec<String>,
    #[serde(rename = "listenerpath")]
    listener_path: String,
    #[serde(rename = "listenermetadata")]
    listener_metadata: String,
    syscalls: Vec<Call>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArchMap {
    architecture: String,
    #[serde(rename = "subarchitectures")]
    sub_architectures: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    name: String,
    names: Vec<String>,
    action: String,
    #[serde(rename = "errnoret")]
    errno_ret: Option<u32>,
    args: Vec<Arg>,
    includes: Conditions,
    excludes: Conditions,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Arg {
    index: u32,
    value: u64,
    #[serde(rename = "valuetwo")]
    value_two: u64,
    op: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conditions {
    caps: Vec<String>,
    arches: Vec<String>,
    #[serde(rename = "minkernel")]
    min_kernel: String,
}

/// Reads the text. What cannot be read is Docker's "Decoding" error.
fn parse(json: &str) -> Result<Document, SeccompError> {
    let decode = |error: serde_json::Error| SeccompError::Decode(error.to_string());
    let value: Value = serde_json::from_str(json).map_err(decode)?;
    if !value.is_object() && !value.is_null() {
        return Err(SeccompError::Decode("the profile is not a JSON object".into()));
    }
    let document: Option<Document> = serde_json::from_value(go_like(value)).map_err(decode)?;
    let document = document.unwrap_or_default();
    // Go decodes versions while reading, so a bad one is an error wherever it is.
    for call in &document.syscalls {
        KernelVersion::of_condition(&call.includes.min_kernel)?;
        KernelVersion::of_condition(&call.excludes.min_kernel)?;
    }
    Ok(document)
}

/// Makes a document readable by exact names: keys in small letters, and without nulls, which leave
/// a field as it is.
fn go_like(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.to_ascii_lowercase(), go_like(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(go_like).collect()),
        other => other,
    }
}

/// Applies the conditions.
fn resolve(document: Document, host: &Host<'_>) -> Result<Option<Seccomp>, SeccompError> {
    if document.default_action.is_empty() && document.syscalls.is_empty() {
        return Ok(None);
    }
    if !document.architectures.is_empty() && !document.arch_map.is_empty() {
        return Err(SeccompError::Contradiction(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either \
             'architectures' or 'archMap'",
        ));
    }
    let mut architectures = document.architectures;
    let native = host.arch.name();
    if let Some(entry) = document.arch_map.into_iter().find(|e| e.architecture == native) {
        architectures.push(entry.architecture);
        architectures.extend(entry.sub_architectures);
    }
    let mut syscalls = Vec::with_capacity(document.syscalls.len());
    for call in document.syscalls {
        if let Some(call) = resolve_call(call, host)? {
            syscalls.push(call);
        }
    }
    Ok(Some(Seccomp {
        default_action: document.default_action,
        default_errno_ret: document.default_errno_ret,
        architectures,
        flags: document.flags,
        listener_path: document.listener_path,
        listener_metadata: document.listener_metadata,
        syscalls,
    }))
}

fn resolve_call(call: Call, host: &Host<'_>) -> Result<Option<SeccompSyscall>, SeccompError> {
    let names = match (call.name.is_empty(), call.names.is_empty()) {
        (true, _) => call.names,
        (false, true) => vec![call.name],
        (false, false) => {
            return Err(SeccompError::Contradiction(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' \
                 or 'names'",
            ));
        }
    };
    let has_cap = |cap: &String| host.caps.contains(cap);
    let is_arch = |arches: &[String]| arches.iter().any(|arch| arch == host.arch.docker_name());
    let is_since = |text: &str| {
        KernelVersion::of_condition(text).map(|version| version.map(|v| host.kernel >= v))
    };
    let (without, with) = (&call.excludes, &call.includes);
    // An exclusion holds when any of its parts does, an inclusion when all of them do.
    let excluded = is_arch(&without.arches)
        || without.caps.iter().any(has_cap)
        || is_since(&without.min_kernel)? == Some(true);
    let included = (with.arches.is_empty() || is_arch(&with.arches))
        && with.caps.iter().all(has_cap)
        && is_since(&with.min_kernel)? != Some(false);
    if excluded || !included {
        return Ok(None);
    }
    let args = call.args.into_iter().map(|arg| SeccompArg {
        index: arg.index,
        value: arg.value,
        value_two: arg.value_two,
        op: arg.op,
    });
    let args = args.collect();
    Ok(Some(SeccompSyscall { names, action: call.action, errno_ret: call.errno_ret, args }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(json: &str, caps: &[&str]) -> Result<Option<Seccomp>, SeccompError> {
        let caps: Vec<String> = caps.iter().map(|cap| (*cap).to_owned()).collect();
        let kernel = KernelVersion { kernel: 5, major: 4 };
        resolve(parse(json)?, &Host { caps: &caps, arch: Arch::X86_64, kernel })
    }

    fn names(json: &str, caps: &[&str]) -> Vec<String> {
        let calls = resolved(json, caps).unwrap().unwrap().syscalls;
        calls.into_iter().flat_map(|call| call.names).collect()
    }

    #[test]
    fn an_empty_profile_is_no_filter() {
        for json in ["{}", "null", "{\"syscalls\":null}", "{\"comment\":1}"] {
            assert_eq!(resolved(json, &[]).unwrap(), None, "{json}");
        }
    }

    #[test]
    fn conditions_select_rules() {
        let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
            {"names":["a"],"action":"SCMP_ACT_ALLOW"},
            {"names":["b"],"includes":{"caps":["CAP_X","CAP_Y"]}},
            {"names":["c"],"excludes":{"caps":["CAP_X"]}},
            {"names":["d"],"includes":{"arches":["amd64","x32"]}},
            {"names":["e"],"includes":{"arches":["arm64"]}},
            {"names":["f"],"excludes":{"arches":["amd64"]}},
            {"names":["g"],"includes":{"minKernel":"5.4"}},
            {"names":["h"],"includes":{"minKernel":"5.5"}},
            {"names":["i"],"excludes":{"minKernel":"4.20"}},
            {"name":"j","includes":null,"args":null,"comment":"x"}]}"#;
        assert_eq!(names(json, &[]), ["a", "c", "d", "g", "j"]);
        assert_eq!(names(json, &["CAP_X"]), ["a", "d", "g", "j"]);
        assert_eq!(names(json, &["CAP_X", "CAP_Y"]), ["a", "b", "d", "g", "j"]);
    }

    #[test]
    fn the_map_of_architectures_is_expanded_for_this_machine() {
        let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","archMap":[
            {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
            {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}]}"#;
        let profile = resolved(json, &[]).unwrap().unwrap();
        assert_eq!(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    }

    #[test]
    fn names_of_fields_match_in_any_case() {
        let json = r#"{"DefaultAction":"SCMP_ACT_ERRNO","DEFAULTERRNORET":5,"Syscalls":[
            {"Names":["read"],"Action":"SCMP_ACT_TRACE","errnoret":2,
             "args":[{"Index":1,"Value":18446744073709551615,"valueTwo":3,"op":"SCMP_CMP_EQ"}]}]}"#;
        let profile = resolved(json, &[]).unwrap().unwrap();
        assert_eq!(profile.default_errno_ret, Some(5));
        let call = &profile.syscalls[0];
        assert_eq!(call.errno_ret, Some(2));
        assert_eq!(
            (call.args[0].index, call.args[0].value, call.args[0].value_two),
            (1, u64::MAX, 3)
        );
    }

    #[test]
    fn what_cannot_be_read_is_dockers_error() {
        for json in [
            "",
            "[]",
            "nonsense",
            "{\"defaultAction\":1}",
            "{\"syscalls\":{}}",
            "{\"syscalls\":[{\"args\":[{\"value\":-1}]}]}",
            "{\"syscalls\":[{\"includes\":{\"minKernel\":\"4\"}}]}",
            "{\"syscalls\":[{\"includes\":{\"minKernel\":\"0.0\"}}]}",
            "{\"syscalls\":[{\"excludes\":{\"minKernel\":\"4.8.1\"}}]}",
            "{\"syscalls\":[{\"excludes\":{\"minKernel\":\"+4.8\"}}]}",
        ] {
            let error = resolved(json, &[]).unwrap_err().to_string();
            assert!(error.starts_with("Decoding seccomp profile failed: "), "{json}: {error}");
        }
    }

    #[test]
    fn contradictions_are_dockers_errors() {
        let both = r#"{"defaultAction":"a","architectures":["x"],"archMap":[{}]}"#;
        let error = resolved(both, &[]).unwrap_err().to_string();
        assert!(error.starts_with("both 'architectures' and 'archMap' are specified"), "{error}");
        let both = r#"{"syscalls":[{"name":"x","names":["y"]}]}"#;
        let error = resolved(both, &[]).unwrap_err().to_string();
        assert!(error.starts_with("both 'name' and 'names' are specified"), "{error}");
    }

    #[test]
    fn releases_are_read_up_to_the_second_number() {
        let version = |text| KernelVersion::of_release(text).map(|v| (v.kernel, v.major));
        assert_eq!(version("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(version("3.12-1-amd64"), Some((3, 12)));
        assert_eq!(version("next"), None);
    }
}
