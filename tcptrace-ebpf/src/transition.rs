//! `tp_btf/inet_sock_set_state`: one record for every TCP state change.
//!
//! Contract with the kernel: `(const struct sock *sk, const int oldstate, const int newstate)`,
//! called with the socket locked and before `sk_state` is written
//! (`net/ipv4/af_inet.c: inet_sk_set_state`).

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns,
    macros::{btf_tracepoint, map},
    maps::PerCpuArray,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::warn;
use tcptrace_common::{ShortTransitionRecord, TransitionRecord, feature, flag};

use crate::deeds::outlives;
use crate::kernel::{KernelPtr, Task, address_bytes, has, identity, is_tcp, sock_flags, tcp_sock};
use crate::ring::{self, add_one, set};
use crate::stacks;

/// One past the last state of `include/net/tcp_states.h`: 13 (`TCP_BOUND_INACTIVE`) never comes.
const STATES_END: i32 = 14;
/// FIN_WAIT2 (5) and CLOSE_WAIT (8), a bit each.
const HALF_CLOSED: u32 = 1 << 5 | 1 << 8;
/// SYN_SENT (2) and FIN_WAIT1 (4), which programs enter by connecting, and by closing or shutting down.
const BY_PROGRAM: u32 = 1 << 2 | 1 << 4;
const AF_INET: u16 = 2;
const TCP_CLOSE: i32 = 7;
/// SYN_SENT (2), SYN_RECV (3), CLOSE (7), LISTEN (10) and NEW_SYN_RECV (12): no connection yet.
const UNCONNECTED: u32 = 1 << 2 | 1 << 3 | 1 << 7 | 1 << 10 | 1 << 12;
/// Whether [`transition`] is running on this CPU.
#[map]
static TRANSITION_RUNS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// How many records [`transition_again`] has sent.
#[map]
static TRANSITIONS_RESCUED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn transition(ctx: BtfTracePointContext) -> i32 {
    set(&TRANSITION_RUNS, 1);
    record(&ctx, 0);
    set(&TRANSITION_RUNS, 0);
    0
}

/// Stands in for [`transition`] where that is skipped: the kernel does not let a program interrupt
/// itself, and a packet that is handled in the middle of one changes states too.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn transition_again(ctx: BtfTracePointContext) -> i32 {
    let runs = TRANSITION_RUNS.get(0).copied().unwrap_or(0);
    if runs != 0 && record(&ctx, 1) {
        add_one(&TRANSITIONS_RESCUED, 0);
    }
    0
}

/// Sends one record; whether it was one to be sent.
#[inline(always)]
fn record(ctx: &BtfTracePointContext, program: u32) -> bool {
    let sk = KernelPtr::argument(ctx, 0);
    if !is_tcp(sk) {
        return false;
    }
    let tcp = tcp_sock(sk);
    if tcp.is_null() {
        return false;
    }
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if !(0..STATES_END).contains(&new) {
        warn!(ctx, "inet_sock_set_state: unknown state {} after {}", new, old);
    }
    let what = What { sk, tcp, old, new };
    if has(feature::ON_CPU) || sk.load::<u16>(|o| &o.skc_family) != AF_INET {
        if let Some(mut entry) = ring::reserve(program) {
            entry.write(what.long());
            ring::submit(entry);
        }
    } else if let Some(mut entry) = ring::reserve(program) {
        entry.write(what.short());
        ring::submit(entry);
    }
    true
}

/// A transition to be told of.
struct What {
    sk: KernelPtr,
    tcp: KernelPtr,
    old: i32,
    new: i32,
}

/// Sequence numbers and circumstances, or zeros.
#[derive(Default)]
struct Details {
    snd_nxt: u32,
    snd_una: u32,
    rcv_nxt: u32,
    err: u16,
    shutdown: u8,
    flags: u8,
}

impl What {
    #[inline(always)]
    fn short(&self) -> ShortTransitionRecord {
        let (who, details) = (identity(self.sk, self.tcp), self.details());
        ShortTransitionRecord {
            // SAFETY: a helper call without arguments.
            at_ns: unsafe { bpf_ktime_get_ns() },
            socket: if who.cookie == 0 { self.sk.0 as u64 } else { who.cookie },
            netns: who.netns,
            snd_nxt: details.snd_nxt,
            snd_una: details.snd_una,
            rcv_nxt: details.rcv_nxt,
            local_addr: (who.local_addr[0] as u32).to_ne_bytes(),
            remote_addr: (who.remote_addr[0] as u32).to_ne_bytes(),
            local_port: who.local_port,
            remote_port: who.remote_port,
            err: details.err,
            old_state: self.old as u8,
            new_state: self.new as u8,
            shutdown: details.shutdown,
            flags: details.flags,
            reserved: [0; 2],
            path: self.path(),
        }
    }

    #[inline(always)]
    fn long(&self) -> TransitionRecord {
        let (who, details) = (identity(self.sk, self.tcp), self.details());
        ring::with_on_cpu(TransitionRecord {
            // SAFETY: a helper call without arguments.
            at_ns: unsafe { bpf_ktime_get_ns() },
            cookie: who.cookie,
            skaddr: self.sk.0 as u64,
            netns: who.netns,
            snd_nxt: details.snd_nxt,
            snd_una: details.snd_una,
            rcv_nxt: details.rcv_nxt,
            local_addr: address_bytes(who.local_addr),
            remote_addr: address_bytes(who.remote_addr),
            local_port: who.local_port,
            remote_port: who.remote_port,
            err: details.err,
            family: who.family,
            old_state: self.old as u8,
            new_state: self.new as u8,
            shutdown: details.shutdown,
            flags: details.flags,
            path: self.path(),
            ..TransitionRecord::ZERO
        })
    }

    #[inline(always)]
    fn path(&self) -> u32 {
        if 1 << (self.new & 31) & BY_PROGRAM != 0 { stacks::path() } else { 0 }
    }

    #[inline(always)]
    fn details(&self) -> Details {
        let Self { sk, tcp, old, new } = *self;
        let over = new == TCP_CLOSE && 1 << (old & 31) & UNCONNECTED == 0;
        if !over && (1 << (old & 31) | 1 << (new & 31)) & HALF_CLOSED == 0 {
            return Details::default();
        }
        let flags = flag::DETAILS | flags(sk);
        if over && flags & flag::HAS_FILE != 0 {
            outlives(sk);
        }
        Details {
            snd_nxt: tcp.load(|o| &o.snd_nxt),
            snd_una: tcp.load(|o| &o.snd_una),
            rcv_nxt: tcp.load(|o| &o.rcv_nxt),
            err: sk.load::<i32>(|o| &o.sk_err) as u16,
            shutdown: sk.load(|o| &o.sk_shutdown),
            flags,
        }
    }
}

#[inline(always)]
fn flags(sk: KernelPtr) -> u8 {
    let mut flags = 0;
    let socket = sk.follow(|o| &o.sk_socket);
    if !socket.is_null() {
        flags |= flag::HAS_SOCKET;
        if !socket.follow(|o| &o.socket_file).is_null() {
            flags |= flag::HAS_FILE;
        }
    }
    flags |= sock_flags(sk);
    flags |= Task::current().flags();
    flags
}
