//! A request's lease on a backend: a slot, and possibly the decision over its ejection.
//!
//! Counts are guard values: dropping a lease undoes what it counted, and a slot at a bounded backend
//! goes to the next request in the queue.

use std::sync::Arc;

use crate::base::clock::Moment;
use crate::upstream::ask::Ask;
use crate::upstream::backend::Backend;
use crate::upstream::ward::{self, Trial};

/// A request's lease on a backend, which counts it as in flight until dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    /// Set if this request decides whether the ejected backend serves again. Boxed, because there is
    /// almost never one and every task has room for it.
    trial: Option<Box<Trial>>,
}

impl Lease {
    /// Counts a request as in flight at `backend`, if it may get this request and has room.
    pub fn take(backend: &Arc<Backend>, ask: &Ask) -> Option<Self> {
        let epoch = Self::sit(backend, ask)?;
        if backend.places().take() {
            return Some(Self::begin(backend, epoch));
        }
        // Without room, the trial is left to the next request.
        if let Some(epoch) = epoch {
            backend.ward().release(&**backend, epoch);
        }
        None
    }

    /// Counts a request as in flight at a drained `backend`, which gets no other requests: this one is
    /// bound to a connection that the backend holds open for its client.
    pub fn beyond_limit(backend: &Arc<Backend>) -> Self {
        backend.places().take_beyond_limit();
        Self::begin(backend, None)
    }

    /// Takes over the slot of a request that has just ended.
    pub(super) fn inherited(backend: &Arc<Backend>, ask: &Ask) -> Option<Self> {
        let epoch = Self::sit(backend, ask)?;
        Some(Self::begin(backend, epoch))
    }

    fn begin(backend: &Arc<Backend>, epoch: Option<u32>) -> Self {
        let trial =
            epoch.map(|epoch| Box::new(Trial::begin(Arc::clone(backend) as Arc<dyn ward::Member>, epoch)));
        backend.count_request();
        Self { backend: Arc::clone(backend), trial }
    }

    /// Checks whether ejection allows this request. Returns the number of the ejection if the request
    /// is its trial.
    fn sit(backend: &Arc<Backend>, ask: &Ask) -> Option<Option<u32>> {
        backend.seat().take(ask.idempotent).ok()
    }

    /// Reports that the backend sent a response head.
    pub fn heard(&self, now: Moment) {
        self.backend.note_answer(now);
    }

    /// Reports that the backend sent a response head that does not count as a failure.
    pub fn answered(&mut self, now: Moment) {
        self.heard(now);
        if let Some(trial) = self.trial.take() {
            trial.answered(now);
        }
    }

    /// The number of the backend's ejection, if this request decides whether it ends.
    pub fn trial(&self) -> Option<u32> {
        self.trial.as_ref().map(|trial| trial.number())
    }

    /// Takes the trial out of the lease, if this request is one.
    pub fn take_trial(&mut self) -> Option<Trial> {
        self.trial.take().map(|trial| *trial)
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Its place in the pool.
    pub fn index(&self) -> u16 {
        self.backend.index()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.give_up();
    }
}
