//! What is to be kept of all that happens: stays that last one by one, the rest in numbers.

use core::time::Duration;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::event::{Lost, Transition};
use super::evidence::Evidence;
use super::history::{Entry, Histogram, Interval, Known, ShortStays};
use super::reads::EofRead;
use super::socket::{StayState, TCP_STATES, TcpState};
use super::stay::{Ended, Stay, StayId};
use super::time::Instant;
use super::tracker::Counts;
use super::verdict::{Finding, Verdict};

/// How much time is summed up in one entry.
const INTERVAL: Duration = Duration::from_secs(10);

/// How many kinds of short stays are told apart in an interval. Anybody can give a process a new name
/// for each of them.
const MOST_KINDS: usize = 1024;

/// States are numbered from 1.
const STATES: usize = TCP_STATES.len() + 1;

/// What short stays are counted by while an interval goes on: the bytes of a name allocate nothing.
type Short = (StayState, Option<[u8; 16]>);

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    /// The stays that were kept and go on, with what was said of them last.
    kept: FxHashMap<StayId, Arc<Finding>>,
    from: Instant,
    transitions: [[u64; STATES]; STATES],
    short: FxHashMap<Short, Histogram>,
    /// What had been lost, and counted, when the interval began.
    lost: Lost,
    counts: Counts,
}

impl Ledger {
    /// Begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            kept: FxHashMap::default(),
            from: now,
            transitions: [[0; STATES]; STATES],
            short: FxHashMap::default(),
            lost: Lost::default(),
            counts: Counts::default(),
        }
    }

    /// Counts one.
    pub fn transition(&mut self, event: &Transition) {
        self.transitions[event.old as usize][event.new as usize] += 1;
    }

    /// More is known of a stay that lasts: an entry, unless that has been said.
    pub fn known(
        &mut self,
        id: Arc<str>,
        mut stay: Stay,
        evidence: &Arc<Evidence>,
        finding: &Arc<Finding>,
    ) -> Option<Entry> {
        let before = self.kept.insert(stay.id, Arc::clone(finding));
        if before.is_some_and(|before| !before.differs(finding)) {
            return None;
        }
        // What it was before has been kept as a stay of its own.
        if stay.orphan && stay.entered > stay.since {
            (stay.since, stay.since_earliest) = (stay.entered, stay.entered);
        }
        let (evidence, finding) = (Arc::clone(evidence), Arc::clone(finding));
        let at = evidence.looked_at;
        Some(Entry::Stay(Box::new(Known { id, stay, at, evidence, finding })))
    }

    /// A stay is over: an entry if it was kept, else a number. `read` is who read the end of file
    /// first.
    pub fn ended(&mut self, ended: &Ended, read: Option<EofRead>) -> Option<Entry> {
        if self.kept.remove(&ended.stay.id).is_some() {
            return Some(Entry::Ended(Box::new(*ended)));
        }
        let reader = read.filter(|read| !read.peeked).map(|read| read.by.comm);
        let lasted = ended.at.since(ended.stay.since);
        let mut kind = (ended.stay.state, reader);
        if self.short.len() >= MOST_KINDS && !self.short.contains_key(&kind) {
            kind.1 = None;
        }
        self.short.entry(kind).or_default().add(lasted);
        None
    }

    /// The sum of what has happened since the last one, if that is long enough ago, or `at_last`;
    /// `half_closed` are how many there are now.
    pub fn interval(
        &mut self,
        now: Instant,
        at_last: bool,
        lost: Lost,
        counts: Counts,
        half_closed: [u64; StayState::COUNT],
    ) -> Option<Entry> {
        if now.since(self.from) < INTERVAL && !at_last {
            return None;
        }
        let transitions = mem::replace(&mut self.transitions, [[0; STATES]; STATES]);
        let of = |&old: &TcpState, &new: &TcpState| transitions[old as usize][new as usize];
        let pairs = TCP_STATES.iter().flat_map(|old| TCP_STATES.iter().map(move |new| (old, new)));
        let interval = Interval {
            from: mem::replace(&mut self.from, now),
            to: now,
            transitions: pairs
                .map(|(old, new)| ((*old, *new), of(old, new)))
                .filter(|&(_, count)| count > 0)
                .collect(),
            short: named(self.short.drain()),
            half_closed,
            lost: since(lost, mem::replace(&mut self.lost, lost)),
            gaps: counts.gaps - self.counts.gaps,
            repaired: counts.repaired - self.counts.repaired,
        };
        self.counts = counts;
        Some(Entry::Interval(Box::new(interval)))
    }
}

fn named(short: impl Iterator<Item = (Short, Histogram)>) -> BTreeMap<ShortStays, Histogram> {
    short
        .map(|((state, comm), histogram)| {
            let verdict = comm.map(|_| Verdict::EofRead);
            let comm = comm.map(|bytes| {
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                String::from_utf8_lossy(&bytes[..end]).into()
            });
            (ShortStays { state, comm, verdict }, histogram)
        })
        .fold(BTreeMap::new(), |mut all, (stays, histogram)| {
            // Two names may differ in bytes that are not valid only.
            all.entry(stays).or_insert_with(Histogram::default).merge(&histogram);
            all
        })
}

fn since(now: Lost, before: Lost) -> Lost {
    Lost {
        ring: now.ring.saturating_sub(before.ring),
        recursion: now.recursion.map(|now| now.saturating_sub(before.recursion.unwrap_or(0))),
        deeds: now.deeds.saturating_sub(before.deeds),
    }
}

#[cfg(test)]
mod tests;
