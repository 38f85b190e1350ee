//! What waits to be written, and what goes on. Nothing here touches the disk: a commit that fails is
//! tried again with all of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::clock::Clock;
use super::row::{End, Row};
use crate::model::alert::Alert;
use crate::model::condition::ConditionNotice;
use crate::model::group::GroupNotice;
use crate::model::history::{Entry, Interval, Known};
use crate::model::stay::EndedBy;
use crate::model::time::{Anchor, Instant};
use crate::model::verdict::Verdict;

/// What may wait while the disk takes nothing; the rest is left out.
const MOST: usize = 65_536;

/// What can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stay, with all that comes of it.
    Stay,
    /// The end of a stay that was kept.
    End,
    /// An alert.
    Alert,
    /// A group.
    Group,
    /// An interval.
    Interval,
    /// A condition.
    Condition,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Stay, Self::End, Self::Alert, Self::Group, Self::Interval, Self::Condition];

    /// What `entry` is.
    pub const fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Stay(_) => Self::Stay,
            Entry::Ended(_) => Self::End,
            Entry::Alert(_) => Self::Alert,
            Entry::Group(_) => Self::Group,
            Entry::Interval(_) => Self::Interval,
            Entry::Condition(_) => Self::Condition,
        }
    }

    /// The name in the journal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stay => "stay",
            Self::End => "end",
            Self::Alert => "alert",
            Self::Group => "group",
            Self::Interval => "interval",
            Self::Condition => "condition",
        }
    }
}

/// How many entries were left out, and when.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut {
    /// Before the first of them.
    pub from: Instant,
    /// After the last.
    pub to: Instant,
    /// How many, by kind.
    pub counts: [u64; Kind::ALL.len()],
}

impl LeftOut {
    /// None yet at `at`.
    pub const fn none(at: Instant) -> Self {
        Self { from: at, to: at, counts: [0; Kind::ALL.len()] }
    }

