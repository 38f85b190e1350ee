//! Standard output, written by a thread of its own: a reader that stops reading stops nobody else.

use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::model::figures::Queue;

/// Chunks that wait for a slow reader before more are left out.
const QUEUE: usize = 64;
/// Bytes from which a chunk is handed over at once.
const CHUNK: usize = 64 << 10;
/// How long the last lines may take when the run is over and the reader does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bounded queue to stdout. What does not fit is left out, whole lines of it, and counted.
pub struct Output {
    chunks: Sender<Chunk>,
    state: watch::Receiver<State>,
    pending: Chunk,
    unwritten: u64,
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

/// What the thread is at.
#[derive(Clone, Copy)]
enum State {
    Writing,
    Failed(io::ErrorKind),
    Done,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there cannot be one.
    pub fn start() -> io::Result<Self> {
        let (chunks, mut queue) = channel::<Chunk>(QUEUE);
        let (report, state) = watch::channel(State::Writing);
        thread::Builder::new().name("stdout".into()).spawn(move || {
            let mut stdout = io::stdout().lock();
            while let Some(chunk) = queue.blocking_recv() {
                if let Err(error) = stdout.write_all(&chunk.bytes).and_then(|()| stdout.flush()) {
                    report.send_replace(State::Failed(error.kind()));
                    return;
                }
            }
            report.send_replace(State::Done);
        })?;
        Ok(Self { chunks, state, pending: Chunk::default(), unwritten: 0 })
    }

    /// Takes one line, or a few that belong together, from `write`, or none.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let before = self.pending.bytes.len();
        match write(&mut self.pending.bytes) {
            Ok(()) => self.pending.lines += u64::from(self.pending.bytes.len() > before),
            // A vector takes everything; only a value that cannot be shown gets here.
            Err(error) => {
                self.pending.bytes.truncate(before);
                tracing::warn!("a line could not be written: {error}");
            }
        }
    }

    /// As [`Self::line`], for one of very many: while too much waits already, it is left out before
    /// `write` has made it, so that a slow reader costs the caller no time.
    pub fn line_if_room(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        if self.chunks.capacity() == 0 {
            self.unwritten += 1;
        } else {
            self.line(write);
        }
    }

    /// Hands over what is pending once that is worth it.
    pub fn flush_full(&mut self) {
        if self.pending.bytes.len() >= CHUNK {
            self.flush();
        }
    }

    /// Hands over what is pending, or leaves it out if too much waits already.
    pub fn flush(&mut self) {
        if self.pending.lines == 0 {
            return;
        }
        let chunk = std::mem::take(&mut self.pending);
        let lines = chunk.lines;
        if self.chunks.try_send(chunk).is_err() {
            self.unwritten += lines;
        }
    }

    /// As [`Self::flush_full`], but waits for as long as the reader takes.
    pub async fn flush_full_patiently(&mut self) {
        if self.pending.bytes.len() >= CHUNK {
            self.flush_patiently().await;
        }
    }

    /// Hands over what is pending, and waits for as long as the reader takes.
    pub async fn flush_patiently(&mut self) {
        // Fails only if nothing can be written any more, which `finish` tells.
        let _ = self.chunks.send(std::mem::take(&mut self.pending)).await;
    }

    /// How much waits to be written.
    pub fn queue(&self) -> Queue {
        let waiting = self.chunks.max_capacity() - self.chunks.capacity();
        Queue { name: "stdout", waiting: waiting as u64, capacity: QUEUE as u64 }
    }

    /// Lines left out so far.
    pub const fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// Resolves when nothing can be written any more, with the reason.
    pub async fn closed(&mut self) -> io::ErrorKind {
        let failed = |state: &State| matches!(state, State::Failed(_));
        match self.state.wait_for(failed).await.map(|state| *state) {
            Ok(State::Failed(kind)) => kind,
            _ => io::ErrorKind::BrokenPipe,
        }
    }

    /// Writes what is left, the last line for sure if the reader reads within [`PATIENCE`].
    ///
    /// # Errors
    /// If stdout failed. A reader that went away is no failure.
    pub async fn finish(mut self) -> io::Result<()> {
        let last = async {
            self.flush_patiently().await;
            drop(self.chunks);
            let over = |state: &State| !matches!(state, State::Writing);
            self.state.wait_for(over).await.map(|state| *state)
        };
        match timeout(PATIENCE, last).await {
            Ok(Ok(State::Failed(io::ErrorKind::BrokenPipe))) => Ok(()),
            Ok(Ok(State::Failed(kind))) => Err(kind.into()),
            Ok(Ok(State::Writing | State::Done) | Err(_)) => Ok(()),
            Err(_) => {
                tracing::warn!("nobody reads stdout: its last lines are left out");
                Ok(())
            }
        }
    }
}
