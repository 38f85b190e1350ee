//! Folds transitions into what every socket is doing now, and since when.
//!
//! A healthy socket costs one table entry. A half-closed one has a [`Stay`] and a deadline besides.
//! Closed sockets are forgotten at once.

use core::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use slab::Slab;

use super::code::PathId;
use super::deadlines::Deadlines;
use super::event::{Progress, Transition};
use super::proof::{Proof, Proofs};
use super::reads::Phase;
use super::socket::{Identity, NetNs, SocketKey, StayState, TcpState};
use super::stay::{Ended, EndedBy, Stay, StayId, ended_by, reset_sent};
use super::time::Instant;

/// How long a stay may last before somebody looks at it, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// For CLOSE_WAIT.
    pub close_wait: Duration,
    /// For FIN_WAIT2.
    pub fin_wait2: Duration,
    /// For a descriptor whose TCP is over. `None`: those are not followed.
    pub closed: Option<Duration>,
    /// Until it is looked at for the record. `None`: there is none.
    pub record: Option<Duration>,
}

/// Looks for the record are gathered: one of them answers for all stays that are due.
const RECORD_STEP: Duration = Duration::from_secs(1);

impl Thresholds {
    /// With these nothing falls due.
    pub const NEVER: Self =
        Self { close_wait: Duration::MAX, fin_wait2: Duration::MAX, closed: None, record: None };

    /// The one of `state`.
    pub fn of(&self, state: StayState) -> Duration {
        match state {
            StayState::CloseWait => self.close_wait,
            StayState::FinWait2 => self.fin_wait2,
            StayState::Closed => self.closed.unwrap_or(Duration::MAX),
        }
    }

    /// When a stay that began at `since` is first looked at: for the record, where that is sooner.
    pub fn first_look(&self, state: StayState, since: Instant) -> Instant {
        let threshold = self.of(state);
        match self.record {
            Some(record) if record.saturating_add(RECORD_STEP) < threshold => {
                since.after(record).rounded_up(RECORD_STEP)
            }
            _ => since.after(threshold),
        }
    }
}

/// What a transition meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How long the socket had been in the state it left, if its beginning was seen.
    pub in_state: Option<Duration>,
    /// A stay that is over.
    pub ended: Option<Ended>,
}

/// Counts for the summary and for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transitions applied.
    pub transitions: u64,
    /// Transitions that did not leave the state we knew: something before them was lost.
    pub gaps: u64,
    /// Sockets not taken into the full table.
    pub overflow: u64,
    /// Stays begun, by [`StayState::index`].
    pub stays: [u64; StayState::COUNT],
    /// Sockets found by a look to be elsewhere than we knew: an event of theirs was lost.
    pub repaired: u64,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    since: Instant,
    /// Its place among the stays, or [`NO_STAY`].
    slot: u32,
    /// The code that opened the connection, and the code that closed or shut down.
    opened: Option<PathId>,
    shut: Option<PathId>,
    state: TcpState,
    /// Whether `since` is a transition that we saw.
    seen: bool,
    /// Whether `opened` accepted it.
    accepted: bool,
}

const NO_STAY: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    live: FxHashMap<SocketKey, Live>,
    stays: Slab<Stay>,
    deadlines: Deadlines<{ StayState::COUNT }>,
    thresholds: Thresholds,
    capacity: usize,
    next_serial: u64,
    counts: Counts,
    /// While a snapshot is under way: when it began, and every socket that has changed since.
    touched: Option<(Instant, FxHashSet<SocketKey>)>,
    unplaced: Unplaced,
    identity: Identity,
    opened: Proofs,
}

impl Tracker {
    /// A tracker of at most `capacity` sockets. It takes memory as it needs it.
    pub fn new(thresholds: Thresholds, capacity: usize, identity: Identity) -> Self {
        Self {
            live: FxHashMap::default(),
            stays: Slab::new(),
            deadlines: Deadlines::default(),
            thresholds,
            capacity,
            next_serial: 0,
            counts: Counts::default(),
            touched: None,
            unplaced: Unplaced::default(),
            identity,
            opened: Proofs::default(),
        }
    }

    /// Takes in one state change.
    pub fn apply(&mut self, event: &Transition) -> Applied {
        self.counts.transitions += 1;
        if event.new == TcpState::SynRecv {
            return self.create(event);
        }
        if self.identity == Identity::Address {
            self.place(event);
        }
        if let Some((began, touched)) = &mut self.touched
            && event.at >= *began
        {
            touched.insert(event.key);
        }
        let before = self.live.get(&event.key).copied();
        if before.is_some_and(|before| before.state != event.old) {
            self.counts.gaps += 1;
        }
        let in_state = before
            .filter(|before| before.seen && before.state == event.old)
            .map(|before| event.at.since(before.since));
        let ended = before
            .filter(|before| before.slot != NO_STAY)
            .map(|before| self.end(before.slot, event));
        self.enter(event, before, ended.as_ref());
        Applied { in_state, ended }
    }

