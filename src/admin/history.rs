//! Recent activity: request rates and latencies over the last minute.
//!
//! The balancer's counters only ever grow, which suits metrics but not a status page. So the admin
//! thread samples them every second and keeps the differences for a minute, per backend.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Moment;
use crate::base::limits::ADMIN_RATES_MAX;
use crate::observe::histogram::Histogram;

use super::operations::Status;

/// Samples between two copies of a histogram. Copies are larger, and a latency over 50 to 60 seconds is
/// as good as one over exactly a minute.
const SAMPLES_PER_COPY: u64 = 10;

/// Copies that cover a minute.
const COPIES_MAX: usize = 6;

/// Samples averaged for the rate that is shown: a rate over one second would flicker.
const RATES_SHOWN: usize = 5;

/// All samples.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: u64,
    last: Option<Moment>,
    /// All requests, including those that reached no backend.
    total: Trail,
    backends: HashMap<(String, String), Trail>,
}

/// The samples of one request counter.
#[derive(Debug, Default)]
struct Trail {
    /// The count at the last sample.
    count: u64,
    /// LIMIT: `ADMIN_RATES_MAX` rates per second, oldest first.
    rates: VecDeque<f64>,
    /// LIMIT: `COPIES_MAX` copies, oldest first.
    copies: VecDeque<Histogram>,
    /// The number of its last sample.
    seen: u64,
}

/// The recent figures of one request counter.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Requests per second, over the last five seconds.
    pub(super) requests_per_s: f64,
    /// Latencies over the last minute; `None` if there were no requests.
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// The rates of the last minute, oldest first.
    #[serde(skip)]
    pub(super) rates: Vec<f64>,
}

/// The recent figures that go with a [`Status`].
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Recent {
    pub(super) total: Figures,
    /// In the order of the pools and of the backends in them.
    pub(super) backends: Vec<RecentBackend>,
}

/// The figures of one backend.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RecentBackend {
    pub(super) pool: String,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
}

impl History {
    /// Takes a sample.
    pub(super) fn note(&mut self, status: &Status, now: Moment) {
        let elapsed = self.last.map(|last| now.since(last));
        self.last = Some(now);
        self.samples += 1;
        let number = self.samples;
        self.total.note(requests(status), &durations(status), elapsed, number);
        for pool in &status.pools {
            for backend in &pool.backends {
                let key = (pool.name.clone(), backend.name.clone());
                let trail = self.backends.entry(key).or_default();
                // A new backend has no earlier sample to compare with.
                let elapsed = elapsed.filter(|_| trail.seen + 1 == number);
                trail.note(backend.requests, &backend.durations, elapsed, number);
            }
        }
        self.backends.retain(|_, trail| trail.seen == number);
    }

    /// The recent figures, from the samples so far.
    pub(super) fn recent(&self, status: &Status) -> Recent {
        let of_backend = |pool: &str, name: &str, durations: &Histogram| RecentBackend {
            pool: pool.to_owned(),
            name: name.to_owned(),
            figures: self
                .backends
                .get(&(pool.to_owned(), name.to_owned()))
                .map(|trail| trail.figures(durations))
                .unwrap_or_default(),
        };
        Recent {
            total: self.total.figures(&durations(status)),
            backends: status
                .pools
                .iter()
                .flat_map(|pool| pool.backends.iter().map(move |backend| (pool, backend)))
                .map(|(pool, backend)| of_backend(&pool.name, &backend.name, &backend.durations))
                .collect(),
        }
    }
}

impl Trail {
    /// Adds a sample, `elapsed` after the last one.
    fn note(&mut self, count: u64, durations: &Histogram, elapsed: Option<Duration>, number: u64) {
        if count < self.count {
            // Another backend has taken over the name and counts from zero.
            *self = Self::default();
        } else if let Some(elapsed) = elapsed {
            let seconds = elapsed.as_secs_f64().max(0.001);
            push(&mut self.rates, (count - self.count) as f64 / seconds, ADMIN_RATES_MAX);
        }
        if self.copies.is_empty() || number.is_multiple_of(SAMPLES_PER_COPY) {
            push(&mut self.copies, durations.clone(), COPIES_MAX);
        }
        self.count = count;
        self.seen = number;
    }

