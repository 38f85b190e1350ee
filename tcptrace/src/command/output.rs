//! Standard output, written by a thread of its own: a reader that stops reading stops nobody else.

use std::io::{self, Write as _};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel,
};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

/// Chunks that wait for a slow reader before more are left out.
const QUEUE: usize = 64;
/// Bytes from which a chunk is handed over at once.
const CHUNK: usize = 64 << 10;
/// How long the last lines may take when the run is over and the reader does not read.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bounded queue to stdout. What does not fit is left out, whole lines of it, and counted.
pub struct Output {
    chunks: SyncSender<Chunk>,
    done: Receiver<()>,
    closed: watch::Receiver<Option<io::ErrorKind>>,
    pending: Chunk,
    unwritten: u64,
}

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}

impl Output {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there cannot be one.
    pub fn start() -> io::Result<Self> {
        let (chunks, queue) = sync_channel::<Chunk>(QUEUE);
        let (finished, done) = channel();
        let (report, closed) = watch::channel(None);
        thread::Builder::new().name("stdout".into()).spawn(move || {
            let mut stdout = io::stdout().lock();
            for chunk in queue {
                if let Err(error) = stdout.write_all(&chunk.bytes).and_then(|()| stdout.flush()) {
                    let _ = report.send(Some(error.kind()));
                    break;
                }
            }
            let _ = finished.send(());
        })?;
        Ok(Self { chunks, done, closed, pending: Chunk::default(), unwritten: 0 })
    }

    /// Takes one line, or a few that belong together, from `write`.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let before = self.pending.bytes.len();
        match write(&mut self.pending.bytes) {
            Ok(()) => self.pending.lines += 1,
            // A vector takes everything; only a value that cannot be shown gets here.
            Err(error) => {
                self.pending.bytes.truncate(before);
                tracing::warn!("a line could not be written: {error}");
            }
        }
        if self.pending.bytes.len() >= CHUNK {
            self.flush();
        }
    }

    /// As [`Self::line`], but waits for a slow reader instead of leaving anything out.
    pub fn line_or_wait(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        self.line(write);
        if self.pending.lines > 0 {
            // The thread ends only when nothing can be written any more.
            let _ = self.chunks.send(std::mem::take(&mut self.pending));
        }
    }

    /// Hands over what is pending.
    pub fn flush(&mut self) {
        if self.pending.lines == 0 {
            return;
        }
        match self.chunks.try_send(std::mem::take(&mut self.pending)) {
            Ok(()) => {}
            Err(TrySendError::Full(chunk) | TrySendError::Disconnected(chunk)) => {
                self.unwritten += chunk.lines;
            }
        }
    }

    /// Lines left out so far.
    pub const fn unwritten(&self) -> u64 {
        self.unwritten
    }

    /// Resolves when nothing can be written any more, with the reason.
    pub async fn closed(&mut self) -> io::ErrorKind {
        match self.closed.wait_for(Option::is_some).await {
            Ok(kind) => (*kind).unwrap_or(io::ErrorKind::BrokenPipe),
            Err(_) => io::ErrorKind::BrokenPipe,
        }
    }

    /// Writes what is left, within [`PATIENCE`].
    ///
    /// # Errors
    /// If stdout failed. A reader that went away is no failure.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush();
        drop(self.chunks);
        match self.done.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        match *self.closed.borrow() {
            None | Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Some(kind) => Err(kind.into()),
        }
    }
}