    /// One more.
    pub const fn add(&mut self, kind: Kind) {
        self.counts[kind as usize] += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Takes in those of another span.
    pub fn merge(&mut self, other: &Self) {
        if other.total() == 0 {
            return;
        }
        if self.total() == 0 {
            *self = *other;
            return;
        }
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

/// An alert on its way to its row.
#[derive(Debug)]
pub struct AlertRow {
    /// The stay's name in this run.
    pub serial: u64,
    /// When it was told.
    pub at: Instant,
    /// The group.
    pub group: Arc<str>,
    /// Why.
    pub verdict: Verdict,
    /// How long the stay might last, in nanoseconds.
    pub threshold: i64,
    /// What ended it.
    pub ended_by: Option<EndedBy>,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    /// Both clocks.
    pub clock: Clock,
    /// The stays that go on, written or not, by their serial numbers. A row is large, and a table has
    /// up to nine empty places for seven full ones.
    pub open: HashMap<u64, Box<Row>>,
    /// Those of them that differ from what is written.
    pub changed: HashSet<u64>,
    /// Stays that are over.
    pub over: Vec<(u64, Box<Row>)>,
    /// Alerts.
    pub alerts: Vec<AlertRow>,
    /// Groups.
    pub groups: Vec<GroupNotice>,
    /// Conditions.
    pub conditions: Vec<ConditionNotice>,
    /// Intervals.
    pub intervals: Vec<Interval>,
    /// Readings after which the wall clock was another one.
    pub steps: Vec<Anchor>,
    /// What nothing is known of.
    pub left_out: LeftOut,
    /// How many were left out here, all told.
    pub refused: u64,
    /// Entries taken in since the last commit.
    pub taken: u64,
}

impl Ledger {
    /// Begins at `anchor`.
    pub fn new(anchor: Anchor) -> Self {
        Self {
            clock: Clock::new(anchor),
            open: HashMap::new(),
            changed: HashSet::new(),
            over: Vec::new(),
            alerts: Vec::new(),
            groups: Vec::new(),
            conditions: Vec::new(),
            intervals: Vec::new(),
            steps: vec![anchor],
            left_out: LeftOut::none(anchor.monotonic),
            refused: 0,
            taken: 0,
        }
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.changed.len()
            + self.over.len()
            + self.alerts.len()
            + self.groups.len()
            + self.conditions.len()
            + self.intervals.len()
    }

    /// Whether nothing would be lost but the sign of life: nothing waits, and no stay goes on that would
    /// end with it.
    pub fn is_idle(&self) -> bool {
        self.waiting() == 0
            && self.open.is_empty()
            && self.steps.is_empty()
            && self.left_out.total() == 0
    }

    /// Takes in one entry.
    pub fn take(&mut self, entry: Entry) {
        let full = self.waiting() >= MOST;
        match entry {
            Entry::Stay(known) => self.stay(*known, full),
            Entry::Ended(ended) => {
                let serial = ended.stay.id.serial();
                if let Some(row) = self.open.get_mut(&serial) {
                    row.update(Known { stay: ended.stay, ..row.known.clone() }, &self.clock);
                }
                let (at, by, reset_sent) = (ended.at, ended.by, ended.reset_sent);
                self.end(End { serial, at, by, reset_sent });
            }
            Entry::Alert(alert) => self.alert(&alert, full),
            Entry::Group(_) if full => self.leave_out(Kind::Group),
            Entry::Group(group) => self.groups.push(*group),
            Entry::Condition(_) if full => self.leave_out(Kind::Condition),
            Entry::Condition(condition) => self.conditions.push(*condition),
            Entry::Interval(_) if full => self.leave_out(Kind::Interval),
            Entry::Interval(interval) => self.intervals.push(*interval),
        }
        self.taken += 1;
    }

    fn stay(&mut self, known: Known, full: bool) {
        let serial = known.stay.id.serial();
        match self.open.get_mut(&serial) {
            Some(row) => row.update(known, &self.clock),
            None if full => return self.leave_out(Kind::Stay),
            None => {
                self.open.insert(serial, Box::new(Row::new(known, &self.clock)));
            }
        }
        self.changed.insert(serial);
    }

    /// The end of a stay. It is never left out: there are no more of them than stays that go on.
    pub fn end(&mut self, end: End) {
        // One that was left out has no row.
        let Some(mut row) = self.open.remove(&end.serial) else { return };
        self.changed.remove(&end.serial);
        row.end = Some(end);
        self.over.push((end.serial, row));
    }

    fn alert(&mut self, alert: &Alert, full: bool) {
        let serial = alert.stay.id.serial();
        if alert.withdrawn {
            // Nothing has become of the stay, which is what a journal is about.
            self.taken += 1;
            return;
        }
        if full {
            return self.leave_out(Kind::Alert);
        }
        self.alerts.push(AlertRow {
            serial,
            at: alert.at,
            group: Arc::clone(&alert.group),
            verdict: alert.finding.verdict,
            threshold: i64::try_from(alert.threshold.as_nanos()).unwrap_or(i64::MAX),
            ended_by: alert.ended_by,
        });
        if alert.ended_by.is_some() {
            return;
        }
        let Alert { id, stay, at, evidence, finding, .. } = alert.clone();
        self.stay(Known { id, stay, at, evidence, finding }, full);
        if let Some(row) = self.open.get_mut(&serial) {
            row.alerted = true;
        }
    }

    fn leave_out(&mut self, kind: Kind) {
        let now = self.clock.last().monotonic;
        let mut one = LeftOut::none(now);
        one.add(kind);
        self.left_out.merge(&one);
        self.refused += 1;
    }

    /// Takes in both clocks.
    pub fn clock(&mut self, anchor: Anchor) {
        if self.clock.take(anchor) {
            self.steps.push(anchor);
        }
        // What was left out since the last reading was left out until now.
        if self.left_out.total() > 0 {
            self.left_out.to = self.left_out.to.max(anchor.monotonic);
        }
    }

    /// Everything is on disk.
    pub fn written(&mut self) -> u64 {
        self.changed.clear();
        self.over.clear();
        self.alerts.clear();
        self.groups.clear();
        self.conditions.clear();
        self.intervals.clear();
        self.steps.clear();
        self.left_out = LeftOut::none(self.clock.last().monotonic);
        std::mem::take(&mut self.taken)
    }
}
