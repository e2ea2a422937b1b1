//! Floor 1: what is noted about requests. Recorded by the data path, shown by the admin
//! listener and the access log. Knows no request, no socket and no configuration.

pub mod batch;
pub mod histogram;
pub mod line;
#[cfg(test)]
mod line_tests;
pub mod metrics;
pub mod record;
