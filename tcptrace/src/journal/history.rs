//! Reading: one history of several shards, runs and hosts.
//!
//! A run that goes on in another shard takes the stays that go on with it. So a stay without an end
//! counts only in the last shard of its run, and each shard can be read by itself.

mod events;
mod open;
mod shared;
mod source;
mod stays;
mod told;

use core::ops::Range;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rusqlite::params;

pub use self::open::open_stays;
use self::shared::{Odd, Shared, from_json};
use self::source::{ShardRun, Source, directory, edge, moment};
pub use self::told::Told;
use super::{lock, shard};
use crate::model::history::{Gap, GapKind, PastEnd, PastRun, RunEnd};
use crate::model::memory::Remembered;

/// A file, or a part of one, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: Box<str>,
}

/// See the module.
#[derive(Debug)]
pub struct History {
    sources: Vec<Source>,
    shared: Shared,
    warnings: Vec<Warning>,
    unreadable: Vec<Gap>,
}

/// Why a shard was not read to its end.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("some of its rows are left out: {0}")]
    Row(Odd),
    #[error(transparent)]
    Caller(anyhow::Error),
}

/// What the runs of `boot_id` in `dir` leave to one that goes on from there: the stays that go on, as of
/// [`open_stays`], and what was told and is not over.
///
/// # Errors
/// If `dir` cannot be read. Shards that cannot be are left out.
pub fn resume(dir: &Path, boot_id: &str) -> Result<(Vec<Remembered>, Told)> {
    let Some(mut history) = of_directory(dir)? else { return Ok(Default::default()) };
    let stays = open::going_on(&mut history, boot_id);
    Ok((stays, told::told(&mut history, boot_id)?))
}

/// The history in `dir`, if there is one yet.
fn of_directory(dir: &Path) -> Result<Option<History>> {
    let empty = shard::list(dir)?.is_empty();
    (!empty).then(|| History::open(&[dir.to_owned()])).transpose()
}

