//! Dials a backend again that refuses connections, if a request has no other one left.
//!
//! A server that restarts refuses connections for a moment, and the clients of a pool of one should
//! not see it. One request dials again, after pauses that double; the others wait in the pool's
//! queue for the result, so that they do not all dial at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::REDIAL_PAUSE_MIN;
use crate::upstream::backend::Backend;

/// Whether a request is dialling a backend again. Ordering: Relaxed; the queue's lock orders what
/// depends on it.
#[derive(Debug, Default)]
pub struct RedialCell(AtomicBool);

impl RedialCell {
    /// Whether a request is dialling, so that others wait.
    pub(super) fn is_busy(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One request's permission to dial a backend again. Dropping it releases the requests that wait.
#[derive(Debug)]
pub struct Redial {
    backend: Arc<Backend>,
    /// When to give up, and how long the next pause is.
    until: Moment,
    pause: Duration,
}

impl Redial {
    /// Begins to dial a backend again for as long as `patience`, unless a request does so already.
    pub fn begin(backend: &Arc<Backend>, patience: Duration, now: Moment) -> Option<Self> {
        let busy = backend.redial().0.swap(true, Ordering::Relaxed);
        let backend = Arc::clone(backend);
        (!busy).then(|| Self { backend, until: now + patience, pause: REDIAL_PAUSE_MIN })
    }

    /// When to dial next; `None` when the time for it is over.
    pub fn next(&mut self, now: Moment) -> Option<Moment> {
        let at = now + self.pause;
        self.pause *= 2;
        (at < self.until).then_some(at)
    }

    /// The backend has refused to the end: those who wait for it alone wait no longer.
    pub fn give_up(self) {
        self.backend.refuse_waiting();
    }
}

impl Drop for Redial {
    fn drop(&mut self) {
        self.backend.redial().0.store(false, Ordering::Relaxed);
        self.backend.make_known();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::BackendPlan;

    #[test]
    fn one_request_dials_after_pauses_that_double_until_its_time_is_over() {
        let plan = BackendPlan {
            name: "a".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 1,
            weight: 1,
            max_connections: None,
        };
        let backend = Arc::new(Backend::new(plan, None, 1));
        let start = Moment::from_nanos(1 << 40);
        let mut redial = Redial::begin(&backend, Duration::from_millis(500), start).unwrap();
        assert!(Redial::begin(&backend, Duration::from_millis(500), start).is_none());
        assert!(!backend.has_room(), "others wait");
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(at) = redial.next(now) {
            pauses.push(at.since(now).as_millis());
            now = at;
        }
        assert_eq!(pauses, [50, 100, 200]);
        redial.give_up();
        assert!(backend.has_room());
    }
}
