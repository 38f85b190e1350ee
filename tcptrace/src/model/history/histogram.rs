//! How long many stays lasted, in numbers.

use core::time::Duration;

/// How long stays lasted: the `n`th bucket counts those below `2^n` milliseconds that are in no bucket
/// before, the last one the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many, by length.
    pub buckets: [u64; Self::BUCKETS],
    /// How long all of them lasted together.
    pub sum: Duration,
}

impl Histogram {
    /// Up to the longest recording threshold that makes sense, an hour.
    pub const BUCKETS: usize = 24;

    /// Counts one more.
    pub fn add(&mut self, lasted: Duration) {
        let millis = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - millis.leading_zeros()) as usize;
        self.buckets[bucket.min(Self::BUCKETS - 1)] += 1;
        self.sum = self.sum.saturating_add(lasted);
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Between which lengths the one lies that a `share` of all of them, from 0 to 1, does not exceed;
    /// `None` where there are none.
    pub fn quantile(&self, share: f64) -> Option<Bounds> {
        // The first of one is the first.
        let rank = ((self.count() as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|&count| {
            seen += count;
            seen >= rank
        })?;
        Some(Bounds::of(bucket))
    }
}

/// Between which lengths something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// It is no shorter.
    pub from: Duration,
    /// It is shorter; `None`: nothing is known of that.
    pub below: Option<Duration>,
}

impl Bounds {
    fn of(bucket: usize) -> Self {
        let edge = |bucket: usize| Duration::from_millis(1 << bucket);
        let from = bucket.checked_sub(1).map_or(Duration::ZERO, edge);
        Self { from, below: (bucket < Histogram::BUCKETS - 1).then(|| edge(bucket)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(from: u64, below: u64) -> Option<Bounds> {
        let [from, below] = [from, below].map(Duration::from_millis);
        Some(Bounds { from, below: Some(below) })
    }

    #[test]
    fn quantiles_are_where_a_sorted_list_has_them() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        // In order of length: 98 of 3 ms, one of 100 ms, one of 700 ms.
        (0..98).for_each(|_| histogram.add(Duration::from_millis(3)));
        histogram.add(Duration::from_millis(700));
        histogram.add(Duration::from_millis(100));
        for (share, bounds) in [
            (0.0, millis(2, 4)),
            (0.5, millis(2, 4)),
            (0.98, millis(2, 4)),
            (0.99, millis(64, 128)),
            (1.0, millis(512, 1024)),
        ] {
            assert_eq!(histogram.quantile(share), bounds, "{share}");
        }
    }

    #[test]
    fn every_length_lies_between_the_bounds_it_is_given() {
        for lasted in [0, 1, 999_999, 1_000_000, 1_023_999_999, 1_024_000_000, u64::MAX] {
            let lasted = Duration::from_nanos(lasted);
            let mut histogram = Histogram::default();
            histogram.add(lasted);
            let bounds = histogram.quantile(0.5).unwrap();
            assert!(bounds.from <= lasted, "{lasted:?}: {bounds:?}");
            assert!(bounds.below.is_none_or(|below| lasted < below), "{lasted:?}: {bounds:?}");
        }
    }
}
