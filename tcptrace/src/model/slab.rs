//! Values by number, in pages: what is in one stays where it is as there come to be more, and no more
//! than a page waits to be used.

use core::iter;
use core::ops::{Index, IndexMut};

/// Values in a page. A power of two, so that a number is split into page and place by shifts.
const PAGE: usize = 256;

/// An array that grows by pages.
#[derive(Debug)]
pub struct Pages<T>(Vec<Box<[T; PAGE]>>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pages<T> {
    /// Makes room for the value at `number`; new places have what `fill` makes.
    pub fn reach(&mut self, number: u32, mut fill: impl FnMut() -> T) {
        while self.0.len() <= number as usize / PAGE {
            let page: Box<[T]> = iter::repeat_with(&mut fill).take(PAGE).collect();
            self.0.extend(page.try_into());
        }
    }

    /// The value at `number`, if there is room for it.
    pub fn get(&self, number: u32) -> Option<&T> {
        Some(&self.0.get(number as usize / PAGE)?[number as usize % PAGE])
    }

    /// Likewise.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        Some(&mut self.0.get_mut(number as usize / PAGE)?[number as usize % PAGE])
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|page| page.iter())
    }
}

impl<T> Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.0[number as usize / PAGE][number as usize % PAGE]
    }
}

impl<T> IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.0[number as usize / PAGE][number as usize % PAGE]
    }
}

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    /// And the next one that is.
    Vacant(u32),
}

/// Values that come and go, each in a slot that is used again. What was vacated last is used first.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Pages<Slot<T>>,
    /// Slots that have been used.
    used: u32,
    vacant: u32,
    full: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Pages::default(), used: 0, vacant: NONE, full: 0 }
    }
}

impl<T> Slab<T> {
    /// Bytes a slot takes.
    pub const BYTES_PER_SLOT: usize = size_of::<Slot<T>>();

    /// Puts `value` into a slot. There are fewer than `u32::MAX`.
    pub fn insert(&mut self, value: T) -> u32 {
        self.full += 1;
        let slot = self.vacant;
        if let Some(place) = self.slots.get_mut(slot) {
            if let Slot::Vacant(next) = *place {
                self.vacant = next;
            }
            *place = Slot::Full(value);
            return slot;
        }
        let slot = self.used;
        self.used += 1;
        self.slots.reach(slot, || Slot::Vacant(NONE));
        self.slots[slot] = Slot::Full(value);
        slot
    }

    /// Takes the value out of `slot`, if it has one.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(slot)?;
        if matches!(place, Slot::Vacant(_)) {
            return None;
        }
        let before = core::mem::replace(place, Slot::Vacant(self.vacant));
        self.vacant = slot;
        self.full -= 1;
        match before {
            Slot::Full(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }

    /// The value in `slot`.
    pub fn get(&self, slot: u32) -> Option<&T> {
        match self.slots.get(slot)? {
            Slot::Full(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }

    /// Likewise.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        match self.slots.get_mut(slot)? {
            Slot::Full(value) => Some(value),
            Slot::Vacant(_) => None,
        }
    }

    /// All values and their slots, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.slots.iter()).filter_map(|(slot, place)| match place {
            Slot::Full(value) => Some((slot, value)),
            Slot::Vacant(_) => None,
        })
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.full
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, slot: u32) -> &T {
        self.get(slot).expect("a slot that is in use")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, slot: u32) -> &mut T {
        self.get_mut(slot).expect("a slot that is in use")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map: what is in a slot stays there, and slots are used again before there are more.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..600), 0..1500)) {
            let mut slab = Slab::<u32>::default();
            let mut model = BTreeMap::new();
            let mut most = 0;
            for (insert, number) in steps {
                if insert {
                    let slot = slab.insert(number);
                    prop_assert_eq!(model.insert(slot, number), None);
                    most = most.max(model.len());
                    prop_assert!((slot as usize) < most);
                } else {
                    prop_assert_eq!(slab.get(number), model.get(&number));
                    prop_assert_eq!(slab.remove(number), model.remove(&number));
                    prop_assert_eq!(slab.get_mut(number), None);
                }
                prop_assert_eq!(slab.count(), model.len());
            }
            prop_assert!(slab.iter().eq(model.iter().map(|(&slot, value)| (slot, value))));
        }
    }
}
