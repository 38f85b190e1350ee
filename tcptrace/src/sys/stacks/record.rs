//! A stack as it was copied.

use bytes::Buf as _;
use serde::{Deserialize, Serialize};
use tcptrace_common::{PYTHON_FRAMES, STACK_BYTES, StackRecord};

use super::maps::Mapping;
use crate::model::code::PathId;

/// A [`StackRecord`], read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which code path it is of.
    pub path: PathId,
    /// The thread.
    pub thread: Thread,
    /// The Python functions as copied: code objects and instructions.
    pub frames: Vec<[u64; 2]>,
    /// A bit for each of them: whether it was called from C.
    pub entries: u32,
    /// Whether the last is the outermost.
    pub ended: bool,
}

/// A thread as it was, with what its process had mapped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Thread {
    /// Its process.
    pub pid: u32,
    /// When that began, in clock ticks since boot; `None` if it had ended before it could be asked.
    pub start_ticks: Option<u64>,
    /// The instruction.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// The frame pointer, if the code uses it as such.
    pub bp: u64,
    /// From the beginning of the page that `sp` points into.
    pub stack: Vec<u8>,
    /// The mappings that a walk can lead through.
    pub mappings: Vec<Mapping>,
}

/// Reads a [`StackRecord`]; when its process began, and what it has mapped, is still to be found.
pub fn decode(mut bytes: &[u8]) -> Option<Record> {
    let buf = &mut bytes;
    if buf.len() != size_of::<StackRecord>() {
        return None;
    }
    let path = PathId::new(buf.get_u32_ne())?;
    let pid = buf.get_u32_ne();
    let (ip, sp, bp) = (buf.get_u64_ne(), buf.get_u64_ne(), buf.get_u64_ne());
    let len = (buf.get_u32_ne() as usize).min(STACK_BYTES);
    let python_len = (buf.get_u32_ne() as usize).min(PYTHON_FRAMES);
    let (entries, ended) = (buf.get_u32_ne(), buf.get_u32_ne() == 1);
    let mut frames: Vec<_> =
        (0..PYTHON_FRAMES).map(|_| [buf.get_u64_ne(), buf.get_u64_ne()]).collect();
    frames.truncate(python_len);
    let stack = buf[..len].to_vec();
    let thread = Thread { pid, start_ticks: None, ip, sp, bp, stack, mappings: Vec::new() };
    Some(Record { path, thread, frames, entries, ended })
}
