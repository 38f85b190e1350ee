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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::samples::past;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_nanosecond(nanos.into()).unwrap()
    }

    fn stay(began: i64, lasted: u64) -> PastStay {
        PastStay { began: at(began), lasted: Duration::from_nanos(lasted), ..past::stay() }
    }

    fn clip(window: (i64, i64), stay: &PastStay) -> Option<u128> {
        let window = Window { from: at(window.0), to: at(window.1) };
        window.clip(stay).map(|time| time.as_nanos())
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let stay = stay(10, 10);
        for (window, expect) in [
            ((0, 30), Some(10)),
            ((10, 20), Some(10)),
            ((12, 15), Some(3)),
            ((0, 11), Some(1)),
            ((19, 30), Some(1)),
            ((0, 10), None),
            ((20, 30), None),
        ] {
            assert_eq!(clip(window, &stay), expect, "{window:?}");
        }
    }

    #[test]
    fn no_time_at_all_is_in_one_window_only() {
        let stay = stay(10, 0);
        let parts = [(0, 10), (10, 11), (11, 20)].map(|window| clip(window, &stay));
        assert_eq!(parts, [None, Some(0), None]);
    }

    #[test]
    fn a_stay_without_end_does_not_overflow() {
        let stay = PastStay { lasted: Duration::MAX, ..stay(0, 0) };
        assert_eq!(clip((5, 7), &stay), Some(2));
        assert!(Window::ALL.clip(&stay).is_some());
    }

    proptest! {
        #[test]
        fn the_parts_of_a_split_sum_up_to_the_whole(
            stays in prop::collection::vec((0..1000i64, 0..1000u64), 1..20),
            mut cuts in prop::collection::vec(0..2000i64, 2..10),
        ) {
            cuts.sort_unstable();
            let whole = (cuts[0], cuts[cuts.len() - 1]);
            for (began, lasted) in stays {
                let stay = stay(began, lasted);
                let parts: Vec<_> = cuts.windows(2).map(|cut| clip((cut[0], cut[1]), &stay)).collect();
                let sum: u128 = parts.iter().flatten().sum();
                prop_assert_eq!(sum, clip(whole, &stay).unwrap_or(0));
                prop_assert_eq!(parts.iter().any(Option::is_some), clip(whole, &stay).is_some());
            }
        }
    }
}
