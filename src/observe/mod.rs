//! Floor 1: what is recorded about requests. The data path writes it; the admin listener and the access
//! log show it. Knows nothing of connections, sockets or configuration.

pub mod batch;
pub mod histogram;
pub mod line;
#[cfg(test)]
mod line_tests;
pub mod metrics;
pub mod record;
