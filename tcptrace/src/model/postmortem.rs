//! What a week later is asked of an incident: who, since when, how much, how it ended.
//!
//! Stays come one at a time, in any order. Memory grows with the number of distinct programs and code
//! paths, not of stays.

mod alerts;
mod gaps;
mod grid;
mod program;
mod short;
mod tally;

use core::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

pub use alerts::{Episodes, Told};
pub use program::{Processes, Program};
pub use short::{Short, ShortTally};
pub use tally::Tally;

use self::alerts::Alerts;
use self::gaps::Gaps;
use self::grid::{Grid, Level, Timeline};
use super::evidence::ThreadState;
use super::history::{Gap, Histogram, PastStay, ShortStays};
use super::profile::window::Window;
use super::socket::StayState;
use super::verdict::Verdict;

/// So many series are kept apart, the rest is summed up.
const MOST_SERIES: usize = 8;
/// So many of the longest stays are kept.
const LONGEST: usize = 200;

/// Takes in the past of one window.
#[derive(Debug)]
pub struct Postmortem {
    window: Window,
    grid: Grid,
    level: Level,
    total: Tally,
    by_state: [u64; StayState::COUNT],
    hosts: BTreeSet<Arc<str>>,
    series: FxHashMap<(Program, Verdict), Gathered>,
    paths: FxHashMap<PathKey, PathSoFar>,
    longest: BinaryHeap<Reverse<Ranked>>,
    alerts: Alerts,
    gaps: Gaps,
    short: ShortTally,
}

