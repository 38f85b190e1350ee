//! The thread's end: copies as they come, and their names.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use aya::maps::{HashMap as BpfMap, MapData, RingBuf};
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};

use super::maps::{self, Mapping};
use super::namer::{Namer, NotNow};
use super::python::{self, Functions, Pythons};
use super::record::{self, Record, Thread};
use crate::model::code::{PathId, Stack};
use crate::sys::process;

/// Where there was something, more is likely to follow, and is taken in together: copies, before their
/// processes end, and programs that begin, before they are Pythons that are up.
const DRAIN: Duration = Duration::from_millis(10);
/// Copies that are kept: 16 KiB each at most.
const KEPT: usize = 512;

/// What was captured, by code path.
pub(super) struct Collector {
    ring: RingBuf<MapData>,
    pythons: Pythons,
    kept: HashMap<PathId, Kept>,
    order: VecDeque<PathId>,
    namer: Namer,
}

enum Kept {
    Captured(Box<Captured>),
    /// `None`: it could not be walked at all.
    Named(Option<Arc<Stack>>),
}

/// A stack that has no names yet.
struct Captured {
    thread: Thread,
    python: Option<Functions>,
}

impl Collector {
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
        Ok(Self { ring, pythons, kept, order, namer: Namer::default() })
    }

    /// Takes in what was copied. The sooner after the copy the better: a process that has ended has
    /// no mappings any more. Says how soon to come again, if there was anything or is to be looked at again.
    pub(super) fn drain(&mut self) -> Option<Duration> {
        let (mut more, soonest) = self.pythons.meet_new();
        // Many copies of one process mostly come together.
        let mut processes = HashMap::<u32, (Vec<Mapping>, Option<u64>)>::new();
        while let Some(record) = self.ring.next() {
            more = true;
            let Some(record) = record::decode(&record) else { continue };
            let Record { path, mut thread, frames, entries, ended } = record;
            let pid = thread.pid;
            let (mappings, start_ticks) = processes.entry(pid).or_insert_with(|| {
                let (maps, start_ticks) = (maps::read(pid), process::start_ticks(pid));
                if let Some(start_ticks) = start_ticks {
                    self.pythons.meet(pid, start_ticks, &maps);
                }
                (maps::executable(&maps), start_ticks)
            });
            thread.mappings = maps::on_stack(mappings, thread.ip, &thread.stack);
            thread.start_ticks = *start_ticks;
            let python = self.pythons.functions(pid, &frames, entries, ended);
            let captured = Captured { thread, python };
            if self.order.len() >= KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
            }
            self.order.push_back(path);
            self.kept.insert(path, Kept::Captured(Box::new(captured)));
        }
        soonest.or(more.then_some(DRAIN))
    }

    /// Readable when there is something to [`Self::drain`].
    pub(super) fn rings(&self) -> [BorrowedFd<'_>; 2] {
        [self.ring.as_fd(), self.pythons.execs()]
    }

    /// The stack of a code path, named now if it was not before.
    pub(super) fn of(&mut self, path: PathId) -> Option<Arc<Stack>> {
        let kept = self.kept.get_mut(&path)?;
        if let Kept::Captured(captured) = kept
            && let Ok(named) = captured.name(&mut self.namer)
        {
            *kept = Kept::Named(named.map(Arc::new));
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
    fn name(&self, namer: &mut Namer) -> Result<Option<Stack>, NotNow> {
        let mut stack = namer.name(&self.thread)?;
        if let (Some(stack), Some(python)) = (&mut stack, &self.python) {
            python::weave(stack, python);
        }
        Ok(stack.filter(|stack| !stack.frames.is_empty()))
    }
}
