//! The file of a recording, written by a thread of its own: a slow disk slows nobody else.
//!
//! Here and not beside the journal, since it is a file and a thread and nothing more: what it holds
//! is [`crate::model::recording`]'s.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::host;
use crate::advice::Advice;
use crate::model::engine::{Engine, EngineConfig, Input};
use crate::model::event::Lost;
use crate::model::recording::tape::{ByteOrder, Header, Tape, left_out};
use crate::model::time::{Anchor, Instant};

/// Bytes that wait for a slow disk before more are left out.
const QUEUE: usize = 64 << 20;
/// Bytes from which a chunk is handed over before the tick.
const CHUNK: usize = 1 << 20;
/// How long the last of it may take when the run is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// A recording that is being made.
pub struct Recorder {
    tape: Tape,
    chunks: Sender<Chunk>,
    /// Bytes that the thread has not written yet.
    queued: Arc<AtomicUsize>,
    /// Buffers that it has written, to be used again.
    spare: Receiver<Vec<u8>>,
    account: Receiver<Account>,
    /// Frames left out since the last chunk.
    left_out: u64,
}

/// Whole frames on their way to the file.
struct Chunk {
    at: Instant,
    bytes: Vec<u8>,
    frames: u64,
    /// How many are missing before them.
    left_out: u64,
}

/// What became of a recording.
#[derive(Debug, Default)]
pub struct Account {
    /// Frames that are not in it.
    pub left_out: u64,
    /// Why the last of these is not, where the disk took none.
    pub error: Option<io::Error>,
}

impl Recorder {
    /// Makes the file and starts the thread. `config` is what the core begins with, at `began`.
    ///
    /// # Errors
    /// If there is such a file already, or it cannot be made or written to.
    pub fn create(
        path: &Path,
        host: &host::Host,
        config: EngineConfig,
        began: Anchor,
    ) -> Result<Self> {
        let file = create(path)?;
        let header = Header {
            host: host.name.clone(),
            tcptrace: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: host::kernel_release(),
            byte_order: ByteOrder::OWN,
            wall: began.wall,
            engine: config,
        };
        let tape = Tape::new(began.monotonic, &header);
        Self::start(path, file, tape)
            .with_context(|| format!("cannot write the recording {}", path.display()))
    }

    fn start(path: &Path, mut file: File, mut tape: Tape) -> Result<Self> {
        file.write_all(&tape.bytes)?;
        let written = tape.bytes.len() as u64;
        tape.discard();
        let (chunks, inbox) = channel();
        let (giver, spare) = channel();
        let (report, account) = channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let still_queued = Arc::clone(&queued);
        let name = path.display().to_string();
        thread::Builder::new().name("recording".into()).spawn(move || {
            let mut writer = Writer {
                name,
                file,
                written,
                missing: 0,
                torn: false,
                account: Account::default(),
            };
            let mut last = Instant::default();
            for mut chunk in inbox {
                writer.write(&chunk);
                last = chunk.at;
                still_queued.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
                chunk.bytes.clear();
                // At the end nobody wants it back.
                let _ = giver.send(chunk.bytes);
            }
            writer.finish(last);
            let _ = report.send(writer.account);
        })?;
        Ok(Self { tape, chunks, queued, spare, account, left_out: 0 })
    }

    /// A transition's record came from the kernel.
    pub fn transition(&mut self, now: Instant, record: &[u8]) {
        self.tape.transition(now, record);
        if self.tape.bytes.len() >= CHUNK {
            self.hand_over(now);
        }
    }

    /// A deed's record did. The core is told of it at [`Self::place_deeds`].
    pub fn deed(&mut self, now: Instant, record: &[u8]) {
        self.tape.deed(now, record);
    }

    /// The core is told of the deeds now.
    pub fn place_deeds(&mut self) {
        self.tape.place_deeds();
    }

    /// The core is told of something else.
    pub fn input(&mut self, now: Anchor, input: &Input<'_>, engine: &Engine) {
        self.tape.input(now, input, engine);
        if matches!(input, Input::Tick) {
            self.hand_over(now.monotonic);
        }
    }

    /// Gives what there is to the thread, or leaves it out if too much waits already.
    fn hand_over(&mut self, at: Instant) {
        // This thread alone adds to it.
        if self.queued.load(Ordering::Relaxed) + self.tape.bytes.len() > QUEUE {
            self.left_out += self.tape.discard();
        } else {
            self.send(at);
        }
    }

    fn send(&mut self, at: Instant) {
        let empty = self.spare.try_recv().unwrap_or_default();
        let bytes = core::mem::replace(&mut self.tape.bytes, empty);
        let frames = core::mem::take(&mut self.tape.frames);
        let left_out =
            core::mem::take(&mut self.left_out) + core::mem::take(&mut self.tape.left_out);
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        // The thread ends after this end only.
        let _ = self.chunks.send(Chunk { at, bytes, frames, left_out });
    }

    /// Writes the account of the run and waits until the disk has taken everything; `None` if it has
    /// not in [`PATIENCE`].
    pub fn finish(mut self, now: Anchor, lost: Lost) -> Option<Account> {
        self.tape.end(now, lost);
        self.send(now.monotonic);
        drop(self.chunks);
        self.account.recv_timeout(PATIENCE).ok()
    }
}

fn create(path: &Path) -> Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| {
        let shown = path.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            let advice = Advice::new(format!("{shown} is there already, and is not written over"))
                .and_try(format!("tcptrace replay {shown}"), "what it holds, if it is a recording")
                .and_try(format!("--record-raw {shown}.new"), "another file");
            return anyhow!(advice);
        }
        anyhow!(error).context(format!("cannot make the recording {shown}"))
    })
}

/// The thread's end.
struct Writer {
    name: String,
    file: File,
    /// Bytes of whole frames in the file.
    written: u64,
    /// Frames missing since the last one in it.
    missing: u64,
    /// Half a frame is in it that cannot be taken back: nothing can follow.
    torn: bool,
    account: Account,
}

impl Writer {
    fn write(&mut self, chunk: &Chunk) {
        self.miss(chunk.left_out);
        if self.torn || !self.try_write(chunk.at, &chunk.bytes) {
            self.miss(chunk.frames);
        }
    }

    fn miss(&mut self, frames: u64) {
        self.missing += frames;
        self.account.left_out += frames;
    }

    /// Appends `bytes`, and before them how many frames are missing; all or nothing.
    fn try_write(&mut self, at: Instant, bytes: &[u8]) -> bool {
        let gap = if self.missing > 0 { left_out(at, self.missing) } else { Vec::new() };
        match self.file.write_all(&gap).and_then(|()| self.file.write_all(bytes)) {
            Ok(()) => {
                self.written += (gap.len() + bytes.len()) as u64;
                self.missing = 0;
                true
            }
            Err(error) => {
                if self.account.error.is_none() {
                    let name = &self.name;
                    tracing::warn!("cannot write the recording {name}: {error}; tracing goes on");
                }
                self.account.error = Some(error);
                self.torn = self.take_back().is_err();
                false
            }
        }
    }

    /// Cuts off what was written of a frame.
    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.written)?;
        self.file.seek(SeekFrom::Start(self.written)).map(|_| ())
    }

    fn finish(&mut self, at: Instant) {
        if self.missing > 0 && !self.torn {
            self.try_write(at, &[]);
        }
    }
}

#[cfg(test)]
mod tests;
