//! Device access rules: from a specification's ordered list to one policy.
//!
//! A policy is a default and exceptions to it, which is what a v1 device cgroup holds and what the
//! v2 program is compiled from, so that both decide alike. Rules are applied in order. What v1
//! cannot express (taking a part out of a wildcard) is an error rather than silently wider access.

use std::collections::BTreeMap;

use skiff_model::oci::DeviceCgroup;

use super::error::{CgroupError, Result};

/// Kind of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DeviceKind {
    Block,
    Char,
}

/// Access: bits as in the kernel's `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access(pub(super) u32);

impl Access {
    pub(super) const MKNOD: u32 = 1;
    pub(super) const READ: u32 = 2;
    pub(super) const WRITE: u32 = 4;
    pub(super) const ALL: Access = Access(Self::MKNOD | Self::READ | Self::WRITE);

    fn parse(text: &str) -> Option<Access> {
        let mut bits = 0;
        for letter in text.chars() {
            bits |= match letter {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                _ => return None,
            };
        }
        Some(Access(bits))
    }

    fn letters(self) -> String {
        let letter = |bit, letter| if self.0 & bit == 0 { "" } else { letter };
        [letter(Self::READ, "r"), letter(Self::WRITE, "w"), letter(Self::MKNOD, "m")].concat()
    }
}

/// Which devices an exception is about; `None` is every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeviceMatch {
    pub(super) kind: DeviceKind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

impl DeviceMatch {
    /// Tells whether some device is meant by both.
    fn overlaps(&self, other: &DeviceMatch) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

/// A default, and exceptions that do the opposite of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DevicePolicy {
    pub(super) allow_by_default: bool,
    pub(super) exceptions: BTreeMap<DeviceMatch, Access>,
}

/// One line to write to `devices.allow` or `devices.deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) allow: bool,
    /// `None` is "everything", which also forgets all exceptions.
    target: Option<(DeviceMatch, Access)>,
}

impl Change {
    /// The text that the kernel takes.
    pub(super) fn line(&self) -> String {
        let Some((target, access)) = self.target else { return "a".into() };
        let kind = match target.kind {
            DeviceKind::Block => 'b',
            DeviceKind::Char => 'c',
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        format!("{kind} {}:{} {}", number(target.major), number(target.minor), access.letters())
    }
}

impl DevicePolicy {
    /// What a new v1 group under an unrestricted parent has.
    pub(super) fn allow_all() -> DevicePolicy {
        DevicePolicy { allow_by_default: true, exceptions: BTreeMap::new() }
    }

    /// Tells whether nothing is restricted.
    pub(super) fn allows_all(&self) -> bool {
        self.allow_by_default && self.exceptions.is_empty()
    }

    /// Applies the rules of a specification; the start is "deny everything", as in runc.
    pub(super) fn from_rules(rules: &[DeviceCgroup]) -> Result<DevicePolicy> {
        let mut policy = DevicePolicy::default();
        rules.iter().try_for_each(|rule| policy.apply(rule))?;
        Ok(policy)
    }

    fn apply(&mut self, rule: &DeviceCgroup) -> Result<()> {
        let invalid = |reason: String| CgroupError::InvalidResource {
            setting: "device cgroup rule".into(),
            reason,
        };
        let kinds: &[DeviceKind] = match rule.kind.as_str() {
            "" | "a" => {
                if number(rule.major).is_ok_and(|n| n.is_none())
                    && number(rule.minor).is_ok_and(|n| n.is_none())
                {
                    // The kernel ignores the access letters of "a".
                    *self =
                        DevicePolicy { allow_by_default: rule.allow, ..DevicePolicy::default() };
                    return Ok(());
                }
                return Err(invalid("numbers cannot be given with type \"a\"".into()));
            }
            "c" | "u" => &[DeviceKind::Char],
            "b" => &[DeviceKind::Block],
            "p" => return Err(invalid("fifos are not devices".into())),
            other => return Err(invalid(format!("unknown type {other:?}"))),
        };
        let access = Access::parse(&rule.access)
            .ok_or_else(|| invalid(format!("unknown access {:?}", rule.access)))?;
        let access = if access.0 == 0 { Access::ALL } else { access };
        let major = number(rule.major).map_err(invalid)?;
        let minor = number(rule.minor).map_err(invalid)?;
        kinds.iter().try_for_each(|&kind| {
            let target = DeviceMatch { kind, major, minor };
            if rule.allow == self.allow_by_default {
                self.take_back(target, access)
            } else {
                let entry = self.exceptions.entry(target).or_insert(Access(0));
                entry.0 |= access.0;
                Ok(())
            }
        })
    }

