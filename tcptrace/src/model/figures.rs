//! What is told to those who measure: everything in numbers, at one moment.
//!
//! Whatever may grow with the host is summed up here: by state, by verdict, by unit up to a limit;
//! never by process, port or address.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::delivery::Delivery;
use super::event::Lost;
use super::health::Health;
use super::history::Histogram;
use super::rules::Severity;
use super::socket::StayState;
use super::stay::EndedBy;
use super::time::Instant;
use super::tracker::Counts;
use super::verdict::Verdict;

/// All states of stays, in the order of [`StayState::index`].
pub const STATES: [StayState; StayState::COUNT] =
    [StayState::CloseWait, StayState::FinWait2, StayState::Closed];

/// Everything that is measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What the core knows.
    pub sockets: Sockets,
    /// Events that did not arrive.
    pub lost: Lost,
    /// Records that arrived and could not be understood.
    pub undecodable: u64,
    /// Lines that a slow reader of stdout made us leave out.
    pub unwritten: u64,
    /// What there is to see with, and whether it is on.
    pub probes: Vec<(&'static str, bool)>,
    /// The kernel's account of our programs; empty where it keeps none.
    pub programs: Vec<ProgramRuns>,
    /// The buffer between kernel and user space.
    pub ring: Ring,
    /// What waits, and for how much there is room.
    pub queues: Vec<Queue>,
    /// The record, if one is kept.
    pub journal: Option<JournalFigures>,
    /// Where alerts are sent, in the order of the configuration.
    pub sinks: Vec<Delivery>,
    /// Whether tcptrace is really tracing, and when that was asked.
    pub health: (Health, Instant),
    /// What tcptrace itself uses.
    pub usage: Usage,
    /// Its version.
    pub version: &'static str,
    /// The kernel's release.
    pub kernel: String,
}

/// What the core knows of sockets.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// Half-closed sockets now, by [`StayState::index`].
    pub ages: [Ages; StayState::COUNT],
    /// Those that somebody was told of, by why and how urgent that is.
    pub stuck: BTreeMap<(StayState, Verdict, Severity), u64>,
    /// The same by the unit of the process that is to blame.
    pub units: BTreeMap<Unit, UnitFigures>,
    /// Stays that are over.
    pub ended: Ends,
    /// Alerts fired.
    pub alerts: u64,
    /// Of these, alerts that still are.
    pub alerts_firing: u64,
    /// Groups formed.
    pub groups: u64,
    /// Of these, groups that have become empty again.
    pub groups_resolved: u64,
    /// Sockets in the table.
    pub tracked: u64,
    /// What the tracker has counted.
    pub counts: Counts,
}

/// How old sockets are that are half-closed now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// How many, by age: each counts those up to its bound that are in no bucket before, the last one
    /// the rest.
    pub buckets: [u64; Self::BOUNDS.len() + 1],
    /// The age of the oldest; `None`: there is none.
    pub oldest: Option<Duration>,
}

impl Ages {
    /// Upper bounds of the buckets, in seconds: from a second to a week.
    pub const BOUNDS: [u64; 9] = [1, 10, 60, 300, 900, 3_600, 14_400, 86_400, 604_800];

    /// Counts one more.
    pub fn add(&mut self, age: Duration) {
        let bucket = Self::BOUNDS.partition_point(|&bound| Duration::from_secs(bound) < age);
        self.buckets[bucket] += 1;
        self.oldest = self.oldest.max(Some(age));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// How long stays lasted that are over, by state and by what ended them. Counting allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Ends([[Histogram; ENDS.len()]; StayState::COUNT]);

/// All that may end a stay, in the order of the enum.
const ENDS: [EndedBy; 11] = [
    EndedBy::Closed,
    EndedBy::Shutdown,
    EndedBy::ClosedWithReset,
    EndedBy::PeerClosed,
    EndedBy::ResetByPeer,
    EndedBy::TimedOut,
    EndedBy::ProcessExit,
    EndedBy::Killed,
    EndedBy::ListenerClosed,
    EndedBy::Expired,
    EndedBy::Unknown,
];

impl Ends {
    /// Counts one more.
    pub fn add(&mut self, state: StayState, by: EndedBy, lasted: Duration) {
        self.0[state.index()][by as usize].add(lasted);
    }

    /// Those that have happened at all.
    pub fn each(&self) -> impl Iterator<Item = (StayState, EndedBy, &Histogram)> {
        let of_state = STATES.into_iter().zip(&self.0);
        let all = of_state.flat_map(|(state, ends)| {
            ENDS.into_iter().zip(ends).map(move |(by, h)| (state, by, h))
        });
        all.filter(|(_, _, histogram)| histogram.count() > 0)
    }
}

/// Whose sockets they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// A systemd unit, as the cgroup's path names it.
    Named(Arc<str>),
    /// Processes outside of any, and sockets that nobody is blamed for.
    None,
    /// All units that there was no room for.
    Other,
}

impl Unit {
    /// So many have figures of their own: those with most stuck sockets.
    pub const MOST: usize = 100;

