//! What this process may do.

use std::fs;

/// The capabilities that buy evidence, by the kernel's numbers
/// (`include/uapi/linux/capability.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the kernel's own names")]
pub enum Capability {
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    /// The name in `capabilities(7)`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// The effective capabilities of this process.
#[derive(Clone, Copy, Debug)]
pub struct Privileges(u64);

impl Privileges {
    /// Asks the kernel; none if `/proc` cannot be read.
    pub fn read() -> Self {
        let status = fs::read("/proc/self/status").unwrap_or_default();
        Self(parse(&status).unwrap_or(0))
    }

    /// Whether it has `capability`. `CAP_SYS_ADMIN` includes those that were once part of it.
    pub fn has(self, capability: Capability) -> bool {
        let bit = |c: Capability| self.0 >> c as u8 & 1 == 1;
        bit(capability)
            || (matches!(capability, Capability::Bpf | Capability::Perfmon)
                && bit(Capability::SysAdmin))
    }

    /// Those of `wanted` that it lacks.
    pub fn missing(self, wanted: &[Capability]) -> Vec<Capability> {
        wanted.iter().copied().filter(|&capability| !self.has(capability)).collect()
    }
}

fn parse(status: &[u8]) -> Option<u64> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?;
    u64::from_str_radix(core::str::from_utf8(line).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let has = |bits: u64, c| {
            let status = format!("Name:\tx\nCapEff:\t{bits:016x}\n");
            Privileges(parse(status.as_bytes()).unwrap()).has(c)
        };
        assert!(has(1 << 39, Capability::Bpf));
        assert!(!has(1 << 39, Capability::Perfmon));
        assert!(has(1 << 21, Capability::Perfmon), "CAP_SYS_ADMIN was all of it once");
        assert!(!has(1 << 21, Capability::SysPtrace));
        assert_eq!(parse(b""), None);
    }
}
