//! Unit properties: the limits of a container in systemd's words.
//!
//! The limits are written to the control group's files as well; systemd has to know them because it
//! writes its own idea of them again at every `daemon-reload`. (org.freedesktop.systemd1(5),
//! systemd.resource-control(5))

use skiff_model::oci::{Cpu, Memory, Resources};

use super::super::devices::{Access, DeviceKind, DeviceMatch, DevicePolicy};
use super::super::error::{CgroupError, Result};
use super::super::v2::weight_of_shares;
use super::message::Writer;

/// "infinity".
const NO_LIMIT: u64 = u64::MAX;

/// Value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    /// `au`: process ids.
    Pids(Vec<u32>),
    /// `ay`: a bit for each processor or memory node.
    Bits(Vec<u8>),
    /// `a(ss)`: device and access.
    Devices(Vec<(String, String)>),
}

/// A property by name.
pub(super) type Property = (&'static str, Value);

/// Writes properties as `a(sv)`.
pub(super) fn write(writer: &mut Writer, properties: &[Property]) {
    writer.array(8, |array| {
        for (name, value) in properties {
            array.structure();
            array.string(name);
            write_variant(array, value);
        }
    });
}

fn write_variant(writer: &mut Writer, value: &Value) {
    match value {
        Value::Text(text) => {
            writer.signature("s");
            writer.string(text);
        }
        Value::Flag(flag) => {
            writer.signature("b");
            writer.boolean(*flag);
        }
        Value::Number(number) => {
            writer.signature("t");
            writer.u64(*number);
        }
        Value::Pids(pids) => {
            writer.signature("au");
            writer.array(4, |array| pids.iter().for_each(|pid| array.u32(*pid)));
        }
        Value::Bits(bits) => {
            writer.signature("ay");
            writer.array(1, |array| array.raw(bits));
        }
        Value::Devices(devices) => {
            writer.signature("a(ss)");
            writer.array(8, |array| {
                for (device, access) in devices {
                    array.structure();
                    array.string(device);
                    array.string(access);
                }
            });
        }
    }
}

/// Lists the properties of a new scope.
pub(super) fn of_scope(description: &str, slice: &str, pid: u32) -> Vec<Property> {
    vec![
        ("Description", Value::Text(description.into())),
        ("Slice", Value::Text(slice.into())),
        ("Delegate", Value::Flag(true)),
        ("PIDs", Value::Pids(vec![pid])),
        ("MemoryAccounting", Value::Flag(true)),
        ("CPUAccounting", Value::Flag(true)),
        ("IOAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
        // The scope must not be stopped before what it needs at shutdown: the daemon does that.
        ("DefaultDependencies", Value::Flag(false)),
    ]
}

/// Lists the properties that limits come to.
pub(super) fn of_resources(resources: &Resources, unified: bool) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        memory_properties(memory, unified, &mut list);
    }
    if let Some(cpu) = &resources.cpu {
        cpu_properties(cpu, unified, &mut list)?;
    }
    if let Some(pids) = &resources.pids
        && pids.limit != 0
    {
        list.push(("TasksMax", Value::Number(limit(pids.limit))));
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|io| io.weight).filter(|w| *w != 0) {
        if unified {
            let scaled = 1 + (u64::from(weight).max(10) - 10) * 9999 / 990;
            list.push(("IOWeight", Value::Number(scaled)));
        } else {
            list.push(("BlockIOWeight", Value::Number(weight.into())));
        }
    }
    // On v2 our own program stands beside systemd's, so only v1 lists need to be known to it.
    if !unified && !resources.devices.is_empty() {
        let policy = DevicePolicy::from_rules(&resources.devices)?;
        if !policy.allow_by_default {
            let devices = std::fs::read_to_string("/proc/devices").unwrap_or_default();
            list.push(("DevicePolicy", Value::Text("strict".into())));
            list.push(("DeviceAllow", Value::Devices(allowed_devices(&policy, &devices))));
        }
    }
    Ok(list)
}

fn limit(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(NO_LIMIT)
}

