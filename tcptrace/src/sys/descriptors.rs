//! What a program that we start inherits: nothing.

use std::io;

/// Has every descriptor beyond the standard three closed in programs that are started from now on: also
/// those that whoever started us left open.
///
/// # Errors
/// If the kernel is older than 5.11.
pub fn close_on_exec() -> io::Result<()> {
    let (first, last): (libc::c_uint, libc::c_uint) = (3, libc::c_uint::MAX);
    // SAFETY: the call takes three integers and marks descriptors; none is closed in this process.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
