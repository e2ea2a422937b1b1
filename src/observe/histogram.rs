//! A histogram of durations with fixed buckets, cheap enough to keep for every request.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds; the last bucket has none. They range from a request
/// that never leaves this machine to one that takes as long as any default timeout.
pub const BOUNDS_US: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// Counts of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The count in each bucket, the unbounded one last. Not cumulative.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// The sum of the durations, in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let us = duration.as_micros() as u64;
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ns = self.sum_ns.saturating_add(duration.as_nanos() as u64);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// What was counted since `earlier`, a copy of this histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut fresh = self.clone();
        for (count, before) in fresh.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        fresh.sum_ns = fresh.sum_ns.saturating_sub(earlier.sum_ns);
        fresh
    }

    /// The duration below which this share of all durations lies, such as 0.99. Interpolated within a
    /// bucket, so only as exact as the bucket is narrow. Zero if the histogram is empty.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = share.clamp(0.0, 1.0) * self.count() as f64;
        let (mut below, mut lower) = (0_u64, 0_u64);
        for (index, &count) in self.counts.iter().enumerate() {
            let upper = BOUNDS_US.get(index).copied().unwrap_or(lower);
            if count > 0 && (below + count) as f64 >= wanted {
                let within = ((wanted - below as f64) / count as f64).clamp(0.0, 1.0);
                let us = lower as f64 + (upper - lower) as f64 * within;
                return Duration::from_nanos((us * 1_000.0) as u64);
            }
            below += count;
            lower = upper;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_bucket_that_they_do_not_exceed() {
        let mut histogram = Histogram::default();
        for us in [0, 250, 251, 1_000_000_000] {
            histogram.record(Duration::from_micros(us));
        }
        assert_eq!(histogram.counts[..2], [2, 1]);
        assert_eq!(histogram.counts[BOUNDS_US.len()], 1);
        assert_eq!((histogram.count(), histogram.sum_ns), (4, 1_000_000_501_000));
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), Duration::ZERO);
        for _ in 0..90 {
            histogram.record(Duration::from_micros(300));
        }
        for _ in 0..10 {
            histogram.record(Duration::from_millis(40));
        }
        assert!((250..=500).contains(&histogram.quantile(0.5).as_micros()));
        assert!((25..=50).contains(&histogram.quantile(0.99).as_millis()));
    }

    #[test]
    fn a_difference_to_a_copy_is_what_was_recorded_since() {
        let (mut histogram, mut expected) = (Histogram::default(), Histogram::default());
        histogram.record(Duration::from_millis(1));
        let earlier = histogram.clone();
        histogram.record(Duration::from_secs(1));
        expected.record(Duration::from_secs(1));
        assert_eq!(histogram.since(&earlier), expected);
    }

    #[test]
    fn sums_are_what_both_have_counted() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        a.record(Duration::from_millis(1));
        b.record(Duration::from_secs(100));
        a.add(&b);
        assert_eq!((a.count(), a.sum_ns), (2, 100_001_000_000));
    }
}