    /// Removes access from the exceptions.
    fn take_back(&mut self, target: DeviceMatch, access: Access) -> Result<()> {
        for (other, theirs) in &self.exceptions {
            let partly = *other != target && other.overlaps(&target);
            if partly && theirs.0 & access.0 != 0 {
                let change =
                    Change { allow: self.allow_by_default, target: Some((target, access)) };
                return Err(CgroupError::InvalidResource {
                    setting: "device cgroup rule".into(),
                    reason: format!("{:?} changes a part of an earlier wildcard", change.line()),
                });
            }
        }
        if let Some(theirs) = self.exceptions.get_mut(&target) {
            theirs.0 &= !access.0;
            if theirs.0 == 0 {
                self.exceptions.remove(&target);
            }
        }
        Ok(())
    }

    /// Reads the kernel's `devices.list`: either `a *:* rwm` alone, or what is allowed. A list that
    /// allows by default with exceptions reads as `a *:* rwm` too; the exceptions are not shown.
    pub(super) fn from_v1_list(text: &str) -> Result<DevicePolicy> {
        let mut policy = DevicePolicy::default();
        for line in text.lines() {
            let invalid =
                || CgroupError::InvalidContent { path: "devices.list".into(), line: line.into() };
            let mut fields = line.split([' ', ':']);
            let mut next = || fields.next().ok_or_else(invalid);
            let (kind, major, minor, access) = (next()?, next()?, next()?, next()?);
            let kind = match kind {
                "a" => return Ok(DevicePolicy::allow_all()),
                "b" => DeviceKind::Block,
                "c" => DeviceKind::Char,
                _ => return Err(invalid()),
            };
            let number = |text: &str| match text {
                "*" => Ok(None),
                text => text.parse().map(Some).map_err(|_| invalid()),
            };
            let target = DeviceMatch { kind, major: number(major)?, minor: number(minor)? };
            policy.exceptions.insert(target, Access::parse(access).ok_or_else(invalid)?);
        }
        Ok(policy)
    }

    /// Lists the writes that turn this policy into another. Grants come before withdrawals.
    pub(super) fn changes_to(&self, wanted: &DevicePolicy) -> Vec<Change> {
        let none = BTreeMap::new();
        let mut changes = Vec::new();
        // A list that allows by default does not show its exceptions, so it is written anew.
        let reset = self.allow_by_default != wanted.allow_by_default
            || (wanted.allow_by_default && self != wanted);
        let current = if reset {
            changes.push(Change { allow: wanted.allow_by_default, target: None });
            &none
        } else {
            &self.exceptions
        };
        let missing = |from: &BTreeMap<DeviceMatch, Access>, to: &BTreeMap<DeviceMatch, Access>| {
            to.iter()
                .filter_map(|(target, access)| {
                    let have = from.get(target).map_or(0, |access| access.0);
                    let rest = access.0 & !have;
                    (rest != 0).then_some((*target, Access(rest)))
                })
                .collect::<Vec<_>>()
        };
        let grant = |allow| move |target| Change { allow, target: Some(target) };
        let exception = !wanted.allow_by_default;
        changes.extend(missing(current, &wanted.exceptions).into_iter().map(grant(exception)));
        changes.extend(missing(&wanted.exceptions, current).into_iter().map(grant(!exception)));
        changes
    }
}

/// Reads a device number: absent and -1 are the wildcard.
fn number(value: Option<i64>) -> std::result::Result<Option<u32>, String> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| format!("device number {value}")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn rule(allow: bool, text: &str) -> DeviceCgroup {
        let mut fields = text.split([' ', ':']);
        let mut next = || fields.next().unwrap_or("*");
        let kind = next().to_owned();
        let mut number = || match next() {
            "*" => None,
            text => Some(text.parse().unwrap()),
        };
        let (major, minor) = (number(), number());
        let access = fields.next().unwrap_or("").to_owned();
        DeviceCgroup { allow, kind, major, minor, access }
    }

