//! Who has read the end of file of which socket.
//!
//! Every healthy close reads one, so this costs a table entry while the socket is in CLOSE_WAIT and
//! nothing afterwards.

use core::time::Duration;
use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::code::PathId;
use super::event::{Deed, DeedKind, OnCpu};
use super::process::Process;
use super::proof::{Proof, Proofs};
use super::socket::SocketKey;
use super::time::Instant;

/// A read may be known before the transition that made it possible: that record can be held up by
/// another one which is still being written.
const PATIENCE: Duration = Duration::from_secs(1);

/// One process's first receive that returned the end of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EofRead {
    /// When.
    pub at: Instant,
    /// The thread.
    pub by: OnCpu,
    /// When its process began, in clock ticks since boot, if the probe tells.
    pub start_ticks: Option<u64>,
    /// With `MSG_PEEK`, which leaves the end of file there.
    pub peeked: bool,
    /// What its code path is known by.
    pub path: Option<PathId>,
}

impl EofRead {
    /// Whether it was `process`. Pids are used again, so the beginning counts where it is known.
    pub fn is_by(&self, process: &Process) -> bool {
        self.by.pid == process.pid
            && (self.start_ticks.is_none()
                || process.start_ticks.is_none()
                || self.start_ticks == process.start_ticks)
    }
}

/// The first of `reads` that took the end of file.
pub fn first_read(reads: &[EofRead]) -> Option<&EofRead> {
    reads.iter().find(|read| !read.peeked)
}

/// Where a socket is whose end of file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The transition that made the read possible is not known yet.
    Before,
    /// In CLOSE_WAIT.
    CloseWait,
    /// It has left CLOSE_WAIT already, as healthy ones have within microseconds, or nothing of it is
    /// known.
    After,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Reads {
    of: FxHashMap<SocketKey, Readers>,
    paths: Proofs,
    early: VecDeque<(SocketKey, EofRead)>,
}

#[derive(Debug)]
struct Readers {
    first: EofRead,
    more: Vec<EofRead>,
}

impl Reads {
    /// Takes in a read of the socket with `key`, which is at `phase`; other deeds are left alone.
    pub fn take(&mut self, key: SocketKey, deed: &Deed, phase: Phase) {
        let peeked = match deed.kind {
            DeedKind::EofRead => false,
            DeedKind::EofPeeked => true,
            DeedKind::Released | DeedKind::Accepted => return,
        };
        let Deed { at, by, start_ticks, path, .. } = *deed;
        let read = EofRead { at, by, start_ticks, peeked, path };
        match phase {
            Phase::CloseWait => self.add(key, read),
            Phase::Before => self.early.push_back((key, read)),
            Phase::After => {
                self.count(&read);
                self.count_closed(&read);
            }
        }
    }

