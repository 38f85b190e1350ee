//! How long to wait after a failure.

use core::time::Duration;

use super::Again;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// No receiver may keep us waiting for longer.
const MOST_ASKED: Duration = Duration::from_secs(300);

/// The pause after so many failures in a row: twice as long each time, and up to half of it left out at
/// `random`, so that a fleet does not come back all at once.
pub fn pause(failures: u32, again: Again, random: u64) -> Duration {
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
    let jitter = doubled.mul_f64(random as f64 / u64::MAX as f64 / 2.0);
    let pause = doubled - jitter;
    match again {
        Again::After(asked) => pause.max(asked.min(MOST_ASKED)),
        Again::No | Again::Later => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound_and_less_a_random_part() {
        let seconds = |failures, random| pause(failures, Again::Later, random).as_secs_f64();
        assert_eq!([1, 2, 3, 7, 99].map(|n| seconds(n, 0)), [1.0, 2.0, 4.0, 60.0, 60.0]);
        assert!((seconds(2, u64::MAX) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_asked_for_is_honoured_within_bounds() {
        let asked = |seconds| pause(1, Again::After(Duration::from_secs(seconds)), 0).as_secs();
        assert_eq!([0, 30, 86_400].map(asked), [1, 30, 300]);
    }
}
