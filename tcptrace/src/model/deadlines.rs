//! When to look at which stay: a queue a threshold, and a sorted set for the rest.
//!
//! All stays in one state wait the same time, so their deadlines arrive in order and a linked list
//! through one array is enough: a healthy connection enters and leaves it in constant time, without
//! allocating, and a tick looks at the heads only. What does not fit at the end of its list (a
//! second look, a socket that was there first) goes into a sorted set.

use std::collections::BTreeSet;

use super::slab::Pages;
use super::time::Instant;

/// No slot: the end of a queue.
const NONE: u32 = u32::MAX;
/// Instead of the slot before: this one is in the sorted set, or has no deadline.
const SORTED: u32 = u32::MAX - 1;
const NOWHERE: u32 = u32::MAX - 2;

#[derive(Clone, Copy, Debug)]
struct Node {
    at: Instant,
    prev: u32,
    next: u32,
}

const EMPTY: Node = Node { at: Instant::from_nanos(0), prev: NOWHERE, next: NONE };

#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}

/// Deadlines by slot number, of fewer than four thousand million slots; a slot has one at most.
#[derive(Debug)]
pub struct Deadlines<const QUEUES: usize> {
    nodes: Pages<Node>,
    queues: [Queue; QUEUES],
    sorted: BTreeSet<(Instant, u32)>,
}

impl<const QUEUES: usize> Default for Deadlines<QUEUES> {
    fn default() -> Self {
        Self {
            nodes: Pages::default(),
            queues: [Queue { head: NONE, tail: NONE }; QUEUES],
            sorted: BTreeSet::new(),
        }
    }
}

impl<const QUEUES: usize> Deadlines<QUEUES> {
    /// Bytes a slot takes.
    pub const BYTES_PER_SLOT: usize = size_of::<Node>();

    /// Sets the deadline of `slot`, whatever it was, preferring queue `queue`.
    pub fn set(&mut self, slot: u32, queue: usize, at: Instant) {
        self.clear(slot);
        self.nodes.reach(slot, || EMPTY);
        let tail = self.queues[queue].tail;
        match self.nodes.get_mut(tail) {
            Some(last) if last.at > at => {
                self.sorted.insert((at, slot));
                self.nodes[slot] = Node { at, prev: SORTED, next: NONE };
                return;
            }
            Some(last) => last.next = slot,
            None => self.queues[queue].head = slot,
        }
        self.queues[queue].tail = slot;
        self.nodes[slot] = Node { at, prev: tail, next: NONE };
    }

    /// Takes the deadline of `slot` away, if it has one.
    pub fn clear(&mut self, slot: u32) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let Node { at, prev, next } = *node;
        node.prev = NOWHERE;
        match prev {
            NOWHERE => return,
            SORTED => {
                self.sorted.remove(&(at, slot));
                return;
            }
            _ => {}
        }
        // Which queue it is in shows at its ends alone.
        match self.nodes.get_mut(prev) {
            Some(before) => before.next = next,
            None => self.at_end(|queue| &mut queue.head, slot, next),
        }
        match self.nodes.get_mut(next) {
            Some(after) => after.prev = prev,
            None => self.at_end(|queue| &mut queue.tail, slot, prev),
        }
    }

    /// Puts `instead` in the place of `slot` at the `end` of its queue.
    fn at_end(&mut self, end: impl Fn(&mut Queue) -> &mut u32, slot: u32, instead: u32) {
        if let Some(end) = self.queues.iter_mut().map(end).find(|end| **end == slot) {
            *end = instead;
        }
    }

    /// The earliest deadline and its slot.
    pub fn first(&self) -> Option<(Instant, u32)> {
        let heads = self.queues.iter().filter_map(|queue| {
            let node = self.nodes.get(queue.head)?;
            Some((node.at, queue.head))
        });
        heads.chain(self.sorted.first().copied()).min()
    }

    /// Takes the earliest deadline that is not after `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = self.first()?;
        if at > now {
            return None;
        }
        self.clear(slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a sorted map: same order of deadlines out, whatever went in.
        #[test]
        fn behaves_like_a_sorted_map(
            steps in proptest::collection::vec((0u32..20, 0usize..2, 0u64..50, 0u8..4), 0..200)
        ) {
            let mut deadlines = Deadlines::<2>::default();
            let mut model = BTreeMap::<u32, Instant>::new();
            for (slot, queue, at, kind) in steps {
                let at = Instant::from_nanos(at);
                match kind {
                    0 | 1 => {
                        deadlines.set(slot, queue, at);
                        model.insert(slot, at);
                    }
                    2 => {
                        deadlines.clear(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        let due = model.values().filter(|&&deadline| deadline <= at).min().copied();
                        let popped = deadlines.pop_due(at);
                        prop_assert_eq!(popped.map(|slot| model[&slot]), due);
                        if let Some(slot) = popped {
                            model.remove(&slot);
                        }
                    }
                }
                let first = model.values().min().copied();
                prop_assert_eq!(deadlines.first().map(|(at, _)| at), first);
            }
        }
    }
}
