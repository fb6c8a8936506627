//! Architectures: names, the kernel's numbers, and which can occur on this machine.

use super::SeccompError;

/// Bit 30 of a call's number marks x32 calls of an x86-64 process.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// An architecture whose system calls we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arch {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

/// Architectures of the specification that this machine's kernel never reports.
const FOREIGN: [&str; 18] = [
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

impl Arch {
    /// What this executable was compiled for.
    pub(super) const NATIVE: Arch =
        if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

    /// Reads the specification's name; `None` is an architecture that cannot occur here, which a
    /// filter therefore need not mention.
    pub(super) fn parse(name: &str) -> Result<Option<Arch>, SeccompError> {
        Ok(Some(match name {
            "SCMP_ARCH_NATIVE" => Arch::NATIVE,
            "SCMP_ARCH_X86_64" => Arch::X86_64,
            "SCMP_ARCH_X86" => Arch::X86,
            "SCMP_ARCH_X32" => Arch::X32,
            "SCMP_ARCH_AARCH64" => Arch::Aarch64,
            "SCMP_ARCH_ARM" => Arch::Arm,
            name if FOREIGN.contains(&name) => return Ok(None),
            name => return Err(SeccompError::Architecture(name.to_owned())),
        }))
    }

    /// The specification's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "SCMP_ARCH_X86_64",
            Arch::X86 => "SCMP_ARCH_X86",
            Arch::X32 => "SCMP_ARCH_X32",
            Arch::Aarch64 => "SCMP_ARCH_AARCH64",
            Arch::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// Docker's name, which is Go's but for 386.
    pub(super) fn docker_name(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::X86 => "x86",
            Arch::X32 => "x32",
            Arch::Aarch64 => "arm64",
            Arch::Arm => "arm",
        }
    }

    /// `AUDIT_ARCH_*` as in `seccomp_data.arch`; x32 shares x86-64's.
    pub(super) fn audit(self) -> u32 {
        match self {
            Arch::X86_64 | Arch::X32 => 0xc000_003e,
            Arch::X86 => 0x4000_0003,
            Arch::Aarch64 => 0xc000_00b7,
            Arch::Arm => 0x4000_0028,
        }
    }

    /// The column of the table of calls.
    pub(super) fn column(self) -> usize {
        match self {
            Arch::X86_64 => 0,
            Arch::X86 => 1,
            Arch::X32 => 2,
            Arch::Aarch64 => 3,
            Arch::Arm => 4,
        }
    }

    /// Bits that the kernel adds to a number of the table.
    pub(super) fn number_base(self) -> u32 {
        if self == Arch::X32 { X32_BIT } else { 0 }
    }

    /// Whether arguments are compared by their lower half only, as libseccomp does.
    pub(super) fn is_32_bit(self) -> bool {
        matches!(self, Arch::X86 | Arch::X32 | Arch::Arm)
    }

    /// Whether a process on a machine of `native` can make such calls.
    pub(super) fn occurs_on(self, native: Arch) -> bool {
        match native {
            Arch::Aarch64 | Arch::Arm => matches!(self, Arch::Aarch64 | Arch::Arm),
            Arch::X86_64 | Arch::X86 | Arch::X32 => {
                matches!(self, Arch::X86_64 | Arch::X86 | Arch::X32)
            }
        }
    }
}
