//! The verdict of probes on a backend: counted under a lock, published where requests see it without.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Backend;
use crate::base::clock::Moment;
use crate::upstream::health::{HealthState, ProbeResult, Proof, Transition};

impl Backend {
    /// Whether its verdict is about to change, so that it should be probed sooner.
    pub fn in_transition(&self) -> bool {
        self.state.judgement.lock().in_transition()
    }

    /// Looks at what is held of its health.
    pub fn health<T>(&self, look: impl FnOnce(&HealthState) -> T) -> T {
        look(&self.state.judgement.lock())
    }

    /// Counts a probe. `proof` says how many successes bring the backend up.
    pub fn record_probe(
        self: &Arc<Self>,
        result: ProbeResult,
        latency: Duration,
        now: Moment,
        proof: Proof,
    ) -> Option<Transition> {
        self.judge(|judgement| judgement.probe(result, latency, now, proof))
    }

    /// Whether a probe has succeeded since the start, or since its address changed.
    pub fn is_proven(&self) -> bool {
        self.state.judgement.lock().is_proven()
    }

    fn judge(
        self: &Arc<Self>,
        count: impl FnOnce(&mut HealthState) -> Option<Transition>,
    ) -> Option<Transition> {
        let transition = {
            let mut judgement = self.state.judgement.lock();
            let transition = count(&mut judgement);
            // Inside the lock, so that two verdicts cannot be published in the wrong order.
            self.state.up.store(judgement.is_up(), Ordering::Relaxed);
            transition
        };
        if transition.as_ref().is_some_and(|transition| !transition.up) {
            self.state.idle.clear();
        }
        if transition.is_some() {
            self.offer();
        }
        transition
    }
}
