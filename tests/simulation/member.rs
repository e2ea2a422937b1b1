//! A simulated backend as it should be, and the configuration it is simulated with.

use std::time::Duration;

use ropewalk::internal::base::clock::Moment;
use ropewalk::internal::config::plan::{BackendPlan, Limits};
use ropewalk::internal::net::parking::{ParkToken, Unpark};
use ropewalk::internal::upstream::ejection::View;
use ropewalk::internal::upstream::health::Transition;

use super::QUEUE;

/// What should be true of a backend.
pub(super) struct Member {
    pub(super) weight: u32,
    /// Its limit on requests in flight.
    pub(super) max: Option<u32>,
    /// Whether it would really answer.
    pub(super) serves: bool,
    pub(super) up: bool,
    pub(super) probed: bool,
    /// Whether a probe has found it up.
    pub(super) proven: bool,
    /// Probes in a row that contradict `up`.
    pub(super) against: u32,
    /// Its ejection after the last event, how long it was to last, and when the last one ended.
    pub(super) ejection: Option<View>,
    pub(super) ejected_for: Option<(Duration, Moment)>,
    pub(super) probe_due: Moment,
    pub(super) tries: u64,
    pub(super) last_transition: Option<bool>,
}

impl Member {
    /// The state changed: to the expected one, and not to the one it already was.
    pub(super) fn expect_turn(&mut self, transition: Option<Transition>, expected: Transition) {
        assert_eq!(transition, Some(expected));
        assert_ne!(self.last_transition.replace(expected.up), Some(expected.up), "the same verdict twice");
        assert_ne!(self.up, expected.up, "a turn to where it was");
        self.up = expected.up;
        self.against = 0;
    }
}

pub(super) fn backend(index: usize, weight: u32, max_connections: Option<u32>) -> BackendPlan {
    BackendPlan {
        name: format!("server-{index}"),
        host: "127.0.0.1".to_owned(),
        port: 9000,
        weight,
        max_connections,
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        connections_per_client: None,
        connections: 100,
        tunnels: 75,
        head: 8192,
        interim: None,
        fields: 100,
        target: 8192,
        body: None,
        body_rate: None,
        response_rate: None,
        requests_per_connection: None,
        queue: QUEUE,
        upstream_idle: 4,
        memory: None,
    }
}

/// No task is parked here: waiting requests are checked after every event.
pub(super) struct NeverParks;

impl Unpark for NeverParks {
    fn unpark(&self, _: ParkToken) {
        unreachable!("nothing was parked");
    }
}
