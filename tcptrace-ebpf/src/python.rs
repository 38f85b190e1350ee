//! The Python functions of the thread that is here, read from its interpreter's own structures.
//!
//! A call from Python to Python takes no C stack, so the frames say what the copy of the stack does not.
//! The thread waits here, so its frames stand still; once it goes on they are gone. Nothing is believed:
//! every address is the program's, and each loop ends.
//!
//! Contract with CPython 3.11 (`Include/internal/pycore_{runtime,interp,frame}.h`, `cpython/pystate.h`):
//! the offsets below, the same in every build for x86-64 without `Py_DEBUG`. User space checks the
//! version before it names a process here.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::{btf_tracepoint, map},
    maps::{LruHashMap, RingBuf},
    programs::BtfTracePointContext,
};
use tcptrace_common::{PYTHON_FRAMES, StackRecord, feature};

use crate::kernel::{Task, has, has_thread_pointer};

/// Threads that are looked through for the one that is here. A new one comes first in the list.
const THREADS: usize = 64;
/// Frames that tell paths apart.
const TELLING: usize = 3;
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

const INTERPRETERS: u64 = 40;
const THREADS_HEAD: u64 = 16;
const THREAD_NEXT: u64 = 8;
const THREAD_ID: u64 = 152;
const THREAD_CFRAME: u64 = 56;
const CURRENT_FRAME: u64 = 8;
const FRAME_CODE: u64 = 32;
/// `FRAME_OWNED_BY_GENERATOR`, the last owner of a frame that runs.
const LAST_OWNER: u64 = 1;

/// Where `_PyRuntime` is, by thread group.
#[map]
static PYTHONS: LruHashMap<u32, u64> = LruHashMap::with_max_entries(4096, 0);

/// Processes that have begun to run another program.
#[map]
static EXECS: RingBuf = RingBuf::with_byte_size(1 << 16, 0);

/// Tells which processes to look at, so that the first stack of one has its functions.
///
/// Contract with the kernel: called by the task that runs the new program (`fs/exec.c`).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn execed(_ctx: BtfTracePointContext) -> i32 {
    // One that finds no room is met when its first stack is copied.
    if let Some(mut entry) = EXECS.reserve::<u64>(0) {
        entry.write(bpf_get_current_pid_tgid() >> 32);
        // Wakes the reader if it sleeps.
        entry.submit(0);
    }
    0
}

/// One `_PyInterpreterFrame`, from `f_code` on.
#[repr(C)]
#[derive(Clone, Copy)]
struct Frame {
    code: u64,
    object: u64,
    previous: u64,
    instruction: u64,
    /// `stacktop`, then a byte each: `is_entry`, `owner`; two of padding.
    rest: u64,
}

impl Frame {
    #[inline(always)]
    fn at(address: u64) -> Option<Self> {
        let frame: Self = read(address.wrapping_add(FRAME_CODE))?;
        let owner = frame.rest >> 40 & 0xff;
        (frame.code != 0 && owner <= LAST_OWNER).then_some(frame)
    }

    #[inline(always)]
    fn is_entry(self) -> bool {
        self.rest >> 32 & 0xff != 0
    }
}

#[inline(always)]
fn read<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address and fails where nothing is.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

/// The innermost frame of this thread; 0: it runs no Python that is known of.
#[inline(always)]
pub fn innermost(pid: u32, task: Task) -> u64 {
    if !has(feature::PYTHON) || !has_thread_pointer() {
        return 0;
    }
    // SAFETY: a copy of a plain number; a race with user space gives the one or the other.
    let Some(runtime) = PYTHONS.get_ptr(&pid).map(|runtime| unsafe { *runtime }) else { return 0 };
    find(runtime, task.thread_pointer())
}

/// In a process with several interpreters a thread may have a state in each: then none is believed.
#[inline(never)]
fn find(runtime: u64, thread_pointer: u64) -> u64 {
    let Some([head, main]) = read::<[u64; 2]>(runtime.wrapping_add(INTERPRETERS)) else { return 0 };
    if head != main {
        return 0;
    }
    let mut thread: u64 = read(main.wrapping_add(THREADS_HEAD)).unwrap_or(0);
    for _ in 0..THREADS {
        let Some(id) = read::<u64>(thread.wrapping_add(THREAD_ID)) else { return 0 };
        if id == thread_pointer {
            let cframe: u64 = read(thread.wrapping_add(THREAD_CFRAME)).unwrap_or(0);
            return read(cframe.wrapping_add(CURRENT_FRAME)).unwrap_or(0);
        }
        thread = read(thread.wrapping_add(THREAD_NEXT)).unwrap_or(0);
    }
    0
}

/// What tells the frames from `frame` on from others; 0 where there are none.
#[inline(never)]
pub fn mark(mut frame: u64) -> u64 {
    let mut mark = 0u64;
    for _ in 0..TELLING {
        if frame == 0 {
            break;
        }
        let Some(this) = Frame::at(frame) else { return 0 };
        mark = (mark ^ this.code).wrapping_mul(MIX).rotate_left(29) ^ this.instruction;
        frame = this.previous;
    }
    mark.wrapping_mul(MIX)
}

/// Copies the frames from `frame` on.
///
/// # Safety
/// `record` is one that was reserved.
#[inline(always)]
pub unsafe fn copy(record: *mut StackRecord, mut frame: u64) {
    let (mut entries, mut len, mut ended) = (0u32, 0u32, 0u32);
    for i in 0..PYTHON_FRAMES {
        if frame == 0 {
            ended = 1;
            break;
        }
        let Some(this) = Frame::at(frame) else {
            len = 0;
            break;
        };
        // SAFETY: as the caller says; `i` is below the array's length.
        unsafe {
            let to = (&raw mut (*record).python).cast::<u64>().add(2 * i);
            to.write(this.code);
            to.add(1).write(this.instruction);
        }
        entries |= u32::from(this.is_entry()) << i;
        len = i as u32 + 1;
        frame = this.previous;
    }
    // SAFETY: as the caller says.
    unsafe {
        (&raw mut (*record).python_len).write(len);
        (&raw mut (*record).python_entries).write(entries);
        (&raw mut (*record).python_ended).write(ended | u32::from(frame == 0 && len != 0));
    }
}
