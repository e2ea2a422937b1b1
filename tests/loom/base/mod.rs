//! Floor 0 as the models see it: loom's types in the place of the real ones.

pub mod bell;
#[path = "../../../src/base/clock.rs"]
pub mod clock;
#[path = "../../../src/base/limits.rs"]
pub mod limits;
pub mod sync;
