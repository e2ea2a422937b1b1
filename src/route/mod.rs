//! Floor 3: which route a request takes, and whether its client may use it.
//!
//! Knows requests and configuration, but neither backends nor sockets.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod admission;
pub mod basic_auth;
mod guard;
mod index;
mod matches;
pub mod password_queue;
#[cfg(test)]
mod properties;
pub mod rate_limit;
#[cfg(test)]
mod readers;
mod table;

pub use admission::Clearance;
pub use guard::{Asker, Refusal, User};
pub use matches::{Mismatch, Request, bare_host};
pub use table::{Found, NotFound, Routes};
