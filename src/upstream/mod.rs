//! Floor 4: backends, their health, and how one is chosen.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod addresses;
pub mod ask;
pub mod backend;
pub mod ejection;
pub mod health;
pub mod idle_connections;
pub mod lease;
pub mod places;
pub mod pool;
pub mod probe_requests;
pub mod queue;
pub mod recent;
pub mod redial;
pub mod retry_budget;
pub mod selector;
pub mod snapshot;
pub mod waiting_line;
pub mod ward;
pub mod weight;
