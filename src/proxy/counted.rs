//! Counting what there may only be so many of: connections, tunnels. What was counted is uncounted
//! when the guard is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a client connection is counted for as long as it is open.
pub struct Counts {
    /// Among all of them.
    pub connections: Counted,
    /// Among those of its client.
    pub of_client: Counted,
}

/// Counts an open connection, or something else there may be many of, until it is dropped.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// Counts one more.
    pub fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// Counts one more, unless there are `max` already.
    pub fn within(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let counted = Self(Arc::clone(count));
        (before < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