    /// A socket that a listener made is of no interest before it is established, and before 6.15 it
    /// still has its listener's cookie here. Its address was another's, though, whose end must have
    /// been lost if it is still known.
    fn create(&mut self, event: &Transition) -> Applied {
        let before = match self.identity {
            Identity::Cookie => None,
            Identity::Address => self.remove_live(event.key),
        };
        self.counts.gaps += u64::from(before.is_some());
        let slot = before.map(|before| before.slot).filter(|&slot| slot != NO_STAY);
        let ended = slot.map(|slot| self.end(slot, event));
        Applied { in_state: None, ended }
    }

    fn end(&mut self, slot: u32, event: &Transition) -> Ended {
        self.deadlines.clear(slot);
        let stay = self.stays.remove(slot as usize);
        let by =
            if event.old == stay.state.state() { ended_by(&stay, event) } else { EndedBy::Unknown };
        Ended { stay, at: event.at, by, reset_sent: reset_sent(&stay, by, event) }
    }

    fn enter(&mut self, event: &Transition, before: Option<Live>, ended: Option<&Ended>) {
        let state = match event.new {
            TcpState::Close if self.outlives(event) => Some(StayState::Closed),
            TcpState::Close => {
                self.remove_live(event.key);
                return;
            }
            new => StayState::half_closed(new),
        };
        if before.is_none() && self.live.len() >= self.capacity {
            self.counts.overflow += 1;
            return;
        }
        // A state that is entered again goes on: FIN_WAIT2 becomes an orphan, LISTEN listens.
        let goes_on = before.filter(|before| before.state == event.new);
        let since = goes_on.map_or(event.at, |before| before.since);
        let seen = goes_on.is_none_or(|before| before.seen);
        let (mut opened, mut shut) = before.map_or((None, None), |live| (live.opened, live.shut));
        match event.new {
            TcpState::SynSent => {
                opened = event.path;
                if let Some(path) = opened {
                    self.opened.begin(path, event.at);
                }
            }
            TcpState::FinWait1 => shut = event.path,
            _ => {}
        }
        let accepted = before.is_some_and(|before| before.accepted);
        let slot = match state {
            None => NO_STAY,
            Some(state) => {
                let continued = ended.map(|ended| ended.stay).filter(|_| goes_on.is_some());
                self.begin(Stay {
                    id: StayId::default(),
                    key: event.key,
                    cookie: event.key.cookie().or(continued.and_then(|stay| stay.cookie)),
                    netns: event.netns.or(continued.and_then(|stay| stay.netns)),
                    endpoints: event.endpoints,
                    state,
                    orphan: state == StayState::FinWait2
                        && (event.old == event.new
                            || event.circumstances.is_some_and(|at_entry| at_entry.dead)),
                    since,
                    since_earliest: continued.map_or(since, |stay| stay.since_earliest),
                    exact: seen,
                    entered: event.at,
                    circumstances: event.circumstances,
                    progress: event.progress,
                    progress_at: event.at,
                    opened,
                    accepted,
                    shut,
                })
            }
        };
        let state = event.new;
        self.live.insert(event.key, Live { since, slot, opened, shut, state, seen, accepted });
    }

    /// Whether a program keeps the descriptor of a connection that is over.
    fn outlives(&self, event: &Transition) -> bool {
        let connected = !matches!(
            event.old,
            TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv | TcpState::Listen
        );
        // A socket that was only created goes from CLOSE to CLOSE when it is closed.
        let known = event.old != TcpState::Close || self.live.contains_key(&event.key);
        let held = event.circumstances.is_some_and(|at_end| at_end.has_file && !at_end.dead);
        self.thresholds.closed.is_some() && connected && known && held
    }

    /// The kernel let go of a socket whose TCP was over.
    pub fn released(
        &mut self,
        key: SocketKey,
        at: Instant,
        exiting: Option<bool>,
    ) -> Option<Ended> {
        let slot = self.live.get(&key).filter(|live| live.state == TcpState::Close)?.slot;
        let id = self.stays.get(slot as usize)?.id;
        let stay = self.remove(id)?;
        let by = EndedBy::of_task(exiting, EndedBy::Closed);
        Some(Ended { stay, at, by, reset_sent: None })
    }

    /// A program accepted the connection, by the code of `path`.
    pub fn accepted(&mut self, key: SocketKey, path: PathId, at: Instant) {
        self.opened.begin(path, at);
        let Some(live) = self.live.get_mut(&key) else {
            // Closed before this was heard of.
            self.opened.end(path);
            return;
        };
        (live.opened, live.accepted) = (Some(path), true);
        if let Some(stay) = self.stays.get_mut(live.slot as usize) {
            (stay.opened, stay.accepted) = (Some(path), true);
        }
    }

