//! What programs do with a socket whose peer is done: `tp_btf/sock_recv_length` tells of the end of
//! file that a receive returns, `tp_btf/tcp_destroy_sock` of the last end of a socket that outlived
//! its TCP. They have a ring of their own, so that nothing here costs a transition its place.
//!
//! Contract with the kernel: `sock_recv_length(struct sock *sk, int ret, int flags)`, called by
//! `sock_recvmsg` after the protocol's own (`net/socket.c`, since 6.3), also for `MSG_PEEK` and for
//! reads of length 0, not for `splice`. Before 6.3 the end of `tcp_recvmsg` tells the same; a program
//! made for another number of arguments would load and read the wrong one, so user space counts them.
//! `tcp_destroy_sock(struct sock *sk)` (`net/ipv4/tcp.c`).

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, generated::bpf_ktime_get_ns},
    macros::{btf_tracepoint, fexit, map},
    maps::{HashMap, LruHashMap, PerCpuArray, RingBuf},
    programs::{BtfTracePointContext, FExitContext},
};
use tcptrace_common::{DeedRecord, deed};

use crate::kernel::{KernelPtr, Task, cookie, is_tcp, tcp_sock};
use crate::ring::add_one;
use crate::stacks;

const TCP_CLOSE_WAIT: u8 = 8;
const MSG_PEEK: i32 = 2;

#[map]
static DEEDS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
/// How many records found no room in the ring, by the kind of program that made them.
#[map]
static DEEDS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(3, 0);
/// Who has read which end of file: a program that spins on it is told of once.
#[map]
static EOF_TOLD: LruHashMap<EofKey, u8> = LruHashMap::with_max_entries(16_384, 0);
/// The addresses of sockets that are in CLOSE with a file.
#[map]
static OUTLIVING: HashMap<u64, u8> = HashMap::with_max_entries(65_536, 0);

/// The address alone is used again within microseconds; the sequence number then is another.
#[repr(C)]
#[derive(Clone, Copy)]
struct EofKey {
    skaddr: u64,
    rcv_nxt: u32,
    pid: u32,
    kind: u64,
}

#[btf_tracepoint(function = "sock_recv_length")]
pub fn eof(ctx: BtfTracePointContext) -> i32 {
    let received: i32 = ctx.arg(1);
    if received == 0 {
        eof_read(KernelPtr::argument(&ctx, 0), ctx.arg(2));
    }
    0
}

/// Before 6.3: `tcp_recvmsg(sk, msg, len, flags, addr_len)`.
#[fexit(function = "tcp_recvmsg")]
pub fn eof_recvmsg5(ctx: FExitContext) -> i32 {
    let received: i32 = ctx.arg(5);
    if received == 0 {
        eof_read(KernelPtr(ctx.arg::<*const u8>(0)), ctx.arg(3));
    }
    0
}

/// Before 5.19: `tcp_recvmsg(sk, msg, len, nonblock, flags, addr_len)`.
#[fexit(function = "tcp_recvmsg")]
pub fn eof_recvmsg6(ctx: FExitContext) -> i32 {
    let received: i32 = ctx.arg(6);
    if received == 0 {
        eof_read(KernelPtr(ctx.arg::<*const u8>(0)), ctx.arg(4));
    }
    0
}

#[inline(always)]
fn eof_read(sk: KernelPtr, flags: i32) {
    if sk.load::<u8>(|o| &o.skc_state) != TCP_CLOSE_WAIT || !is_tcp(sk) {
        return;
    }
    let tcp = tcp_sock(sk);
    if tcp.is_null() {
        return;
    }
    let kind = if flags & MSG_PEEK == 0 { deed::EOF_READ } else { deed::EOF_PEEKED };
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let rcv_nxt = tcp.load(|o| &o.rcv_nxt);
    let key = EofKey { skaddr: sk.0 as u64, rcv_nxt, pid, kind: u64::from(kind) };
    // Looked up first: an insertion takes a place from another even if it then fails.
    if EOF_TOLD.get_ptr(&key).is_some() {
        return;
    }
    if EOF_TOLD.insert(key, 1, 0).is_ok() {
        send(sk.0 as u64, cookie(sk), kind, 0);
    }
}

#[btf_tracepoint(function = "tcp_destroy_sock")]
pub fn released(ctx: BtfTracePointContext) -> i32 {
    let sk = KernelPtr::argument(&ctx, 0);
    if OUTLIVING.remove(sk.0 as u64).is_ok() {
        send(sk.0 as u64, cookie(sk), deed::RELEASED, 1);
    }
    0
}

/// Remembers a socket whose TCP is over and that still has a file.
#[inline(always)]
pub fn outlives(sk: KernelPtr) {
    // If there is no room its release will not be told; a look at all sockets finds it.
    let _ = OUTLIVING.insert(sk.0 as u64, 1, 0);
}

/// Tells that this task did `kind` with a socket, or counts that as lost by `program`.
#[inline(always)]
pub fn send(skaddr: u64, cookie: u64, kind: u8, program: u32) {
    let Some(mut entry) = DEEDS.reserve::<DeedRecord>(0) else {
        add_one(&DEEDS_LOST, program);
        return;
    };
    let pid_tgid = bpf_get_current_pid_tgid();
    let mut record = DeedRecord {
        // SAFETY: a helper call without arguments.
        at_ns: unsafe { bpf_ktime_get_ns() },
        cookie,
        skaddr,
        start_boottime_ns: 0,
        pid: (pid_tgid >> 32) as u32,
        tid: pid_tgid as u32,
        kind,
        flags: 0,
        reserved: [0; 6],
        comm: bpf_get_current_comm().unwrap_or_default(),
        path: 0,
        reserved2: [0; 4],
    };
    let task = Task::current();
    record.start_boottime_ns = task.start_boottime_ns();
    record.flags = task.flags();
    if matches!(kind, deed::EOF_READ | deed::ACCEPTED) {
        record.path = stacks::path();
    }
    entry.write(record);
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}
