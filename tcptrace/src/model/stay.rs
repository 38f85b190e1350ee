//! The stay: one socket, one half-closed state, from when to when.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::code::PathId;
use super::event::{Circumstances, Progress, Transition};
use super::snapshot::Observed;
use super::socket::{Endpoints, NetNs, SocketKey, StayState, TcpState};
use super::time::Instant;

/// Names a stay that is going on. A slot is used again, a serial number is not.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct StayId {
    pub(super) slot: u32,
    pub(super) serial: u64,
}

impl StayId {
    /// The number that no other stay of this run has.
    pub const fn serial(self) -> u64 {
        self.serial
    }

    /// For tests outside of the model.
    #[cfg(test)]
    pub(crate) const fn of(serial: u64) -> Self {
        Self { slot: 0, serial }
    }
}

/// A socket in a state that it is not meant to stay in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Its name among the stays of this run.
    pub id: StayId,
    /// The socket.
    pub key: SocketKey,
    /// Its cookie, once any source has told.
    pub cookie: Option<u64>,
    /// Its network namespace, likewise.
    pub netns: Option<NetNs>,
    /// Both ends.
    pub endpoints: Endpoints,
    /// Which state.
    pub state: StayState,
    /// The program closed it and the kernel waits for the peer: FIN_WAIT2 only.
    pub orphan: bool,
    /// When it entered the state, or the latest moment at which it can have.
    pub since: Instant,
    /// The earliest moment at which it can have; the same as `since` where that is exact.
    pub since_earliest: Instant,
    /// Whether its beginning was seen.
    pub exact: bool,
    /// When this part of it began: an orphan's clock is that of the socket while it was held.
    pub entered: Instant,
    /// What the kernel said at that moment; `None` for a socket that was there first and where the
    /// probe does not tell.
    pub circumstances: Option<Circumstances>,
    /// How far both directions had come when we last looked.
    pub progress: Option<Progress>,
    /// When that was.
    pub progress_at: Instant,
    /// The code that opened the connection, if that was seen.
    pub opened: Option<PathId>,
    /// Whether it was accepted rather than connected.
    pub accepted: bool,
    /// The code that closed or shut down sending, likewise.
    pub shut: Option<PathId>,
}

impl Stay {
    /// That of a socket which was there first and shows in a snapshot of `now`, known by `key`. It has no
    /// name yet.
    pub fn observed(key: SocketKey, socket: &Observed, now: Instant) -> Self {
        let bound = now.before(socket.age_min);
        let earliest = socket.age_max.map_or(Instant::default(), |age| now.before(age).min(bound));
        // What another run has seen is that very moment, so that the parts of its record meet.
        let (since, since_earliest, exact) = socket
            .seen
            .map_or((bound, earliest, false), |seen| (seen.since, seen.since_earliest, seen.exact));
        Self {
            id: StayId::default(),
            key,
            cookie: socket.key.cookie(),
            netns: Some(socket.netns),
            endpoints: socket.endpoints,
            state: socket.state,
            orphan: socket.orphan,
            since,
            since_earliest,
            exact,
            entered: since,
            circumstances: None,
            progress: socket.progress,
            progress_at: now,
            opened: None,
            accepted: false,
            shut: None,
        }
    }

    /// Whether its cookie and its namespace are known.
    pub const fn is_located(&self) -> bool {
        self.cookie.is_some() && self.netns.is_some()
    }

    /// How long it has lasted: exactly if [`Self::exact`], else at least.
    pub fn age(&self, now: Instant) -> Duration {
        now.since(self.since)
    }

    /// How long it can have lasted at most.
    pub fn age_max(&self, now: Instant) -> Duration {
        now.since(self.since_earliest)
    }
}

/// A stay that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The stay.
    pub stay: Stay,
    /// When it ended.
    pub at: Instant,
    /// What ended it.
    pub by: EndedBy,
    /// Whether our side ended it with a reset rather than a FIN; `None` if it did neither.
    pub reset_sent: Option<bool>,
}