    /// What Docker gives an unprivileged container.
    pub(in super::super) fn docker_default() -> Vec<DeviceCgroup> {
        let mut rules = vec![rule(false, "a *:* rwm")];
        for text in [
            "c *:* m",
            "b *:* m",
            "c 1:5 rwm",
            "c 1:3 rwm",
            "c 1:9 rwm",
            "c 1:8 rwm",
            "c 1:7 rwm",
            "c 5:0 rwm",
            "c 5:1 rwm",
            "c 5:2 rwm",
            "c 136:* rwm",
            "c 10:200 rwm",
        ] {
            rules.push(rule(true, text));
        }
        rules
    }

    fn changes(from: &DevicePolicy, to: &DevicePolicy) -> Vec<String> {
        let sign = |change: &Change| if change.allow { "+" } else { "-" };
        from.changes_to(to).iter().map(|c| format!("{}{}", sign(c), c.line())).collect()
    }

    #[test]
    fn dockers_list_starts_by_denying_everything() {
        let policy = DevicePolicy::from_rules(&docker_default()).unwrap();
        assert!(!policy.allow_by_default);
        let lines = changes(&DevicePolicy::allow_all(), &policy);
        assert_eq!(lines[0], "-a");
        assert_eq!(lines.len(), 13);
        assert!(lines.contains(&"+c 136:* rwm".to_owned()));
        assert!(lines.contains(&"+b *:* m".to_owned()));
    }

    #[test]
    fn a_running_group_is_changed_by_the_difference_only() {
        let now = DevicePolicy::from_v1_list("c 1:3 rwm\nc 1:5 r\nb *:* m\n").unwrap();
        let wanted = DevicePolicy::from_rules(&[
            rule(true, "c 1:5 rw"),
            rule(true, "b *:* m"),
            rule(true, "c 10:200 rwm"),
        ])
        .unwrap();
        assert_eq!(changes(&now, &wanted), ["+c 1:5 w", "+c 10:200 rwm", "-c 1:3 rwm"]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn privileged_containers_change_nothing() {
        let policy = DevicePolicy::from_rules(&[rule(false, "a"), rule(true, "a")]).unwrap();
        assert!(policy.allows_all());
        assert!(changes(&DevicePolicy::allow_all(), &policy).is_empty());
    }

    #[test]
    fn a_denial_after_an_allowance_takes_it_back() {
        let policy = DevicePolicy::from_rules(&[
            rule(true, "c 1:3 rwm"),
            rule(false, "c 1:3 w"),
            rule(true, "c 1:5 r"),
            rule(false, "c 1:5 rwm"),
        ])
        .unwrap();
        assert_eq!(policy.exceptions.len(), 1);
        let target = DeviceMatch { kind: DeviceKind::Char, major: Some(1), minor: Some(3) };
        assert_eq!(policy.exceptions[&target].letters(), "rm");
    }

    #[test]
    fn what_v1_cannot_express_is_refused() {
        for rules in [
            vec![rule(true, "c 1:* rwm"), rule(false, "c 1:3 r")],
            vec![rule(true, "c 1:3 rwm"), rule(false, "c *:* r")],
            vec![rule(true, "x 1:3 rwm")],
            vec![rule(true, "c 1:3 q")],
            vec![rule(true, "c -5:3 r")],
            vec![rule(true, "a 1:3 r")],
        ] {
            assert!(DevicePolicy::from_rules(&rules).is_err(), "{rules:?}");
        }
        // A wildcard of other access letters is no conflict.
        let rules = [rule(true, "c *:* m"), rule(true, "c 1:3 rw"), rule(false, "c 1:3 w")];
        assert!(DevicePolicy::from_rules(&rules).is_ok());
    }
}
