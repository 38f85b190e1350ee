//! The stays that go on, in half the bytes that a [`Stay`] has: what its socket's own entry says is not
//! said again, and addresses are bytes.

use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use rustc_hash::FxHashMap;

use super::sockets::{Live, Sockets};
use crate::model::deadlines::Deadlines;
use crate::model::event::{Circumstances, Progress, Transition};
use crate::model::slab::Slab;
use crate::model::socket::{Endpoints, NetNs, StayState};
use crate::model::stay::{Ended, EndedBy, Stay, StayId};
use crate::model::time::Instant;

/// A stay as it is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The number that no other stay of this run has.
    serial: u64,
    /// 0: no source has told.
    cookie: u64,
    since_earliest: Instant,
    progress_at: Instant,
    local: [u8; 16],
    remote: [u8; 16],
    ports: [u16; 2],
    /// 0: no source has told.
    netns: u32,
    /// Its place among the sockets.
    socket: u32,
    progress: Progress,
    err: u16,
    shutdown: u8,
    /// As in a record ([`tcptrace_common::flag`]).
    flags: u8,
    pub state: StayState,
    marks: u8,
}

/// Bits of [`Kept::marks`].
mod mark {
    pub const ORPHAN: u8 = 1 << 0;
    pub const EXACT: u8 = 1 << 1;
    /// How far both directions had come is known.
    pub const PROGRESS: u8 = 1 << 2;
    pub const LOCAL_INET6: u8 = 1 << 3;
    pub const REMOTE_INET6: u8 = 1 << 4;
}

const fn marked(on: bool, mark: u8) -> u8 {
    if on { mark } else { 0 }
}

impl Kept {
    fn new(state: StayState, socket: u32, endpoints: Endpoints) -> Self {
        let (local, local_inet6) = bytes(endpoints.local.ip());
        let (remote, remote_inet6) = bytes(endpoints.remote.ip());
        Self {
            serial: 0,
            cookie: 0,
            since_earliest: Instant::default(),
            progress_at: Instant::default(),
            local,
            remote,
            ports: [endpoints.local.port(), endpoints.remote.port()],
            netns: 0,
            socket,
            progress: Progress::default(),
            err: 0,
            shutdown: 0,
            flags: 0,
            state,
            marks: marked(local_inet6, mark::LOCAL_INET6)
                | marked(remote_inet6, mark::REMOTE_INET6),
        }
    }

    /// What `event` begins. If it goes on with `before`, what was known of that is still.
    pub fn entered(
        state: StayState,
        (socket, live): (u32, &Live),
        event: &Transition,
        before: Option<&Stay>,
    ) -> Self {
        let dead = event.circumstances.is_some_and(|at_entry| at_entry.dead);
        let orphan = state == StayState::FinWait2 && (dead || event.old == event.new);
        let mut kept = Self::new(state, socket, event.endpoints);
        kept.cookie = event.key.cookie().or(before.and_then(|stay| stay.cookie)).unwrap_or(0);
        let netns = event.netns.or(before.and_then(|stay| stay.netns));
        kept.netns = netns.map_or(0, |netns| netns.0);
        kept.since_earliest = before.map_or(live.since, |stay| stay.since_earliest);
        kept.progress_at = event.at;
        kept.set_progress(event.progress);
        if let Some(circumstances) = event.circumstances {
            kept.err = circumstances.err;
            kept.shutdown = circumstances.shutdown;
            kept.flags = circumstances.flags();
        }
        kept.marks |= marked(orphan, mark::ORPHAN) | marked(live.seen, mark::EXACT);
        kept
    }

    /// What is kept of `stay`, which began with the clock of the socket in slot `socket`.
    pub fn of(socket: u32, stay: &Stay) -> Self {
        let mut kept = Self::new(stay.state, socket, stay.endpoints);
        kept.cookie = stay.cookie.unwrap_or(0);
        kept.netns = stay.netns.map_or(0, |netns| netns.0);
        kept.since_earliest = stay.since_earliest;
        kept.progress_at = stay.progress_at;
        kept.set_progress(stay.progress);
        kept.marks |= marked(stay.orphan, mark::ORPHAN) | marked(stay.exact, mark::EXACT);
        kept
    }

    fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn progress(&self) -> Option<Progress> {
        self.is(mark::PROGRESS).then_some(self.progress)
    }

    fn set_progress(&mut self, progress: Option<Progress>) {
        if let Some(progress) = progress {
            self.progress = progress;
            self.marks |= mark::PROGRESS;
        }
    }

    /// The stay in `slot`, of the socket that is `live`, which began with its clock unless it has
    /// `entered`.
    fn whole(&self, slot: u32, live: &Live, entered: Option<Instant>) -> Stay {
        let [local_port, remote_port] = self.ports;
        Stay {
            id: StayId { slot, serial: self.serial },
            key: live.key,
            cookie: (self.cookie != 0).then_some(self.cookie),
            netns: (self.netns != 0).then_some(NetNs(self.netns)),
            endpoints: Endpoints {
                local: address(self.local, self.is(mark::LOCAL_INET6), local_port),
                remote: address(self.remote, self.is(mark::REMOTE_INET6), remote_port),
            },
            state: self.state,
            orphan: self.is(mark::ORPHAN),
            since: live.since,
            since_earliest: self.since_earliest,
            exact: self.is(mark::EXACT),
            entered: entered.unwrap_or(live.since),
            circumstances: Circumstances::of(self.shutdown, self.err, self.flags),
            progress: self.progress(),
            progress_at: self.progress_at,
            opened: live.opened,
            accepted: live.accepted,
            shut: live.shut,
        }
    }

