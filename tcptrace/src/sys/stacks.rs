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
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result};
use aya::{Btf, Ebpf};
use collector::Collector;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::model::code::{PathId, Stack};

/// How long a name is waited for: longer than [`namer`] takes.
const PATIENCE: Duration = Duration::from_secs(12);

/// The thread's other end.
pub struct Stacks {
    /// Numbers of paths. It is waited for together with the rings.
    questions: PipeWriter,
    answers: Receiver<Option<Arc<Stack>>>,
    /// Whether an answer that was not waited for is still to come.
    late: bool,
}

impl Stacks {
    /// Takes the rings out of the loaded object and starts the thread.
    pub(super) fn take(ebpf: &mut Ebpf, btf: Option<&Btf>) -> Result<Self> {
        let collector = Collector::take(ebpf, btf)?;
        let (inbox, questions) = io::pipe().context("cannot make a pipe")?;
        let (outbox, answers) = channel();
        thread::Builder::new()
            .name("stacks".into())
            .spawn(move || {
                if let Err(error) = work(collector, inbox, &outbox) {
                    tracing::warn!("code paths are not seen any more: {error}");
                }
            })
            .context("cannot start the thread that names stacks")?;
        Ok(Self { questions, answers, late: false })
    }

    /// The stack of a code path, named now if it was not before; `None` as well if that takes too long.
    pub fn of(&mut self, path: PathId) -> Option<Arc<Stack>> {
        if self.late && self.answers.try_recv().is_err() {
            return None;
        }
        self.questions.write_all(&path.get().to_ne_bytes()).ok()?;
        let answer = self.answers.recv_timeout(PATIENCE);
        self.late = answer == Err(RecvTimeoutError::Timeout);
        if self.late {
            tracing::warn!("names of functions take too long: alerts come without them meanwhile");
        }
        answer.ok()?
    }
}

/// Until nobody asks any more.
fn work(
    mut collector: Collector,
    mut questions: PipeReader,
    answers: &Sender<Option<Arc<Stack>>>,
) -> io::Result<()> {
    loop {
        // A process may end soon after its stack was copied, and a Python that has just begun has to be
        // known before its first copy: so the first is taken in at once, and what follows soon after it
        // together.
        let again = collector.drain();
        if wait(&collector, &questions, again)? {
            let mut number = [0; size_of::<u32>()];
            match questions.read_exact(&mut number) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            collector.drain();
            let path = PathId::new(u32::from_ne_bytes(number));
            if answers.send(path.and_then(|path| collector.of(path))).is_err() {
                return Ok(());
            }
        }
    }
}

/// Waits for a question, and says whether there is one; `for_long`, or for something in the rings as well.
fn wait(
    collector: &Collector,
    questions: &PipeReader,
    for_long: Option<Duration>,
) -> io::Result<bool> {
    let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let [stacks, execs] = collector.rings();
    let mut fds = [questions.as_fd(), stacks, execs].map(readable);
    let ready = match for_long {
        Some(moment) => {
            let moment = Timespec { tv_sec: 0, tv_nsec: i64::from(moment.subsec_nanos()) };
            poll(&mut fds[..1], Some(&moment))
        }
        None => poll(&mut fds, None),
    };
    match ready {
        Ok(_) | Err(Errno::INTR) => Ok(!fds[0].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}
