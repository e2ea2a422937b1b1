//! Ids for things that outlive the configuration that names them, so that their counters stay apart
//! without using their names.

use std::sync::atomic::{AtomicU32, Ordering};

/// An id that is unique in this process; never 0, which stands for "none".
pub fn next() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}
