//! Sockets that the probe knows by their addresses only. A snapshot does not tell those of all
//! sockets, so the two are brought together by both ends of the connection, within the limits of
//! that: two namespaces may have the same connection, and then neither is taken for the other.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Tracker;
use crate::model::event::Transition;
use crate::model::snapshot::{Observed, Snapshot};
use crate::model::socket::{Endpoints, Identity, SocketKey};
use crate::model::stay::Stay;

/// Sockets that a snapshot showed and no transition has named yet: they stand under their cookies.
#[derive(Debug, Default)]
pub(super) struct Unplaced {
    by_ends: FxHashMap<Endpoints, Vec<SocketKey>>,
    /// The ends of every socket that has changed while a snapshot is under way.
    pub(super) touched: FxHashSet<Endpoints>,
}

impl Unplaced {
    pub(super) fn add(&mut self, key: SocketKey, endpoints: Endpoints) {
        self.by_ends.entry(endpoints.canonical()).or_default().push(key);
    }

    pub(super) fn remove(&mut self, key: SocketKey, endpoints: Endpoints) {
        if self.by_ends.is_empty() {
            return;
        }
        let ends = endpoints.canonical();
        if let Some(keys) = self.by_ends.get_mut(&ends) {
            keys.retain(|&other| other != key);
            if keys.is_empty() {
                self.by_ends.remove(&ends);
            }
        }
    }

    /// The only socket there is with these ends.
    fn take(&mut self, ends: Endpoints) -> Option<SocketKey> {
        let &[key] = self.by_ends.get(&ends)?.as_slice() else { return None };
        self.by_ends.remove(&ends);
        Some(key)
    }
}

impl Tracker {
    /// Puts a socket under the address that its first transition tells.
    pub(super) fn place(&mut self, event: &Transition) {
        let snapshot = self.touched.as_ref().is_some_and(|&(began, _)| event.at >= began);
        if !snapshot && self.unplaced.by_ends.is_empty() {
            return;
        }
        let ends = event.endpoints.canonical();
        if snapshot {
            self.unplaced.touched.insert(ends);
        }
        if self.sockets.contains(event.key) {
            return;
        }
        let Some(key) = self.unplaced.take(ends) else { return };
        if let Some((found, _)) = self.sockets.find(key) {
            self.sockets.rename(found, event.key);
        }
    }

    /// The full sockets of a snapshot under the keys that they have here, without those that have
    /// changed meanwhile as far as only their ends tell.
    pub(super) fn known_as<'a>(&self, snapshot: &'a Snapshot) -> Vec<(SocketKey, &'a Observed)> {
        let full = snapshot.half_closed.iter().filter(|socket| socket.minisocket.is_none());
        if self.identity == Identity::Cookie {
            return full.map(|socket| (socket.key, socket)).collect();
        }
        let mut by_ends = FxHashMap::<_, Vec<Stay>>::default();
        for stay in self.stays().filter(|stay| stay.key.cookie().is_none()) {
            by_ends.entry((stay.state, stay.endpoints.canonical())).or_default().push(stay);
        }
        let known = |socket: &Observed| {
            if self.sockets.contains(socket.key) {
                return Some(socket.key);
            }
            let ends = socket.endpoints.canonical();
            let same = by_ends.get(&(socket.state, ends)).map(Vec::as_slice).unwrap_or_default();
            if let Some(skaddr) = socket.skaddr {
                return Some(SocketKey::new(0, skaddr));
            }
            let elsewhere = |stay: &Stay| stay.netns.is_some_and(|netns| netns != socket.netns);
            match same.iter().find(|stay| !elsewhere(stay)) {
                Some(stay) => Some(stay.key),
                None => (!self.unplaced.touched.contains(&ends)).then_some(socket.key),
            }
        };
        full.filter_map(|socket| Some((known(socket)?, socket))).collect()
    }
}
