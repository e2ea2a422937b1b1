//! Floor 5: the threads that carry requests.

pub mod accept;
pub mod census;
pub mod crew;
pub mod poller;
pub mod ready;
pub mod worker;
