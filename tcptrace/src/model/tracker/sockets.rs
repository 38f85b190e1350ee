//! All sockets that are known, by what they are known by.
//!
//! What is hashed into is a table of their slots, with five bytes a place. It alone is made anew, twice
//! as large, when it is full: the sockets stay where they are.

use core::hash::BuildHasher as _;
use core::ops::{Index, IndexMut};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::model::code::PathId;
use crate::model::slab::Slab;
use crate::model::socket::{SocketKey, TcpState};
use crate::model::time::Instant;

/// No stay.
pub(super) const NO_STAY: u32 = u32::MAX;

/// A socket, and what it is doing now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub key: SocketKey,
    pub since: Instant,
    /// Its place among the stays, or [`NO_STAY`].
    pub stay: u32,
    /// The code that opened the connection, and the code that closed or shut down.
    pub opened: Option<PathId>,
    pub shut: Option<PathId>,
    pub state: TcpState,
    /// Whether `since` is a transition that we saw.
    pub seen: bool,
    /// Whether `opened` accepted it.
    pub accepted: bool,
}

impl Live {
    /// One that enters `state` at `since`, as far as was `seen`.
    pub const fn new(key: SocketKey, state: TcpState, since: Instant, seen: bool) -> Self {
        Self { key, since, stay: NO_STAY, opened: None, shut: None, state, seen, accepted: false }
    }
}

/// Where a socket is, until the table is changed.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub slot: u32,
    bucket: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    by_key: HashTable<u32>,
    slots: Slab<Live>,
}

impl Sockets {
    /// Most bytes that one takes. The table keeps one byte of its own a place, and is at least seven
    /// sixteenths full once it has grown.
    #[cfg(test)]
    pub const BYTES_PER_SOCKET: usize =
        Slab::<Live>::BYTES_PER_SLOT + ((size_of::<u32>() + 1) * 16).div_ceil(7);

    /// The socket, and where it is.
    pub fn find(&self, key: SocketKey) -> Option<(Found, &Live)> {
        let Self { by_key, slots } = self;
        let mut found = None;
        let bucket = by_key.find_bucket_index(hash(key), |&slot| {
            found = slots.get(slot).filter(|live| live.key == key).map(|live| (slot, live));
            found.is_some()
        })?;
        let (slot, live) = found?;
        Some((Found { slot, bucket }, live))
    }

    pub fn get(&self, key: SocketKey) -> Option<&Live> {
        self.find(key).map(|(_, live)| live)
    }

    pub fn get_mut(&mut self, key: SocketKey) -> Option<&mut Live> {
        self.slots.get_mut(self.find(key)?.0.slot)
    }

    pub fn contains(&self, key: SocketKey) -> bool {
        self.find(key).is_some()
    }

    /// Adds one whose key is not in the table.
    pub fn insert(&mut self, live: Live) -> u32 {
        let slot = self.slots.insert(live);
        self.add(live.key, slot);
        slot
    }

    fn add(&mut self, key: SocketKey, slot: u32) {
        let Self { by_key, slots } = self;
        let hash_of = |&slot: &u32| slots.get(slot).map_or(0, |live| hash(live.key));
        by_key.insert_unique(hash(key), slot, hash_of);
    }

    pub fn take(&mut self, found: Found) -> Option<Live> {
        self.lose(found);
        self.slots.remove(found.slot)
    }

    /// Knows a socket by `key` from now on, which is not in the table.
    pub fn rename(&mut self, found: Found, key: SocketKey) {
        self.lose(found);
        self[found.slot].key = key;
        self.add(key, found.slot);
    }

    fn lose(&mut self, found: Found) {
        if let Ok(entry) = self.by_key.get_bucket_entry(found.bucket) {
            entry.remove();
        }
    }

    /// Keeps those alone that `keep` says.
    pub fn retain(&mut self, keep: impl Fn(&Live) -> bool) {
        let Self { by_key, slots } = self;
        by_key.retain(|&mut slot| {
            let kept = slots.get(slot).is_some_and(&keep);
            if !kept {
                slots.remove(slot);
            }
            kept
        });
    }

    pub const fn len(&self) -> usize {
        self.slots.count()
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Live> {
        self.slots.iter().map(|(_, live)| live)
    }
}

impl Index<u32> for Sockets {
    type Output = Live;

    fn index(&self, slot: u32) -> &Live {
        &self.slots[slot]
    }
}

impl IndexMut<u32> for Sockets {
    fn index_mut(&mut self, slot: u32) -> &mut Live {
        &mut self.slots[slot]
    }
}

fn hash(key: SocketKey) -> u64 {
    FxBuildHasher.hash_one(key)
}
