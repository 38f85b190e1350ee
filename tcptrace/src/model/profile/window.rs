//! The span of time that is asked for.

use core::time::Duration;

use jiff::Timestamp;

use crate::model::history::PastStay;

/// From one moment up to, not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment in it.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

impl Window {
    /// All of time.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// How long it is; zero if it ends before it begins.
    pub fn length(&self) -> Duration {
        nanos(self.to.as_nanosecond() - self.from.as_nanosecond())
    }

    /// How long of `stay` lies in it; `None` if nothing does. Over any split of a window the parts of a
    /// stay sum up to the whole; a stay that lasted no time at all is in the part that it began in.
    pub fn clip(&self, stay: &PastStay) -> Option<Duration> {
        let (from, to) = (self.from.as_nanosecond(), self.to.as_nanosecond());
        let began = stay.began.as_nanosecond();
        let ended =
            began.saturating_add(i128::try_from(stay.lasted.as_nanos()).unwrap_or(i128::MAX));
        let touches = began < to && (ended > from || began >= from);
        touches.then(|| nanos(ended.min(to) - began.max(from)))
    }
}

fn nanos(nanos: i128) -> Duration {
    const SECOND: i128 = 1_000_000_000;
    let nanos = nanos.max(0);
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % SECOND) as u32)
}