    /// Bytes were found where `progress` says.
    pub fn looked_at(&mut self, now: Instant, progress: Option<Progress>) {
        if progress.is_some() && progress != self.progress() {
            self.set_progress(progress);
            self.progress_at = now;
        }
    }

    /// The socket was found out to be this one.
    pub fn locate(&mut self, cookie: u64, netns: NetNs) {
        (self.cookie, self.netns) = (cookie, netns.0);
    }
}

fn bytes(ip: IpAddr) -> ([u8; 16], bool) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false)
        }
        IpAddr::V6(ip) => (ip.octets(), true),
    }
}

fn address(bytes: [u8; 16], inet6: bool, port: u16) -> SocketAddr {
    if inet6 {
        return SocketAddrV6::new(bytes.into(), port, 0, 0).into();
    }
    let [a, b, c, d, ..] = bytes;
    SocketAddrV4::new([a, b, c, d].into(), port).into()
}

/// All of them, by slot, and when each is due.
#[derive(Debug, Default)]
pub(super) struct Stays {
    slots: Slab<Kept>,
    deadlines: Deadlines<{ StayState::COUNT }>,
    /// When those began that go on with the clock of another.
    entered: FxHashMap<u32, Instant>,
    next_serial: u64,
    counts: [u64; StayState::COUNT],
}

impl Stays {
    /// Bytes that one takes.
    #[cfg(test)]
    pub const BYTES_PER_STAY: usize =
        Slab::<Kept>::BYTES_PER_SLOT + Deadlines::<{ StayState::COUNT }>::BYTES_PER_SLOT;

    /// Takes in one that begins, and is to be looked at when it is `due`.
    pub fn begin(&mut self, mut kept: Kept, due: Instant) -> u32 {
        kept.serial = self.next_serial();
        let state = kept.state.index();
        self.counts[state] += 1;
        let slot = self.slots.insert(kept);
        self.deadlines.set(slot, state, due);
        slot
    }

    /// Says that the one in `slot` began at `at`, though its clock is older.
    pub fn began(&mut self, slot: u32, at: Instant) {
        self.entered.insert(slot, at);
    }

    /// A number for one that is not kept here.
    pub fn next_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial - 1
    }

    /// The slot of the stay, if it still goes on.
    pub fn slot(&self, id: StayId) -> Option<u32> {
        self.slots.get(id.slot).filter(|kept| kept.serial == id.serial).map(|_| id.slot)
    }

    /// What is kept of the stay, if it still goes on.
    pub fn kept(&mut self, id: StayId) -> Option<&mut Kept> {
        self.slots.get_mut(id.slot).filter(|kept| kept.serial == id.serial)
    }

    /// The one in `slot`, with what its socket says.
    pub fn stay(&self, slot: u32, sockets: &Sockets) -> Option<Stay> {
        let kept = self.slots.get(slot)?;
        Some(kept.whole(slot, &sockets[kept.socket], self.entered(slot)))
    }

    /// All of them.
    pub fn each<'a>(&'a self, sockets: &'a Sockets) -> impl Iterator<Item = Stay> + 'a {
        let whole = |(slot, kept): (u32, &Kept)| {
            kept.whole(slot, &sockets[kept.socket], self.entered(slot))
        };
        self.slots.iter().map(whole)
    }

    /// The state of each, and its clock: for those who go over all of them and want no more.
    pub fn clocks<'a>(
        &'a self,
        sockets: &'a Sockets,
    ) -> impl Iterator<Item = (StayState, Instant)> + 'a {
        self.slots.iter().map(|(_, kept)| (kept.state, sockets[kept.socket].since))
    }

    fn entered(&self, slot: u32) -> Option<Instant> {
        // There are hardly ever any.
        if self.entered.is_empty() { None } else { self.entered.get(&slot).copied() }
    }

    /// Takes out the one in `slot`, whose socket is `live`. `how` says from its state, and whether it
    /// is an orphan, when and by what it has ended, and whether with a reset.
    pub fn end(
        &mut self,
        slot: u32,
        live: &Live,
        how: impl FnOnce(StayState, bool) -> (Instant, EndedBy, Option<bool>),
    ) -> Option<Ended> {
        let kept = self.slots.remove(slot)?;
        self.deadlines.clear(slot);
        self.counts[kept.state.index()] -= 1;
        let (at, by, reset_sent) = how(kept.state, kept.is(mark::ORPHAN));
        let entered = self.entered(slot);
        if entered.is_some() {
            self.entered.remove(&slot);
        }
        Some(Ended { stay: kept.whole(slot, live, entered), at, by, reset_sent })
    }

    /// Has the one in `slot` looked at when it is `due`.
    pub fn look(&mut self, slot: u32, due: Instant) {
        if let Some(kept) = self.slots.get(slot) {
            self.deadlines.set(slot, kept.state.index(), due);
        }
    }

    /// Has all of them looked at when `due` says.
    pub fn look_anew(&mut self, sockets: &Sockets, due: impl Fn(StayState, Instant) -> Instant) {
        for (slot, kept) in self.slots.iter() {
            let due = due(kept.state, sockets[kept.socket].since);
            self.deadlines.set(slot, kept.state.index(), due);
        }
    }

    /// When the next one is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| at)
    }

    /// The slot of one that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.deadlines.pop_due(now)
    }

    /// How many there are, by [`StayState::index`].
    pub const fn counts(&self) -> [u64; StayState::COUNT] {
        self.counts
    }
}
