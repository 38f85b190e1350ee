//! The clocks.

use core::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::model::time::{Anchor, Instant};

/// Now, on the clock of the kernel's records.
pub fn now() -> Instant {
    nanos(ClockId::Monotonic)
}

/// How long this thread has been on a CPU.
pub fn on_cpu() -> Duration {
    nanos(ClockId::ThreadCPUTime).since(Instant::default())
}

/// Both clocks at this moment. Taken anew for every batch that is told, so that a step of the wall
/// clock bends no later time stamp.
pub fn anchor() -> Anchor {
    Anchor { monotonic: now(), wall: Timestamp::now() }
}

/// When the machine was started by the wall clock, suspended time included: what
/// `/proc/PID/stat` counts from.
pub fn boot_time() -> Timestamp {
    let since = i128::from(nanos(ClockId::Boottime).as_nanos());
    let boot = Timestamp::now().as_nanosecond() - since;
    Timestamp::from_nanosecond(boot).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn nanos(clock: ClockId) -> Instant {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}
