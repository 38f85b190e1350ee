//! The ring that carries transitions, whichever program makes them.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_PROD_POS},
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::map,
    maps::{Array, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use tcptrace_common::{TransitionRecord, feature};

use crate::kernel::has;

/// Past the high-water mark the reader is woken once in so much of it: again, since it stops at a record
/// that is not finished yet.
const WAKE_AGAIN: u64 = 16;

#[map]
static TRANSITIONS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
/// How many records found no room in the ring, on each CPU, by the program that made them.
#[map]
static TRANSITIONS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
/// Bytes waiting in the ring from which the reader is woken; below it drains on its own timer.
#[unsafe(no_mangle)]
static HIGH_WATER: u64 = u64::MAX;
/// How far the ring had been written when the reader was woken last.
#[map]
static WOKEN_AT: Array<u64> = Array::with_max_entries(1, 0);

/// Room for a record, or counts it as lost by `program`.
#[inline(always)]
pub fn reserve<T: 'static>(program: u32) -> Option<RingBufEntry<T>> {
    let entry = TRANSITIONS.reserve::<T>(0);
    if entry.is_none() {
        add_one(&TRANSITIONS_LOST, program);
    }
    entry
}

/// Sends it.
#[inline(always)]
pub fn submit<T>(entry: RingBufEntry<T>) {
    entry.submit(u64::from(wake_up()));
}

/// Whether the reader is to be woken, which interrupts this very CPU.
#[inline(always)]
fn wake_up() -> u32 {
    // SAFETY: a reference to an initialised static, which user space sets before the load.
    let high_water = unsafe { core::ptr::read_volatile(&HIGH_WATER) };
    if TRANSITIONS.query(u64::from(BPF_RB_AVAIL_DATA)) < high_water {
        return BPF_RB_NO_WAKEUP;
    }
    let Some(woken_at) = WOKEN_AT.get_ptr_mut(0) else { return BPF_RB_FORCE_WAKEUP };
    let written = TRANSITIONS.query(u64::from(BPF_RB_PROD_POS));
    // SAFETY: the map's own memory. Of two CPUs that get here at once both wake the reader.
    unsafe {
        if written.wrapping_sub(woken_at.read_volatile()) < high_water / WAKE_AGAIN {
            return BPF_RB_NO_WAKEUP;
        }
        woken_at.write_volatile(written);
    }
    BPF_RB_FORCE_WAKEUP
}

/// Says who is on the CPU, if somebody wants to know.
#[inline(always)]
pub fn with_on_cpu(mut record: TransitionRecord) -> TransitionRecord {
    if has(feature::ON_CPU) {
        let pid_tgid = bpf_get_current_pid_tgid();
        record.on_cpu_pid = (pid_tgid >> 32) as u32;
        record.on_cpu_tid = pid_tgid as u32;
        record.on_cpu_comm = bpf_get_current_comm().unwrap_or_default();
    }
    record
}

/// Writes this CPU's slot. Nothing of the same kind interrupts its user.
#[inline(always)]
pub fn set(map: &PerCpuArray<u64>, value: u64) {
    if let Some(slot) = map.get_ptr_mut(0) {
        // SAFETY: the map's own memory, of this CPU.
        unsafe { slot.write_volatile(value) };
    }
}

/// Counts one in this CPU's `slot`.
#[inline(always)]
pub fn add_one(map: &PerCpuArray<u64>, slot: u32) {
    if let Some(slot) = map.get_ptr_mut(slot) {
        // SAFETY: the map's own memory, of this CPU. Two programs may interrupt one another, hence
        // a slot each, but neither itself.
        unsafe { slot.write_volatile(slot.read_volatile() + 1) };
    }
}
