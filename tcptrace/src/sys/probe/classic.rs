//! The classic tracepoint: checking what its record looks like, and attaching to it.

use std::fs;

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::programs::{ProgramError, TracePoint};

use super::super::loader::{Globals, Kernel};
use super::super::tracefs::with_tracefs;

pub(super) const PROGRAM: &str = "transition_classic";
const FORMAT: &str = "events/sock/inet_sock_set_state/format";

/// Name, offset and size in bytes of each field that the program reads
/// (`tcptrace-ebpf/src/classic.rs`).
const EXPECTED: [(&str, u32, u32); 11] = [
    ("skaddr", 8, 8),
    ("oldstate", 16, 4),
    ("newstate", 20, 4),
    ("sport", 24, 2),
    ("dport", 26, 2),
    ("family", 28, 2),
    ("protocol", 30, 2),
    ("saddr", 32, 4),
    ("daddr", 36, 4),
    ("saddr_v6", 40, 16),
    ("daddr_v6", 56, 16),
];

pub(super) fn load(kernel: &Kernel, globals: &Globals) -> Result<Ebpf> {
    with_tracefs(|tracefs| {
        let path = tracefs.join(FORMAT);
        let format =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        check(&format)
    })?;
    kernel.load_untyped(globals, |ebpf| program(ebpf)?.load())
}

pub(super) fn attach(ebpf: &mut Ebpf) -> Result<()> {
    with_tracefs(|_| {
        let attached = program(ebpf)?.attach("sock", "inet_sock_set_state");
        attached.context("cannot attach to sock:inet_sock_set_state")?;
        Ok(())
    })
}

fn program(ebpf: &mut Ebpf) -> Result<&mut TracePoint, ProgramError> {
    ebpf.program_mut(PROGRAM).expect("the object is compiled in").try_into()
}

/// Compares a tracepoint's description with what the program reads.
fn check(format: &str) -> Result<()> {
    for (name, offset, size) in EXPECTED {
        let field = format.lines().find_map(|line| field(line).filter(|field| field.0 == name));
        match field {
            None => bail!("this kernel's sock:inet_sock_set_state has no field `{name}`"),
            Some(("protocol", _, 1)) => bail!(
                "this kernel's sock:inet_sock_set_state has a protocol of one byte: that is Linux \
                 before 5.6, and 5.8 is the first with ring buffers for tracing programs"
            ),
            Some((_, at, len)) if (at, len) != (offset, size) => bail!(
                "this kernel's sock:inet_sock_set_state has `{name}` in {len} bytes at {at}, where \
                 {size} bytes at {offset} are read"
            ),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Name, offset and size of the field that `line` describes: `field:__u16 sport; offset:24; size:2;
/// signed:0;`.
fn field(line: &str) -> Option<(&str, u32, u32)> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
    let declared = parts.next()?.rsplit(' ').next()?;
    let name = declared.split('[').next()?;
    let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
    let size = parts.next()?.strip_prefix("size:")?.parse().ok()?;
    Some((name, offset, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(protocol: &str) -> String {
        let fields = EXPECTED.map(|(name, offset, size)| {
            if name == "protocol" {
                protocol.to_owned()
            } else {
                format!("\tfield:__u8 {name};\toffset:{offset};\tsize:{size};\tsigned:0;\n")
            }
        });
        let common = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n";
        format!("name: inet_sock_set_state\nID: 2287\nformat:\n{common}\n{}", fields.concat())
    }

    #[test]
    fn what_is_described_as_expected_is_read() {
        let protocol = "\tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;\n";
        check(&format(protocol)).unwrap();
        let array = "\tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;";
        assert_eq!(field(array), Some(("saddr_v6", 40, 16)));
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        let error = |protocol| check(&format(protocol)).unwrap_err().to_string();
        let old = error("\tfield:__u8 protocol;\toffset:30;\tsize:1;\tsigned:0;\n");
        assert!(old.contains("before 5.6"), "{old}");
        let moved = error("\tfield:__u16 protocol;\toffset:32;\tsize:2;\tsigned:0;\n");
        assert!(moved.contains("`protocol` in 2 bytes at 32"), "{moved}");
        let none = error("garbage\n\tfield:\n\tfield:x;y\n");
        assert!(none.contains("no field `protocol`"), "{none}");
    }
}
