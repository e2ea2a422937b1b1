//! Floor 0: time, limits, buffers and threads. Knows nothing of HTTP, sockets or configuration.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod buffer;
pub mod clock;
pub mod counted;
pub mod ids;
pub mod limits;
pub mod regular_file;
pub mod supervisor;
pub mod sync;
