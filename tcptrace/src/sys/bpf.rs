//! `bpf(2)`, for what aya does not give.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Calls it.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// Every address in `attr` must be that of memory of the length that goes with it, which outlives the
/// call and, where the kernel writes to it, is nobody else's.
pub(super) unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    let attr: *mut bpf_attr = attr;
    // SAFETY: `attr` is as long as it says, and the caller answers for what it points to.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_ulong, attr, size_of::<bpf_attr>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Calls it for something that is answered with a descriptor.
///
/// # Errors
/// The kernel's.
///
/// # Safety
/// As for [`bpf`], and the command must be one that makes a descriptor.
pub(super) unsafe fn bpf_fd(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let fd = unsafe { bpf(command, attr) }?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// An `attr` that says nothing.
pub(super) fn nothing() -> bpf_attr {
    // SAFETY: all zeros is a valid value of this union of plain structures.
    unsafe { core::mem::zeroed() }
}
