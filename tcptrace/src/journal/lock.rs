//! One recorder a directory: a file that it has locked for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::Error;
use crate::sys::regular;

const NAME: &str = "lock";
/// A reader that asks whether somebody records has the lock for a moment.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock; given up when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock of `dir`.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has it, [`Error::Directory`] if there can be none.
    pub fn take(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let failed = |source| Error::Directory { dir: dir.to_owned(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o640);
        // Neither somebody else's link, whose file would be written over, nor a pipe.
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let mut file = options.open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("its lock is no regular file")));
        }
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    // The pid is for people. A full disk has no room for it, and no say in this.
                    let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
                    return Ok(Self { file, path });
                }
                Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
                Err(error) => return Err(failed(error.into())),
            }
        }
        let mut text = String::new();
        let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        Err(Error::Busy { dir: dir.to_owned(), pid })
    }

    /// Whether its file is still the one that others would try to lock.
    pub fn is_in_place(&self) -> bool {
        let same = || -> io::Result<bool> {
            let (ours, there) = (self.file.metadata()?, std::fs::metadata(&self.path)?);
            Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        same().unwrap_or(false)
    }
}

/// Whether a recorder is at work in `dir`.
pub fn is_taken(dir: &Path) -> bool {
    let Ok(file) = regular::open_no_link(&dir.join(NAME)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_the_lock_is_a_link_to_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(NAME)).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Error::Directory { .. })));
        assert!(!is_taken(dir.path()));
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn nobody_waits_for_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join(NAME);
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Error::Directory { .. })));
        assert!(!is_taken(dir.path()));
    }
}
