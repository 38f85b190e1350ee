//! Stays that were too short to be kept one by one.

use core::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::history::{Histogram, ShortStays};

/// So many kinds are kept apart: there can be any number of names.
const MOST: usize = 4096;

/// Counts short stays by process, state and verdict.
#[derive(Debug, Default)]
pub struct ShortTally {
    kinds: BTreeMap<ShortStays, Histogram>,
    others: u64,
}

impl ShortTally {
    /// Takes in those of one interval and kind.
    pub fn add(&mut self, kind: &ShortStays, lasted: &Histogram) {
        if let Some(known) = self.kinds.get_mut(kind) {
            known.merge(lasted);
        } else if self.kinds.len() < MOST {
            self.kinds.insert(kind.clone(), *lasted);
        } else {
            self.others += lasted.count();
        }
    }

    /// What all of that comes to.
    pub fn finish(self) -> Short {
        let mut kinds: Vec<_> = self.kinds.into_iter().collect();
        // Those of one count stay in order of their names.
        kinds.sort_by_key(|(_, lasted)| Reverse(lasted.count()));
        Short { kinds, others: self.others }
    }
}

/// The short stays of some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short {
    /// What they were and how long they lasted, the most first.
    pub kinds: Vec<(ShortStays, Histogram)>,
    /// How many there were of kinds that are too many.
    pub others: u64,
}

impl Short {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.kinds.iter().map(|(_, lasted)| lasted.count()).sum::<u64>() + self.others
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::model::socket::StayState;
    use crate::model::verdict::Verdict;

    #[test]
    fn intervals_add_up_by_kind_and_the_most_are_first() {
        let kind = |comm: Option<&str>| ShortStays {
            state: StayState::CloseWait,
            comm: comm.map(Into::into),
            verdict: comm.map(|_| Verdict::EofRead),
        };
        let mut tally = ShortTally::default();
        for (comm, millis) in [(None, 1), (Some("java"), 5), (Some("java"), 700)] {
            let mut lasted = Histogram::default();
            lasted.add(Duration::from_millis(millis));
            tally.add(&kind(comm), &lasted);
        }
        let mut many = Histogram::default();
        many.add(Duration::from_millis(1));
        for n in 0..MOST {
            tally.add(&kind(Some(&format!("worker-{n}"))), &many);
        }
        let short = tally.finish();
        assert_eq!((short.kinds.len(), short.others), (MOST, 2));
        assert_eq!(short.count(), MOST as u64 + 3);
        let (first, lasted) = &short.kinds[0];
        assert_eq!((first, lasted.count()), (&kind(Some("java")), 2));
        assert_eq!(lasted.sum, Duration::from_millis(705));
    }
}