impl History {
    /// Opens journals: directories, or single shards. They may be written to meanwhile.
    ///
    /// # Errors
    /// If a path is not there or has no shards. A shard that cannot be read becomes a warning and a
    /// gap.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut history = Self {
            sources: Vec::new(),
            shared: Shared::default(),
            warnings: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut files = Vec::new();
        for path in paths {
            let there = fs::metadata(path)
                .with_context(|| format!("cannot open the journal {}", path.display()))?;
            if there.is_dir() {
                files.extend(shard::list(path)?);
            } else {
                files.push(path.clone());
            }
        }
        anyhow::ensure!(!files.is_empty(), "{} has no journal", shown(paths));
        let mut seen = HashSet::new();
        files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or(file.clone())));
        let mut unreadable = Vec::new();
        for file in files {
            match Source::open(&file) {
                Ok(source) => history.sources.push(source),
                Err(error) => unreadable.push((file, format!("{error:#}"))),
            }
        }
        history.drop_copies();
        history.find_ends();
        for (file, why) in unreadable {
            history.warn(&file, &why);
        }
        Ok(history)
    }

    /// Of two files with the same part of the same run one is a copy.
    fn drop_copies(&mut self) {
        let mut seen = HashSet::new();
        let Self { sources, warnings, .. } = self;
        sources.retain(|source| {
            let part = source.runs.iter().map(|run| (run.key(), run.from_ns)).collect::<Vec<_>>();
            let copy = !part.is_empty() && !seen.insert(part);
            if copy {
                let why = "it is a copy of another one".into();
                warnings.push(Warning { path: source.path.clone(), why });
            }
            !copy
        });
    }

    /// Finds the last shard of each run, and what became of the stays that go on in it.
    fn find_ends(&mut self) {
        let mut last: HashMap<_, i64> = HashMap::new();
        let mut latest: HashMap<PathBuf, i64> = HashMap::new();
        for source in &self.sources {
            for run in &source.runs {
                let from = last.entry(run.key()).or_insert(run.from_ns);
                *from = run.from_ns.max(*from);
                let alive = latest.entry(source.dir.clone()).or_insert(run.alive_wall);
                *alive = run.alive_wall.max(*alive);
            }
        }
        let taken = |dir: &Path| lock::is_taken(dir);
        let running: HashSet<_> = latest.keys().filter(|dir| taken(dir)).cloned().collect();
        for source in &mut self.sources {
            let newest = latest.get(&source.dir).copied();
            let recording = running.contains(&source.dir);
            for run in &mut source.runs {
                run.end = match run.ended.as_deref() {
                    Some("in order") => RunEnd::InOrder,
                    // Its next shard is not here.
                    Some(_) => RunEnd::Running,
                    None if recording && newest == Some(run.alive_wall) => RunEnd::Running,
                    None => RunEnd::Died,
                };
                run.open = (last.get(&run.key()) == Some(&run.from_ns)).then_some(match run.end {
                    RunEnd::InOrder | RunEnd::Running => PastEnd::Open,
                    RunEnd::Died => PastEnd::CutOff,
                });
            }
        }
    }

    /// What could not be read so far; a shard can turn out to be damaged while it is read.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn note(&mut self, at: usize, result: Result<(), Fault>) -> Result<()> {
        match result {
            Ok(()) => Ok(()),
            Err(Fault::Caller(error)) => Err(error),
            Err(error) => {
                let path = self.sources[at].path.clone();
                self.warn(&path, &error.to_string());
                Ok(())
            }
        }
    }

    fn warn(&mut self, path: &Path, why: &str) {
        let warning = Warning { path: path.to_owned(), why: why.into() };
        if self.warnings.contains(&warning) {
            return;
        }
        self.warnings.push(warning);
        let dir = directory(path);
        let neighbour = self.sources.iter().find(|source| source.dir == dir);
        let host = neighbour.and_then(|source| Some(Arc::clone(&source.runs.first()?.host)));
        let changed = fs::metadata(path).and_then(|file| file.modified()).ok();
        let changed = changed.and_then(|at| Timestamp::try_from(at).ok());
        let from = shard::began(path).or(changed).unwrap_or_default();
        // Another one has what came after.
        let next = shard::list(dir).unwrap_or_default();
        let next = next.iter().filter_map(|path| shard::began(path)).find(|&next| next > from);
        let to = next.or(changed).map_or(from, |to| to.max(from));
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        self.unreadable.push(Gap {
            host: host.unwrap_or_else(|| Arc::from("unknown")),
            from,
            to,
            why: GapKind::Unreadable(format!("{name}: {why}").into()),
        });
    }

    /// Each run once, in the order in which they began, from its last shard.
    fn merged(&self) -> Vec<&ShardRun> {
        let mut runs: Vec<_> = self.sources.iter().flat_map(|source| &source.runs).collect();
        runs.retain(|run| run.open.is_some());
        runs.sort_by_key(|run| (run.began_wall, run.began_ns));
        runs
    }

    /// The runs of the recorder, in the order in which they began.
    ///
    /// # Errors
    /// If what a run says of itself is not understood.
    pub fn runs(&self) -> Result<Vec<PastRun>> {
        let past = |run: &ShardRun| -> Result<PastRun> {
            let recording = u64::try_from(run.recording_ns).unwrap_or(0);
            Ok(PastRun {
                host: Arc::clone(&run.host),
                boot_id: Arc::clone(&run.boot_id),
                version: run.version.as_str().into(),
                probes: from_json(&run.probes)?,
                thresholds: from_json(&run.thresholds)?,
                recording: core::time::Duration::from_nanos(recording),
                began: moment(run.began_wall),
                alive: moment(run.alive_wall),
                end: run.end,
            })
        };
        self.merged().into_iter().map(past).collect()
    }

    /// The first and the last moment of which anything is known.
    pub fn span(&self) -> Option<Range<Timestamp>> {
        let runs = || self.sources.iter().flat_map(|source| &source.runs);
        let first = runs().map(|run| run.from_wall).min()?;
        let last = runs().map(|run| run.alive_wall).max()?;
        Some(moment(first)..moment(last))
    }

    /// What is not known in `window`, by time. Damage that shows only while stays are read is among it
    /// once they have been.
    ///
    /// # Errors
    /// None that a damaged shard makes: that is a gap.
    pub fn gaps(&mut self, window: Range<Timestamp>) -> Result<Vec<Gap>> {
        let mut gaps = self.between_runs();
        gaps.extend(self.beyond_runs(&window));
        for at in 0..self.sources.len() {
            let result = lost_in(&self.sources[at], &window, &mut gaps).map_err(Fault::from);
            self.note(at, result)?;
        }
        gaps.extend(self.unreadable.iter().cloned());
        gaps.retain(|gap| gap.from < window.end && gap.to >= window.start);
        gaps.sort_by_key(|gap| (gap.from, gap.to));
        Ok(gaps)
    }

    fn between_runs(&self) -> Vec<Gap> {
        let mut alive: HashMap<&str, i64> = HashMap::new();
        let mut gaps = Vec::new();
        for run in self.merged() {
            if let Some(&before) = alive.get(&*run.host)
                && before < run.began_wall
            {
                gaps.push(Gap {
                    host: Arc::clone(&run.host),
                    from: moment(before),
                    to: moment(run.began_wall),
                    why: GapKind::NotRunning,
                });
            }
            let last = alive.entry(&run.host).or_insert(run.alive_wall);
            *last = run.alive_wall.max(*last);
        }
        gaps
    }

    /// What of `window` is before the first shard of a host, or after its last recorder ended. All of
    /// time has no such parts.
    fn beyond_runs(&self, window: &Range<Timestamp>) -> Vec<Gap> {
        let mut known: HashMap<&Arc<str>, (i64, i64, RunEnd)> = HashMap::new();
        for run in self.sources.iter().flat_map(|source| &source.runs) {
            let of_run = (run.from_wall, run.alive_wall, run.end);
            let (first, last, end) = known.entry(&run.host).or_insert(of_run);
            *first = run.from_wall.min(*first);
            if run.alive_wall >= *last {
                (*last, *end) = (run.alive_wall, run.end);
            }
        }
        let mut gaps = Vec::new();
        for (host, (first, last, end)) in known {
            let mut gap = |from, to| {
                gaps.push(Gap { host: Arc::clone(host), from, to, why: GapKind::NotRunning });
            };
            if window.start > Timestamp::MIN && window.start < moment(first) {
                gap(window.start, moment(first));
            }
            if window.end < Timestamp::MAX && window.end > moment(last) && end != RunEnd::Running {
                gap(moment(last), window.end);
            }
        }
        gaps
    }
}

