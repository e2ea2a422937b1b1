//! Floor 6: the threads that carry requests.

pub mod accept;
pub mod census;
mod clients;
pub mod crew;
mod displace;
pub mod poller;
pub mod ready;
pub mod worker;
