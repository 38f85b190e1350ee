//! One family of metrics at a time.

use core::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::model::history::Histogram;

/// Labels of a sample: each a name and a value.
pub type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// Where families are written.
pub struct Families<'a>(pub DescriptorEncoder<'a>);

impl Families<'_> {
    /// Something that goes up and down.
    pub fn gauge<'l, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            samples
                .into_iter()
                .try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    /// Something that only grows. Its samples are called `name_total`.
    pub fn counter<'l, V: EncodeCounterValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            samples.into_iter().try_for_each(|(labels, value)| {
                let mut metric = metric.encode_family(&labels)?;
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
            })
        })
    }

    /// Durations in seconds.
    pub fn histogram<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l, N>, &'h Histogram)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, |metric| {
            samples.into_iter().try_for_each(|(labels, histogram)| {
                let mut metric = metric.encode_family(&labels)?;
                let (sum, count) = (histogram.sum.as_secs_f64(), histogram.count());
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets(histogram), None)
            })
        })
    }

    /// What does not change, as labels.
    pub fn info<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_, N>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Info, |metric| metric.encode_info(&labels))
    }

    /// The unit is the last word of `name`, where that is one.
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let (name, unit) = match name.rsplit_once('_') {
            Some((name, "seconds")) => (name, Some(Unit::Seconds)),
            Some((name, "bytes")) => (name, Some(Unit::Bytes)),
            _ => (name, None),
        };
        write(&mut self.0.encode_descriptor(name, help, unit.as_ref(), kind)?)
    }
}

/// Every other power of two milliseconds is near enough: from 1 ms to 70 min.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let last = Histogram::BUCKETS - 1;
    let finite = histogram.buckets[..last].chunks(2).enumerate();
    let finite = finite.map(|(i, pair)| {
        let power = (2 * i + pair.len() - 1) as i32;
        (2f64.powi(power) / 1000.0, pair.iter().sum())
    });
    finite.chain([(f64::INFINITY, histogram.buckets[last])]).collect()
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn each_duration_is_in_the_first_bucket_that_is_above_it() {
        for millis in [0, 1, 3, 4, 999, 65_535, 65_536, 4_194_303, 4_194_304, 1 << 40] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_millis(millis));
            let buckets = buckets(&histogram);
            let (bound, _) = buckets.iter().find(|(_, count)| *count == 1).unwrap();
            let above = buckets.iter().find(|(bound, _)| millis as f64 / 1000.0 < *bound).unwrap();
            assert_eq!(*bound, above.0, "{millis} ms");
        }
    }
}
