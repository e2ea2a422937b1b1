//! Limits the retries of a pool, so that an outage is not multiplied: if every backend fails, each
//! client request would otherwise become three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::limits::{RETRIES_IN_FLIGHT_MIN, RETRY_PERCENT, RETRY_WINDOW};

/// One pool's budget.
///
/// Only attempts that a backend may have acted on are counted. A request of which nothing was sent
/// reaches only one backend in the end, no matter how often it was refused, and multiplies nothing.
#[derive(Debug, Default)]
pub struct RetryBudget {
    in_flight: Arc<AtomicU32>,
    /// LOCK: guards the window for a few additions; taken only after a failure.
    window: Mutex<Window>,
}

/// A retry in flight, which counts until this is dropped.
#[derive(Debug)]
pub struct Retrying(Arc<AtomicU32>);

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RetryBudget {
    /// Permission for one more retry, if the budget allows it. `requests` is the number of requests
    /// that the pool has had since its start.
    pub fn spend(&self, requests: u64, now: Moment) -> Option<Retrying> {
        let mut window = self.window.lock();
        window.turn(requests, now);
        let few = self.in_flight.load(Ordering::Relaxed) < RETRIES_IN_FLIGHT_MIN;
        if !few && !window.has_room(requests) {
            return None;
        }
        window.retries += 1;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Retrying(Arc::clone(&self.in_flight)))
    }
}

/// The counts of the current window and the one before it.
#[derive(Debug, Default)]
struct Window {
    began: Option<Moment>,
    /// Total requests before this window, and requests in the one before it.
    requests_before: u64,
    earlier_requests: u64,
    retries: u64,
    earlier_retries: u64,
}

impl Window {
    /// Starts a new window if the current one is over.
    fn turn(&mut self, requests: u64, now: Moment) {
        let began = *self.began.get_or_insert(now);
        let age = now.since(began);
        if age < RETRY_WINDOW {
            return;
        }
        let adjacent = age < RETRY_WINDOW * 2;
        self.earlier_requests = if adjacent { requests.saturating_sub(self.requests_before) } else { 0 };
        self.earlier_retries = if adjacent { self.retries } else { 0 };
        self.requests_before = requests;
        self.retries = 0;
        self.began = Some(now);
    }

    fn has_room(&self, requests: u64) -> bool {
        let recent = requests.saturating_sub(self.requests_before) + self.earlier_requests;
        (self.retries + self.earlier_retries) * 100 < recent * RETRY_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(1 << 40) + Duration::from_secs(seconds)
    }

    #[test]
    fn three_at_once_are_always_allowed() {
        let budget = RetryBudget::default();
        let held: Vec<_> = (0..3).map(|_| budget.spend(0, at(0)).unwrap()).collect();
        assert!(budget.spend(0, at(0)).is_none());
        drop(held);
        assert!(budget.spend(0, at(0)).is_some());
    }

    #[test]
    fn beyond_that_a_fifth_of_recent_requests() {
        let budget = RetryBudget::default();
        drop(budget.spend(0, at(0)));
        let allowed: Vec<_> = (0..500).map_while(|_| budget.spend(1_000, at(1))).collect();
        // 200 are 20 % of 1 000; one was spent before.
        assert_eq!(allowed.len(), 199);
    }

    #[test]
    fn old_requests_count_for_nothing() {
        let budget = RetryBudget::default();
        drop(budget.spend(0, at(0)));
        let allowed = (0..500).map_while(|_| budget.spend(1_000, at(100))).collect::<Vec<_>>();
        assert_eq!(allowed.len(), 3);
    }
}
