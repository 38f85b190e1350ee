//! The handle by which a run is recorded. It never blocks.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Error;
use super::ledger::{Kind, LeftOut};
use super::row::End;
use super::writer::Writer;
use crate::model::history::Entry;
use crate::model::time::{Anchor, Instant};
use crate::model::tracker::Thresholds;

/// Messages that wait for a slow disk before more are left out.
pub const QUEUE: usize = 32_768;
/// Ends that wait beside it: a stay whose end is missing would go on for ever.
const MOST_ENDS: usize = 1 << 20;
/// How long the last commit may take.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The directory; made if it is missing.
    pub dir: PathBuf,
    /// Shards that ended longer ago are deleted.
    pub keep: Duration,
    /// The journal has about this many bytes at most. A shard has a sixteenth of it.
    pub keep_size: u64,
    /// A shard takes up this much time.
    pub span: Duration,
    /// The run.
    pub run: RunInfo,
    /// Both clocks at its beginning.
    pub anchor: Anchor,
}

impl Settings {
    /// `--keep`
    pub const KEEP: Duration = Duration::from_secs(30 * 86_400);
    /// `--keep-size`
    pub const KEEP_SIZE: u64 = 1 << 30;
    /// The time that a shard takes up.
    pub const SPAN: Duration = Duration::from_secs(6 * 3600);
}

/// What a report should know of a run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The host's name.
    pub host: String,
    /// Its boot id.
    pub boot_id: String,
    /// The version of tcptrace.
    pub version: String,
    /// The probes that are on.
    pub probes: Vec<String>,
    /// How long a stay may last before somebody is told.
    pub thresholds: Thresholds,
    /// How long it must last to be kept.
    pub recording: Duration,
}

/// What becomes of it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Entries on disk.
    pub committed: u64,
    /// Entries left out so far.
    pub left_out: u64,
    /// Why nothing is written at the moment.
    pub error: Option<Arc<str>>,
}

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    /// An entry.
    Entry(Entry),
    /// Ends for which the queue had no room.
    Ends(Vec<End>),
    /// Other entries for which it had none.
    LeftOut(LeftOut),
    /// Both clocks.
    Clock(Anchor),
}

/// See the module.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Message>,
    done: Receiver<()>,
    status: Arc<Mutex<Status>>,
    now: Cell<Instant>,
    /// Entries handed to the thread.
    taken: Cell<u64>,
    left_out: Cell<LeftOut>,
    /// Left out before, and told to the thread.
    handed: Cell<u64>,
    ends: RefCell<Vec<End>>,
}

impl Recorder {
    /// Takes the directory and starts the thread that writes.
    ///
    /// # Errors
    /// If another recorder has the directory, or there can be none. A disk that is full is no error:
    /// recording begins once it takes anything, and [`Self::status`] says so until then.
    pub fn start(settings: Settings) -> Result<Self, Error> {
        let status = Arc::new(Mutex::new(Status::default()));
        let now = settings.anchor.monotonic;
        let mut writer = Writer::open(settings, Arc::clone(&status))?;
        let (queue, messages) = sync_channel(QUEUE);
        let (ended, done) = channel();
        let run = move || {
            for message in messages {
                writer.take(message);
            }
            writer.commit(true);
            drop(writer);
            let _ = ended.send(());
        };
        thread::Builder::new().name("journal".into()).spawn(run).map_err(Error::Thread)?;
        Ok(Self::new(queue, done, status, now))
    }

    pub(super) fn new(
        queue: SyncSender<Message>,
        done: Receiver<()>,
        status: Arc<Mutex<Status>>,
        now: Instant,
    ) -> Self {
        Self {
            queue,
            done,
            status,
            now: Cell::new(now),
            taken: Cell::new(0),
            left_out: Cell::new(LeftOut::none(now)),
            handed: Cell::new(0),
            ends: RefCell::default(),
        }
    }

    /// Has `entry` written, or counts it as left out.
    pub fn keep(&self, entry: Entry) {
        // After an end that waits nothing overtakes it.
        if !self.ends.borrow().is_empty() {
            self.catch_up();
        }
        let Err(error) = self.queue.try_send(Message::Entry(entry)) else {
            self.taken.set(self.taken.get() + 1);
            return;
        };
        let (TrySendError::Full(message) | TrySendError::Disconnected(message)) = error;
        let Message::Entry(entry) = message else { return };
        let mut ends = self.ends.borrow_mut();
        match entry {
            Entry::Ended(ended) if ends.len() < MOST_ENDS => ends.push(End {
                serial: ended.stay.id.serial(),
                at: ended.at,
                by: ended.by,
                reset_sent: ended.reset_sent,
            }),
            entry => {
                let mut left_out = self.left_out.get();
                if left_out.total() == 0 {
                    left_out = LeftOut::none(self.now.get());
                }
                left_out.add(Kind::of(&entry));
                self.left_out.set(left_out);
            }
        }
    }

    /// Takes both clocks, about once a second: the sign of life. What was kept before is committed.
    pub fn clock(&self, anchor: Anchor) {
        self.now.set(anchor.monotonic);
        self.catch_up();
        // If there is no room, the next one will do.
        let _ = self.queue.try_send(Message::Clock(anchor));
    }

    /// Hands over what the queue had no room for, if it has now.
    fn catch_up(&self) -> bool {
        let mut ends = self.ends.borrow_mut();
        if !ends.is_empty()
            && let Err(error) = self.queue.try_send(Message::Ends(std::mem::take(&mut *ends)))
        {
            let (TrySendError::Full(message) | TrySendError::Disconnected(message)) = error;
            if let Message::Ends(back) = message {
                *ends = back;
            }
            return false;
        }
        let left_out = LeftOut { to: self.now.get(), ..self.left_out.get() };
        if left_out.total() == 0 {
            return true;
        }
        let handed = self.queue.try_send(Message::LeftOut(left_out)).is_ok();
        if handed {
            self.handed.set(self.handed.get() + left_out.total());
            self.left_out.set(LeftOut::none(self.now.get()));
        }
        handed
    }

    /// Entries that the thread has taken and not written; those of the last second always.
    pub fn waiting(&self) -> u64 {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        self.taken.get().saturating_sub(status.committed)
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.left_out += self.handed.get() + self.left_out.get().total();
        status
    }

    /// Writes everything, waiting for some seconds if need be, and marks the run as ended in order.
    pub fn finish(self) -> Status {
        let mut patience = PATIENCE;
        while !self.catch_up() && !patience.is_zero() {
            thread::sleep(PAUSE);
            patience = patience.saturating_sub(PAUSE);
        }
        let Self { queue, done, status, left_out, handed, .. } = self;
        drop(queue);
        let ended = done.recv_timeout(PATIENCE);
        let mut status = status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.left_out += handed.get() + left_out.get().total();
        if ended.is_err() && status.error.is_none() {
            status.error = Some("the disk did not take the last second in time".into());
        }
        status
    }
}
