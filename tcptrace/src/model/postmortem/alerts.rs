//! What somebody was told of, a line a group.

use core::time::Duration;
use std::sync::Arc;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use super::Program;
use crate::model::forecast::Forecast;
use crate::model::group::GroupStatus;
use crate::model::history::PastGroup;
use crate::model::socket::StayState;
use crate::model::verdict::Verdict;

/// What somebody was told of a group once.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// The group's id, the same whenever it fires.
    pub group: Arc<str>,
    /// Whether it fires, grows, shrinks or is over.
    pub status: GroupStatus,
    /// Who is blamed.
    pub program: Program,
    /// Why its members are stuck.
    pub verdict: Verdict,
    /// The state they are in.
    pub state: StayState,
    /// Their code path, in a line.
    pub code: Option<Arc<str>>,
    /// How many members it had.
    pub members: u64,
    /// How many it had at most, since it fired.
    pub peak: u64,
    /// Age of the oldest.
    pub oldest: Duration,
    /// What would be used up, and when.
    pub forecast: Option<Forecast>,
}

impl From<PastGroup> for Told {
    fn from(group: PastGroup) -> Self {
        Self {
            at: group.at,
            group: group.id,
            status: group.status,
            program: Program { host: group.host, process: group.process },
            verdict: group.verdict,
            state: group.state,
            code: group.code,
            members: group.members,
            peak: group.peak,
            oldest: group.oldest,
            forecast: group.forecast,
        }
    }
}

/// All that somebody was told of one group.
#[derive(Clone, Debug)]
pub struct Episodes {
    /// When it fired first.
    pub first: Timestamp,
    /// What was told last.
    pub last: Told,
    /// How often it fired.
    pub fired: u64,
    /// How often somebody was told anything.
    pub told: u64,
    /// How many members it had at most.
    pub peak: u64,
    /// The oldest member at most.
    pub oldest: Duration,
    /// The forecast that left the least time, and when that was told.
    pub forecast: Option<(Timestamp, Forecast)>,
}

impl Episodes {
    /// Whether it was not over when something was told of it last.
    pub fn is_firing(&self) -> bool {
        self.last.status != GroupStatus::Resolved
    }
}

#[derive(Debug, Default)]
pub(super) struct Alerts(FxHashMap<Arc<str>, Episodes>);

impl Alerts {
    pub(super) fn add(&mut self, told: &Told) {
        let group = self.0.entry(Arc::clone(&told.group)).or_insert_with(|| Episodes {
            first: told.at,
            last: told.clone(),
            fired: 0,
            told: 0,
            peak: 0,
            oldest: Duration::ZERO,
            forecast: None,
        });
        group.first = group.first.min(told.at);
        if told.at >= group.last.at {
            group.last = told.clone();
        }
        group.told += 1;
        group.fired += u64::from(told.status == GroupStatus::Firing);
        group.peak = group.peak.max(told.members).max(told.peak);
        group.oldest = group.oldest.max(told.oldest);
        if let Some(forecast) = told.forecast
            && group.forecast.is_none_or(|(_, soonest)| forecast.full_in < soonest.full_in)
        {
            group.forecast = Some((told.at, forecast));
        }
    }

    pub(super) fn finish(self) -> Vec<Episodes> {
        let mut groups: Vec<_> = self.0.into_values().collect();
        groups.sort_by(|a, b| (a.first, &a.last.group).cmp(&(b.first, &b.last.group)));
        groups
    }
}
