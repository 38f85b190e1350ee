//! Opening files that somebody else may have put there.
//!
//! Opening a pipe waits for its other end, and opening a device can do things: so what is at a path is
//! looked at first, by a descriptor that opens nothing (`O_PATH`), and only a regular file is then
//! opened, by that descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open as open_path, openat2};

const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the regular file at `path` to read; links are followed.
///
/// # Errors
/// `InvalidInput` if it is something else, or those of the system.
pub fn open(path: &Path) -> io::Result<File> {
    really_open(&open_path(path, LOOK, Mode::empty())?)
}

/// The same, but what is at `path` itself may not be a link.
///
/// # Errors
/// As for [`open`].
pub fn open_no_link(path: &Path) -> io::Result<File> {
    // Of a link this is the link itself, which is no regular file.
    really_open(&open_path(path, LOOK | OFlags::NOFOLLOW, Mode::empty())?)
}

/// The same as [`open_no_link`], at an absolute path as the process with this pid sees it: its links lead
/// to files that it can see.
///
/// # Errors
/// As for [`open`].
pub fn open_of_process(pid: u32, path: &Path) -> io::Result<File> {
    let root = openat2(
        CWD,
        format!("/proc/{pid}/root"),
        LOOK | OFlags::DIRECTORY,
        Mode::empty(),
        ResolveFlags::empty(),
    )?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    really_open(&openat2(root, path, LOOK | OFlags::NOFOLLOW, Mode::empty(), resolve)?)
}

/// Where a descriptor of this process can be opened once more.
pub fn path_of(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn really_open(there: &OwnedFd) -> io::Result<File> {
    if FileType::from_raw_mode(fstat(there)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(open_path(path_of(there), READ, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let [file, pipe, link, dangling] =
            ["file", "pipe", "link", "dangling"].map(|name| dir.path().join(name));
        fs::write(&file, "x").unwrap();
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink(&file, &link).unwrap();
        symlink(dir.path().join("nothing"), &dangling).unwrap();
        assert!(open(&file).is_ok() && open(&link).is_ok());
        assert!(open_no_link(&file).is_ok() && open_no_link(&link).is_err());
        for other in [&pipe, &dangling, &dir.path().to_owned(), &"/dev/null".into()] {
            assert!(open(other).is_err() && open_no_link(other).is_err(), "{}", other.display());
        }
    }

    #[test]
    fn a_path_of_a_process_ends_at_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let own = std::process::id();
        assert!(open_of_process(own, &file).is_ok());
        assert!(open_of_process(own, &link).is_err());
        assert!(open_of_process(own, Path::new("/proc/self/exe")).is_err());
    }
}
