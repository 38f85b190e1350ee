//! The code that opens a connection, reads the end of file, shuts down or closes, as a copy of its
//! stack that user space unwinds.
//!
//! Every healthy connection does most of these, so a copy is made only of a path that is new, and only
//! so many a second. Frame pointers would tell paths apart better, where there are any: on most
//! distributions they end in the C library.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_user, bpf_task_pt_regs},
    macros::map,
    maps::{Array, LruHashMap, RingBuf},
};
use tcptrace_common::{STACK_PAGE, StackRecord, feature};

use crate::kernel::{KernelPtr, Task, has};
use crate::python;

/// Copies that are made in a second at most.
const BUDGET: u64 = 100;
const SECOND: u64 = 1_000_000_000;
/// The golden ratio's fraction: spreads what differs in a few bits over all.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[map]
static STACKS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);
/// The paths of which a copy was made.
#[map]
static PATHS: LruHashMap<u32, u8> = LruHashMap::with_max_entries(8192, 0);
/// When the second began, and how many copies were made in it. Two CPUs may count one for two.
#[map]
static SPENT: Array<[u64; 2]> = Array::with_max_entries(1, 0);

/// What the path to here is known by; copies the stack if it is new. 0: there is none.
#[inline(always)]
pub fn path() -> u32 {
    if !has(feature::STACKS) || !has(feature::TASK_BTF) {
        return 0;
    }
    let task = Task::current();
    if !task.in_program() {
        return 0;
    }
    // SAFETY: a helper call; the verifier checks that it is given a task.
    let regs = unsafe { bpf_task_pt_regs(task.known().0.cast_mut().cast()) };
    let regs = KernelPtr((regs as *const c_void).cast::<u8>());
    let (ip, sp): (u64, u64) = (regs.load(|o| &o.pt_ip), regs.load(|o| &o.pt_sp));
    // A worker of io_uring's is a thread of the program that runs no code of it.
    if ip == 0 {
        return 0;
    }
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let depth = sp & 0xfff;
    let frame = python::innermost(pid, task);
    let python = if frame == 0 { 0 } else { python::mark(frame) };
    let mixed = (u64::from(pid) << 32 | depth).wrapping_mul(MIX)
        ^ ip.wrapping_mul(MIX.rotate_left(32))
        ^ python;
    let path = (mixed >> 32) as u32 | 1;
    if PATHS.get_ptr(&path).is_none() && afford() && copy(regs, path, pid, frame) {
        let _ = PATHS.insert(path, 1, 0);
    }
    path
}

#[inline(always)]
fn afford() -> bool {
    let Some(spent) = SPENT.get_ptr_mut(0) else { return false };
    // SAFETY: a helper call without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: the map's own memory; a race only makes the budget a little larger or smaller.
    let [began, count] = unsafe { &mut *spent };
    if now.wrapping_sub(*began) >= SECOND {
        (*began, *count) = (now, 0);
    }
    *count += 1;
    *count <= BUDGET
}

#[inline(always)]
fn copy(regs: KernelPtr, path: u32, pid: u32, frame: u64) -> bool {
    let (ip, sp): (u64, u64) = (regs.load(|o| &o.pt_ip), regs.load(|o| &o.pt_sp));
    let Some(mut entry) = STACKS.reserve::<StackRecord>(0) else { return false };
    let record = entry.as_mut_ptr();
    let mut len = 0;
    // SAFETY: the record is ours until it is submitted, and holds as much as is copied.
    unsafe {
        let stack = (&raw mut (*record).stack).cast::<u8>();
        let from = sp & !(STACK_PAGE as u64 - 1);
        // Up to the top of the stack, which may be nearer than the copy is long.
        for at in [0, STACK_PAGE, 2 * STACK_PAGE, 3 * STACK_PAGE] {
            let (to, page) = (stack.add(at).cast(), (from + at as u64) as *const c_void);
            if bpf_probe_read_user(to, STACK_PAGE as u32, page) != 0 {
                break;
            }
            len += STACK_PAGE;
        }
        (&raw mut (*record).path).write(path);
        (&raw mut (*record).ip).write(ip);
        (&raw mut (*record).sp).write(sp);
        (&raw mut (*record).bp).write(regs.load(|o| &o.pt_bp));
        (&raw mut (*record).pid).write(pid);
        (&raw mut (*record).len).write(len as u32);
        python::copy(record, frame);
    }
    // Wakes the reader if it sleeps.
    entry.submit(0);
    len != 0
}
