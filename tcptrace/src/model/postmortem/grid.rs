//! Numbers over time, by differences: a stay costs the same however long it lasted.

use core::time::Duration;

use jiff::Timestamp;

/// Moments at which the number of sockets is counted.
const INSTANTS: u64 = 1 << 16;

/// Nanoseconds from the beginning of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    from: u64,
    to: u64,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A window in steps of one length; the last one may be shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    length: u64,
    step: u64,
}

impl Grid {
    pub(super) fn new(length: Duration, steps: usize) -> Self {
        let length = nanos(length).max(1);
        Self { length, step: length.div_ceil(steps.max(1) as u64) }
    }

    fn count(&self) -> usize {
        // At most as many as were asked for.
        self.length.div_ceil(self.step) as usize
    }

    pub(super) const fn step(&self) -> Duration {
        Duration::from_nanos(self.step)
    }

    /// When each step begins, in a window that begins at `from`.
    pub(super) fn steps(&self, from: Timestamp) -> Vec<Timestamp> {
        let at = |step| from + Duration::from_nanos(step as u64 * self.step);
        (0..self.count()).map(at).collect()
    }

    /// Where a stay is of which `clipped` lies in the window.
    pub(super) fn span(&self, window: Timestamp, began: Timestamp, clipped: Duration) -> Span {
        let offset = began.as_nanosecond() - window.as_nanosecond();
        let from = u64::try_from(offset.max(0)).unwrap_or(u64::MAX).min(self.length);
        Span { from, to: from.saturating_add(nanos(clipped)).min(self.length) }
    }

    fn length_of(&self, step: usize) -> u64 {
        (self.length - step as u64 * self.step).min(self.step)
    }
}

/// Socket-time by step.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// How many more than in the step before lasted for all of it.
    whole: Vec<i64>,
    /// Nanoseconds of those that began or ended within it.
    part: Vec<u128>,
}

impl Timeline {
    pub(super) fn new(grid: &Grid) -> Self {
        Self { whole: vec![0; grid.count() + 1], part: vec![0; grid.count()] }
    }

    pub(super) fn add(&mut self, grid: &Grid, Span { from, to }: Span) {
        if from >= to {
            return;
        }
        let (first, last) = ((from / grid.step) as usize, ((to - 1) / grid.step) as usize);
        if first == last {
            self.part[first] += u128::from(to - from);
            return;
        }
        self.part[first] += u128::from((first as u64 + 1) * grid.step - from);
        self.part[last] += u128::from(to - last as u64 * grid.step);
        self.whole[first + 1] += 1;
        self.whole[last] -= 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.whole.iter_mut().zip(&other.whole).for_each(|(sum, more)| *sum += more);
        self.part.iter_mut().zip(&other.part).for_each(|(sum, more)| *sum += more);
    }

    /// How many there were on average in each step.
    pub(super) fn values(&self, grid: &Grid) -> Vec<f64> {
        let mut whole = 0;
        let steps = self.part.iter().zip(&self.whole).enumerate();
        steps
            .map(|(step, (&part, more))| {
                whole += more;
                whole as f64 + part as f64 / grid.length_of(step) as f64
            })
            .collect()
    }
}

/// How many there are at evenly spaced moments, and at the end.
#[derive(Clone, Debug)]
pub(super) struct Level {
    length: u64,
    step: u64,
    more: Vec<i64>,
    at_end: u64,
}

impl Level {
    pub(super) fn new(length: Duration) -> Self {
        let length = nanos(length).max(1);
        let step = length.div_ceil(INSTANTS);
        Self { length, step, more: vec![0; length.div_ceil(step) as usize + 1], at_end: 0 }
    }

    pub(super) fn add(&mut self, Span { from, to }: Span, at_end: bool) {
        self.more[from.div_ceil(self.step) as usize] += 1;
        self.more[to.div_ceil(self.step) as usize] -= 1;
        self.at_end += u64::from(at_end && to == self.length);
    }

    /// The highest number, and how far into the window it is reached first.
    pub(super) fn peak(&self) -> Option<(u64, Duration)> {
        let mut level = 0;
        let mut peak = (0, 0);
        for (instant, more) in self.more.iter().enumerate() {
            level += more;
            if level > peak.0 {
                peak = (level, instant as u64 * self.step);
            }
        }
        let inside = (u64::try_from(peak.0).unwrap_or(0), peak.1);
        let highest = if self.at_end > inside.0 { (self.at_end, self.length) } else { inside };
        (highest.0 > 0).then_some((highest.0, Duration::from_nanos(highest.1)))
    }
}
