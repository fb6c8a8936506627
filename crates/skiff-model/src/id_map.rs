//! Ids of a user namespace and what they are outside of it.

use serde::{Deserialize, Serialize};

use crate::oci::IdMapping;

/// The users and groups of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    pub uids: Vec<IdMapping>,
    pub gids: Vec<IdMapping>,
}

impl IdMap {
    /// Reads `/proc/<pid>/uid_map` and `gid_map`; `None` for something else.
    pub fn parse(uid_map: &str, gid_map: &str) -> Option<IdMap> {
        Some(IdMap { uids: lines(uid_map)?, gids: lines(gid_map)? })
    }

    /// Whether every id is itself, as in the first user namespace.
    pub fn is_identity(&self) -> bool {
        let whole = |map: &[IdMapping]| {
            matches!(map, [IdMapping { container_id: 0, host_id: 0, size: u32::MAX }])
        };
        whole(&self.uids) && whole(&self.gids)
    }

    /// The id outside of a user.
    pub fn uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The id outside of a group.
    pub fn gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// Whom root is outside: user and group.
    pub fn root(&self) -> Option<(u32, u32)> {
        Some((self.uid(0)?, self.gid(0)?))
    }
}

fn outside(map: &[IdMapping], inside: u32) -> Option<u32> {
    map.iter().find_map(|range| {
        let offset = inside.checked_sub(range.container_id)?;
        (offset < range.size).then(|| range.host_id.checked_add(offset))?
    })
}

fn lines(text: &str) -> Option<Vec<IdMapping>> {
    text.lines()
        .map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(IdMapping { container_id: next()?, host_id: next()?, size: next()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_any_range_or_not_at_all() {
        let map = IdMap::parse("0 1000 1\n1 100000 65535\n", "         0     200000      10\n");
        let map = map.unwrap();
        for (inside, outside) in
            [(0, Some(1000)), (1, Some(100_000)), (65535, Some(165_534)), (65536, None)]
        {
            assert_eq!(map.uid(inside), outside, "{inside}");
        }
        assert_eq!((map.gid(9), map.gid(10)), (Some(200_009), None));
        assert_eq!(map.root(), Some((1000, 200_000)));
        assert!(!map.is_identity());
        assert_eq!(IdMap::parse("0 x 1", ""), None);
    }

    #[test]
    fn the_first_namespace_is_known_by_its_map() {
        let whole = "         0          0 4294967295\n";
        assert!(IdMap::parse(whole, whole).unwrap().is_identity());
        assert!(!IdMap::parse("0 0 65536", whole).unwrap().is_identity());
    }
}
