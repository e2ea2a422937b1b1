//! What the health thread and its owner share: the list of backends on its way to the thread, and
//! how many of them have no result yet.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Condvar, Mutex};

use crate::health::answer::AnswerLimits;
use crate::upstream::backend::Backend;
use crate::upstream::probe_requests::ProbeRequests;

/// What the thread and its owner share.
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    pub(super) requests: ProbeRequests,
    /// LOCK: guards the list while it is put in or taken out, and the count for one change.
    pub(super) hand_over: Mutex<HandOver>,
    pub(super) judged: Condvar,
}

/// The data passed between them.
#[derive(Default)]
pub(super) struct HandOver {
    /// The new list of backends, until the thread has taken it.
    pub(super) list: Option<HandedOver>,
    /// How many backends have no first result yet.
    pub(super) unjudged: usize,
}

/// What the thread watches.
pub(super) struct HandedOver {
    pub(super) pools: Vec<HandedOverPool>,
    /// LIMIT: probes in flight at once.
    pub(super) probes_max: usize,
    /// Limits on responses.
    pub(super) limits: AnswerLimits,
}

/// A pool that the thread watches.
pub(super) struct HandedOverPool {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) backends: Vec<Arc<Backend>>,
}