    fn add(&mut self, key: SocketKey, read: EofRead) {
        use std::collections::hash_map::Entry;
        match self.of.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(Readers { first: read, more: Vec::new() });
                self.count(&read);
            }
            Entry::Occupied(mut entry) => {
                let readers = entry.get_mut();
                let same = |other: &EofRead| {
                    (other.by.pid, other.start_ticks, other.peeked)
                        == (read.by.pid, read.start_ticks, read.peeked)
                };
                if !same(&readers.first) && !readers.more.iter().any(same) {
                    readers.more.push(read);
                }
            }
        }
    }

    fn count(&mut self, read: &EofRead) {
        if let Some(path) = read.path.filter(|_| !read.peeked) {
            self.paths.begin(path, read.at);
        }
    }

    /// What became of the other sockets whose end the same code has read.
    pub fn proof(&self, path: PathId) -> Option<Proof> {
        self.paths.of(path)
    }

    /// Places reads that came before their socket, and gives up those that have waited for long.
    pub fn settle(&mut self, now: Instant, phase: impl Fn(SocketKey) -> Phase) {
        for _ in 0..self.early.len() {
            let Some((key, read)) = self.early.pop_front() else { break };
            if phase(key) == Phase::CloseWait {
                self.add(key, read);
            } else if now.since(read.at) < PATIENCE {
                self.early.push_back((key, read));
            }
        }
    }

    /// The socket has left CLOSE_WAIT. Returns its first read.
    pub fn forget(&mut self, key: SocketKey) -> Option<EofRead> {
        let first = self.of.remove(&key)?.first;
        self.count_closed(&first);
        Some(first)
    }

    fn count_closed(&mut self, read: &EofRead) {
        if let Some(path) = read.path.filter(|_| !read.peeked) {
            self.paths.end(path);
        }
    }

    /// All reads of a socket, the first first.
    pub fn of(&self, key: SocketKey) -> Vec<EofRead> {
        let readers = self.of.get(&key);
        readers
            .map_or_else(Vec::new, |r| core::iter::once(&r.first).chain(&r.more).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(at: u64, pid: u32, kind: DeedKind) -> Deed {
        Deed {
            at: Instant::from_nanos(at * 1_000_000_000),
            cookie: Some(5),
            skaddr: 0,
            kind,
            exiting: Some(false),
            by: OnCpu { pid, tid: pid, comm: [0; 16] },
            start_ticks: Some(1),
            path: None,
        }
    }

    const KEY: SocketKey = SocketKey::new(5, 0);

    #[test]
    fn the_first_of_each_process_counts() {
        let mut reads = Reads::default();
        for (at, pid, kind) in [
            (1, 7, DeedKind::EofPeeked),
            (2, 7, DeedKind::EofRead),
            (3, 8, DeedKind::EofRead),
            (4, 7, DeedKind::EofRead),
        ] {
            reads.take(KEY, &deed(at, pid, kind), Phase::CloseWait);
        }
        let of: Vec<_> = reads.of(KEY).iter().map(|r| (r.by.pid, r.peeked)).collect();
        assert_eq!(of, [(7, true), (7, false), (8, false)]);
        reads.forget(KEY);
        assert_eq!(reads.of(KEY), []);
    }

    #[test]
    fn what_became_of_a_path_is_counted() {
        let mut reads = Reads::default();
        for cookie in 1..=10 {
            let read = Deed { path: PathId::new(99), ..deed(cookie, 7, DeedKind::EofRead) };
            reads.take(SocketKey::new(cookie, 0), &read, Phase::CloseWait);
        }
        for cookie in 1..=7 {
            reads.forget(SocketKey::new(cookie, 0));
        }
        let since = Instant::from_nanos(1_000_000_000);
        assert_eq!(
            reads.proof(PathId::new(99).unwrap()),
            Some(Proof { since, all: 10, closed: 7 })
        );
        // One that was closed before its read was heard of.
        let read = Deed { path: PathId::new(99), ..deed(11, 7, DeedKind::EofRead) };
        reads.take(SocketKey::new(11, 0), &read, Phase::After);
        assert_eq!(
            reads.proof(PathId::new(99).unwrap()),
            Some(Proof { since, all: 11, closed: 8 })
        );
        assert_eq!(reads.proof(PathId::new(98).unwrap()), None);
    }

    #[test]
    fn one_that_comes_before_its_socket_waits_for_a_second() {
        let mut reads = Reads::default();
        reads.take(KEY, &deed(1, 7, DeedKind::EofRead), Phase::Before);
        reads.settle(Instant::from_nanos(1_500_000_000), |_| Phase::Before);
        reads.settle(Instant::from_nanos(1_600_000_000), |_| Phase::CloseWait);
        assert_eq!(reads.of(KEY).len(), 1);
        reads.take(KEY, &deed(1, 8, DeedKind::EofRead), Phase::Before);
        reads.settle(Instant::from_nanos(2_000_000_000), |_| Phase::Before);
        assert!(reads.early.is_empty());
    }
}