#[derive(Debug)]
struct Gathered {
    tally: Tally,
    state: StayState,
    processes: Processes,
    timeline: Timeline,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PathKey {
    program: Program,
    verdict: Verdict,
    code: Option<Arc<str>>,
}

#[derive(Debug)]
struct PathSoFar {
    tally: Tally,
    processes: Processes,
    threads: Option<ThreadState>,
}

/// A stay among others: the longer one is more, then the earlier one.
#[derive(Debug)]
struct Ranked(PastStay);

impl Ranked {
    fn rank(&self) -> (core::time::Duration, Reverse<Timestamp>, Reverse<&str>) {
        (self.0.lasted, Reverse(self.0.began), Reverse(&self.0.id))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Postmortem {
    /// One of `window`, whose chart has at most `buckets` steps. The window is as long as what is
    /// known, not all of time: a chart of that would have one step with everything in it.
    pub fn new(window: Window, buckets: usize) -> Self {
        let grid = Grid::new(window.length(), buckets);
        Self {
            window,
            level: Level::new(window.length()),
            total: Tally::default(),
            by_state: [0; StayState::COUNT],
            hosts: BTreeSet::new(),
            series: FxHashMap::default(),
            paths: FxHashMap::default(),
            longest: BinaryHeap::new(),
            alerts: Alerts::default(),
            gaps: Gaps::new(window, grid.step()),
            short: ShortTally::default(),
            grid,
        }
    }

    /// Takes in a stay; what lies outside the window is left out.
    pub fn add(&mut self, stay: &PastStay) {
        let Some(clipped) = self.window.clip(stay) else { return };
        let still = stay.goes_on_at(self.window.to);
        let span = self.grid.span(self.window.from, stay.began, clipped);
        self.level.add(span, still);
        self.total.add(stay, clipped, still);
        self.by_state[stay.state.index()] += 1;
        if !self.hosts.contains(&stay.host) {
            self.hosts.insert(Arc::clone(&stay.host));
        }

        let program = Program::of(stay);
        let grid = &self.grid;
        let series =
            self.series.entry((program.clone(), stay.verdict)).or_insert_with(|| Gathered {
                tally: Tally::default(),
                state: stay.state,
                processes: Processes::default(),
                timeline: Timeline::new(grid),
            });
        series.tally.add(stay, clipped, still);
        series.processes.add(stay);
        series.timeline.add(grid, span);

        let key = PathKey { program, verdict: stay.verdict, code: stay.code.clone() };
        let path = self.paths.entry(key).or_insert_with(|| PathSoFar {
            tally: Tally::default(),
            processes: Processes::default(),
            threads: None,
        });
        path.tally.add(stay, clipped, still);
        path.processes.add(stay);
        path.threads = stay.threads.or(path.threads);

        let full = self.longest.len() == LONGEST;
        if full && self.longest.peek().is_some_and(|Reverse(least)| stay.lasted < least.0.lasted) {
            return;
        }
        self.longest.push(Reverse(Ranked(stay.clone())));
        if full {
            self.longest.pop();
        }
    }

    /// Takes in what somebody was told of a group; what lies outside the window is left out.
    pub fn add_told(&mut self, told: &Told) {
        if (self.window.from..self.window.to).contains(&told.at) {
            self.alerts.add(told);
        }
    }

    /// Takes in a span of which not everything is known; what lies outside the window is left out.
    pub fn add_gap(&mut self, gap: &Gap) {
        self.hosts.insert(Arc::clone(&gap.host));
        self.gaps.add(gap);
    }

    /// Takes in stays of the window that were too short to be kept.
    pub fn add_short(&mut self, kind: &ShortStays, lasted: &Histogram) {
        self.short.add(kind, lasted);
    }

    /// What all of that comes to.
    pub fn finish(self) -> Account {
        let (from, grid) = (self.window.from, &self.grid);
        let mut series: Vec<_> = self.series.into_iter().collect();
        series.sort_by(|((a_program, a_verdict), a), ((b_program, b_verdict), b)| {
            let (less, more) = (b.tally.rank(*b_verdict), a.tally.rank(*a_verdict));
            less.cmp(&more).then_with(|| (a_program, a_verdict).cmp(&(b_program, b_verdict)))
        });
        let rest = series.split_off(series.len().min(MOST_SERIES));
        let others = (!rest.is_empty()).then(|| {
            let mut timeline = Timeline::new(grid);
            rest.iter().for_each(|(_, gathered)| timeline.merge(&gathered.timeline));
            Others { series: rest.len(), values: timeline.values(grid) }
        });
        let series = series.into_iter().map(|((program, verdict), gathered)| Series {
            program,
            verdict,
            state: gathered.state,
            processes: gathered.processes,
            tally: gathered.tally,
            values: gathered.timeline.values(grid),
        });
        let mut paths: Vec<_> = self
            .paths
            .into_iter()
            .map(|(key, path)| CodePath {
                program: key.program,
                verdict: key.verdict,
                code: key.code,
                threads: path.threads,
                processes: path.processes,
                tally: path.tally,
            })
            .collect();
        paths.sort_by(|a, b| {
            let key = |path: &'_ CodePath| (path.verdict, path.code.clone());
            let by_time = b.tally.time.cmp(&a.tally.time);
            by_time.then_with(|| a.program.cmp(&b.program)).then_with(|| key(a).cmp(&key(b)))
        });
        let mut longest: Vec<_> = self.longest.into_iter().map(|Reverse(stay)| stay).collect();
        longest.sort_by(|a, b| b.cmp(a));
        Account {
            window: self.window,
            steps: grid.steps(from),
            peak: self.level.peak().map(|(sockets, offset)| Peak { sockets, at: from + offset }),
            total: self.total,
            by_state: self.by_state,
            hosts: self.hosts.into_iter().collect(),
            series: series.collect(),
            others,
            paths,
            longest: longest.into_iter().map(|ranked| ranked.0).collect(),
            alerts: self.alerts.finish(),
            gaps: self.gaps.finish(),
            short: self.short.finish(),
        }
    }
}

/// What was found out of one window.
#[derive(Clone, Debug)]
pub struct Account {
    /// The window.
    pub window: Window,
    /// When each step of the chart begins; the last one ends with the window.
    pub steps: Vec<Timestamp>,
    /// When there were most half-closed sockets; `None` where there were none.
    pub peak: Option<Peak>,
    /// Of all stays.
    pub total: Tally,
    /// How many there are by [`StayState::index`].
    pub by_state: [u64; StayState::COUNT],
    /// The machines, by name.
    pub hosts: Vec<Arc<str>>,
    /// Who left sockets half-closed and why, the worst first.
    pub series: Vec<Series>,
    /// Those that are too many to be shown each.
    pub others: Option<Others>,
    /// The code paths, those with the most time first.
    pub paths: Vec<CodePath>,
    /// The longest stays, the longest first.
    pub longest: Vec<PastStay>,
    /// What somebody was told of, the first first.
    pub alerts: Vec<Episodes>,
    /// What is not known, in order of time.
    pub gaps: Vec<Gap>,
    /// Stays that were too short to be kept.
    pub short: Short,
}

/// The highest number of half-closed sockets at one moment, to the 65,536th part of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// How many.
    pub sockets: u64,
    /// When.
    pub at: Timestamp,
}

/// Half-closed sockets of one program with one verdict.
#[derive(Clone, Debug)]
pub struct Series {
    /// Whose they are.
    pub program: Program,
    /// Why.
    pub verdict: Verdict,
    /// The state they are in.
    pub state: StayState,
    /// Its processes.
    pub processes: Processes,
    /// All of them.
    pub tally: Tally,
    /// How many there were on average in each step.
    pub values: Vec<f64>,
}

/// Series that are not shown each.
#[derive(Clone, Debug)]
pub struct Others {
    /// How many series.
    pub series: usize,
    /// How many sockets there were on average in each step.
    pub values: Vec<f64>,
}

/// One code path of one program with one verdict.
#[derive(Clone, Debug)]
pub struct CodePath {
    /// Whose it is.
    pub program: Program,
    /// Why its sockets are stuck.
    pub verdict: Verdict,
    /// The path in a line; `None` where no code was seen.
    pub code: Option<Arc<str>>,
    /// What the threads were doing, as it was known last.
    pub threads: Option<ThreadState>,
    /// The processes that ran it.
    pub processes: Processes,
    /// All its stays.
    pub tally: Tally,
}

#[cfg(test)]
pub(crate) mod tests;
