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
}
