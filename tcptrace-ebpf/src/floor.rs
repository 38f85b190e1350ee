//! The least that a program can do at a transition, for `cargo xtask bench` to hold ours against.
//! Nothing of this is shipped.
#![no_std]
#![no_main]
#![expect(missing_docs, reason = "the macro makes functions without any")]

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    macros::{btf_tracepoint, map},
    maps::RingBuf,
    programs::BtfTracePointContext,
};
use tcptrace_common::ShortTransitionRecord;

/// Nobody reads it: it has room for all that a round makes.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 24, 0);

/// Does nothing.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn empty(_: BtfTracePointContext) -> i32 {
    0
}

/// Sends a record as long as ours, without anything in it.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn submit(_: BtfTracePointContext) -> i32 {
    if let Some(entry) = RECORDS.reserve::<ShortTransitionRecord>(0) {
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
