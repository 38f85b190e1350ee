//! Both clocks over time: what the wall clock showed at any moment, though it was set meanwhile.

use core::time::Duration;
use std::collections::VecDeque;

use jiff::Timestamp;

use crate::model::time::{Anchor, Instant};

/// Between two readings the clocks may drift apart by this before it counts as a step.
const TOLERANCE: Duration = Duration::from_millis(20);
/// Steps that are remembered.
const MOST: usize = 64;

/// Nanoseconds since 1970, as the journal keeps them: until 2262.
pub fn nanos(wall: Timestamp) -> i64 {
    i64::try_from(wall.as_nanosecond()).unwrap_or(if wall.as_second() < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

/// The readings after which the wall clock went on evenly.
#[derive(Debug)]
pub struct Clock {
    steps: VecDeque<Anchor>,
    last: Anchor,
}

impl Clock {
    /// From a first reading, which holds for all that was before it too.
    pub fn new(anchor: Anchor) -> Self {
        Self { steps: VecDeque::from([anchor]), last: anchor }
    }

    /// Takes in both clocks. Returns whether the wall clock has been set, or the machine was asleep.
    pub fn take(&mut self, anchor: Anchor) -> bool {
        self.last = anchor;
        let expected = self.at(anchor.monotonic).wall_at(anchor.monotonic);
        let apart = anchor.wall.duration_since(expected).unsigned_abs();
        let stepped = apart > TOLERANCE;
        if stepped {
            if self.steps.len() == MOST {
                self.steps.pop_front();
            }
            self.steps.push_back(anchor);
        }
        stepped
    }

    /// The last reading.
    pub const fn last(&self) -> Anchor {
        self.last
    }

    /// What the wall clock showed at `at`, in nanoseconds since 1970.
    pub fn wall_at(&self, at: Instant) -> i64 {
        nanos(self.at(at).wall_at(at))
    }

    fn at(&self, at: Instant) -> Anchor {
        let before = |anchor: &&Anchor| anchor.monotonic <= at;
        *self.steps.iter().rev().find(before).or(self.steps.front()).unwrap_or(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(second: u64, wall: i64) -> Anchor {
        Anchor {
            monotonic: Instant::from_nanos(second * 1_000_000_000),
            wall: Timestamp::from_second(wall).unwrap(),
        }
    }

    #[test]
    fn each_moment_has_the_wall_time_of_its_own_side_of_a_step() {
        let mut clock = Clock::new(anchor(100, 5_000));
        assert!(!clock.take(anchor(101, 5_001)));
        assert!(clock.take(anchor(102, 9_002)), "set an hour ahead");
        assert!(!clock.take(anchor(103, 9_003)));
        let wall = |second: u64| clock.wall_at(anchor(second, 0).monotonic) / 1_000_000_000;
        assert_eq!([wall(90), wall(101), wall(102), wall(110)], [4_990, 5_001, 9_002, 9_010]);
    }
}