    /// The value of its label.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::None => "",
            Self::Other => "other",
        }
    }
}

/// What a unit has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnitFigures {
    /// Stuck sockets, by [`StayState::index`].
    pub stuck: [u64; StayState::COUNT],
    /// The largest share of its descriptor limit that one of its processes with stuck sockets has in
    /// use, when it was last looked at.
    pub descriptors: Option<f64>,
}

impl UnitFigures {
    fn merge(&mut self, other: &Self) {
        for (count, more) in self.stuck.iter_mut().zip(other.stuck) {
            *count += more;
        }
        self.add_share(other.descriptors);
    }

    /// Takes in the share of one more process.
    pub fn add_share(&mut self, share: Option<f64>) {
        self.descriptors = match (self.descriptors, share) {
            (Some(most), Some(share)) => Some(most.max(share)),
            (most, share) => most.or(share),
        };
    }
}

/// Keeps [`Unit::MOST`] units with most stuck sockets apart, and sums up the others.
pub fn bounded(units: BTreeMap<Unit, UnitFigures>) -> BTreeMap<Unit, UnitFigures> {
    let mut by_size: Vec<_> = units.into_iter().collect();
    by_size.sort_by_key(|(_, unit)| core::cmp::Reverse(unit.stuck.iter().sum::<u64>()));
    let mut bounded = BTreeMap::new();
    for (i, (unit, figures)) in by_size.into_iter().enumerate() {
        let unit = if i < Unit::MOST { unit } else { Unit::Other };
        bounded.entry(unit).or_insert_with(UnitFigures::default).merge(&figures);
    }
    bounded
}

/// How often a kernel program has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// The program's name.
    pub name: String,
    /// How often.
    pub runs: u64,
    /// For how long altogether.
    pub time: Duration,
}

/// How the buffer between kernel and user space is used, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// How large it is.
    pub size: u64,
    /// What was taken from it in one go, the last time.
    pub drained: u64,
    /// The most that ever was.
    pub drained_max: u64,
}

/// Something that waits for a thread of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Where to.
    pub name: &'static str,
    /// How much waits.
    pub waiting: u64,
    /// How much can.
    pub capacity: u64,
}

/// How the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalFigures {
    /// Bytes on disk.
    pub bytes: u64,
    /// Entries written.
    pub committed: u64,
    /// Entries left out.
    pub left_out: u64,
    /// Whether the disk takes them.
    pub writable: bool,
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on CPUs since its start, in user space and in the kernel.
    pub cpu: Duration,
    /// Memory that is resident, in bytes.
    pub resident: Option<u64>,
    /// Descriptors that are open.
    pub descriptors: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut ages = Ages::default();
        for seconds in [0, 1, 2, 60, 61, 604_800, 604_801] {
            ages.add(Duration::from_secs(seconds));
        }
        assert_eq!(ages.buckets, [2, 1, 1, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!((ages.count(), ages.oldest), (7, Some(Duration::from_secs(604_801))));
    }

    #[test]
    fn each_end_has_its_place() {
        let mut ends = Ends::default();
        for (i, by) in ENDS.into_iter().enumerate() {
            assert_eq!(by as usize, i, "{}", by.name());
            ends.add(StayState::FinWait2, by, Duration::from_secs(i as u64));
        }
        let each: Vec<_> = ends.each().map(|(state, by, h)| (state, by, h.sum.as_secs())).collect();
        assert_eq!(each.len(), ENDS.len());
        assert_eq!(each[5], (StayState::FinWait2, EndedBy::TimedOut, 5));
    }

    #[test]
    fn a_host_of_many_units_has_few_figures() {
        let unit = |i: u64| Unit::Named(format!("unit-{i:03}.service").into());
        let units = (0..250).map(|i| {
            let descriptors = Some(i as f64 / 1000.0);
            (unit(i), UnitFigures { stuck: [i, 0, 1], descriptors })
        });
        let bounded = bounded(units.collect());
        assert_eq!(bounded.len(), Unit::MOST + 1);
        assert_eq!(bounded[&unit(249)].stuck, [249, 0, 1]);
        let other = bounded[&Unit::Other];
        assert_eq!(other.stuck, [(0..150).sum(), 0, 150], "nothing is missing");
        assert_eq!(other.descriptors, Some(0.149));
    }
}
