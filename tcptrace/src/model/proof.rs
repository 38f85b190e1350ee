//! Proof rather than suspicion: what became of all sockets that one code path had to do with.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::code::PathId;
use super::time::Instant;

/// Paths that are counted at most: those that the kernel side keeps apart.
const MOST: usize = 8192;
/// How many new paths go uncounted before it is looked again for some that are done.
const PATIENCE: u32 = 1024;

/// How one code path fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Since when that is counted.
    pub since: Instant,
    /// How many sockets it has opened, or read the end of.
    pub all: u64,
    /// How many of these have been closed since.
    pub closed: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Proofs {
    of: FxHashMap<PathId, Proof>,
    uncounted: u32,
}

impl Proofs {
    /// The path has to do with one more socket.
    pub fn begin(&mut self, path: PathId, at: Instant) {
        if let Some(proof) = self.of.get_mut(&path) {
            proof.all += 1;
        } else if self.has_room() {
            self.of.insert(path, Proof { since: at, all: 1, closed: 0 });
        }
    }

    /// Paths belong to processes, which end: those without an open socket make room.
    fn has_room(&mut self) -> bool {
        if self.of.len() < MOST {
            return true;
        }
        self.uncounted = (self.uncounted + 1) % PATIENCE;
        if self.uncounted == 1 {
            self.of.retain(|_, proof| proof.all != proof.closed);
        }
        self.of.len() < MOST
    }

    /// One of its sockets is closed.
    pub fn end(&mut self, path: PathId) {
        if let Some(proof) = self.of.get_mut(&path) {
            proof.closed += 1;
        }
    }

    /// How the path fares.
    pub fn of(&self, path: PathId) -> Option<Proof> {
        self.of.get(&path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_done_make_room() {
        let mut proofs = Proofs::default();
        let path = |number: u32| PathId::new(number).unwrap();
        let most = u32::try_from(MOST).unwrap();
        for number in 1..=most {
            proofs.begin(path(number), Instant::default());
        }
        proofs.begin(path(most + 1), Instant::default());
        assert_eq!(proofs.of(path(most + 1)), None, "all of them have open sockets");
        proofs.end(path(7));
        for _ in 0..PATIENCE {
            proofs.begin(path(most + 1), Instant::default());
        }
        assert_eq!(proofs.of(path(7)), None);
        assert!(proofs.of(path(most + 1)).is_some_and(|proof| proof.all > 0));
        assert_eq!(proofs.of(path(8)).map(|proof| (proof.all, proof.closed)), Some((1, 0)));
    }
}
