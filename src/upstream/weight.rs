//! The weight that an operator gives a backend in place of the configured one.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::base::clock::Moment;

/// The operator leaves the weight to the configuration.
const AS_CONFIGURED: u32 = u32::MAX;

/// An operator's weight, if one is set.
#[derive(Debug)]
pub struct WeightOverride {
    /// LOCK: guards the operator's weight while it is set or taken back.
    until: Mutex<Option<Moment>>,
    /// The weight, or [`AS_CONFIGURED`]. Ordering: Relaxed; a request that reads the old one came
    /// a moment earlier.
    weight: AtomicU32,
}

impl WeightOverride {
    /// None.
    pub fn none() -> Self {
        Self { until: Mutex::new(None), weight: AtomicU32::new(AS_CONFIGURED) }
    }

    /// The weight, if one is set.
    pub fn get(&self) -> Option<u32> {
        Some(self.weight.load(Ordering::Relaxed)).filter(|&weight| weight != AS_CONFIGURED)
    }

    /// Until when it is set.
    pub fn until(&self) -> Option<Moment> {
        *self.until.lock()
    }

    /// Sets it until `until`, which may be never.
    pub fn set(&self, weight: u32, until: Moment) {
        let mut held = self.until.lock();
        *held = Some(until);
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Takes it back.
    pub fn clear(&self) {
        let mut held = self.until.lock();
        *held = None;
        self.weight.store(AS_CONFIGURED, Ordering::Relaxed);
    }

    /// Takes it back if its time is over. Returns whether it was.
    pub fn expire(&self, now: Moment) -> bool {
        if self.get().is_none() {
            return false;
        }
        let mut held = self.until.lock();
        let over = held.is_some_and(|until| now >= until);
        if over {
            *held = None;
            self.weight.store(AS_CONFIGURED, Ordering::Relaxed);
        }
        over
    }
}
