//! Latencies in nanoseconds, counted by hdrhistogram within a tenth of a percent.

use hdrhistogram::Histogram;

/// The longest latency that is told from others: that of the longest measure.
const LONGEST_NS: u64 = 600_000_000_000;
/// Decimal digits that every value keeps.
const DIGITS: u8 = 3;

/// A count of no latencies yet. All have the same bounds, so that they can be added.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are right")
}

/// The latency that the share `quantile` (0 to 1) of all do not exceed, if there are any.
pub fn quantile_of(latencies: &Histogram<u64>, quantile: f64) -> Option<u64> {
    (!latencies.is_empty()).then(|| latencies.value_at_quantile(quantile))
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_that_was_counted() {
        assert_eq!(quantile_of(&latencies(), 0.5), None);
        let (mut low, mut high) = (latencies(), latencies());
        (1..=50).for_each(|value| low.saturating_record(value));
        (51..=100).for_each(|value| high.saturating_record(value));
        low += &high;
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile_of(&low, share)), [1, 50, 99, 100].map(Some));
        low.saturating_record(u64::MAX);
        assert!(quantile_of(&low, 1.0) >= Some(LONGEST_NS));
    }
}