fn memory_properties(memory: &Memory, unified: bool, list: &mut Vec<Property>) {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    if let Some(bytes) = set(memory.limit) {
        let name = if unified { "MemoryMax" } else { "MemoryLimit" };
        list.push((name, Value::Number(limit(bytes))));
    }
    if !unified {
        return;
    }
    if let Some(bytes) = set(memory.reservation) {
        list.push(("MemoryLow", Value::Number(limit(bytes))));
    }
    if let Some(both) = set(memory.swap) {
        // What does not fit together is refused when the files are written.
        let swap = match (both, memory.limit) {
            (..0, _) => Some(NO_LIMIT),
            (both, Some(bytes @ 1..)) => u64::try_from(both - bytes).ok(),
            _ => None,
        };
        list.extend(swap.map(|swap| ("MemorySwapMax", Value::Number(swap))));
    }
}

fn cpu_properties(cpu: &Cpu, unified: bool, list: &mut Vec<Property>) -> Result<()> {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        list.push(if unified {
            ("CPUWeight", Value::Number(weight_of_shares(shares)))
        } else {
            ("CPUShares", Value::Number(shares))
        });
    }
    let period = cpu.period.filter(|period| *period != 0);
    if let Some(period) = period {
        list.push(("CPUQuotaPeriodUSec", Value::Number(period)));
    }
    if let Some(quota) = cpu.quota.filter(|quota| *quota != 0) {
        let per_second = u64::try_from(quota)
            .map_or(NO_LIMIT, |quota| quota_per_second(quota, period.unwrap_or(100_000)));
        list.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
    }
    if unified {
        for (name, text) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
            if !text.is_empty() {
                list.push((name, Value::Bits(bits(text)?)));
            }
        }
    }
    Ok(())
}

/// Microseconds for each second. systemd keeps whole percents, so what is between is rounded up, as
/// runc does; the exact quota is in the file.
fn quota_per_second(quota: u64, period: u64) -> u64 {
    let exact = u128::from(quota) * 1_000_000 / u128::from(period);
    u64::try_from(exact.next_multiple_of(10_000)).unwrap_or(NO_LIMIT)
}

/// Turns `0-2,5` into bits, the lowest number first.
fn bits(text: &str) -> Result<Vec<u8>> {
    /// More than any kernel is built for, and a bound on what a user can make us allocate.
    const MOST: usize = 8192;
    let invalid = || CgroupError::InvalidResource {
        setting: "cpuset".into(),
        reason: format!("cannot parse {text:?}"),
    };
    let mut bits = Vec::new();
    for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| *n < MOST);
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(invalid());
        };
        if first > last {
            return Err(invalid());
        }
        bits.resize(bits.len().max(last / 8 + 1), 0);
        for number in first..=last {
            bits[number / 8] |= 1 << (number % 8);
        }
    }
    Ok(bits)
}

