//! Floor 1: what is noted about requests. Recorded by the data path, shown by the admin
//! listener and the access log. Knows no request, no socket and no configuration.

pub mod histogram;
pub mod metrics;
pub mod record;
