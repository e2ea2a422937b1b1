//! Something to balance: the sample origin behind `ropewalk origin` and `ropewalk demo`.
//!
//! For trying things out, for tests and for benchmarks; never part of the balancer's own
//! data path. Knows nothing of the balancer.

mod origin;

pub use origin::Origin;
