//! Names of the host's users and groups, for display.

use std::collections::HashMap;

/// Longer names are cut to this width, as in the tables of `ps`.
const WIDTH: usize = 8;

/// Users and groups by number.
pub(super) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// Reads the host's files; what cannot be read has no names.
    pub(super) fn of_host() -> Names {
        let load =
            |path| std::fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default();
        Names { users: load("/etc/passwd"), groups: load("/etc/group") }
    }

    pub(super) fn user(&self, id: u32) -> String {
        shown(&self.users, id)
    }

    pub(super) fn group(&self, id: u32) -> String {
        shown(&self.groups, id)
    }
}

fn shown(names: &HashMap<u32, String>, id: u32) -> String {
    match names.get(&id) {
        Some(name) if name.chars().count() <= WIDTH => name.clone(),
        Some(name) => name.chars().take(WIDTH - 1).chain(['+']).collect(),
        None => id.to_string(),
    }
}

/// `name:password:number:…`; the first name of a number counts.
fn parse(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else { continue };
        if let Ok(number) = number.parse() {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_missing_ones_are_numbers() {
        let users = parse("root:x:0:0::/:\ntoor:x:0:0::/:\nsystemd-network:x:998:998::/:\nbad\n");
        let names = Names { users, groups: HashMap::new() };
        assert_eq!(names.user(0), "root");
        assert_eq!(names.user(998), "systemd+");
        assert_eq!(names.user(5), "5");
        assert_eq!(names.group(0), "0");
    }
}
