//! What a process has mapped, from `/proc/PID/maps`.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{Mode, OFlags};

/// Executable code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// Of the file.
    pub(super) inode: u64,
    /// `None`: made at run time.
    pub(super) path: Option<String>,
}

impl Mapping {
    /// Where in the file an address of this mapping is.
    pub(super) fn offset_of(&self, address: u64) -> u64 {
        address - self.start + self.offset
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The file, through the process with this pid while it lives: it may be in another mount namespace.
    pub(super) fn open(&self, pid: u32, alive: bool) -> Option<File> {
        let path = self.path.as_deref()?;
        if !alive {
            return self.open_at(path);
        }
        let link = format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end);
        // Following that link takes CAP_CHECKPOINT_RESTORE.
        File::open(link).ok().or_else(|| self.open_at(&format!("/proc/{pid}/root{path}")))
    }

    /// What is at `path`, if it still is the file: it may be another one by now, or a pipe.
    fn open_at(&self, path: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
        let found = file.metadata().ok()?;
        (found.is_file() && found.ino() == self.inode).then_some(file)
    }
}

/// The executable mappings.
pub(super) fn executable(maps: &[u8]) -> Vec<Mapping> {
    let lines = maps.split(|&byte| byte == b'\n').filter_map(parse);
    lines.filter_map(|(mapping, runs)| runs.then_some(mapping)).collect()
}

/// The mappings of the beginnings of files.
pub(super) fn beginnings(maps: &[u8]) -> impl Iterator<Item = Mapping> {
    let lines = maps.split(|&byte| byte == b'\n').filter_map(parse);
    lines.map(|(mapping, _)| mapping).filter(|mapping| mapping.offset == 0)
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
}
