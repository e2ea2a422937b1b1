//! Request counters, one shard per worker.
//!
//! A worker counts into its own shard, so workers never wait for each other; a scrape adds the shards
//! up. All labels come from the configuration or from a closed list, so the number of series is
//! bounded.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;

/// Identifies a series. Listeners, pools and backends are given by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The listener.
    pub listener: u32,
    /// The pool of the route; 0 if it has none.
    pub pool: u32,
    /// The backend of the last attempt; 0 if none was chosen.
    pub backend: u32,
    /// The status that the client got; 499 if it disconnected first. An unregistered status is counted
    /// as the first of its class.
    pub code: u16,
}

/// Replaces the id of a listener or backend that a reload has removed.
pub const GONE: u32 = u32::MAX;

/// The requests of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Their durations, from the head to the end of the response.
    pub durations: Histogram,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

/// The counters of one worker.
#[derive(Debug, Default)]
pub struct Shard {
    /// LOCK: guards the counters, held while one request is counted or while a scrape copies them. Only
    /// the worker and scrapes take it.
    counts: Mutex<Counts>,
}

/// All counters.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests, by key.
    pub series: HashMap<Key, Series>,
    /// Retries, by the outcome of the attempt before.
    pub retries: HashMap<&'static str, u64>,
    /// Request fields that were dropped because their name contains `_`.
    pub dropped_fields: u64,
}

impl Shard {
    /// Counts a finished request.
    pub fn request(&self, key: Key, took: Duration, bytes_in: u64, bytes_out: u64) {
        let key = Key { code: counted_as(key.code), ..key };
        let mut counts = self.counts.lock();
        let series = counts.series.entry(key).or_default();
        series.durations.record(took);
        series.bytes_in += bytes_in;
        series.bytes_out += bytes_out;
    }

    /// Counts a retry; `reason` is what caused it.
    pub fn retry(&self, reason: &'static str) {
        *self.counts.lock().retries.entry(reason).or_default() += 1;
    }

    /// Counts request fields that were dropped because their name contains `_`.
    pub fn dropped_fields(&self, count: u32) {
        self.counts.lock().dropped_fields += u64::from(count);
    }

    /// Adds these counters to `sum`.
    pub fn add_to(&self, sum: &mut Counts) {
        let counts = self.counts.lock();
        for (key, series) in &counts.series {
            sum.series.entry(*key).or_default().add(series);
        }
        for (reason, count) in &counts.retries {
            *sum.retries.entry(reason).or_default() += count;
        }
        sum.dropped_fields += counts.dropped_fields;
    }

    /// Moves each series to the key that `key_now` returns, adding to what is there. `None` drops the
    /// series: what its key names is gone.
    pub fn rekey(&self, key_now: impl Fn(Key) -> Option<Key>) {
        let mut counts = self.counts.lock();
        for (key, series) in std::mem::take(&mut counts.series) {
            if let Some(key) = key_now(key) {
                counts.series.entry(key).or_default().add(&series);
            }
        }
    }
}

/// The status to count this one as: itself if it is registered with IANA, otherwise the first of its
/// class. RFC 9110, section 15, tells recipients to treat it that way.
///
/// LIMIT: a backend may send any of 900 statuses, and each would be one more series in every worker.
fn counted_as(code: u16) -> u16 {
    match code {
        100..=103 | 200..=208 | 226 | 300..=308 | 400..=418 | 421..=426 | 428 | 429 | 431 | 451 | 499 => code,
        500..=508 | 510 | 511 => code,
        0..=99 | 600.. => 500,
        _ => code / 100 * 100,
    }
}

impl Series {
    fn add(&mut self, other: &Self) {
        self.durations.add(&other.durations);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let key = Key { listener: 1, pool: 3, backend: 2, code: 200 };
        let shards = [Shard::default(), Shard::default()];
        for shard in &shards {
            shard.request(key, Duration::from_millis(1), 3, 4);
            shard.retry("connection_refused");
        }
        let mut sum = Counts::default();
        for shard in &shards {
            shard.add_to(&mut sum);
        }
        assert_eq!(sum.series[&key].durations.count(), 2);
        assert_eq!((sum.series[&key].bytes_in, sum.series[&key].bytes_out), (6, 8));
        assert_eq!(sum.retries["connection_refused"], 2);
    }

    #[test]
    fn the_number_of_series_is_bounded_for_any_status() {
        let shard = Shard::default();
        for code in 0..=u16::MAX {
            shard.request(Key { listener: 1, pool: 3, backend: 2, code }, Duration::ZERO, 0, 0);
        }
        let mut sum = Counts::default();
        shard.add_to(&mut sum);
        let codes: std::collections::BTreeSet<u16> = sum.series.keys().map(|key| key.code).collect();
        // The memory bound in config/memory.rs relies on this.
        assert!(codes.len() <= 64, "{}", codes.len());
        assert!(
            [206, 299, 404, 499, 503].map(|code| codes.contains(&code)) == [true, false, true, true, true]
        );
        assert!(size_of::<(Key, Series)>() <= 192, "{}", size_of::<(Key, Series)>());
        assert_eq!([299, 471, 599, 999, 42].map(counted_as), [200, 400, 500, 500, 500]);
    }

    #[test]
    fn removed_backends_are_summed_up_and_removed_pools_dropped() {
        let shard = Shard::default();
        let key = |backend, pool| Key { listener: 1, pool, backend, code: 200 };
        for (backend, pool) in [(2, 3), (4, 3), (5, 3), (6, 7)] {
            shard.request(key(backend, pool), Duration::from_millis(1), 1, 2);
        }
        shard.rekey(|Key { pool, backend, .. }| {
            (pool == 3).then(|| key(if backend == 2 { 2 } else { GONE }, pool))
        });
        let mut rest = Counts::default();
        shard.add_to(&mut rest);
        let mut left: Vec<_> = rest
            .series
            .iter()
            .map(|(key, series)| (key.backend, series.durations.count(), series.bytes_out))
            .collect();
        left.sort_unstable();
        assert_eq!(left, [(2, 1, 2), (GONE, 2, 4)]);
    }
}
