//! What one look at all sockets shows, against what is known of them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Live, NO_STAY, Tracker};
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{Identity, NetNs, SocketKey, StayState};
use crate::model::stay::{Ended, Stay};
use crate::model::time::Instant;

impl Tracker {
    /// Says that a snapshot begins: sockets that change from `now` on are remembered, since what the
    /// snapshot will say of them may be older than what we know.
    pub fn snapshot_begins(&mut self, now: Instant) {
        self.touched = Some((now, FxHashSet::default()));
    }

    /// Takes in what the snapshot showed; returns the stays of which it turns out that they are
    /// over. Every record of before its end must have been applied. Sockets that changed meanwhile
    /// are left as they are: what is known of them is newer. Of namespaces that are not `wanted`
    /// nothing is taken in.
    pub fn snapshot_ends(
        &mut self,
        now: Instant,
        snapshot: &Snapshot,
        wanted: impl Fn(NetNs) -> bool,
    ) -> Vec<Ended> {
        let touched = self.touched.take().map(|(_, touched)| touched).unwrap_or_default();
        let full: Vec<_> = self.known_as(snapshot);
        let shown: FxHashMap<_, _> =
            full.iter().map(|&(key, socket)| (key, socket.state)).collect();
        let is_over = |stay: &Stay| {
            let asked = match stay.netns {
                _ if stay.state == StayState::Closed => snapshot.iterated,
                Some(netns) => snapshot.asked.contains(&netns),
                None => snapshot.closed == 0,
            };
            asked && !touched.contains(&stay.key) && shown.get(&stay.key) != Some(&stay.state)
        };
        let over: Vec<_> = self.stays().filter(|stay| is_over(stay)).map(|stay| stay.id).collect();
        let ended = over.into_iter().filter_map(|id| self.forget(id, now)).collect();
        let adopted = full.into_iter().filter(|(_, socket)| wanted(socket.netns));
        for (key, socket) in adopted.filter(|(key, _)| !touched.contains(key)) {
            self.adopt(now, key, socket);
        }
        self.unplaced.touched.clear();
        if let Some(others) = &snapshot.others
            && snapshot.closed == 0
        {
            let before = self.live.len();
            self.live.retain(|key, live| {
                let shown = match self.identity {
                    Identity::Cookie => others.contains(key),
                    // They do not say whom they show: it is learnt again as it moves.
                    Identity::Address => false,
                };
                live.slot != NO_STAY || touched.contains(key) || shown
            });
            self.counts.repaired += (before - self.live.len()) as u64;
        }
        ended
    }

    fn adopt(&mut self, now: Instant, key: SocketKey, socket: &Observed) {
        let state = socket.state.state();
        match self.live.get(&key) {
            Some(live) if live.state == state => return,
            // It has moved on unseen.
            Some(_) => self.counts.repaired += 1,
            None if self.live.len() >= self.capacity => {
                self.counts.overflow += 1;
                return;
            }
            None => {}
        }
        let stay = Stay::observed(key, socket, now);
        let since = stay.since;
        let slot = self.begin(stay);
        if self.identity == Identity::Address && key == socket.key {
            self.unplaced.add(key, socket.endpoints);
        }
        let live =
            Live { since, slot, opened: None, shut: None, state, seen: false, accepted: false };
        self.live.insert(key, live);
    }
}
