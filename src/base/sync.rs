//! The atomics and locks of the code that has loom models.
//!
//! loom runs a model under every order of events that the memory model allows, but it sees only
//! its own types. So the modules under model (the workers' wake-up, parking, the queue for places)
//! take theirs from here. `tests/loom/` compiles those same files with a `base::sync` made of
//! loom's types. Other modules name `std` and `parking_lot` directly.

pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

pub use parking_lot::Mutex;
