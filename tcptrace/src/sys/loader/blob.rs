//! The kernel's own BTF, several megabytes of which little is looked at.

use std::fs::{self, File};
use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Its bytes.
pub(super) enum Blob {
    /// Where the kernel has them (Linux 6.16).
    Mapped(NonNull<u8>, usize),
    /// A copy.
    Read(Vec<u8>),
}

impl Blob {
    /// Maps the file at `path`, which must be one of the kernel's own, or reads it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let (read, private) = (ProtFlags::READ, MapFlags::PRIVATE);
        // SAFETY: a new mapping, of whose pages nobody else knows.
        let mapped = unsafe { mmap(std::ptr::null_mut(), len, read, private, &file, 0) };
        match mapped.ok().and_then(|start| NonNull::new(start.cast())) {
            Some(start) => Ok(Self::Mapped(start, len)),
            None => fs::read(path).map(Self::Read),
        }
    }

    pub(super) fn get(&self) -> &[u8] {
        match self {
            // SAFETY: mapped for as long as this lives; the kernel does not change its types.
            Self::Mapped(start, len) => unsafe {
                core::slice::from_raw_parts(start.as_ptr(), *len)
            },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Self::Mapped(start, len) = *self {
            // SAFETY: it was mapped, and with this nobody has it any more.
            let _ = unsafe { munmap(start.as_ptr().cast(), len) };
        }
    }
}
