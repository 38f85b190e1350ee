//! What a program that we start inherits: nothing.

use std::fs;
use std::io;
use std::os::fd::RawFd;

/// Beyond standard input, output and error.
const FIRST: RawFd = 3;

/// Has every descriptor beyond the standard three closed in programs that are started from now on: also
/// those that whoever started us left open.
///
/// # Errors
/// If the kernel cannot do it at once (`CLOSE_RANGE_CLOEXEC` is of Linux 5.11, and a filter of system calls
/// may not know it) and /proc does not show which there are.
pub fn close_on_exec() -> io::Result<()> {
    range_close_on_exec().or_else(|_| each_close_on_exec())
}

fn range_close_on_exec() -> io::Result<()> {
    let last = libc::c_uint::MAX;
    // SAFETY: the call takes three integers and marks descriptors; none is closed in this process.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, last, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn each_close_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if fd >= FIRST {
            // SAFETY: the call takes integers and marks a descriptor. Where it was closed meanwhile it fails,
            // and there is nothing to mark.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;

    #[test]
    fn what_was_left_open_is_inherited_by_nobody() {
        for mark in [close_on_exec, each_close_on_exec] {
            let left_open = fs::File::open("/dev/null").unwrap();
            fcntl_setfd(&left_open, FdFlags::empty()).unwrap();
            mark().unwrap();
            assert_eq!(fcntl_getfd(&left_open).unwrap(), FdFlags::CLOEXEC);
        }
    }
}
