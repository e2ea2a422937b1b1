//! Where tasks wait: watched by epoll, their deadlines on a timing wheel.
//!
//! [`lot`] makes the system calls; [`shards`] holds the tasks and decides who may take one out;
//! [`token`] is what the kernel, and what can wake a task, know of it.

pub mod lot;
pub mod shards;
pub mod token;

pub use token::{ParkToken, StreamIndex, Unpark};
