//! What a process has mapped, from `/proc/PID/maps`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::regular;

/// No more of a process's mappings is read: some 80,000 lines, but a path can have 4 KiB.
const MOST: u64 = 8 << 20;
/// Of mappings that a stack may lead through, no more are kept.
const MOST_ON_STACK: usize = 256;
/// Nor more bytes of their paths.
const MOST_OF_PATHS: usize = 64 << 10;

/// Executable code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Where it begins in the process.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// Of the file.
    pub inode: u64,
    /// `None`: made at run time.
    pub path: Option<String>,
}

impl Mapping {
    /// Where in the file an address of this mapping is.
    pub fn offset_of(&self, address: u64) -> u64 {
        (address - self.start).wrapping_add(self.offset)
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The file, through the process with this pid while it lives: it may be in another mount namespace.
    /// Never anything but a regular file.
    pub fn open(&self, pid: u32, alive: bool) -> Option<File> {
        let path = Path::new(self.path.as_deref()?);
        if !alive {
            return self.if_it_is(regular::open_no_link(path).ok()?);
        }
        let link = format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end);
        // Following that link takes CAP_CHECKPOINT_RESTORE.
        regular::open(Path::new(&link))
            .ok()
            .or_else(|| self.if_it_is(regular::open_of_process(pid, path).ok()?))
    }

    /// What was at the path may be another file by now.
    fn if_it_is(&self, file: File) -> Option<File> {
        (file.metadata().ok()?.ino() == self.inode).then_some(file)
    }
}

/// The contents of a process's `maps`, as far as they are read; nothing of one that has ended.
pub fn read(pid: u32) -> Vec<u8> {
    let mut maps = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/maps")) {
        // What was read before an error is good.
        let _ = file.take(MOST).read_to_end(&mut maps);
    }
    // The last line may be cut.
    let whole = maps.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    maps.truncate(whole);
    maps
}

/// The executable mappings.
pub fn executable(maps: &[u8]) -> Vec<Mapping> {
    let lines = maps.split(|&byte| byte == b'\n').filter_map(parse);
    lines.filter_map(|(mapping, runs)| runs.then_some(mapping)).collect()
}

/// The mappings of the beginnings of files.
pub fn beginnings(maps: &[u8]) -> impl Iterator<Item = Mapping> {
    let lines = maps.split(|&byte| byte == b'\n').filter_map(parse);
    lines.map(|(mapping, _)| mapping).filter(|mapping| mapping.offset == 0)
}

/// Those of `mappings`, which are in order, that a walk can lead through: it begins at `ip`, and every
/// return address is a word of `stack`.
pub fn on_stack(mappings: &[Mapping], ip: u64, stack: &[u8]) -> Vec<Mapping> {
    let words = stack.chunks_exact(8).filter_map(<[u8]>::first_chunk::<8>);
    let words = words.map(|word| u64::from_ne_bytes(*word));
    let mut chosen = Vec::new();
    let mut of_paths = 0;
    // A call at the very end of a mapping returns to behind it.
    for address in std::iter::once(ip).chain(words).flat_map(|at| [at, at.wrapping_sub(1)]) {
        let after = mappings.partition_point(|mapping| mapping.start <= address);
        let Some(at) = after.checked_sub(1).filter(|&at| mappings[at].contains(address)) else {
            continue;
        };
        if chosen.contains(&at) {
            continue;
        }
        of_paths += mappings[at].path.as_ref().map_or(0, String::len);
        if chosen.len() == MOST_ON_STACK || of_paths > MOST_OF_PATHS {
            break;
        }
        chosen.push(at);
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|at| mappings[at].clone()).collect()
}

/// A line `START-END PERMS OFFSET DEVICE INODE  PATH`, and whether it is code.
fn parse(line: &[u8]) -> Option<(Mapping, bool)> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let runs = fields.next()?.as_bytes().get(2) == Some(&b'x');
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let offset = hex(fields.next()?)?;
    let inode = fields.nth(1)?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim();
    let mapping = Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset,
        inode,
        path: path.starts_with('/').then(|| path.trim_end_matches(" (deleted)").to_owned()),
    };
    Some((mapping, runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_counts_and_paths_may_have_spaces() {
        let maps = b"\
55d0a000-55d0b000 r--p 00000000 fe:00 77      /bin/a b\n\
55d0b000-55d0c000 r-xp 00001000 fe:00 77      /bin/a b (deleted)\n\
7f000000-7f001000 rwxp 00000000 00:00 0 \n\
7fff0000-7fff1000 r-xp 00000000 00:00 0       [vdso]\n\
torn line\n";
        let found = executable(maps);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].path.as_deref(), Some("/bin/a b"));
        assert_eq!((found[0].start, found[0].offset), (0x55d0_b000, 0x1000));
        assert_eq!(found[0].inode, 77);
        assert_eq!(beginnings(maps).next().unwrap().path.as_deref(), Some("/bin/a b"));
        assert!(found[0].contains(0x55d0_bfff) && !found[0].contains(0x55d0_c000));
        assert_eq!((&found[1].path, &found[2].path), (&None, &None));
    }

    #[test]
    fn a_walk_leads_only_through_what_is_on_the_stack() {
        let mapping = |start: u64, path: &str| Mapping {
            start,
            end: start + 0x1000,
            offset: 0,
            inode: 1,
            path: Some(path.to_owned()),
        };
        let mut mappings =
            vec![mapping(0x1000, "/a"), mapping(0x2000, "/b"), mapping(0x9000, "/c")];
        let stack: Vec<u8> =
            [7u64, 0x9010, 0x3000, 0x9020].into_iter().flat_map(u64::to_ne_bytes).collect();
        let chosen = on_stack(&mappings, 0x1800, &stack);
        // A call at the end of /b returns to 0x3000.
        assert_eq!(chosen, mappings);
        assert_eq!(on_stack(&mappings, 0, &stack[..16]), [mappings[2].clone()]);
        assert_eq!(on_stack(&[], 0x1800, &stack), []);
        mappings[2].path = Some("/".repeat(MOST_OF_PATHS));
        assert_eq!(on_stack(&mappings, 0x1800, &stack), [mappings[0].clone()]);
    }

    #[test]
    fn a_line_that_is_cut_is_none() {
        let maps = read(std::process::id());
        assert!(maps.ends_with(b"\n") && !executable(&maps).is_empty());
        assert!(read(u32::MAX).is_empty());
    }
}