    /// What became of all sockets that the code of `path` opened.
    pub fn proof(&self, path: PathId) -> Option<Proof> {
        self.opened.of(path)
    }

    /// Where the socket is on its way through CLOSE_WAIT, as far as is known.
    pub fn phase(&self, key: SocketKey) -> Phase {
        match self.live.get(&key).map(|live| live.state) {
            Some(TcpState::CloseWait) => Phase::CloseWait,
            Some(TcpState::Established | TcpState::SynSent) => Phase::Before,
            _ => Phase::After,
        }
    }

    fn begin(&mut self, mut stay: Stay) -> u32 {
        self.counts.stays[stay.state.index()] += 1;
        let entry = self.stays.vacant_entry();
        // The table is bounded by a capacity far below u32::MAX.
        let slot = u32::try_from(entry.key()).unwrap_or(NO_STAY);
        stay.id = StayId { slot, serial: self.next_serial };
        self.next_serial += 1;
        let due = self.thresholds.first_look(stay.state, stay.since);
        self.deadlines.set(slot, stay.state.index(), due);
        entry.insert(stay);
        slot
    }

    /// A name for a stay that the table does not hold.
    pub fn name(&mut self) -> StayId {
        let serial = self.next_serial;
        self.next_serial += 1;
        StayId { slot: NO_STAY, serial }
    }

    /// When the next stay is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// Takes a stay that is due at `now`. It is not due again until [`Self::postpone`] says so.
    pub fn pop_due(&mut self, now: Instant) -> Option<Stay> {
        let slot = self.deadlines.pop_due(now)?;
        self.stays.get(slot as usize).copied()
    }

    /// The stay, if it still goes on.
    pub fn get(&self, id: StayId) -> Option<&Stay> {
        self.stays.get(id.slot as usize).filter(|stay| stay.id == id)
    }

    /// The stay that the socket with `key` is in.
    pub fn stay_of(&self, key: SocketKey) -> Option<&Stay> {
        self.stays.get(self.live.get(&key)?.slot as usize)
    }

    /// Says who the stay's socket is, which not every probe tells.
    pub fn locate(&mut self, id: StayId, cookie: u64, netns: NetNs) {
        if let Some(stay) = self.stays.get_mut(id.slot as usize).filter(|stay| stay.id == id) {
            (stay.cookie, stay.netns) = (Some(cookie), Some(netns));
        }
    }

    /// Looks at the stay again at `at`, when bytes were where `progress` says.
    pub fn postpone(&mut self, id: StayId, at: Instant, progress: Option<Progress>, now: Instant) {
        let Some(stay) = self.stays.get_mut(id.slot as usize).filter(|stay| stay.id == id) else {
            return;
        };
        if progress.is_some() && progress != stay.progress {
            stay.progress = progress;
            stay.progress_at = now;
        }
        self.deadlines.set(id.slot, stay.state.index(), at);
    }

    /// Has every stay looked at by `thresholds` from now on; what is due by them, now.
    pub fn look_anew(&mut self, now: Instant, thresholds: Thresholds) {
        self.thresholds = thresholds;
        for (_, stay) in &self.stays {
            let due = thresholds.first_look(stay.state, stay.since).max(now);
            self.deadlines.set(stay.id.slot, stay.state.index(), due);
        }
    }

    /// Forgets a stay whose socket the kernel no longer shows: its end was lost.
    pub fn forget(&mut self, id: StayId, now: Instant) -> Option<Ended> {
        let stay = self.remove(id)?;
        self.counts.repaired += 1;
        Some(Ended { stay, at: now, by: EndedBy::Unknown, reset_sent: None })
    }

    /// Takes a stay and its socket out of the table.
    fn remove(&mut self, id: StayId) -> Option<Stay> {
        let stay = *self.get(id)?;
        self.unplaced.remove(stay.key, stay.endpoints);
        self.deadlines.clear(id.slot);
        self.stays.remove(id.slot as usize);
        self.remove_live(stay.key);
        Some(stay)
    }

    fn remove_live(&mut self, key: SocketKey) -> Option<Live> {
        let live = self.live.remove(&key)?;
        if let Some(path) = live.opened {
            self.opened.end(path);
        }
        Some(live)
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many sockets are in the table.
    pub fn tracked(&self) -> usize {
        self.live.len()
    }

    /// The stays that go on.
    pub fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.stays.iter().map(|(_, stay)| stay)
    }
}

mod address;
mod repair;

use address::Unplaced;

#[cfg(test)]
mod tests;