/// Names devices as systemd wants them: by node, or all of a driver's by the name that
/// `/proc/devices` gives it.
fn allowed_devices(policy: &DevicePolicy, proc_devices: &str) -> Vec<(String, String)> {
    let name = |target: &DeviceMatch| -> Option<String> {
        let kind = match target.kind {
            DeviceKind::Block => "block",
            DeviceKind::Char => "char",
        };
        match (target.major, target.minor) {
            (None, None) => Some(format!("{kind}-*")),
            (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
            (Some(major), None) => {
                let driver = driver_name(proc_devices, target.kind, major)?;
                Some(format!("{kind}-{driver}"))
            }
            // There is no word for a minor number of every driver.
            (None, Some(_)) => None,
        }
    };
    let exceptions = policy.exceptions.iter();
    exceptions.filter_map(|(target, access)| Some((name(target)?, letters(*access)))).collect()
}

fn letters(access: Access) -> String {
    let letter = |bit, letter| if access.0 & bit == 0 { "" } else { letter };
    [letter(Access::READ, "r"), letter(Access::WRITE, "w"), letter(Access::MKNOD, "m")].concat()
}

fn driver_name(proc_devices: &str, kind: DeviceKind, major: u32) -> Option<&str> {
    let heading = match kind {
        DeviceKind::Block => "Block devices:",
        DeviceKind::Char => "Character devices:",
    };
    let lines = proc_devices.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let (number, name) = line.trim_start().split_once(' ')?;
        (number.parse() == Ok(major)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use skiff_model::oci::Pids;

    use super::super::super::devices::tests::docker_default;
    use super::*;

    fn number(list: &[Property], name: &str) -> Option<u64> {
        list.iter().find_map(|(known, value)| match value {
            Value::Number(number) if *known == name => Some(*number),
            _ => None,
        })
    }

    fn resources() -> Resources {
        Resources {
            memory: Some(Memory {
                limit: Some(100),
                swap: Some(150),
                reservation: Some(50),
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: Some(1024),
                quota: Some(15_001),
                period: Some(100_000),
                cpus: "0,2-3,9".into(),
                ..Cpu::default()
            }),
            pids: Some(Pids { limit: -1 }),
            ..Resources::default()
        }
    }

    #[test]
    fn limits_of_v2_have_their_properties() {
        let list = of_resources(&resources(), true).unwrap();
        for (name, value) in [
            ("MemoryMax", 100),
            ("MemorySwapMax", 50),
            ("MemoryLow", 50),
            ("CPUWeight", 100),
            ("CPUQuotaPerSecUSec", 160_000),
            ("CPUQuotaPeriodUSec", 100_000),
            ("TasksMax", u64::MAX),
        ] {
            assert_eq!(number(&list, name), Some(value), "{name}");
        }
        assert!(list.contains(&("AllowedCPUs", Value::Bits(vec![0b1101, 0b10]))));
    }

    #[test]
    fn limits_of_v1_have_their_properties() {
        let devices = docker_default();
        let list = of_resources(&Resources { devices, ..resources() }, false).unwrap();
        assert_eq!(number(&list, "MemoryLimit"), Some(100));
        assert_eq!(number(&list, "CPUShares"), Some(1024));
        assert_eq!(number(&list, "MemoryMax"), None);
        assert!(list.contains(&("DevicePolicy", Value::Text("strict".into()))));
    }

    #[test]
    fn devices_are_named_by_node_or_driver() {
        let policy = DevicePolicy::from_rules(&docker_default()).unwrap();
        let proc_devices = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n136 wrong\n";
        let names = allowed_devices(&policy, proc_devices);
        let has = |name: &str, access: &str| names.contains(&(name.into(), access.into()));
        assert!(has("char-*", "m") && has("block-*", "m"));
        assert!(has("/dev/char/1:3", "rwm") && has("char-pts", "rwm"));
    }

    #[test]
    fn processor_lists_are_bounded() {
        assert_eq!(bits("0").unwrap(), [1]);
        assert_eq!(bits("").unwrap(), [] as [u8; 0]);
        for bad in ["3-1", "x", "1-", "0-2147483647", "99999999999999999999"] {
            assert!(bits(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn properties_are_marshalled_as_the_specification_says() {
        let mut writer = Writer::default();
        write(
            &mut writer,
            &[
                ("Delegate", Value::Flag(true)),
                ("PIDs", Value::Pids(vec![258])),
                ("TasksMax", Value::Number(7)),
                ("X", Value::Bits(vec![3])),
                ("D", Value::Devices(vec![("a".into(), "r".into())])),
            ],
        );
        #[rustfmt::skip]
        let expect: &[u8] = &[
            136, 0, 0, 0,  0, 0, 0, 0,
            8, 0, 0, 0, b'D', b'e', b'l', b'e', b'g', b'a', b't', b'e', 0,
            1, b'b', 0,  1, 0, 0, 0,  0, 0, 0, 0,
            4, 0, 0, 0, b'P', b'I', b'D', b's', 0,
            2, b'a', b'u', 0,  0, 0, 0,  4, 0, 0, 0,  2, 1, 0, 0,
            8, 0, 0, 0, b'T', b'a', b's', b'k', b's', b'M', b'a', b'x', 0,
            1, b't', 0,  7, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, b'X', 0,  2, b'a', b'y', 0,  0, 0,  1, 0, 0, 0,  3,
            0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, b'D', 0,  5, b'a', b'(', b's', b's', b')', 0,  0, 0, 0,
            14, 0, 0, 0,  0, 0, 0, 0,
            1, 0, 0, 0, b'a', 0,  0, 0,  1, 0, 0, 0, b'r', 0,
        ];
        let bytes = writer.into_bytes();
        assert_eq!(bytes[8..], expect[8..]);
        assert_eq!(bytes[..4], ((bytes.len() - 8) as u32).to_le_bytes());
    }
}
