//! How fast: a rate that is kept on average, and never overtaken by more than one.

use core::time::Duration;

use crate::model::time::Instant;

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per: Duration,
}

impl Rate {
    /// `count` in each `per`; `None` if either is zero.
    pub const fn new(count: u32, per: Duration) -> Option<Self> {
        if count == 0 || per.is_zero() { None } else { Some(Self { count, per }) }
    }

    /// From one to the next.
    pub fn interval(self) -> Duration {
        self.per / self.count
    }

    /// How many a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.per.as_secs_f64()
    }
}

/// Keeps a rate.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// The first may be at once.
    pub fn new(rate: Rate) -> Self {
        Self { interval: rate.interval(), next: Instant::default() }
    }

    /// How long to wait at `now` before the next one.
    pub fn wait(&self, now: Instant) -> Duration {
        self.next.since(now)
    }

    /// One was done at `now`. What was late is caught up with by one, not by a burst.
    pub fn done(&mut self, now: Instant) {
        self.next = self.next.after(self.interval).max(now);
        if self.next == now {
            self.next = now.after(self.interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000_000 * MILLI + millis * MILLI)
    }

    #[test]
    fn a_rate_is_of_something_in_some_time() {
        assert_eq!(Rate::new(0, Duration::from_secs(1)), None);
        assert_eq!(Rate::new(1, Duration::ZERO), None);
        let rate = Rate::new(50, Duration::from_secs(1)).unwrap();
        assert_eq!((rate.interval(), rate.per_second()), (Duration::from_millis(20), 50.0));
    }

    #[test]
    fn the_rate_is_kept_and_nothing_comes_in_bursts() {
        let mut pace = Pace::new(Rate::new(50, Duration::from_secs(1)).unwrap());
        assert_eq!(pace.wait(at(0)), Duration::ZERO);
        pace.done(at(0));
        assert_eq!(pace.wait(at(5)), Duration::from_millis(15));
        // A millisecond late each time, and still fifty a second.
        pace.done(at(21));
        assert_eq!(pace.wait(at(21)), Duration::from_millis(19));
        // After a long stall they are as far apart as ever.
        pace.done(at(500));
        assert_eq!(pace.wait(at(500)), Duration::from_millis(20));
    }
}
