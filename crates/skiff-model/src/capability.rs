//! Capability names and numbers (`capabilities(7)`), and sets of them as bit masks.
//!
//! The table is the kernel's (`include/uapi/linux/capability.h`); what the running kernel knows of
//! it is the runtime's business.

/// Names in the order of their numbers: `NAMES[21]` is `CAP_SYS_ADMIN`.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Returns the number of a capability given by its full name (`CAP_CHOWN`), in upper case as the
/// OCI specification wants it.
pub fn number(name: &str) -> Option<u8> {
    let at = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(at).ok()
}

/// Returns the full name for any spelling users write: `net_admin`, `NET_ADMIN`, `CAP_NET_ADMIN`.
pub fn normalize(word: &str) -> Option<&'static str> {
    NAMES.iter().copied().find(|name| {
        name.eq_ignore_ascii_case(word)
            || name.get("CAP_".len()..).is_some_and(|short| short.eq_ignore_ascii_case(word))
    })
}

/// Returns the bit mask of full names, or the first name that is not in [`NAMES`].
pub fn mask<'a, I>(names: I) -> Result<u64, &'a str>
where
    I: IntoIterator<Item = &'a String>,
{
    let mut bits = 0;
    for name in names {
        bits |= 1 << number(name).ok_or(name.as_str())?;
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (name, expected) in
            [("CAP_CHOWN", 0), ("CAP_SYS_ADMIN", 21), ("CAP_CHECKPOINT_RESTORE", 40)]
        {
            assert_eq!(number(name), Some(expected), "{name}");
        }
        assert_eq!(number("cap_chown"), None);
    }

    #[test]
    fn any_spelling_is_normalized() {
        for word in ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(normalize(word), Some("CAP_NET_ADMIN"), "{word}");
        }
        for word in ["", "CAP_", "NOPE", "CAP_NOPE"] {
            assert_eq!(normalize(word), None, "{word}");
        }
    }

    #[test]
    fn mask_names_what_it_does_not_know() {
        assert_eq!(mask(&["CAP_CHOWN".to_owned(), "CAP_FOWNER".to_owned()]), Ok(0b1001));
        assert_eq!(mask(&["CAP_NOPE".to_owned()]), Err("CAP_NOPE"));
    }
}
