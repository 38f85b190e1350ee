//! A file of code that is safe to read names from.
//!
//! Such a file is whoever's it runs, and can be written to while it is read. It can also name other
//! files, with debug information, and has the one who reads it open them: by any path. So a file that
//! is not the host's own is copied, and the names of the sections that lead elsewhere are taken out of
//! the copy.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;

use memchr::memmem;
use rustix::fs::{MemfdFlags, memfd_create};

use super::super::regular;
use super::maps::Mapping;

/// Larger files are not copied: of these only the symbols are read, which lead nowhere.
const LARGEST: u64 = 256 << 20;
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;
/// Sections that name other files.
const LEADING_ELSEWHERE: [&[u8]; 3] = [b".gnu_debuglink", b".gnu_debugaltlink", b".debug_sup"];

/// See the module.
#[derive(Debug)]
pub(super) struct Image {
    file: File,
    /// Whether lines and inlined functions may be read as well.
    pub(super) debug: bool,
}

impl Image {
    /// The file of a mapping of the process with this pid, as [`Mapping::open`] finds it.
    pub(super) fn open(mapping: &Mapping, pid: u32, alive: bool) -> Option<Self> {
        let file = mapping.open(pid, alive)?;
        let about = file.metadata().ok()?;
        if is_the_hosts(&about, mapping) {
            return Some(Self { file, debug: true });
        }
        if about.len() > LARGEST {
            return Some(Self { file, debug: false });
        }
        let copy = memfd_create("image", MemfdFlags::CLOEXEC).ok()?;
        let mut copy = File::from(copy);
        copy_without_links(file.take(LARGEST), &mut copy).ok()?;
        Some(Self { file: copy, debug: true })
    }

    /// Where it can be read.
    pub(super) fn path(&self) -> String {
        regular::path_of(&self.file)
    }
}

/// Whether only root can have made the file what it is, and it is this host's: a container has a root
/// of its own, whose files are not at the same place here.
fn is_the_hosts(about: &Metadata, mapping: &Mapping) -> bool {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    let here = mapping.path.as_deref().and_then(|path| fs::symlink_metadata(path).ok());
    about.uid() == 0
        && about.mode() & OTHERS_MAY_WRITE == 0
        && here.is_some_and(|here| (here.dev(), here.ino()) == (about.dev(), about.ino()))
}

/// Copies, and spoils the names in [`LEADING_ELSEWHERE`] wherever they are: that needs no
/// understanding of the file, which could be made to be understood in two ways.
fn copy_without_links(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let longest = LEADING_ELSEWHERE.iter().map(|name| name.len()).max().unwrap_or(1);
    let mut buffer = Vec::new();
    loop {
        let kept = buffer.len();
        let got = from.by_ref().take(CHUNK as u64).read_to_end(&mut buffer)?;
        for name in LEADING_ELSEWHERE {
            let found: Vec<_> = memmem::find_iter(&buffer, name).collect();
            for at in found {
                buffer[at] = 0;
            }
        }
        if got == 0 {
            return to.write_all(&buffer[..kept]);
        }
        // A name may lie across the border.
        let done = buffer.len().saturating_sub(longest - 1);
        to.write_all(&buffer[..done])?;
        buffer.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leads_nowhere_wherever_the_names_are() {
        for at in [0, 1, 100, CHUNK - 20, CHUNK - 14, CHUNK - 1, CHUNK, 2 * CHUNK - 5] {
            for name in LEADING_ELSEWHERE {
                let mut bytes = vec![b'x'; 2 * CHUNK + 100];
                bytes[at..at + name.len()].copy_from_slice(name);
                let mut copy = Vec::new();
                copy_without_links(&*bytes, &mut copy).unwrap();
                bytes[at] = 0;
                assert!(copy == bytes, "{} at {at}", name.escape_ascii());
            }
        }
    }

    #[test]
    fn what_others_may_write_to_is_copied() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("library");
        fs::write(&path, "code .gnu_debuglink").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let path = path.to_str().unwrap().to_owned();
        let mapping = Mapping { start: 0, end: 1, offset: 0, inode, path: Some(path.clone()) };
        let image = Image::open(&mapping, 0, false).unwrap();
        // Whoever cuts the file off now does so to the file alone.
        fs::write(&path, "").unwrap();
        assert_eq!(fs::read(image.path()).unwrap(), b"code \0gnu_debuglink");
        assert!(image.debug);
    }
}
