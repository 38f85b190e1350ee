//! Who accepts which connection, and by which code: only where somebody asks for it.
//!
//! Contract with the kernel: `inet_csk_accept` returns the accepted `struct sock *`, or NULL; it has four
//! arguments before 6.10 and two since (`net/ipv4/inet_connection_sock.c`). A program made for another
//! number of arguments would load and read the wrong one, so user space counts them. Where fexit
//! programs do not load, the end of the system calls tells the new descriptor
//! (`syscalls/sys_exit_accept4`: eight bytes of common fields, the number, the result at 16), and the
//! socket is found through the descriptor table of this very task.

use core::ptr::read_volatile;

use aya_ebpf::{
    EbpfContext as _,
    macros::{fexit, tracepoint},
    programs::{FExitContext, TracePointContext},
};
use tcptrace_common::deed;

use crate::deeds::send;
use crate::kernel::{IPPROTO_TCP, KernelPtr, Task, cookie, is_tcp};

const LOST: u32 = 2;

/// Before 6.10: `inet_csk_accept(sk, flags, err, kern)`.
#[fexit(function = "inet_csk_accept")]
pub fn accepted4(ctx: FExitContext) -> i32 {
    accepted(KernelPtr(ctx.arg::<*const u8>(4)));
    0
}

/// `inet_csk_accept(sk, arg)`.
#[fexit(function = "inet_csk_accept")]
pub fn accepted2(ctx: FExitContext) -> i32 {
    accepted(KernelPtr(ctx.arg::<*const u8>(2)));
    0
}

#[inline(always)]
fn accepted(sk: KernelPtr) {
    if !sk.is_null() && is_tcp(sk) {
        send(sk.0 as u64, cookie(sk), deed::ACCEPTED, LOST);
    }
}

/// The end of `accept` and `accept4`.
#[tracepoint]
pub fn accept_returns(ctx: TracePointContext) -> u32 {
    // SAFETY: the verifier checks the access against the size of the tracepoint's record.
    let fd = unsafe { read_volatile(ctx.as_ptr().cast::<i64>().add(2)) };
    if fd >= 0 {
        let _ = accepted_as(fd as u64);
    }
    0
}

#[inline(always)]
fn accepted_as(fd: u64) -> Option<()> {
    let files = Task::current().known().follow(|o| &o.task_files);
    let table = files.probe::<*const u8>(|o| &o.files_fdt).map(KernelPtr)?;
    let first = table.probe::<*const u8>(|o| &o.fdtable_fd)?;
    let file = KernelPtr(first.wrapping_add(fd as usize * size_of::<*const u8>())).read()?;
    let socket = file.probe::<*const u8>(|o| &o.file_private_data).map(KernelPtr)?;
    let sk = socket.probe::<*const u8>(|o| &o.socket_sk).map(KernelPtr)?;
    // A unix socket is accepted too, and has no such fields.
    if sk.probe::<u16>(|o| &o.sk_protocol)? != IPPROTO_TCP {
        return None;
    }
    // It was made when the connection was established, and is 0 where there is no helper for it.
    send(sk.0 as u64, sk.probe(|o| &o.skc_cookie)?, deed::ACCEPTED, LOST);
    Some(())
}
