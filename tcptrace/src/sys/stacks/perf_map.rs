//! Names of code that was made at run time, from the map that the program leaves for tracers
//! (`/tmp/perf-PID.map`, tools/perf/Documentation/jit-interface.txt of the kernel).
//!
//! Anybody may write to `/tmp`. So it is read only if it is a regular file of the process's own user or
//! of root, as perf does, and of a bounded size.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::{process, regular};

/// Larger ones are left alone: a large program in JavaScript has some 20 MB.
const LARGEST: u64 = 64 << 20;

/// The map of the process with this pid; `None` if it has none that can be believed.
pub fn read(pid: u32) -> Option<Vec<u8>> {
    let status = process::parse_status(&fs::read(format!("/proc/{pid}/status")).ok()?);
    let own = status.pid_in_ns.unwrap_or(pid);
    let path = format!("/tmp/perf-{own}.map");
    let file = regular::open_of_process(pid, Path::new(&path)).ok()?;
    let about = file.metadata().ok()?;
    let is_its = about.uid() == 0 || status.uids.contains(&about.uid());
    if !is_its || about.len() > LARGEST {
        return None;
    }
    let mut map = Vec::new();
    // It may grow meanwhile.
    file.take(LARGEST).read_to_end(&mut map).ok()?;
    Some(map)
}

/// The name of the code at `address`: where several lines have it the last one counts, since code may
/// have been moved.
pub fn name(map: &[u8], address: u64) -> Option<String> {
    let lines = map.split(|&byte| byte == b'\n');
    let mut names = lines.filter_map(|line| {
        let (start, size, name) = parse(line)?;
        (address.checked_sub(start)? < size).then_some(name)
    });
    names.next_back().map(|name| String::from_utf8_lossy(name).into_owned())
}

/// A line `START SIZE NAME`, both numbers in hexadecimal; the name may contain anything.
fn parse(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut fields = line.splitn(3, |&byte| byte == b' ');
    let mut number = || {
        let digits = core::str::from_utf8(fields.next()?).ok()?;
        u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next()?.trim_ascii();
    (!name.is_empty()).then_some((start, size, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_an_address_counts_and_bad_ones_are_passed_over() {
        let map = b"1000 20 LazyCompile:~old file.js:1\nnonsense\n1000 zz x\n\
            1000 10 JS:*new one <script>\xff\r\n2000 1\n3000 1 \n";
        assert_eq!(name(map, 0x1005).as_deref(), Some("JS:*new one <script>\u{fffd}"));
        assert_eq!(name(map, 0x1010).as_deref(), Some("LazyCompile:~old file.js:1"));
        for none in [0xfff, 0x1020, 0x2000, 0x3000, u64::MAX] {
            assert_eq!(name(map, none), None);
        }
        assert_eq!(name(b"ffffffffffffffff ffffffffffffffff x", u64::MAX).as_deref(), Some("x"));
    }
}
