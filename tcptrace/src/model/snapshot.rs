//! What the kernel shows of all sockets at one moment: at the start, and when something was lost.

use core::ops::Range;
use core::time::Duration;
use std::collections::{HashMap, HashSet};

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::event::Progress;
use super::history::OpenStay;
use super::memory::{Memory, Remembered};
use super::socket::{Endpoints, NetNs, SocketKey, StayState};
use super::time::Instant;

/// All sockets in a state that they are not meant to stay in, and which of the rest there are.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The former.
    pub half_closed: Vec<Observed>,
    /// Every other socket with a connection. `None`: not asked for.
    pub others: Option<FxHashSet<SocketKey>>,
    /// Namespaces whose sockets are all here.
    pub asked: HashSet<NetNs>,
    /// Whether all descriptors were looked at, which alone shows sockets whose TCP is over.
    pub iterated: bool,
    /// How many namespaces could not be entered.
    pub closed: usize,
    /// How long it kept a CPU busy, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Duration>,
    /// What an earlier run saw of some of them, by cookie.
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    pub memories: HashMap<u64, Memory>,
}

/// A socket as a snapshot shows it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The socket.
    pub key: SocketKey,
    /// The address of its `struct sock`, if the source tells.
    pub skaddr: Option<u64>,
    /// Its network namespace.
    pub netns: NetNs,
    /// Both ends.
    pub endpoints: Endpoints,
    /// The state it is in.
    pub state: StayState,
    /// FIN_WAIT2 without a program's socket.
    pub orphan: bool,
    /// Only a timed stand-in is left of it, which makes no transitions. The time it has left.
    pub minisocket: Option<Duration>,
    /// It has been in this state at least so long.
    pub age_min: Duration,
    /// And at most so long; `None`: no bound but boot.
    pub age_max: Option<Duration>,
    /// What another run knew of it.
    #[serde(default)]
    pub seen: Option<OpenStay>,
    /// How far both directions had come.
    pub progress: Option<Progress>,
}

/// What the kernel says of an age is known to the tick.
pub const TICK: Duration = Duration::from_millis(20);

impl Snapshot {
    /// Takes over what `seen` knows of these sockets.
    pub fn remember(&mut self, taken: Range<Instant>, seen: &[Remembered]) {
        let recollection = Recollection::new(taken, seen);
        for socket in &mut self.half_closed {
            let memory = recollection.recall(socket);
            if let Some((cookie, memory)) = socket.key.cookie().zip(memory) {
                self.memories.insert(cookie, memory.clone());
            }
        }
    }
}

/// What another run knew of sockets that a snapshot shows.
pub struct Recollection<'a> {
    /// The snapshot was taken at some moment of this time.
    taken: Range<Instant>,
    seen: HashMap<(u64, StayState, bool), &'a Remembered>,
}

impl<'a> Recollection<'a> {
    /// Of a snapshot that was `taken` at some moment of that time.
    pub fn new(taken: Range<Instant>, seen: &'a [Remembered]) -> Self {
        let name = |stay: &OpenStay| (stay.cookie, stay.state, stay.orphan);
        Self { taken, seen: seen.iter().map(|known| (name(&known.stay), known)).collect() }
    }

    /// Takes over since when `socket` is in its state, and returns what else is known of it. A socket
    /// that has left its state and come back meanwhile is younger than it was seen, which the bounds of
    /// its age show.
    pub fn recall(&self, socket: &mut Observed) -> Option<&'a Memory> {
        if self.seen.is_empty() || socket.minisocket.is_some() {
            return None;
        }
        let name = (socket.key.cookie()?, socket.state, socket.orphan);
        let Remembered { stay: known, memory } = self.seen.get(&name)?;
        let too_young = self.taken.end.since(known.since) + TICK < socket.age_min;
        let age = self.taken.start.since(known.since);
        if too_young || socket.age_max.is_some_and(|max| age > max + TICK) {
            return None;
        }
        socket.seen = Some(*known);
        (!memory.is_empty()).then_some(memory)
    }
}

impl Observed {
    /// A held socket of which no more is known.
    pub const fn new(key: SocketKey, netns: NetNs, endpoints: Endpoints, state: StayState) -> Self {
        Self {
            key,
            skaddr: None,
            netns,
            endpoints,
            state,
            orphan: false,
            minisocket: None,
            age_min: Duration::ZERO,
            age_max: None,
            seen: None,
            progress: None,
        }
    }

    #[cfg(test)]
    pub(super) fn example(state: StayState) -> Self {
        let [local, remote] = ["127.0.0.1:80", "127.0.0.1:4000"].map(|end| end.parse().unwrap());
        Self::new(SocketKey::new(7, 0), NetNs(1), Endpoints { local, remote }, state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn shown(age_min: u64, age_max: Option<u64>) -> Snapshot {
        let socket = Observed {
            age_min: Duration::from_secs(age_min),
            age_max: age_max.map(Duration::from_secs),
            ..Observed::example(StayState::CloseWait)
        };
        Snapshot { half_closed: vec![socket], ..Snapshot::default() }
    }

    #[test]
    fn an_age_within_its_bounds_is_taken_over() {
        let seen = OpenStay {
            cookie: 7,
            state: StayState::CloseWait,
            orphan: false,
            since: at(100),
            since_earliest: at(100),
            exact: true,
        };
        let age = |mut snapshot: Snapshot, seen: OpenStay| {
            let memory = Memory { accepted: true, ..Memory::default() };
            snapshot.remember(at(160)..at(162), &[Remembered { stay: seen, memory }]);
            let seen = snapshot.half_closed[0].seen;
            assert_eq!(snapshot.memories.len(), usize::from(seen.is_some()));
            seen
        };
        assert_eq!(age(shown(5, Some(70)), seen), Some(seen));
        assert_eq!(age(shown(5, None), seen), Some(seen));
        assert_eq!(age(shown(60, Some(60)), seen), Some(seen), "looked at first");
        assert_eq!(age(shown(62, Some(62)), seen), Some(seen), "looked at last");
        assert_eq!(age(shown(5, Some(50)), seen), None, "it has been elsewhere since");
        assert_eq!(age(shown(63, Some(70)), seen), None);
        assert_eq!(age(shown(5, None), OpenStay { cookie: 8, ..seen }), None);
        let other = OpenStay { state: StayState::FinWait2, ..seen };
        assert_eq!(age(shown(5, None), other), None);
    }
}
