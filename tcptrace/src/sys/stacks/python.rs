//! Which processes run a Python whose frames can be read, and what these are called.

pub mod code;
pub mod lines;

use core::time::Duration;
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Instant;

use aya::maps::{HashMap as BpfMap, MapData, RingBuf};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache};

use self::code::{Function, Memory};
use super::super::process;
use super::maps::{self, Mapping};
use crate::model::code::{Frame, Stack};

/// The version whose layout is known: the upper half of the 32 bits of `Py_Version`.
const VERSION: u64 = 0x030b;
/// For how long a process that has begun is looked at, and how soon again: Python can be up, and copies of
/// its stack come, after thirty milliseconds.
const LOOKED_AT: Duration = Duration::from_millis(250);
const SOON: Duration = Duration::from_millis(2);
/// From so many on, those that have ended are forgotten.
const KNOWN: usize = 4096;
/// Any program can call itself Python: no larger file is read, no more of a process's files are,
/// and no more of a file's symbols. Python's own has seven megabytes and two thousand symbols.
const LARGEST: u64 = 64 << 20;
const MOST_FILES: usize = 4;
const MOST_SYMBOLS: usize = 20_000;

/// The processes that are known to the kernel side.
pub(super) struct Pythons {
    map: BpfMap<MapData, u32, u64>,
    known: HashMap<u32, Known>,
    execs: RingBuf<MapData>,
    /// Processes that run Python by their names, and when they were heard of: a library is mapped a moment
    /// after the program.
    new: Vec<(u32, Instant)>,
}

struct Known {
    start_ticks: u64,
    python: Python,
}

#[derive(Clone, Copy, Debug)]
struct Python {
    runtime: u64,
    /// `PyCode_Type`
    code_type: u64,
}

/// The Python functions of a stack, the innermost first.
pub(super) struct Functions {
    /// With whether each was called from C.
    pub(super) functions: Vec<(Function, bool)>,
    /// Whether the last is the outermost.
    pub(super) ended: bool,
}

impl Pythons {
    pub(super) fn new(map: BpfMap<MapData, u32, u64>, execs: RingBuf<MapData>) -> Self {
        Self { map, known: HashMap::new(), execs, new: Vec::new() }
    }

    /// Readable when a process has begun.
    pub(super) fn execs(&self) -> BorrowedFd<'_> {
        self.execs.as_fd()
    }

    /// Tells the kernel side of those that have begun since the last time. Says whether there were any, and
    /// how soon one is to be looked at again.
    pub(super) fn meet_new(&mut self) -> (bool, Option<Duration>) {
        let now = Instant::now();
        let mut any = false;
        while let Some(record) = self.execs.next() {
            any = true;
            let Some(pid) = record.first_chunk().copied().map(u64::from_ne_bytes) else { continue };
            let Ok(pid) = u32::try_from(pid) else { continue };
            // Most are not, and that costs one look at a link.
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            if exe.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python")) {
                self.new.push((pid, now));
            }
        }
        let mut soonest = None;
        for (pid, since) in std::mem::take(&mut self.new) {
            let Some(start_ticks) = process::start_ticks(pid) else { continue };
            self.meet(pid, start_ticks, &maps::read(pid));
            let age = now.duration_since(since);
            if age < LOOKED_AT && !self.known.contains_key(&pid) {
                self.new.push((pid, since));
                // Half as old again each time.
                let pause = (age / 2).max(SOON);
                soonest = Some(soonest.map_or(pause, |soonest| pause.min(soonest)));
            }
        }
        (any, soonest)
    }

    /// Tells the kernel side of every process that runs Python now.
    pub(super) fn scan(&mut self) {
        for pid in process::pids() {
            if let Some(start_ticks) = process::start_ticks(pid) {
                self.meet(pid, start_ticks, &maps::read(pid));
            }
        }
    }

    /// Tells the kernel side of a process with these `maps` if it runs Python and was not known.
    pub(super) fn meet(&mut self, pid: u32, start_ticks: u64, maps: &[u8]) {
        // One without Python is looked at again: it may run another program by now.
        if self.known.get(&pid).is_some_and(|k| k.start_ticks == start_ticks) {
            return;
        }
        let Some(python) = find(pid, maps) else {
            if self.known.remove(&pid).is_some() {
                let _ = self.map.remove(&pid);
            }
            return;
        };
        // Where it cannot be told, stacks show C functions.
        let _ = self.map.insert(pid, python.runtime, 0);
        if self.known.len() >= KNOWN {
            self.known.retain(|&pid, known| process::start_ticks(pid) == Some(known.start_ticks));
        }
        self.known.insert(pid, Known { start_ticks, python });
    }

    /// The functions of copied frames; nothing if any of them is not what it should be.
    pub(super) fn functions(
        &self,
        pid: u32,
        frames: &[[u64; 2]],
        entries: u32,
        ended: bool,
    ) -> Option<Functions> {
        let python = self.known.get(&pid)?.python;
        let memory = Memory(File::open(format!("/proc/{pid}/mem")).ok()?);
        let functions = frames.iter().enumerate().map(|(i, &[code, instruction])| {
            let function = memory.function(code, python.code_type, instruction)?;
            Some((function, entries >> i & 1 == 1))
        });
        let functions: Vec<_> = functions.collect::<Option<_>>()?;
        (!functions.is_empty()).then_some(Functions { functions, ended })
    }
}

