//! Time as the core sees it: one monotonic clock, and what it was on the wall.

use core::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A moment of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns` and of the kernel's TCP timers.
/// It stands still while the machine is suspended, as those timers do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(u64);

impl Instant {
    /// From nanoseconds since an unspecified start, usually boot.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since that start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future. Records of two CPUs may arrive
    /// out of order by a few microseconds, so this is no error.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `duration` later, at most the end of time.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The first moment from this one on that is a multiple of `step` away from the start.
    pub fn rounded_up(self, step: Duration) -> Self {
        let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.checked_next_multiple_of(step).unwrap_or(u64::MAX))
    }

    /// `duration` before this moment, at least the start.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Ties the monotonic clock to the wall clock: both, read at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Anchor {
    /// The monotonic reading.
    pub monotonic: Instant,
    /// The wall clock's.
    pub wall: Timestamp,
}

impl Anchor {
    /// What the wall clock showed (or would have shown) at `at`.
    pub fn wall_at(&self, at: Instant) -> Timestamp {
        let nanos = i128::from(at.0) - i128::from(self.monotonic.0);
        Timestamp::from_nanosecond(self.wall.as_nanosecond() + nanos).unwrap_or(self.wall)
    }
}
