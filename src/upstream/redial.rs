//! Redials a backend that refuses connections, if a request has no other backend left.
//!
//! A server that restarts refuses connections for a moment, and the clients of a pool of one should not
//! notice. One request redials, after pauses that double; the others wait in the pool's queue for the
//! result, so that they do not all dial at once.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::REDIAL_PAUSE_MIN;
use crate::upstream::backend::Backend;

/// One request's permission to dial a backend again. Dropping it releases the requests that wait.
#[derive(Debug)]
pub struct Redial {
    backend: Arc<Backend>,
    /// When to give up, and the length of the next pause.
    until: Moment,
    pause: Duration,
}

impl Redial {
    /// Starts to redial a backend for up to `patience`, unless another request is already doing so.
    pub fn begin(backend: &Arc<Backend>, patience: Duration, now: Moment) -> Option<Self> {
        let may = backend.places().begin_redial();
        let backend = Arc::clone(backend);
        may.then(|| Self { backend, until: now + patience, pause: REDIAL_PAUSE_MIN })
    }

    /// When to dial next; `None` once the time is over.
    pub fn next(&mut self, now: Moment) -> Option<Moment> {
        let at = now + self.pause;
        self.pause *= 2;
        (at < self.until).then_some(at)
    }

    /// Gives up: the backend has refused every time, and requests that wait only for it stop waiting.
    pub fn give_up(self) {
        self.backend.refuse_waiting();
    }
}

impl Drop for Redial {
    fn drop(&mut self) {
        self.backend.places().end_redial();
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