/// Where the Python of a process is, if it is one that is known.
fn find(pid: u32, maps: &[u8]) -> Option<Python> {
    // A program that has its Python in a shared library has none of its own.
    maps::beginnings(maps)
        .filter(is_python)
        .take(MOST_FILES)
        .find_map(|mapping| of_file(pid, &mapping))
}

fn is_python(mapping: &Mapping) -> bool {
    let name = mapping.path.as_deref().and_then(|path| path.rsplit('/').next());
    name.is_some_and(|name| name.starts_with("libpython3.11.so") || name == "python3.11")
}

/// The Python of the file that a process has mapped from its beginning.
fn of_file(pid: u32, mapping: &Mapping) -> Option<Python> {
    let file = mapping.open(pid, true)?;
    if file.metadata().ok()?.len() > LARGEST {
        return None;
    }
    let file = ReadCache::new(file);
    let elf = object::File::parse(&file).ok()?;
    let base = elf.segments().find(|segment| segment.file_range().0 == 0)?.address();
    let moved = mapping.start.wrapping_sub(base);
    let (mut version, mut runtime, mut code_type) = (None, None, None);
    let symbols = elf.dynamic_symbols().take(MOST_SYMBOLS);
    for symbol in symbols.filter(object::ObjectSymbol::is_definition) {
        let found = match symbol.name() {
            Ok("Py_Version") => &mut version,
            Ok("_PyRuntime") => &mut runtime,
            Ok("PyCode_Type") => &mut code_type,
            _ => continue,
        };
        *found = Some(symbol.address().wrapping_add(moved));
    }
    let memory = Memory(File::open(format!("/proc/{pid}/mem")).ok()?);
    if memory.word(version?)? >> 16 & 0xffff != VERSION {
        return None;
    }
    Some(Python { runtime: runtime?, code_type: code_type? })
}

/// Puts the functions in the place of the interpreter's own; `false` where they do not fit.
pub(super) fn weave(stack: &mut Stack, python: &Functions) -> bool {
    let is_eval = |frame: &Frame| {
        frame.function.as_deref().is_some_and(|name| name.starts_with("_PyEval_EvalFrameDefault"))
    };
    let evals = stack.frames.iter().filter(|frame| is_eval(frame)).count();
    let entries = python.functions.iter().filter(|(_, entry)| *entry).count();
    if evals == 0 || stack.complete && python.ended && evals != entries {
        return false;
    }
    let mut functions = python.functions.iter();
    let mut frames = Vec::new();
    for frame in stack.frames.drain(..) {
        if is_eval(&frame) {
            for (function, entry) in functions.by_ref() {
                frames.push(shown(function));
                if *entry {
                    break;
                }
            }
        } else if !is_interpreter(&frame) {
            frames.push(frame);
        }
    }
    frames.extend(functions.map(|(function, _)| shown(function)));
    stack.frames = frames;
    stack.complete = python.ended;
    true
}

fn shown(function: &Function) -> Frame {
    Frame {
        function: Some(function.name.clone()),
        source: Some((function.file.clone(), function.line)),
        ..Frame::default()
    }
}

/// Whether a frame is the interpreter's or of a module that comes with it.
fn is_interpreter(frame: &Frame) -> bool {
    frame.module.as_deref().is_some_and(|module| {
        let name = module.rsplit('/').next().unwrap_or(module);
        name == "python3.11"
            || name.starts_with("libpython3.11.")
            || module.contains("/lib-dynload/")
    })
}
