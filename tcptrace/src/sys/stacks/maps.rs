//! What a process has mapped, from `/proc/PID/maps`.

/// Executable code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
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
}

/// The executable mappings: `START-END PERMS OFFSET DEVICE INODE  PATH`.
pub(super) fn executable(maps: &[u8]) -> Vec<Mapping> {
    maps.split(|&byte| byte == b'\n').filter_map(parse).collect()
}

fn parse(line: &[u8]) -> Option<Mapping> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    if fields.next()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let offset = hex(fields.next()?)?;
    let path = fields.nth(2).unwrap_or_default().trim();
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset,
        path: path.starts_with('/').then(|| path.trim_end_matches(" (deleted)").to_owned()),
    })
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
        assert!(found[0].contains(0x55d0_bfff) && !found[0].contains(0x55d0_c000));
        assert_eq!((&found[1].path, &found[2].path), (&None, &None));
    }
}
