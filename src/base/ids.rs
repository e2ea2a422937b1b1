//! Numbers for things that outlive the configuration that names them, so that what is counted
//! of them can be told apart without their names.

use std::sync::atomic::{AtomicU32, Ordering};

/// A number that nothing else in this process has; never 0, which stands for nothing.
pub fn next() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
}
