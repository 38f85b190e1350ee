//! The record that `watch` keeps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::{Style, notice};
use crate::cli::live::WatchArgs;
use crate::journal::history::{self, Told};
use crate::journal::recorder::{QUEUE, Recorder, RunInfo, Settings, Status};
use crate::journal::{DIRECTORY, Error};
use crate::model::engine::Output;
use crate::model::figures::{JournalFigures, Queue};
use crate::model::history::Entry;
use crate::model::memory::Remembered;
use crate::model::time::Anchor;
use crate::model::tracker::Thresholds;
use crate::sys::holders::Holders;
use crate::sys::probe::Probe;

/// A journal that is written, and whether it was said that it is not.
pub struct Journal {
    recorder: Recorder,
    dir: PathBuf,
    said: bool,
}

/// What the runs of this boot leave to one that goes on from there; nothing, and a notice, if that cannot
/// be read.
pub fn resume(dir: Option<&Path>, style: &Style) -> (Vec<Remembered>, Told) {
    read(dir, style, history::resume).unwrap_or_else(|why| {
        notice(&why);
        Default::default()
    })
}

/// What the last run of this boot knew of stays that went on, or another run knows now; or the reason why
/// nothing is known, in words.
pub fn recall(dir: Option<&Path>, style: &Style) -> Result<Vec<Remembered>, String> {
    read(dir, style, history::open_stays)
}

fn read<T: Default>(
    dir: Option<&Path>,
    style: &Style,
    read: impl FnOnce(&Path, &str) -> Result<T>,
) -> Result<T, String> {
    let dir = dir.unwrap_or(Path::new(DIRECTORY));
    // Most who look have none.
    if !dir.is_dir() {
        return Ok(T::default());
    }
    read(dir, &style.host.boot_id)
        .map_err(|why| format!("ages are not taken from {}: {why:#}", dir.display()))
}

/// Opens the journal, unless none is wanted or another tcptrace writes it.
///
/// # Errors
/// If the directory that was asked for cannot be used. Without the usual one there is no record, which
/// is said.
pub fn open(
    args: &WatchArgs,
    style: &Style,
    (probe, holders): (&Probe, &Holders),
    thresholds: Thresholds,
    anchor: Anchor,
) -> Result<Option<Journal>> {
    if args.no_record {
        return Ok(None);
    }
    let mut probes = vec![probe.source().name().to_owned(), holders.name().to_owned()];
    if let Some(deeds) = probe.deeds() {
        let on = [
            ("eof", Some(&deeds.eof)),
            ("released", Some(&deeds.released)),
            ("accepted", deeds.accepted.as_ref()),
        ];
        probes.extend(
            on.into_iter()
                .filter(|(_, on)| on.is_some_and(Result::is_ok))
                .map(|(name, _)| name.to_owned()),
        );
    }
    let dir = args.record.clone().unwrap_or_else(|| DIRECTORY.into());
    let settings = Settings {
        dir: dir.clone(),
        keep: args.keep,
        keep_size: args.keep_size,
        span: Settings::SPAN,
        run: RunInfo {
            host: style.host.name.clone(),
            boot_id: style.host.boot_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            probes,
            thresholds,
            recording: args.record_from,
        },
        anchor,
    };
    match Recorder::start(settings) {
        Ok(recorder) => Ok(Some(Journal { recorder, dir, said: false })),
        Err(why @ Error::Directory { .. }) if args.record.is_some() => bail!(why),
        Err(why) => {
            notice(&format!("nothing is recorded: {:#}", anyhow::Error::from(why)));
            Ok(None)
        }
    }
}

impl Journal {
    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How it goes, but for its size, which only the disk knows.
    pub fn figures(&self) -> JournalFigures {
        let Status { committed, left_out, error, .. } = self.recorder.status();
        JournalFigures { bytes: 0, committed, left_out, writable: error.is_none() }
    }

    /// How much waits to be written.
    pub fn queue(&self) -> Queue {
        Queue { name: "journal", waiting: self.recorder.waiting(), capacity: QUEUE as u64 }
    }

    /// Keeps what the core wants kept.
    pub fn keep(&mut self, entry: Entry) {
        self.recorder.keep(entry);
    }

    /// Keeps what somebody is told.
    pub fn told(&mut self, output: &Output) {
        match output {
            Output::Alert(alert) => self.keep(Entry::Alert(Arc::clone(alert))),
            Output::Group(group) => self.keep(Entry::Group(group.clone())),
            Output::Condition(condition) => self.keep(Entry::Condition(condition.clone())),
            _ => {}
        }
    }

    /// The sign of life; says once that the disk takes nothing.
    pub fn clock(&mut self, now: Anchor) {
        self.recorder.clock(now);
        let error = self.recorder.status().error;
        if let Some(error) = error.as_ref().filter(|_| !self.said) {
            notice(&format!("recording waits for the disk: {error}"));
        }
        self.said = error.is_some();
    }

    /// Writes the rest, and says what is missing.
    pub fn finish(self, now: Anchor) {
        self.recorder.clock(now);
        let Status { left_out, error, .. } = self.recorder.finish();
        let lacks = match error {
            Some(error) => format!("{left_out} entries: {error}"),
            None if left_out > 0 => format!("{left_out} entries: the disk was too slow"),
            None => return,
        };
        notice(&format!("the record lacks {lacks}"));
    }
}
