//! The figures at the top of the screen, and how fast they change.

use core::time::Duration;
use std::collections::VecDeque;

use crate::model::event::Lost;
use crate::model::figures::Sockets;
use crate::model::socket::StayState;
use crate::model::time::Instant;

/// Rates are those of the last ten seconds.
const SPAN: Duration = Duration::from_secs(10);

/// What is counted from the start on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    transitions: u64,
    fired: u64,
    freed: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Half-closed sockets, by [`StayState::index`].
    pub half_closed: [u64; StayState::COUNT],
    /// Sockets in the table.
    pub tracked: u64,
    /// Events that did not arrive, as far as is known.
    pub lost: u64,
    /// Transitions that did not fit what was known before.
    pub gaps: u64,
    /// Sockets that there was no room for.
    pub overflow: u64,
    history: VecDeque<(Instant, Totals)>,
}

/// How fast things go.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Transitions a second.
    pub transitions: f64,
    /// Sockets a minute that were found to be stuck.
    pub fired: f64,
    /// Sockets a minute that no longer are.
    pub freed: f64,
}

impl Pulse {
    /// Takes in the figures of `now`, and how many have been stuck and no longer are.
    pub fn beat(
        &mut self,
        now: Instant,
        figures: &Sockets,
        lost: Lost,
        (fired, freed): (u64, u64),
    ) {
        self.half_closed = figures.ages.map(|ages| ages.count());
        self.tracked = figures.tracked;
        self.lost = lost.known();
        (self.gaps, self.overflow) = (figures.counts.gaps, figures.counts.overflow);
        let transitions = figures.counts.transitions;
        self.history.push_back((now, Totals { transitions, fired, freed }));
        while self.history.get(1).is_some_and(|&(second, _)| now.since(second) >= SPAN) {
            self.history.pop_front();
        }
    }

    /// Of the last seconds; `None` before there are two figures to compare.
    pub fn rates(&self) -> Option<Rates> {
        let (&(first, then), &(last, now)) = (self.history.front()?, self.history.back()?);
        let seconds = last.since(first).as_secs_f64();
        let per_second = |then: u64, now: u64| now.saturating_sub(then) as f64 / seconds;
        (seconds > 0.0).then(|| Rates {
            transitions: per_second(then.transitions, now.transitions),
            fired: per_second(then.fired, now.fired) * 60.0,
            freed: per_second(then.freed, now.freed) * 60.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let mut pulse = Pulse::default();
        let mut beat = |seconds, transitions, fired| {
            let mut figures = Sockets::default();
            figures.counts.transitions = transitions;
            pulse.beat(at(seconds), &figures, Lost::default(), (fired, 0));
            pulse.rates()
        };
        assert_eq!(beat(0, 1000, 0), None);
        let rates = beat(5, 1500, 1).unwrap();
        assert_eq!((rates.transitions, rates.fired, rates.freed), (100.0, 12.0, 0.0));
        assert_eq!(beat(100, 1500, 1).unwrap().transitions, 0.0, "the quiet since then");
        assert_eq!(beat(110, 2500, 1).unwrap().transitions, 100.0);
    }
}
