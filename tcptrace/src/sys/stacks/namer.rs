//! Stacks are walked and named by a process of its own.
//!
//! What is read for that is whoever's it runs: executables, their debug information, maps of code. They
//! may be made to be large, slow or wrong, and the libraries that read them are not made for that. So it
//! is this very program, started once more for one stack, with a bound on its memory and its time: what
//! becomes of it is no harm to the one that watches.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, set_parent_process_death_signal,
    setrlimit,
};

use super::record::Thread;
use super::{symbols, unwind};
use crate::model::code::Stack;
use crate::sys::process;

/// What the program is started with to name a stack.
pub const ARGUMENT: &str = "name-stack";

/// How long one may take. The disk may be slow.
const PATIENCE: Duration = Duration::from_secs(10);
/// One that took longer is followed by a pause that is as long: whoever is looked at next does not pay for it.
const LONG: Duration = Duration::from_secs(5);
/// Processes that were killed and do not end, as those that wait for a file server.
const MOST_LEFT: usize = 4;
/// Bytes of memory that it may use, files that are mapped not counted.
const MEMORY: u64 = 512 << 20;
/// Bytes that it may write.
const ANSWER: u64 = 4 << 20;
/// What a copied file may have, which is a file as well.
const FILES: u64 = 512 << 20;

/// Starts them.
#[derive(Debug, Default)]
pub(super) struct Namer {
    left: Vec<Child>,
    pause: Option<Instant>,
}

/// There was no time: it can be asked for again.
#[derive(Debug)]
pub(super) struct NotNow;

impl Namer {
    /// The functions of a stack; `None` if it cannot be walked at all.
    pub(super) fn name(&mut self, thread: &Thread) -> Result<Option<Stack>, NotNow> {
        if thread.mappings.is_empty() {
            return Ok(None);
        }
        let began = Instant::now();
        self.left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if self.left.len() >= MOST_LEFT || self.pause.is_some_and(|until| began < until) {
            return Err(NotNow);
        }
        let named = self.ask(thread);
        let took = began.elapsed();
        self.pause = (took >= LONG).then(|| began + 2 * took);
        named
            .map_err(|error| {
                tracing::warn!("a stack of process {} is not named: {error}", thread.pid);
            })
            .or(Ok(None))
    }

    fn ask(&mut self, thread: &Thread) -> io::Result<Option<Stack>> {
        // Files in memory: neither end waits for the other.
        let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let (mut question, mut answer) = (memory("question")?, memory("answer")?);
        question.write_all(&serde_json::to_vec(thread)?)?;
        question.rewind()?;
        let mut child = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .env_clear()
            .stdin(question)
            .stdout(answer.try_clone()?)
            .stderr(Stdio::null())
            .spawn()?;
        if !matches!(ends(&child, PATIENCE), Ok(true)) {
            // It may not end before what it waits for comes.
            let killed = child.kill();
            self.left.push(child);
            return killed.and(Err(io::ErrorKind::TimedOut.into()));
        }
        let status = child.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("whoever reads its files failed: {status}")));
        }
        answer.rewind()?;
        let mut named = Vec::new();
        answer.take(ANSWER).read_to_end(&mut named)?;
        Ok(Some(serde_json::from_slice(&named)?))
    }
}

/// Whether the process ends in time.
fn ends(child: &Child, patience: Duration) -> io::Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

/// All that a process does that was started with [`ARGUMENT`].
pub fn serve() -> ExitCode {
    // Nobody wants its answer any more.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let seconds = PATIENCE.as_secs();
    let limits = [
        (Resource::Data, MEMORY),
        (Resource::Fsize, FILES),
        (Resource::Cpu, seconds),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        // Where a filter of system calls refuses it, those of the service are left.
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    let stdin = io::stdin().lock();
    let Ok(thread) = serde_json::from_reader::<_, Thread>(stdin) else { return ExitCode::FAILURE };
    let named = serde_json::to_vec(&name(&thread)).unwrap_or_default();
    match io::stdout().write_all(&named).and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn name(thread: &Thread) -> Stack {
    // Another process may have its pid by now.
    let alive =
        thread.start_ticks.is_some() && process::start_ticks(thread.pid) == thread.start_ticks;
    let (addresses, complete) = unwind::walk(thread, alive);
    let frames = symbols::name(&addresses, thread.pid, alive, &thread.mappings);
    Stack { frames, complete }
}