    fn figures(&self, durations: &Histogram) -> Figures {
        let shown = self.rates.iter().rev().take(RATES_SHOWN);
        let count = shown.len().max(1) as f64;
        let durations = self.copies.front().map_or_else(|| durations.clone(), |copy| durations.since(copy));
        let quantile =
            |share| (durations.count() > 0).then(|| round(durations.quantile(share).as_secs_f64() * 1_000.0));
        Figures {
            requests_per_s: round(shown.sum::<f64>() / count),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            rates: self.rates.iter().copied().collect(),
        }
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T, max: usize) {
    if ring.len() >= max {
        ring.pop_front();
    }
    ring.push_back(value);
}

/// Rounds to three decimals: more would be noise.
fn round(value: f64) -> f64 {
    // An empty sum is negative zero and would be shown as such.
    (value * 1_000.0).round() / 1_000.0 + 0.0
}

fn requests(status: &Status) -> u64 {
    status.requests.iter().map(|row| row.count).sum()
}

fn durations(status: &Status) -> Histogram {
    let mut sum = Histogram::default();
    for (_, durations) in &status.durations {
        sum.add(durations);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn took(ms: u64, times: u64) -> Histogram {
        let mut histogram = Histogram::default();
        for _ in 0..times {
            histogram.record(Duration::from_millis(ms));
        }
        histogram
    }

    #[test]
    fn a_rate_is_per_second_for_any_time_between_samples() {
        let mut trail = Trail::default();
        trail.note(1_000, &Histogram::default(), None, 1);
        assert!(trail.rates.is_empty(), "there is no rate before the first sample");
        trail.note(1_010, &Histogram::default(), Some(2 * SECOND), 2);
        trail.note(1_030, &Histogram::default(), Some(SECOND), 3);
        assert_eq!(trail.rates, [5.0, 20.0]);
        assert_eq!(trail.figures(&Histogram::default()).requests_per_s, 12.5);
    }

    #[test]
    fn the_rate_covers_five_seconds_and_the_chart_a_minute() {
        let mut trail = Trail::default();
        for number in 1..=100 {
            trail.note(number * number, &Histogram::default(), Some(SECOND), number);
        }
        let figures = trail.figures(&Histogram::default());
        assert_eq!(figures.rates.len(), ADMIN_RATES_MAX);
        assert_eq!(figures.requests_per_s, (191 + 193 + 195 + 197 + 199) as f64 / 5.0);
    }

    #[test]
    fn latencies_older_than_a_minute_are_forgotten() {
        let mut trail = Trail::default();
        trail.note(0, &Histogram::default(), None, 1);
        let slow = took(2_000, 50);
        assert!(trail.figures(&slow).p50_ms.is_some_and(|ms| ms > 1_000.0));
        for number in 2..=70 {
            trail.note(50, &slow, Some(SECOND), number);
        }
        assert_eq!(trail.figures(&slow).p50_ms, None);
        let mut both = slow;
        both.add(&took(2, 1));
        assert!(trail.figures(&both).p99_ms.is_some_and(|ms| ms < 3.0));
    }

    #[test]
    fn another_backend_of_the_same_name_starts_over() {
        let mut trail = Trail::default();
        for number in 1..=5 {
            trail.note(number * 1_000, &took(1, 10 * number), Some(SECOND), number);
        }
        trail.note(3, &took(1, 3), Some(SECOND), 6);
        assert!(trail.rates.is_empty());
        trail.note(7, &took(1, 7), Some(SECOND), 7);
        assert_eq!(trail.rates, [4.0]);
    }
}
