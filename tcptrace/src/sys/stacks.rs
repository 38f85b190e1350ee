//! Code paths: copies of stacks come from the kernel, are kept with the process's mappings, and are
//! unwound and named only if somebody is told of them.
//!
//! All that is done by a thread of its own. It reads files and memory of other programs, which may see
//! to it that this takes long: nobody waits for it for ever.

mod collector;
mod image;
pub mod maps;
pub mod namer;
pub mod perf_map;
pub mod python;
pub mod record;
mod symbols;
mod unwind;

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf};
use collector::Collector;

use crate::model::code::{PathId, Stack};

/// How long a copy of a stack waits at most until its process's mappings are read.
const DRAIN: Duration = Duration::from_millis(50);
/// How long a name is waited for: longer than [`namer`] takes.
const PATIENCE: Duration = Duration::from_secs(12);

/// The thread's other end.
pub struct Stacks {
    questions: Sender<PathId>,
    answers: Receiver<Option<Arc<Stack>>>,
    /// Whether an answer that was not waited for is still to come.
    late: bool,
}

impl Stacks {
    /// Takes the rings out of the loaded object and starts the thread.
    pub(super) fn take(ebpf: &mut Ebpf, btf: Option<&Btf>) -> Result<Self> {
        let collector = Collector::take(ebpf, btf)?;
        let (questions, inbox) = channel();
        let (outbox, answers) = channel();
        thread::Builder::new()
            .name("stacks".into())
            .spawn(move || work(collector, &inbox, &outbox))
            .context("cannot start the thread that names stacks")?;
        Ok(Self { questions, answers, late: false })
    }

    /// The stack of a code path, named now if it was not before; `None` as well if that takes too long.
    pub fn of(&mut self, path: PathId) -> Option<Arc<Stack>> {
        if self.late && self.answers.try_recv().is_err() {
            return None;
        }
        self.questions.send(path).ok()?;
        let answer = self.answers.recv_timeout(PATIENCE);
        self.late = answer == Err(RecvTimeoutError::Timeout);
        if self.late {
            tracing::warn!("names of functions take too long: alerts come without them meanwhile");
        }
        answer.ok()?
    }
}

fn work(
    mut collector: Collector,
    questions: &Receiver<PathId>,
    answers: &Sender<Option<Arc<Stack>>>,
) {
    loop {
        // A process may end soon after its stack was copied, and a Python that has just begun has to be
        // known before its first copy.
        let question = questions.recv_timeout(DRAIN);
        if question == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        collector.drain();
        if let Ok(path) = question
            && answers.send(collector.of(path)).is_err()
        {
            return;
        }
    }
}
