//! The code that reads the end of file, as a copy of its stack that user space unwinds.
//!
//! Every healthy close reads one, so a copy is made only of a path that is new, and only so many a
//! second. Frame pointers would tell paths apart better, where there are any: on most distributions
//! they end in the C library.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::generated::{bpf_probe_read_user, bpf_task_pt_regs},
    macros::map,
    maps::{Array, LruHashMap, RingBuf},
};
use tcptrace_common::{STACK_BYTES, StackRecord};

use crate::kernel::KernelPtr;

/// Copies that are made in a second at most.
const BUDGET: u64 = 100;
const SECOND: u64 = 1_000_000_000;

#[map]
static STACKS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
/// The paths of which a copy was made.
#[map]
static PATHS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4096, 0);
/// When the second began, and how many copies were made in it. Two CPUs may count one for two.
#[map]
static SPENT: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// What the path to here is known by; copies the stack if it is new.
#[inline(always)]
pub fn path(task: KernelPtr, pid: u32, now: u64) -> u64 {
    // SAFETY: a helper call; the verifier checks that `task` is one.
    let regs = unsafe { bpf_task_pt_regs(task.0.cast_mut().cast()) };
    let regs = KernelPtr((regs as *const c_void).cast::<u8>());
    let (ip, sp): (u64, u64) = (regs.load(|o| &o.pt_ip), regs.load(|o| &o.pt_sp));
    let depth = sp & 0xfff;
    let path = (u64::from(pid) << 32 | depth).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ip;
    if PATHS.get_ptr(&path).is_none() && afford(now) && copy(regs, path, pid, ip, sp) {
        let _ = PATHS.insert(path, 1, 0);
    }
    path
}

#[inline(always)]
fn afford(now: u64) -> bool {
    let Some(spent) = SPENT.get_ptr_mut(0) else { return false };
    // SAFETY: the map's own memory; a race only makes the budget a little larger or smaller.
    let [began, count] = unsafe { &mut *spent };
    if now.wrapping_sub(*began) >= SECOND {
        (*began, *count) = (now, 0);
    }
    *count += 1;
    *count <= BUDGET
}

#[inline(always)]
fn copy(regs: KernelPtr, path: u64, pid: u32, ip: u64, sp: u64) -> bool {
    let Some(mut entry) = STACKS.reserve::<StackRecord>(0) else { return false };
    let record = entry.as_mut_ptr();
    // The top of the stack may be nearer than the copy is long, and then nothing is copied.
    let mut len = 0;
    // SAFETY: the record is ours until it is submitted, and holds as much as is copied.
    unsafe {
        let stack = (&raw mut (*record).stack).cast::<c_void>();
        let from = sp as *const c_void;
        for size in [STACK_BYTES as u32, 8192, 4096, 2048, 1024, 256] {
            if len == 0 && bpf_probe_read_user(stack, size, from) == 0 {
                len = size;
            }
        }
        (&raw mut (*record).path).write(path);
        (&raw mut (*record).ip).write(ip);
        (&raw mut (*record).sp).write(sp);
        (&raw mut (*record).bp).write(regs.load(|o| &o.pt_bp));
        (&raw mut (*record).pid).write(pid);
        (&raw mut (*record).len).write(len);
    }
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    len != 0
}
