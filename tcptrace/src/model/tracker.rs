//! Folds transitions into what every socket is doing now, and since when.
//!
//! A healthy socket costs one table entry. A half-closed one is kept as a stay and has a deadline
//! besides. Closed sockets are forgotten at once.

mod address;
mod repair;
mod sockets;
mod stays;
mod thresholds;

use core::time::Duration;

use rustc_hash::FxHashSet;

use self::address::Unplaced;
use self::sockets::{Found, Live, NO_STAY, Sockets};
use self::stays::{Kept, Stays};
pub use self::thresholds::Thresholds;
use super::code::PathId;
use super::event::{Progress, Transition};
use super::proof::{Proof, Proofs};
use super::reads::Phase;
use super::socket::{Identity, NetNs, SocketKey, StayState, TcpState};
use super::stay::{Ended, EndedBy, Stay, StayId, ended_by, reset_sent};
use super::time::Instant;

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

/// More sockets than any machine has; slots are numbered in 32 bits.
const MOST: usize = 1 << 31;

/// See the module.
#[derive(Debug)]
pub struct Tracker {
    sockets: Sockets,
    stays: Stays,
    thresholds: Thresholds,
    capacity: usize,
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
            sockets: Sockets::default(),
            stays: Stays::default(),
            thresholds,
            capacity: capacity.min(MOST),
            counts: Counts::default(),
            touched: None,
            unplaced: Unplaced::default(),
            identity,
            opened: Proofs::default(),
        }
    }

    /// Takes in one state change. Returns the stay that it ends.
    pub fn apply(&mut self, event: &Transition) -> Option<Ended> {
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
        let Some((found, &live)) = self.sockets.find(event.key) else {
            self.meet(event);
            return None;
        };
        self.counts.gaps += u64::from(live.state != event.old);
        if live.stay == NO_STAY {
            self.leave(found, &live, event, None);
            return None;
        }
        self.leave_stay(found, &live, event)
    }

    /// By itself, so that what it returns is written where it is wanted at once.
    fn leave_stay(&mut self, found: Found, live: &Live, event: &Transition) -> Option<Ended> {
        let ended = self.end(live, event);
        self.leave(found, live, event, ended.as_ref());
        ended
    }

    /// A socket leaves the state that it was in as `live` says.
    fn leave(&mut self, found: Found, live: &Live, event: &Transition, ended: Option<&Ended>) {
        if event.new == TcpState::Close && !self.outlives(event) {
            self.sockets.take(found);
            self.closed(live);
        } else {
            self.enter(found.slot, event, live.state, ended);
        }
    }

    /// How long the socket has been in the state that `event` leaves, if its beginning was seen.
    pub fn in_state(&self, event: &Transition) -> Option<Duration> {
        let live = self.sockets.get(event.key)?;
        let seen = live.seen && live.state == event.old && event.new != TcpState::SynRecv;
        seen.then(|| event.at.since(live.since))
    }

    /// A socket that a listener made is of no interest before it is established, and before 6.15 it
    /// still has its listener's cookie here. Its address was another's, though, whose end must have
    /// been lost if it is still known.
    fn create(&mut self, event: &Transition) -> Option<Ended> {
        if self.identity == Identity::Cookie {
            return None;
        }
        let live = self.remove_live(event.key)?;
        self.counts.gaps += 1;
        self.end(&live, event)
    }

    /// Ends the stay of `live`, if it is in one.
    fn end(&mut self, live: &Live, event: &Transition) -> Option<Ended> {
        self.stays.end(live.stay, live, |state, orphan| {
            let by = ended_by(state, orphan, event);
            (event.at, by, reset_sent(state, by, event))
        })
    }

    /// A transition of a socket that was not known.
    fn meet(&mut self, event: &Transition) {
        // One that was only created goes from CLOSE to CLOSE when it is closed.
        let outlives = event.old != TcpState::Close && self.outlives(event);
        if event.new == TcpState::Close && !outlives {
            return;
        }
        if self.sockets.len() >= self.capacity {
            self.counts.overflow += 1;
            return;
        }
        let slot = self.sockets.insert(Live::new(event.key, event.old, event.at, true));
        self.enter(slot, event, event.old, None);
    }

    /// The socket in `slot` leaves the state it was in `before`.
    fn enter(&mut self, slot: u32, event: &Transition, before: TcpState, ended: Option<&Ended>) {
        let live = &mut self.sockets[slot];
        // A state that is entered again goes on: FIN_WAIT2 becomes an orphan, LISTEN listens.
        let goes_on = before == event.new;
        if !goes_on {
            (live.since, live.seen) = (event.at, true);
        }
        live.state = event.new;
        live.stay = NO_STAY;
        let state = match event.new {
            TcpState::SynSent => {
                live.opened = event.path;
                if let Some(path) = event.path {
                    self.opened.begin(path, event.at);
                }
                return;
            }
            TcpState::FinWait1 => {
                live.shut = event.path;
                return;
            }
            TcpState::Close => StayState::Closed,
            new => match StayState::half_closed(new) {
                Some(state) => state,
                None => return,
            },
        };
        let since = live.since;
        let continued = ended.map(|ended| &ended.stay).filter(|_| goes_on);
        let kept = Kept::entered(state, (slot, live), event, continued);
        let stay = self.begin(slot, kept);
        if since != event.at {
            self.stays.began(stay, event.at);
        }
    }

    /// The socket in slot `socket` is in a stay from now on.
    fn begin(&mut self, socket: u32, kept: Kept) -> u32 {
        let live = &mut self.sockets[socket];
        self.counts.stays[kept.state.index()] += 1;
        let due = self.thresholds.first_look(kept.state, live.since);
        live.stay = self.stays.begin(kept, due);
        live.stay
    }

    /// Whether a program keeps the descriptor of a connection that is over.
    fn outlives(&self, event: &Transition) -> bool {
        let connected = !matches!(
            event.old,
            TcpState::SynSent | TcpState::SynRecv | TcpState::NewSynRecv | TcpState::Listen
        );
        let held = event.circumstances.is_some_and(|at_end| at_end.has_file && !at_end.dead);
        self.thresholds.closed.is_some() && connected && held
    }

    /// The kernel let go of a socket whose TCP was over.
    pub fn released(
        &mut self,
        key: SocketKey,
        at: Instant,
        exiting: Option<bool>,
    ) -> Option<Ended> {
        let live = self.sockets.get(key).filter(|live| live.state == TcpState::Close)?;
        self.remove(live.stay, at, EndedBy::of_task(exiting, EndedBy::Closed))
    }

    /// A program accepted the connection, by the code of `path`.
    pub fn accepted(&mut self, key: SocketKey, path: PathId, at: Instant) {
        self.opened.begin(path, at);
        match self.sockets.get_mut(key) {
            Some(live) => (live.opened, live.accepted) = (Some(path), true),
            // Closed before this was heard of.
            None => self.opened.end(path),
        }
    }

    /// What became of all sockets that the code of `path` opened.
    pub fn proof(&self, path: PathId) -> Option<Proof> {
        self.opened.of(path)
    }

    /// Where the socket is on its way through CLOSE_WAIT, as far as is known.
    pub fn phase(&self, key: SocketKey) -> Phase {
        match self.sockets.get(key).map(|live| live.state) {
            Some(TcpState::CloseWait) => Phase::CloseWait,
            Some(TcpState::Established | TcpState::SynSent) => Phase::Before,
            _ => Phase::After,
        }
    }

    /// A name for a stay that the table does not hold.
    pub fn name(&mut self) -> StayId {
        StayId { slot: NO_STAY, serial: self.stays.next_serial() }
    }

    /// When the next stay is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.stays.next_deadline()
    }

    /// Takes a stay that is due at `now`. It is not due again until [`Self::postpone`] says so.
    pub fn pop_due(&mut self, now: Instant) -> Option<Stay> {
        let slot = self.stays.pop_due(now)?;
        self.stays.stay(slot, &self.sockets)
    }

    /// The stay, if it still goes on.
    pub fn get(&self, id: StayId) -> Option<Stay> {
        self.stays.stay(self.stays.slot(id)?, &self.sockets)
    }

    /// The stay that the socket with `key` is in.
    pub fn stay_of(&self, key: SocketKey) -> Option<Stay> {
        self.stays.stay(self.sockets.get(key)?.stay, &self.sockets)
    }

    /// Says who the stay's socket is, which not every probe tells.
    pub fn locate(&mut self, id: StayId, cookie: u64, netns: NetNs) {
        if let Some(kept) = self.stays.kept(id) {
            kept.locate(cookie, netns);
        }
    }

    /// Looks at the stay again at `at`, when bytes were where `progress` says.
    pub fn postpone(&mut self, id: StayId, at: Instant, progress: Option<Progress>, now: Instant) {
        if let Some(kept) = self.stays.kept(id) {
            kept.looked_at(now, progress);
            self.stays.look(id.slot, at);
        }
    }

    /// Has every stay looked at by `thresholds` from now on; what is due by them, now.
    pub fn look_anew(&mut self, now: Instant, thresholds: Thresholds) {
        self.thresholds = thresholds;
        let due = |state, since| thresholds.first_look(state, since).max(now);
        self.stays.look_anew(&self.sockets, due);
    }

    /// Forgets a stay whose socket the kernel no longer shows: its end was lost.
    pub fn forget(&mut self, id: StayId, now: Instant) -> Option<Ended> {
        let ended = self.remove(self.stays.slot(id)?, now, EndedBy::Unknown)?;
        self.counts.repaired += 1;
        Some(ended)
    }

    /// Takes the stay in `slot` and its socket out of the table.
    fn remove(&mut self, slot: u32, at: Instant, by: EndedBy) -> Option<Ended> {
        let stay = self.stays.stay(slot, &self.sockets)?;
        self.unplaced.remove(stay.key, stay.endpoints);
        let live = self.remove_live(stay.key)?;
        self.stays.end(slot, &live, |_, _| (at, by, None))
    }

    fn remove_live(&mut self, key: SocketKey) -> Option<Live> {
        let live = self.sockets.take(self.sockets.find(key)?.0)?;
        self.closed(&live);
        Some(live)
    }

    fn closed(&mut self, live: &Live) {
        if let Some(path) = live.opened {
            self.opened.end(path);
        }
    }

    /// What was counted so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many sockets are in the table.
    pub fn tracked(&self) -> usize {
        self.sockets.len()
    }

    /// The stays that go on.
    pub fn stays(&self) -> impl Iterator<Item = Stay> {
        self.stays.each(&self.sockets)
    }

    /// The state of each stay that goes on, and since when it is in it.
    pub fn clocks(&self) -> impl Iterator<Item = (StayState, Instant)> {
        self.stays.clocks(&self.sockets)
    }

    /// How many go on, by [`StayState::index`].
    pub const fn half_closed(&self) -> [u64; StayState::COUNT] {
        self.stays.counts()
    }
}

#[cfg(test)]
mod tests;
