//! Code paths: copies of stacks come from the kernel, are kept with the process's mappings, and are
//! unwound and named only if somebody is told of them.

mod maps;
mod python;
mod symbols;
mod unwind;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap as BpfMap, MapData, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};
use bytes::Buf as _;
use maps::Mapping;
use python::{Functions, Pythons};
use tcptrace_common::{PYTHON_FRAMES, STACK_BYTES, StackRecord};

use super::process;
use crate::model::code::{PathId, Stack};

/// Copies that are kept: 16 KiB each at most.
const KEPT: usize = 512;

/// What was captured, by code path.
pub struct Stacks {
    ring: RingBuf<MapData>,
    pythons: Pythons,
    kept: HashMap<PathId, Kept>,
    order: VecDeque<PathId>,
}

enum Kept {
    Captured(Box<Captured>),
    /// `None`: it could not be walked at all.
    Named(Option<Arc<Stack>>),
}

/// A thread as it was, with what its process had mapped.
struct Captured {
    pid: u32,
    start_ticks: Option<u64>,
    ip: u64,
    sp: u64,
    bp: u64,
    /// From the beginning of the page that `sp` points into.
    stack: Vec<u8>,
    mappings: Arc<[Mapping]>,
    /// The Python functions as copied: code objects and instructions.
    frames: Vec<[u64; 2]>,
    entries: u32,
    ended: bool,
    python: Option<Functions>,
}

impl Stacks {
    /// Takes the ring out of the loaded object.
    pub(super) fn take(ebpf: &mut Ebpf, btf: Option<&Btf>) -> Result<Self> {
        let mut map = |name| ebpf.take_map(name).with_context(|| format!("no map {name}"));
        let ring = RingBuf::try_from(map("STACKS")?)?;
        let execs = RingBuf::try_from(map("EXECS")?)?;
        let mut pythons = Pythons::new(BpfMap::try_from(map("PYTHONS")?)?, execs);
        if let Some(why) = btf.and_then(|btf| attach_execed(ebpf, btf).err()) {
            tracing::info!("Python programs are found by their first stack: {why:#}");
        }
        // Those that begin from now on are told of.
        pythons.scan();
        let (kept, order) = (HashMap::new(), VecDeque::new());
        Ok(Self { ring, pythons, kept, order })
    }

    /// Takes in what was copied. The sooner after the copy the better: a process that has ended has
    /// no mappings any more.
    pub fn drain(&mut self) {
        self.pythons.meet_new();
        // Many copies of one process mostly come together.
        let mut processes = HashMap::<u32, (Arc<[Mapping]>, Option<u64>)>::new();
        while let Some(record) = self.ring.next() {
            let Some((path, mut captured)) = decode(&record) else { continue };
            let pid = captured.pid;
            let (mappings, start_ticks) = processes.entry(pid).or_insert_with(|| {
                let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
                (maps::executable(&maps).into(), process::start_ticks(pid))
            });
            (captured.mappings, captured.start_ticks) = (Arc::clone(mappings), *start_ticks);
            if let Some(start_ticks) = *start_ticks {
                self.pythons.meet(pid, start_ticks);
            }
            let Captured { frames, entries, ended, .. } = &captured;
            captured.python = self.pythons.functions(pid, frames, *entries, *ended);
            if self.order.len() >= KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
            }
            self.order.push_back(path);
            self.kept.insert(path, Kept::Captured(Box::new(captured)));
        }
    }

    /// The stack of a code path, named now if it was not before.
    pub fn of(&mut self, path: PathId) -> Option<Arc<Stack>> {
        let kept = self.kept.get_mut(&path)?;
        if let Kept::Captured(captured) = kept {
            *kept = Kept::Named(captured.name().map(Arc::new));
        }
        match kept {
            Kept::Named(stack) => stack.clone(),
            Kept::Captured(_) => None,
        }
    }
}

fn attach_execed(ebpf: &mut Ebpf, btf: &Btf) -> Result<()> {
    let program = ebpf.program_mut("execed").context("the object has no such program")?;
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load("sched_process_exec", btf)?;
    program.attach()?;
    Ok(())
}

impl Captured {
    fn name(&self) -> Option<Stack> {
        if self.mappings.is_empty() {
            return None;
        }
        // Another process may have its pid by now.
        let alive =
            self.start_ticks.is_some() && process::start_ticks(self.pid) == self.start_ticks;
        let (addresses, complete) = unwind::walk(self, alive);
        let frames = symbols::name(&addresses, self.pid, alive, &self.mappings);
        let mut stack = Stack { frames, complete };
        if let Some(python) = &self.python {
            python::weave(&mut stack, python);
        }
        (!stack.frames.is_empty()).then_some(stack)
    }
}

/// Reads a [`StackRecord`]; the mappings are still to be found.
fn decode(mut bytes: &[u8]) -> Option<(PathId, Captured)> {
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
    let (start_ticks, mappings, python) = (None, [].into(), None);
    Some((
        path,
        Captured { pid, start_ticks, ip, sp, bp, stack, mappings, frames, entries, ended, python },
    ))
}