/// What ended a stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndedBy {
    /// The program closed it.
    Closed,
    /// The program shut it down in both directions and keeps the descriptor.
    Shutdown,
    /// The program closed it with data unread or SO_LINGER 0: the peer got a reset.
    ClosedWithReset,
    /// The peer sent its FIN.
    PeerClosed,
    /// The peer sent a reset.
    ResetByPeer,
    /// Keepalive, retransmission or TCP_USER_TIMEOUT gave up.
    TimedOut,
    /// Nobody closed it: the process exited and the kernel did.
    ProcessExit,
    /// Ended from outside (SOCK_DESTROY).
    Killed,
    /// It was never accepted and its listener was closed.
    ListenerClosed,
    /// The kernel's own timer ended it.
    Expired,
    /// Its end was not seen.
    Unknown,
}

impl EndedBy {
    /// What the task on the CPU did, where it is that one's doing: `closed` it, unless it was exiting.
    pub fn of_task(exiting: Option<bool>, closed: Self) -> Self {
        match exiting {
            Some(true) => Self::ProcessExit,
            Some(false) => closed,
            None => Self::Unknown,
        }
    }

    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Shutdown => "shutdown",
            Self::ClosedWithReset => "closed_with_reset",
            Self::PeerClosed => "peer_closed",
            Self::ResetByPeer => "reset_by_peer",
            Self::TimedOut => "timed_out",
            Self::ProcessExit => "process_exit",
            Self::Killed => "killed",
            Self::ListenerClosed => "listener_closed",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

const EPIPE: u16 = 32;
const ECONNABORTED: u16 = 103;
const ECONNRESET: u16 = 104;
const ETIMEDOUT: u16 = 110;
/// `sk_shutdown` with both directions closed.
const SHUTDOWN_BOTH: u8 = 3;

/// Whether the end that `event` makes of a stay in `state` sent a reset or a FIN.
pub fn reset_sent(state: StayState, by: EndedBy, event: &Transition) -> Option<bool> {
    let ours = matches!(by, EndedBy::Closed | EndedBy::ClosedWithReset | EndedBy::ProcessExit);
    (ours && state != StayState::Closed).then_some(event.new == TcpState::Close)
}

/// Reads from the event that ended it what ended a stay in `state`, of an `orphan` or not.
///
/// The fields are those `net/ipv4/tcp.c` has set by then: `tcp_reset` gives EPIPE in CLOSE_WAIT and
/// ECONNRESET elsewhere, `tcp_write_err` ETIMEDOUT, `tcp_abort` ECONNABORTED, and a close sets
/// `sk_shutdown` to 3 first. In softirq `exiting` would be the peer's, so it counts only where the
/// task on the CPU acts on the socket.
pub fn ended_by(state: StayState, orphan: bool, event: &Transition) -> EndedBy {
    if event.old != state.state() {
        return EndedBy::Unknown;
    }
    let Some(Circumstances { shutdown, err, has_socket, dead, done, exiting, .. }) =
        event.circumstances
    else {
        return EndedBy::Unknown;
    };
    match (event.new, err) {
        (TcpState::Close, EPIPE | ECONNRESET) => return EndedBy::ResetByPeer,
        (TcpState::Close, ETIMEDOUT) => return EndedBy::TimedOut,
        (TcpState::Close, ECONNABORTED) => return EndedBy::Killed,
        _ => {}
    }
    let closed_by_task = |closed| EndedBy::of_task(exiting, closed);
    match (state, event.new) {
        (StayState::CloseWait, TcpState::LastAck) => closed_by_task(EndedBy::Closed),
        (StayState::CloseWait, TcpState::Close) if shutdown == SHUTDOWN_BOTH && err == 0 => {
            closed_by_task(EndedBy::ClosedWithReset)
        }
        (StayState::CloseWait, TcpState::Close) if err == 0 && !has_socket => {
            closed_by_task(EndedBy::ListenerClosed)
        }
        // tcp_close of a held FIN_WAIT2: the kernel sets the state it is in already.
        (StayState::FinWait2, TcpState::FinWait2) => closed_by_task(EndedBy::Closed),
        // `tcp_fin` marks the socket first.
        (StayState::FinWait2, TcpState::Close) if err == 0 && done => EndedBy::PeerClosed,
        // Whether a minisocket goes on, or the timer or the peer's data ended it, does not show.
        (StayState::FinWait2, TcpState::Close) if orphan || dead => EndedBy::Unknown,
        (StayState::FinWait2, TcpState::Close) if err == 0 => {
            closed_by_task(EndedBy::ClosedWithReset)
        }
        _ => EndedBy::Unknown,
    }
}
