//! How fast a number grows.

use core::time::Duration;
use std::collections::VecDeque;

use super::time::Instant;

/// Growth is measured over this long, and not told before a tenth of it has passed.
const WINDOW: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(1);

/// What a number was during the last minute.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    history: VecDeque<(Instant, usize)>,
}

impl Growth {
    /// The number was `count` at `at`.
    pub fn remember(&mut self, at: Instant, count: usize) {
        match self.history.back_mut() {
            Some((last, number)) if at.since(*last) < STEP => *number = count,
            _ => self.history.push_back((at, count)),
        }
        // One entry older than the window stays, as the size at the window's start.
        while self.history.get(1).is_some_and(|&(second, _)| at.since(second) >= WINDOW) {
            self.history.pop_front();
        }
    }

    /// Net growth a minute up to `count` at `now`, to the tenth; `None` until it has been watched for
    /// some seconds.
    pub fn per_min(&self, now: Instant, count: usize) -> Option<f64> {
        let (first, then) = *self.history.front()?;
        let over = now.since(first).min(WINDOW);
        if over < WINDOW / 10 {
            return None;
        }
        let change = count as f64 - then as f64;
        Some((change / over.as_secs_f64() * 60.0 * 10.0).round() / 10.0)
    }

    /// What the number was at `N` moments of the last minute, evenly apart; the last one is `now`, when
    /// it is `count`. `None` before it was watched.
    pub fn series<const N: usize>(&self, now: Instant, count: usize) -> [Option<usize>; N] {
        core::array::from_fn(|i| {
            let ago = WINDOW / N as u32 * (N - 1 - i) as u32;
            if ago.is_zero() {
                return Some(count);
            }
            let after = self.history.partition_point(|&(at, _)| at <= now.before(ago));
            after.checked_sub(1).map(|last| self.history[last].1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_shows_the_last_minute() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let mut growth = Growth::default();
        assert_eq!(growth.series(at(100), 0), [None, None, Some(0)]);
        growth.remember(at(100), 5);
        growth.remember(at(130), 8);
        assert_eq!(growth.series(at(140), 9), [Some(5), Some(5), Some(9)]);
        assert_eq!(growth.series(at(150), 9), [Some(5), Some(8), Some(9)]);
        assert_eq!(growth.series(at(110), 5), [None, None, Some(5)]);
    }
}