/// Transitions lost, and entries left out.
fn lost_in(
    source: &Source,
    window: &Range<Timestamp>,
    gaps: &mut Vec<Gap>,
) -> rusqlite::Result<()> {
    const LOST: &str = "SELECT run, from_wall, to_wall, lost_ring + ifnull(lost_recursion, 0) + gaps \
        AS count FROM interval WHERE count > 0 AND from_wall < ?1 AND to_wall >= ?2";
    const LEFT_OUT: &str = "SELECT run, from_wall, to_wall, sum(count) FROM left_out \
        WHERE from_wall < ?1 AND to_wall >= ?2 GROUP BY run, from_wall, to_wall";
    let connection = source.connect()?;
    for (query, why) in [(LOST, GapKind::Lost as fn(u64) -> _), (LEFT_OUT, GapKind::LeftOut)] {
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query(params![edge(window.end), edge(window.start)])?;
        while let Some(row) = rows.next()? {
            let Some(run) = source.run(row.get(0)?) else { continue };
            gaps.push(Gap {
                host: Arc::clone(&run.host),
                from: moment(row.get(1)?),
                to: moment(row.get(2)?),
                why: why(row.get::<_, i64>(3)?.cast_unsigned()),
            });
        }
    }
    Ok(())
}

fn shown(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}
