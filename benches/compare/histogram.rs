//! Latencies, counted in logarithmic buckets.
//!
//! A run answers millions of requests, so keeping every latency would cost memory
//! and, through the cache, time. A bucket here is never wider than 1/128 of the
//! values in it: every quantile read back is at most 0.8 % above the true one, from
//! nanoseconds to centuries, and recording is one increment.
//!
//! It knows nothing of requests, clocks or units.

/// Buckets per doubling: the precision of every quantile.
const STEPS: u64 = 128;
const STEPS_LOG2: u32 = STEPS.ilog2();
/// The first doublings share one run of exact buckets; each later one has its own run.
const BUCKETS: usize = ((64 - STEPS_LOG2) as usize + 1) * STEPS as usize;

/// A count of values by size.
#[derive(Clone)]
pub struct Histogram {
    buckets: Box<[u64]>,
    count: u64,
}

impl Histogram {
    /// A histogram of nothing yet.
    pub fn new() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0 }
    }

    /// Counts `value`.
    pub fn record(&mut self, value: u64) {
        self.buckets[bucket_of(value)] += 1;
        self.count += 1;
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
    }

    /// The value that the share `quantile` (0 to 1) of all values do not exceed,
    /// or `None` when nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let rank = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        self.buckets
            .iter()
            .position(|bucket| {
                seen += bucket;
                seen >= rank
            })
            .map(highest_in)
    }
}

/// Small values have a bucket each; above them the top bits choose the bucket.
fn bucket_of(value: u64) -> usize {
    let Some(doubling) = value.checked_ilog2().and_then(|log2| log2.checked_sub(STEPS_LOG2)) else {
        return value as usize;
    };
    (u64::from(doubling) * STEPS + (value >> doubling)) as usize
}

fn highest_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let doubling = bucket / STEPS - 1;
    let top = bucket - doubling * STEPS;
    // The width is added before the one is taken away, or the last bucket would overflow.
    (top << doubling) + ((1 << doubling) - 1)
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::new().quantile(0.5), None);
    }

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::new();
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!(histogram.quantile(0.0), Some(1));
        assert_eq!(histogram.quantile(0.5), Some(50));
        assert_eq!(histogram.quantile(0.99), Some(99));
        assert_eq!(histogram.quantile(1.0), Some(100));
    }

    #[test]
    fn the_largest_value_has_a_bucket() {
        let mut histogram = Histogram::new();
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile(1.0), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_within_the_promised_precision(value: u64) {
            let highest = highest_in(bucket_of(value));
            prop_assert!(highest >= value);
            prop_assert!(highest - value <= value / STEPS);
            prop_assert_eq!(bucket_of(highest), bucket_of(value));
        }

        #[test]
        fn quantiles_agree_with_a_sorted_list(mut values in prop::collection::vec(0_u64..1 << 40, 1..200), quantile in 0.0..=1.0_f64) {
            let (mut first, mut second) = (Histogram::new(), Histogram::new());
            for (index, value) in values.iter().enumerate() {
                if index % 2 == 0 { first.record(*value) } else { second.record(*value) }
            }
            first.merge(&second);
            values.sort_unstable();
            let rank = ((values.len() as f64 * quantile).ceil() as usize).max(1);
            let truth = values[rank - 1];
            let told = first.quantile(quantile).expect("values were recorded");
            prop_assert!(told >= truth && told - truth <= truth / STEPS);
        }
    }
}
