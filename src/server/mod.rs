//! Floor 6: the threads that carry requests.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod accept;
mod clients;
mod displace;
pub mod listeners;
pub mod poller;
pub mod ready;
pub mod state;
pub mod task_dump;
pub mod worker;
