//! Proof rather than suspicion: what became of all sockets that one code path had to do with.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::code::PathId;
use super::time::Instant;

/// Paths that are counted at most: those that the kernel side keeps apart.
const MOST: usize = 8192;

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
pub struct Proofs(FxHashMap<PathId, Proof>);

impl Proofs {
    /// The path has to do with one more socket.
    pub fn begin(&mut self, path: PathId, at: Instant) {
        if self.0.len() < MOST || self.0.contains_key(&path) {
            self.0.entry(path).or_insert(Proof { since: at, all: 0, closed: 0 }).all += 1;
        }
    }

    /// One of its sockets is closed.
    pub fn end(&mut self, path: PathId) {
        if let Some(proof) = self.0.get_mut(&path) {
            proof.closed += 1;
        }
    }

    /// How the path fares.
    pub fn of(&self, path: PathId) -> Option<Proof> {
        self.0.get(&path).copied()
    }
}
