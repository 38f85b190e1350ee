//! Puts what waits into the running shard, in one transaction, or keeps it for the next try.

pub mod rows;

use core::time::Duration;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rusqlite::ErrorCode;

use super::Error;
use super::intern::Interner;
use super::ledger::Ledger;
use super::lock::Lock;
use super::recorder::{Message, Settings, Status};
use super::shard::{self, Limits, Shard};
use crate::model::time::{Anchor, Instant};

/// How old the sign of life may be where nothing else is to be written: a commit waits for the disk, and
/// wakes it.
const IDLE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    began: Anchor,
    lock: Lock,
    shard: Option<Shard>,
    /// The one before, until its successor has everything.
    before: Option<Shard>,
    /// Something of this run is on disk.
    recorded: bool,
    /// The latest shard is damaged: the next one is a new one.
    damaged: bool,
    interner: Interner,
    ledger: Ledger,
    /// When everything was on disk last.
    committed: Option<Instant>,
    status: Arc<Mutex<Status>>,
}

impl Writer {
    /// Takes the directory. Whether anything can be written to it shows with the first commit.
    ///
    /// # Errors
    /// If there is no such directory and none can be made, or another recorder has it.
    pub fn open(settings: Settings, status: Arc<Mutex<Status>>) -> Result<Self, Error> {
        let began = settings.anchor;
        let lock = take_directory(&settings)?;
        Ok(Self {
            settings,
            began,
            lock,
            shard: None,
            before: None,
            recorded: false,
            damaged: false,
            interner: Interner::default(),
            ledger: Ledger::new(began),
            committed: None,
            status,
        })
    }

    /// Takes in a message; commits if it was both clocks, unless there is no need to yet.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Entry(entry) => self.ledger.take(entry),
            Message::Ends(ends) => ends.into_iter().for_each(|end| self.ledger.end(end)),
            Message::LeftOut(left_out) => self.ledger.left_out.merge(&left_out),
            Message::Clock(anchor) => {
                self.ledger.clock(anchor);
                let rests = |at| anchor.monotonic.since(at) < IDLE;
                if !self.ledger.is_idle() || !self.committed.is_some_and(rests) {
                    self.commit(false);
                }
            }
        }
    }

    /// Writes everything, if it can be; marks the run as ended in order if it is `over`.
    pub fn commit(&mut self, over: bool) {
        let result = self.try_commit(over);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.left_out = self.ledger.refused;
        match result {
            Ok(entries) => {
                status.committed += entries;
                status.error = None;
                self.committed = Some(self.ledger.clock.last().monotonic);
            }
            Err(error) => {
                let code = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
                self.damaged |=
                    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
                // All ids that were given in the transaction are void.
                self.interner.forget();
                self.shard = None;
                self.before = None;
                self.committed = None;
                status.error = Some(format!("{error:#}").into());
            }
        }
    }

    fn try_commit(&mut self, over: bool) -> Result<u64> {
        self.find_shard()?;
        let Some(shard) = &mut self.shard else { return Ok(0) };
        // The first shard of a run has all of it.
        let from = if self.recorded { self.ledger.clock.last() } else { self.began };
        let wrote = rows::write(
            shard,
            &mut self.interner,
            &self.ledger,
            &self.settings.run,
            (self.began, from, over),
        );
        wrote.with_context(|| format!("cannot write {}", shard.path.display()))?;
        self.recorded = true;
        let entries = self.ledger.written();
        if let Some(before) = self.before.take() {
            // It is complete without this, too: its successor has the run as well.
            let _ = rows::mark_continued(&before.connection, &self.settings.run, self.began);
        }
        Ok(entries)
    }

    /// Sees to it that there is a shard to write to: the one that was, unless it is full or gone.
    fn find_shard(&mut self) -> Result<()> {
        if !self.lock.is_in_place() {
            self.shard = None;
            self.lock = take_directory(&self.settings)?;
        }
        let Settings { dir, keep, keep_size, .. } = &self.settings;
        let now = self.now();
        let limits = Limits { span: self.settings.span, size: keep_size / 16 };
        self.shard.take_if(|shard| !shard.is_in_place());
        match &self.shard {
            Some(shard) if !shard.is_full(now, limits) => return Ok(()),
            Some(_) => {
                let next = Shard::create(dir, now)?;
                self.before = self.shard.replace(next);
            }
            None => {
                let latest = if self.damaged { None } else { Shard::latest(dir, now, limits) };
                self.shard = Some(match latest {
                    Some(shard) => shard,
                    None => Shard::create(dir, now)?,
                });
                self.damaged = false;
            }
        }
        self.interner.forget();
        if let Some(shard) = &self.shard {
            // Room for the one that begins now.
            let size = keep_size - limits.size;
            if let Err(error) = shard::retain(dir, &shard.path, now, *keep, size) {
                tracing::warn!("the journal grows beyond its limits: {error:#}");
            }
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.ledger.clock.last().wall
    }
}

fn take_directory(settings: &Settings) -> Result<Lock, Error> {
    let dir = &settings.dir;
    let made = DirBuilder::new().recursive(true).mode(0o750).create(dir);
    made.map_err(|source| Error::Directory { dir: dir.clone(), source })?;
    Lock::take(dir)
}
