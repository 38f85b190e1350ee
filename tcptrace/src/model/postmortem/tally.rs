//! What stays come to.

use core::time::Duration;

use jiff::Timestamp;
use rustc_hash::FxHashMap;

use crate::model::history::{PastEnd, PastStay};
use crate::model::stay::EndedBy;
use crate::model::verdict::Verdict;

/// What some stays come to within the window.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many.
    pub stays: u64,
    /// How long they lasted together.
    pub time: Duration,
    /// How many of them had not ended at its end.
    pub still: u64,
    /// How many were going on when the recorder died, so that their end is not known.
    pub cut_off: u64,
    /// How many began before they were seen, and lasted longer than is counted here.
    pub inexact: u64,
    /// How many somebody was told of.
    pub alerted: u64,
    /// When the first of them began, which may be before the window, and whether that was seen.
    pub since: Option<(Timestamp, bool)>,
    ended: FxHashMap<EndedBy, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, stay: &PastStay, clipped: Duration, still: bool) {
        self.stays += 1;
        self.time = self.time.saturating_add(clipped);
        self.inexact += u64::from(!stay.exact);
        self.alerted += u64::from(stay.alerted);
        if self.since.is_none_or(|(since, _)| stay.began < since) {
            self.since = Some((stay.began, stay.exact));
        }
        match stay.end {
            _ if still => self.still += 1,
            PastEnd::By(by) => *self.ended.entry(by).or_default() += 1,
            PastEnd::CutOff | PastEnd::Open => self.cut_off += 1,
        }
    }

    /// What ended those that have, most first.
    pub fn ended(&self) -> Vec<(EndedBy, u64)> {
        let mut ended: Vec<_> = self.ended.iter().map(|(&by, &count)| (by, count)).collect();
        ended.sort_by_key(|&(by, count)| (core::cmp::Reverse(count), by.name()));
        ended
    }

    /// What makes one worse than another: what is in use is nobody's fault.
    pub(super) fn rank(&self, verdict: Verdict) -> (bool, Duration) {
        let in_use = matches!(verdict, Verdict::Kernel | Verdict::Sending | Verdict::Receiving);
        (!in_use, self.time)
    }
}

impl PastStay {
    /// When it ended, or was last known to go on, by the wall clock of its beginning.
    pub fn ended_at(&self) -> Timestamp {
        self.began.saturating_add(self.lasted).unwrap_or(Timestamp::MAX)
    }

    /// Whether it had not ended at `moment`, the end of what is asked for.
    pub(super) fn goes_on_at(&self, moment: Timestamp) -> bool {
        self.end == PastEnd::Open || self.ended_at() > moment
    }
}
