//! `iter/task_file`: every file descriptor on the host that refers to a TCP socket in a state
//! worth telling of. User space reads the iterator's file; one pass answers for all sockets.
//!
//! Contract with the kernel: `struct bpf_iter__task_file { meta, task, fd, file }`; threads that
//! share their leader's descriptors are skipped by the kernel (`kernel/bpf/task_iter.c`). A task
//! or file of NULL ends the pass.

use core::{ffi::c_void, ptr::read_volatile};

use aya_ebpf::helpers::generated::{bpf_seq_write, bpf_sock_from_file};
use tcptrace_common::HolderRecord;

use crate::kernel::{KernelPtr, address_bytes, identity, is_tcp, tcp_sock};

/// The states to report, one bit each (`1 << TCP_CLOSE_WAIT`). Most sockets of a host are
/// ESTABLISHED and nobody asks about them.
#[unsafe(no_mangle)]
static HOLDER_STATES: u32 = 0;

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct TaskFile {
    meta: *const *mut c_void,
    task: *const u8,
    fd: u32,
    file: *const u8,
}

/// # Safety
/// Called by the kernel with its own context.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub unsafe extern "C" fn holders(ctx: *const TaskFile) -> i32 {
    // SAFETY: the verifier knows the layout of the context.
    let (meta, task, fd, file) = unsafe { ((*ctx).meta, (*ctx).task, (*ctx).fd, (*ctx).file) };
    let (task, file) = (KernelPtr(task), KernelPtr(file));
    if task.is_null() || file.is_null() {
        return 0;
    }
    // SAFETY: a helper call; the verifier checks that `file` is one.
    let socket = unsafe { bpf_sock_from_file(file.0.cast_mut().cast()) };
    let socket = KernelPtr(socket.cast::<u8>().cast_const());
    if socket.is_null() {
        return 0;
    }
    let sk = socket.follow(|o| &o.socket_sk);
    if sk.is_null() || !is_tcp(sk) {
        return 0;
    }
    let state: u8 = sk.load(|o| &o.skc_state);
    // SAFETY: a reference to an initialised static, which user space sets before the load.
    let wanted = unsafe { read_volatile(&HOLDER_STATES) };
    if wanted >> (state & 31) & 1 == 0 {
        return 0;
    }
    let tcp = tcp_sock(sk);
    if tcp.is_null() {
        return 0;
    }
    let who = identity(sk, tcp);
    let record = HolderRecord {
        cookie: who.cookie,
        skaddr: sk.0 as u64,
        inode: file.follow(|o| &o.file_inode).load(|o| &o.inode_ino),
        start_boottime_ns: task.follow(|o| &o.task_group_leader).load(|o| &o.task_start_boottime),
        pid: task.load(|o| &o.task_tgid),
        fd,
        netns: who.netns,
        snd_nxt: tcp.load(|o| &o.snd_nxt),
        snd_una: tcp.load(|o| &o.snd_una),
        write_seq: tcp.load(|o| &o.write_seq),
        rcv_nxt: tcp.load(|o| &o.rcv_nxt),
        copied_seq: tcp.load(|o| &o.copied_seq),
        local_addr: address_bytes(who.local_addr),
        remote_addr: address_bytes(who.remote_addr),
        local_port: who.local_port,
        remote_port: who.remote_port,
        family: who.family,
        state,
        shutdown: sk.load(|o| &o.sk_shutdown),
        reserved: 0,
    };
    // SAFETY: a helper call with a buffer of our own. The kernel asks again with a larger buffer
    // where this one does not fit, so the result is not looked at.
    unsafe {
        let seq = *meta;
        bpf_seq_write(
            seq.cast(),
            (&raw const record).cast_mut().cast(),
            size_of::<HolderRecord>() as u32,
        );
    }
    0
}
