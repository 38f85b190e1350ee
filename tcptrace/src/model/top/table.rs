//! Stuck sockets as rows that are kept up to date: a change costs the rows it touches and no others.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::turn::{RowKey, Turn};
use crate::model::alert::Alert;
use crate::model::forecast::{Forecast, PortUse, forecast};
use crate::model::growth::Growth;
use crate::model::process::{Descriptors, Process};
use crate::model::stay::StayId;
use crate::model::time::Instant;
use crate::model::verdict::Verdict;

/// Points of a row's trend: one each five seconds.
pub const POINTS: usize = 12;

/// Stuck sockets that have something in common.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The oldest first.
    members: BTreeSet<(Instant, StayId)>,
    inexact: usize,
    verdicts: BTreeMap<Verdict, usize>,
    /// The processes blamed, each as it was last seen.
    processes: BTreeMap<(u32, Option<u64>), (Arc<Process>, usize)>,
    growth: Growth,
    ports: PortUse,
}

impl Row {
    fn add(&mut self, alert: &Alert, now: Instant) {
        self.members.insert((alert.stay.since, alert.stay.id));
        self.inexact += usize::from(!alert.stay.exact);
        *self.verdicts.entry(alert.finding.verdict).or_default() += 1;
        if let Some(blame) = &alert.finding.blame {
            let key = (blame.process.pid, blame.process.start_ticks);
            let (process, count) =
                self.processes.entry(key).or_insert_with(|| (Arc::clone(&blame.process), 0));
            *process = Arc::clone(&blame.process);
            *count += 1;
        }
        self.ports.add(alert.stay.endpoints, alert.evidence.port_range);
        self.growth.remember(now, self.members.len());
    }

    fn remove(&mut self, alert: &Alert, now: Instant) {
        if !self.members.remove(&(alert.stay.since, alert.stay.id)) {
            return;
        }
        self.inexact -= usize::from(!alert.stay.exact);
        if let Some(count) = self.verdicts.get_mut(&alert.finding.verdict) {
            *count -= 1;
            self.verdicts.retain(|_, count| *count > 0);
        }
        if let Some(blame) = &alert.finding.blame {
            let key = (blame.process.pid, blame.process.start_ticks);
            if let Some((_, count)) = self.processes.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.processes.remove(&key);
                }
            }
        }
        self.ports.remove(alert.stay.endpoints);
        self.growth.remember(now, self.members.len());
    }

    /// How many sockets there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The sockets, the oldest first.
    pub fn members(&self) -> impl DoubleEndedIterator<Item = StayId> {
        self.members.iter().map(|&(_, id)| id)
    }

    /// When the oldest one began to be half-closed.
    pub fn oldest(&self) -> Instant {
        self.members.first().map_or(Instant::default(), |&(since, _)| since)
    }

    /// Net growth a minute; `None` until it has been watched for some seconds.
    pub fn growth(&self, now: Instant) -> Option<f64> {
        self.growth.per_min(now, self.count())
    }

    /// The process blamed for all of them; of several, one.
    pub fn process(&self) -> Option<&Process> {
        self.processes.values().next().map(|(process, _)| &**process)
    }

    /// What is shown of it at `now`.
    pub fn sums(&self, now: Instant) -> Sums {
        let growth = self.growth(now);
        let descriptors = match self.processes.len() {
            1 => self.process().and_then(|process| process.descriptors),
            _ => None,
        };
        let most = self.verdicts.iter().max_by_key(|&(_, count)| count);
        Sums {
            count: self.count(),
            oldest: now.since(self.oldest()),
            exact: self.inexact == 0,
            growth,
            trend: self.growth.series(now, self.count()),
            descriptors,
            forecast: growth.and_then(|growth| forecast(descriptors, self.ports.most(), growth)),
            verdict: most.map(|(&verdict, _)| verdict),
            other_verdicts: self.verdicts.len().saturating_sub(1),
            processes: self.processes.len(),
        }
    }
}

/// A row in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    /// How many sockets.
    pub count: usize,
    /// Age of the oldest one.
    pub oldest: Duration,
    /// Whether every age is exact.
    pub exact: bool,
    /// Net growth a minute; `None` until it has been watched for some seconds.
    pub growth: Option<f64>,
    /// How many there were over the last minute, the newest last; `None` where nobody watched.
    pub trend: [Option<usize>; POINTS],
    /// How many descriptors the process has and may have, where it is one.
    pub descriptors: Option<Descriptors>,
    /// What will be used up, if there is a trend.
    pub forecast: Option<Forecast>,
    /// Why most of them are stuck.
    pub verdict: Option<Verdict>,
    /// How many other reasons there are.
    pub other_verdicts: usize,
    /// How many processes are blamed.
    pub processes: usize,
}

/// All rows of one [`Turn`].
#[derive(Clone, Debug)]
pub struct Table {
    turn: Turn,
    rows: FxHashMap<RowKey, Row>,
}

impl Table {
    /// One without rows.
    pub fn new(turn: Turn) -> Self {
        Self { turn, rows: FxHashMap::default() }
    }

    /// Takes in one socket.
    pub fn add(&mut self, alert: &Alert, now: Instant) {
        self.rows.entry(self.turn.key_of(alert)).or_default().add(alert, now);
    }

    /// Takes it out again; a row that becomes empty goes with it.
    pub fn remove(&mut self, alert: &Alert, now: Instant) {
        let key = self.turn.key_of(alert);
        if let Some(row) = self.rows.get_mut(&key) {
            row.remove(alert, now);
            if row.members.is_empty() {
                self.rows.remove(&key);
            }
        }
    }

    /// The row with this key, if there is one.
    pub fn row(&self, key: &RowKey) -> Option<&Row> {
        self.rows.get(key)
    }

    /// All rows in no order.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Row)> {
        self.rows.iter()
    }
}
