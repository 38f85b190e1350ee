//! The ring that carries transitions, whichever program makes them.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use tcptrace_common::{TransitionRecord, feature};

use crate::kernel::has;

/// The reader is woken by the records that lie within this many bytes past the high-water mark,
/// and by no other: a few, so that one which a neighbouring CPU pushes past is not missed.
const WAKE_BAND: u64 = 4096;

#[map]
static TRANSITIONS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
/// How many records found no room in the ring, on each CPU, by the program that made them.
#[map]
static TRANSITIONS_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);
/// Bytes waiting in the ring from which the reader is woken; below it drains on its own timer.
#[unsafe(no_mangle)]
static HIGH_WATER: u64 = u64::MAX;

/// Sends the record that `make` makes, or counts it as lost by `program`.
#[inline(always)]
pub fn send<T: 'static>(program: u32, make: impl FnOnce() -> T) {
    let Some(mut entry) = TRANSITIONS.reserve::<T>(0) else {
        add_one(&TRANSITIONS_LOST, program);
        return;
    };
    entry.write(make());
    entry.submit(u64::from(wake_up()));
}

#[inline(always)]
fn wake_up() -> u32 {
    // SAFETY: a reference to an initialised static, which user space sets before the load.
    let high_water = unsafe { core::ptr::read_volatile(&HIGH_WATER) };
    let past = TRANSITIONS.query(u64::from(BPF_RB_AVAIL_DATA)).wrapping_sub(high_water);
    if past < WAKE_BAND { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP }
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
