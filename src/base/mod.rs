//! Floor 0: time, limits, buffers and threads. Knows nothing of HTTP, sockets or configuration.

pub mod buffer;
pub mod clock;
pub mod counted;
pub mod ids;
pub mod limits;
pub mod regular_file;
pub mod supervisor;
pub mod sync;
