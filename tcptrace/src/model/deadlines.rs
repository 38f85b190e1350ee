//! When to look at which stay: a queue a threshold, and a sorted set for the rest.
//!
//! All stays in one state wait the same time, so their deadlines arrive in order and a linked list
//! through one array is enough: a healthy connection enters and leaves it in constant time, without
//! allocating, and a tick looks at the heads only. What does not fit at the end of its list (a
//! second look, a socket that was there first) goes into a sorted set.

use std::collections::BTreeSet;

use super::time::Instant;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Queue(u8),
    Sorted,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    at: Instant,
    prev: u32,
    next: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    head: u32,
    tail: u32,
}

/// Deadlines by slot number; a slot has one at most.
#[derive(Debug)]
pub struct Deadlines<const QUEUES: usize> {
    nodes: Vec<Node>,
    queues: [Queue; QUEUES],
    sorted: BTreeSet<(Instant, u32)>,
}

impl<const QUEUES: usize> Default for Deadlines<QUEUES> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
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
        let index = slot as usize;
        if index >= self.nodes.len() {
            let empty =
                Node { at: Instant::default(), prev: NONE, next: NONE, place: Place::Nowhere };
            self.nodes.resize(index + 1, empty);
        }
        let tail = self.queues[queue].tail;
        if tail != NONE && self.nodes[tail as usize].at > at {
            self.sorted.insert((at, slot));
            self.nodes[index] = Node { at, prev: NONE, next: NONE, place: Place::Sorted };
            return;
        }
        let place = Place::Queue(queue as u8);
        self.nodes[index] = Node { at, prev: tail, next: NONE, place };
        self.queues[queue].tail = slot;
        match tail {
            NONE => self.queues[queue].head = slot,
            tail => self.nodes[tail as usize].next = slot,
        }
    }

    /// Takes the deadline of `slot` away, if it has one.
    pub fn clear(&mut self, slot: u32) {
        let Some(node) = self.nodes.get_mut(slot as usize) else { return };
        let Node { at, prev, next, place } = *node;
        node.place = Place::Nowhere;
        match place {
            Place::Nowhere => {}
            Place::Sorted => {
                self.sorted.remove(&(at, slot));
            }
            Place::Queue(queue) => {
                let queue = &mut self.queues[usize::from(queue)];
                match prev {
                    NONE => queue.head = next,
                    prev => self.nodes[prev as usize].next = next,
                }
                match next {
                    NONE => queue.tail = prev,
                    next => self.nodes[next as usize].prev = prev,
                }
            }
        }
    }

    /// The earliest deadline and its slot.
    pub fn first(&self) -> Option<(Instant, u32)> {
        let heads = self.queues.iter().filter(|queue| queue.head != NONE);
        heads
            .map(|queue| (self.nodes[queue.head as usize].at, queue.head))
            .chain(self.sorted.first().copied())
            .min()
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
