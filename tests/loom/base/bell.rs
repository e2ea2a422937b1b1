//! An eventfd as the models see it: what was rung ends the next sleep.

use loom::sync::{Condvar, Mutex};

/// Ends another thread's sleep.
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub fn new() -> Self {
        Self { rung: Mutex::new(false), changed: Condvar::new() }
    }

    /// Ends the sleep under way, or the next one.
    pub fn ring(&self) {
        *self.rung.lock().expect("not poisoned") = true;
        self.changed.notify_one();
    }

    /// Sleeps until it is rung. loom reports a deadlock if that can be never.
    pub fn await_ring(&self) {
        let mut rung = self.rung.lock().expect("not poisoned");
        while !*rung {
            rung = self.changed.wait(rung).expect("not poisoned");
        }
        *rung = false;
    }
}
