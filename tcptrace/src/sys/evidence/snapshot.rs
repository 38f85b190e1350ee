//! Half-closed sockets that were there first, and how long they can have been so.

use core::time::Duration;
use std::collections::{HashMap, HashSet};

use super::dump::Dumps;
use super::held::Held;
use crate::model::decode::HeldFd;
use crate::model::evidence::Timer;
use crate::model::settled::Stillness;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{NetNs, SocketKey, StayState, TcpState};
use crate::sys::sockdiag::DiagSocket;

/// Every half-closed socket that either source shows; `iterated`: the pass was the iterator's.
pub(super) fn snapshot(held: &Held, dumps: &Dumps, iterated: bool) -> Snapshot {
    let asked: HashSet<_> =
        dumps.iter().filter_map(|(&netns, dump)| Some(netns).filter(|_| dump.is_some())).collect();
    let with_record = |spot: Spot| Spot { record: held.record(spot.key), ..spot };
    let half_closed = spots(held, dumps).filter_map(|spot| with_record(spot).observed(dumps));
    Snapshot {
        half_closed: half_closed.collect(),
        others: None,
        iterated,
        closed: dumps.len() - asked.len(),
        cost: None,
        memories: HashMap::new(),
        asked,
    }
}

/// What both sources showed of one socket.
pub(super) struct Spot {
    pub(super) key: SocketKey,
    pub(super) netns: NetNs,
    pub(super) socket: Option<DiagSocket>,
    pub(super) record: Option<HeldFd>,
}

/// Where there may be half-closed sockets, each once: what sock_diag shows, and the iterator where
/// sock_diag does not.
pub(super) fn spots(held: &Held, dumps: &Dumps) -> impl Iterator<Item = Spot> {
    let asked = dumps.iter().filter_map(|(&netns, dump)| Some((netns, dump.as_ref()?)));
    let shown = asked.flat_map(|(netns, dump)| {
        let spot = move |socket: DiagSocket| Spot {
            key: socket.key,
            netns,
            socket: Some(socket),
            record: None,
        };
        dump.sockets().map(spot)
    });
    let is_shown = |record: &HeldFd| {
        dumps.get(&record.netns).and_then(Option::as_ref).is_some_and(|dump| dump.has(record.key))
    };
    let rest = held.last_records().filter(move |record| !is_shown(record)).map(|record| Spot {
        key: record.key,
        netns: record.netns,
        socket: None,
        record: Some(record),
    });
    shown.chain(rest)
}

impl Spot {
    /// With the bounds of its age, if it is half-closed.
    pub(super) fn observed(&self, dumps: &Dumps) -> Option<Observed> {
        let record = self.record.as_ref().and_then(|record| Some((record, stays(record)?)));
        let Some(socket) = &self.socket else {
            return record.map(|(record, state)| unaged(record, state));
        };
        let state = StayState::half_closed(socket.state)?;
        let dump = dumps.get(&self.netns).and_then(Option::as_ref);
        let fin_timeout = dump.and_then(|dump| dump.fin_timeout);
        let observed = observe(self.netns, socket, state, fin_timeout);
        let (skaddr, progress) = record.map(|(record, _)| (record.skaddr, record.progress)).unzip();
        Some(Observed { skaddr, progress, ..observed })
    }

    /// What the kernel's own account says of what moves on it.
    pub(super) fn stillness(&self) -> Stillness {
        let ages = self.socket.as_ref().and_then(|socket| socket.ages);
        Stillness {
            last_send: ages.map(|ages| ages.last_send()),
            last_recv: ages.map(|ages| ages.last_recv()),
            send_queue: self.socket.as_ref().map(|socket| socket.send_queue),
        }
    }
}

/// The state that a held socket is not meant to stay in.
fn stays(held: &HeldFd) -> Option<StayState> {
    StayState::half_closed(held.state).or_else(|| outlived(held))
}

/// The bounds of a half-closed socket's age.
///
/// The FIN was acknowledged (or was itself an acknowledgement), so it is no younger than the last
/// one; keepalives acknowledge too, so it may be older, but no older than the last data in the
/// direction that has ended. An orphan has been one for as long as its timer has run.
pub(super) fn observe(
    netns: NetNs,
    socket: &DiagSocket,
    state: StayState,
    fin_timeout: Option<Duration>,
) -> Observed {
    let bounds = socket.ages.map(|ages| {
        let last_data = match state {
            StayState::CloseWait => ages.last_recv(),
            StayState::FinWait2 | StayState::Closed => ages.last_send(),
        };
        (ages.last_ack().min(last_data), ages.last_ack().max(last_data))
    });
    let timed = match (socket.timer, fin_timeout) {
        (Timer::TimeWait(left), Some(timeout)) => {
            orphaned_for(timeout, left, socket.is_minisocket())
        }
        _ => Duration::ZERO,
    };
    Observed {
        orphan: state == StayState::FinWait2 && socket.inode == 0,
        minisocket: match socket.timer {
            Timer::TimeWait(left) if socket.is_minisocket() => Some(left),
            _ => None,
        },
        age_min: bounds.map_or(timed, |(min, _)| min),
        age_max: bounds.map(|(_, max)| max),
        ..Observed::new(socket.key, netns, socket.endpoints, state)
    }
}

/// How long a socket has been an orphan in FIN_WAIT2 whose timer has `left` to run.
///
/// Up to `TCP_TIMEWAIT_LEN` a minisocket waits for all of `tcp_fin_timeout`. Beyond it the full socket
/// waits for the excess first and its minisocket for the excess once more
/// (`net/ipv4/tcp_timer.c: tcp_keepalive_timer`).
fn orphaned_for(fin_timeout: Duration, left: Duration, minisocket: bool) -> Duration {
    const TIMEWAIT_LEN: Duration = Duration::from_secs(60);
    let excess = fin_timeout.saturating_sub(TIMEWAIT_LEN);
    let all = match (excess.is_zero(), minisocket) {
        (true, _) => fin_timeout,
        (false, false) => excess,
        (false, true) => excess * 2,
    };
    all.saturating_sub(left)
}

/// A socket in CLOSE that was connected once and is over (`tcp_done` shuts both directions down):
/// most in that state were only made or bound, and one whose connect was refused has received
/// nothing, not even a first sequence number.
fn outlived(held: &HeldFd) -> Option<StayState> {
    let over = held.state == TcpState::Close && held.shutdown == 3 && held.progress.rcv_nxt != 0;
    (over && held.endpoints.remote.port() != 0).then_some(StayState::Closed)
}

/// Of its age nothing is known.
fn unaged(held: &HeldFd, state: StayState) -> Observed {
    Observed {
        skaddr: Some(held.skaddr),
        progress: Some(held.progress),
        ..Observed::new(held.key, held.netns, held.endpoints, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds, as measured on 6.18: with 61 an orphan lasts 2 s, with 70 20 s, with 120 two minutes.
    #[test]
    fn a_fin_timeout_beyond_a_minute_is_waited_for_twice_over() {
        let age = |timeout, left, mini| {
            orphaned_for(Duration::from_secs(timeout), Duration::from_secs(left), mini).as_secs()
        };
        assert_eq!(age(60, 50, true), 10);
        assert_eq!((age(61, 1, false), age(61, 1, true), age(61, 0, true)), (0, 1, 2));
        assert_eq!((age(70, 4, false), age(70, 8, true)), (6, 12));
        assert_eq!(age(120, 0, true), 120);
    }
}
