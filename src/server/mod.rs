//! Floor 6: the threads that carry requests.

pub mod accept;
mod clients;
mod displace;
pub mod listeners;
pub mod poller;
pub mod ready;
pub mod state;
pub mod task_dump;
pub mod worker;
