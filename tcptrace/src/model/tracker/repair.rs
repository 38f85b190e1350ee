//! What one look at all sockets shows, against what is known of them.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Tracker;
use super::sockets::{Live, NO_STAY};
use super::stays::Kept;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{Identity, NetNs, SocketKey, StayState};
use crate::model::stay::{Ended, EndedBy, Stay};
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
        let shown: FxHashMap<_, _> = full.iter().copied().collect();
        let is_shown = |stay: &Stay| {
            shown.get(&stay.key).is_some_and(|socket| {
                // An address can be another socket's by now.
                let same = self.identity == Identity::Cookie
                    || socket.endpoints.canonical() == stay.endpoints.canonical();
                same && socket.state == stay.state
            })
        };
        let is_over = |stay: &Stay| {
            let asked = match stay.netns {
                _ if stay.state == StayState::Closed => snapshot.iterated,
                Some(netns) => snapshot.asked.contains(&netns),
                None => snapshot.closed == 0,
            };
            asked && !touched.contains(&stay.key) && !is_shown(stay)
        };
        let over: Vec<_> = self.stays().filter(|stay| is_over(stay)).map(|stay| stay.id).collect();
        let mut ended: Vec<_> = over.into_iter().filter_map(|id| self.forget(id, now)).collect();
        let adopted = full.into_iter().filter(|(_, socket)| wanted(socket.netns));
        for (key, socket) in adopted.filter(|(key, _)| !touched.contains(key)) {
            ended.extend(self.adopt(now, key, socket));
        }
        self.unplaced.touched.clear();
        if let Some(others) = &snapshot.others
            && snapshot.closed == 0
        {
            let before = self.sockets.len();
            self.sockets.retain(|live| {
                let shown = match self.identity {
                    Identity::Cookie => others.contains(&live.key),
                    // They do not say whom they show: it is learnt again as it moves.
                    Identity::Address => false,
                };
                live.stay != NO_STAY || touched.contains(&live.key) || shown
            });
            self.counts.repaired += (before - self.sockets.len()) as u64;
        }
        ended
    }

    /// Returns the stay that the socket is in no more.
    fn adopt(&mut self, now: Instant, key: SocketKey, socket: &Observed) -> Option<Ended> {
        let state = socket.state.state();
        let known = self.sockets.find(key).map(|(found, &live)| (found, live));
        match known {
            Some((_, live)) if live.state == state => return None,
            // It has moved on unseen.
            Some(_) => self.counts.repaired += 1,
            None if self.sockets.len() >= self.capacity => {
                self.counts.overflow += 1;
                return None;
            }
            None => {}
        }
        let stay = Stay::observed(key, socket, now);
        let live = Live::new(key, state, stay.since, false);
        let (slot, ended) = match known {
            Some((found, before)) => {
                self.sockets[found.slot] = live;
                let lost = |_, _| (now, EndedBy::Unknown, None);
                (found.slot, self.stays.end(before.stay, &before, lost))
            }
            None => (self.sockets.insert(live), None),
        };
        self.begin(slot, Kept::of(slot, &stay));
        if self.identity == Identity::Address && key == socket.key {
            self.unplaced.add(key, socket.endpoints);
        }
        ended
    }
}
