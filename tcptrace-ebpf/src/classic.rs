//! `tracepoint/sock/inet_sock_set_state`: the same transitions from the classic tracepoint, for
//! kernels without BTF. It tells less: no cookie, no network namespace, nothing of the
//! circumstances.
//!
//! Contract with the kernel: [`Format`], which user space compares with tracefs' `format` before the
//! load (`include/trace/events/sock.h`). The context is read directly: where the kernel is locked
//! down for confidentiality `bpf_probe_read` is refused. The verifier wants constant offsets, so
//! this cannot follow another layout.

use core::ptr::read_volatile;

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_ns, macros::tracepoint, programs::TracePointContext,
};
use tcptrace_common::TransitionRecord;

use crate::kernel::{IPPROTO_TCP, address_bytes};
use crate::ring;

const AF_INET6: u16 = 10;

/// The record as tracefs describes it.
#[repr(C)]
struct Format {
    common: u64,
    skaddr: u64,
    oldstate: i32,
    newstate: i32,
    sport: u16,
    dport: u16,
    family: u16,
    protocol: u16,
    saddr: u32,
    daddr: u32,
    saddr_v6: [u64; 2],
    daddr_v6: [u64; 2],
}

#[tracepoint]
pub fn transition_classic(ctx: TracePointContext) -> u32 {
    let format = aya_ebpf::EbpfContext::as_ptr(&ctx).cast::<Format>();
    // SAFETY: the verifier checks each access against the size of the tracepoint's record.
    macro_rules! field {
        ($name:ident) => {
            unsafe { read_volatile(&raw const (*format).$name) }
        };
    }
    if field!(protocol) != IPPROTO_TCP {
        return 0;
    }
    let Some(mut entry) = ring::reserve(0) else { return 0 };
    let family = field!(family);
    let (local_addr, remote_addr) = if family == AF_INET6 {
        (field!(saddr_v6), field!(daddr_v6))
    } else {
        ([u64::from(field!(saddr)), 0], [u64::from(field!(daddr)), 0])
    };
    entry.write(ring::with_on_cpu(TransitionRecord {
        // SAFETY: a helper call without arguments.
        at_ns: unsafe { bpf_ktime_get_ns() },
        skaddr: field!(skaddr),
        local_addr: address_bytes(local_addr),
        remote_addr: address_bytes(remote_addr),
        local_port: field!(sport),
        remote_port: field!(dport),
        family: family as u8,
        old_state: field!(oldstate) as u8,
        new_state: field!(newstate) as u8,
        ..TransitionRecord::ZERO
    }));
    ring::submit(entry);
    0
}
