//! A pass over all descriptors, arranged by socket.

use std::{iter, mem};

use anyhow::Result;
use rustc_hash::{FxHashMap, FxHashSet};

use super::dump::{Dump, Dumps};
use crate::model::decode::{HeldFd, RawHeldFd};
use crate::model::socket::{SocketKey, TcpState};
use crate::sys::holders::{FdOf, Holders};

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// See the module. The descriptors of one socket are chained in the order of the pass.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<RawHeldFd>,
    /// Those of `/proc`, which has no records.
    fds: Vec<FdOf>,
    next: Vec<u32>,
    chains: FxHashMap<SocketKey, Chain>,
    /// Whether every process could be looked into.
    pub(super) complete: bool,
    /// Whether several processes hold one socket. The only one who does cannot let go of it without
    /// ending it.
    pub(super) shared: bool,
}

#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
}

impl Held {
    /// Makes a pass, which the iterator shows to `also` as it comes. `/proc` knows sockets by their
    /// inodes only: those of `dumps` are looked for.
    pub(super) fn pass(
        holders: &mut Holders,
        dumps: &Dumps,
        mut also: impl FnMut(&HeldFd),
    ) -> Result<Self> {
        let sockets = || dumps.values().flatten().flat_map(Dump::sockets);
        let by_iterator = holders.is_iterator();
        let inodes: FxHashSet<_> =
            sockets().filter(|_| !by_iterator).map(|socket| socket.inode).collect();
        let mut held = Self::default();
        let pass = holders.pass(
            |inode| inodes.contains(&inode),
            |raw, record| {
                held.records.push(raw);
                held.chain(record.key, record.state);
                also(record);
            },
        )?;
        held.complete = pass.complete;
        for socket in sockets().filter(|_| !by_iterator) {
            for fd in pass.by_inode.get(&socket.inode).into_iter().flatten() {
                held.fds.push(*fd);
                held.chain(socket.key, socket.state);
            }
        }
        Ok(held)
    }

    /// Appends the next descriptor to those of its socket.
    fn chain(&mut self, key: SocketKey, state: TcpState) {
        // The kernel has fewer descriptors than that.
        let at = self.next.len() as u32;
        self.next.push(NONE);
        let chain = self.chains.entry(key).or_insert(Chain { first: at, last: at });
        let last = mem::replace(&mut chain.last, at);
        if last != at {
            self.next[last as usize] = at;
            self.shared |= state != TcpState::Listen && self.fd(last).pid != self.fd(at).pid;
        }
    }

    fn fd(&self, at: u32) -> FdOf {
        let record = self.records.get(at as usize);
        record.map_or_else(|| self.fds[at as usize], |record| (&record.get()).into())
    }

    /// The descriptors of a socket.
    pub(super) fn fds(&self, key: SocketKey) -> impl Iterator<Item = FdOf> {
        let first = self.chains.get(&key).map(|chain| chain.first);
        let next = |&at: &u32| Some(self.next[at as usize]).filter(|&next| next != NONE);
        iter::successors(first, next).map(|at| self.fd(at))
    }

    /// What the kernel said of a socket at the last of its descriptors; nothing if the pass was not
    /// its own.
    pub(super) fn record(&self, key: SocketKey) -> Option<HeldFd> {
        self.records.get(self.chains.get(&key)?.last as usize).map(RawHeldFd::get)
    }

    /// What the kernel said at every descriptor.
    pub(super) fn records(&self) -> impl ExactSizeIterator<Item = HeldFd> {
        self.records.iter().map(RawHeldFd::get)
    }

    /// What it said of every socket at the last of its descriptors.
    pub(super) fn last_records(&self) -> impl Iterator<Item = HeldFd> {
        let last = self.records.iter().zip(&self.next).filter(|&(_, &next)| next == NONE);
        last.map(|(record, _)| record.get())
    }
}
