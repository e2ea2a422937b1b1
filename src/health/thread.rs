//! The health thread's handle: started once, given every new configuration, stopped.
//!
//! There is one for the lifetime of a balancer. A reload hands it the new list of backends; it keeps
//! the state of those that stay. The loop is in `prober.rs`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::base::limits::{PROBE_INTERIM_BYTES_MAX, THREAD_STACK_BYTES};
use crate::base::supervisor::Supervisor;
use crate::health::answer::AnswerLimits;
use crate::health::hand_over::{HandedOver, HandedOverPool, Shared};
use crate::health::prober::{Prober, Watch};
use crate::upstream::probe_requests::ProbeRequests;
use crate::upstream::snapshot::Snapshot;

/// The running health thread. Dropping it stops it.
pub struct HealthThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl HealthThread {
    /// Starts the thread, which watches nothing yet.
    ///
    /// # Errors
    /// The system cannot create a thread or a descriptor.
    pub fn spawn(threads: &Supervisor) -> io::Result<Self> {
        let (requests, asked) = ProbeRequests::new()?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            requests,
            hand_over: Mutex::default(),
            judged: Condvar::new(),
        });
        let watch = Watch::new(&shared)?;
        let of_thread = Arc::clone(&shared);
        let thread = Builder::new().name("rw-health".to_owned()).stack_size(THREAD_STACK_BYTES);
        let thread = threads.spawn(thread, move || Prober::new(of_thread, watch, asked).run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Hands over a new list of backends to watch, with at most `probes_max` probes in flight.
    pub fn watch(&self, snapshot: &Snapshot, probes_max: usize) {
        let pools = snapshot.pools.iter().map(|pool| HandedOverPool {
            id: pool.id(),
            name: pool.name().to_owned(),
            backends: pool.backends().to_vec(),
        });
        for backend in snapshot.backends() {
            backend.watched_by(&self.shared.requests);
        }
        let limits = &snapshot.plan.limits;
        // Independent of the limit for requests, because a probe is read in one go and must end.
        let interim = limits.interim.unwrap_or(u64::MAX).min(PROBE_INTERIM_BYTES_MAX);
        let limits = AnswerLimits { head: limits.head, interim };
        let list = HandedOver { pools: pools.collect(), probes_max, limits };
        let before = {
            let mut hand_over = self.shared.hand_over.lock();
            hand_over.unjudged = snapshot.backends().filter(|backend| backend.check().is_some()).count();
            hand_over.list.replace(list)
        };
        drop(before);
        self.shared.requests.wake();
    }

    /// Waits until every backend has its first result, or until `patience` is over.
    pub fn wait_first_round(&self, patience: Duration) {
        let mut hand_over = self.shared.hand_over.lock();
        self.shared.judged.wait_while_for(&mut hand_over, |hand_over| hand_over.unjudged > 0, patience);
    }
}

impl Drop for HealthThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.requests.wake();
        if let Some(thread) = self.thread.take() {
            // How it ended has already been reported.
            let _ = thread.join();
        }
    }
}
