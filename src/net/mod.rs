//! Floor 2: sockets, and waiting for them.
//!
//! There is one mechanism for waiting, however many kinds of wait there are: each stream remembers
//! what its last blocked call needs, a [`wait::Wait`] says until when; [`warm::WarmSet`] holds it for a moment
//! with `poll`, and [`parking::lot::Parking`] for as long as it takes with epoll.

// Bytes from a peer and races must not panic: where one of these is right, its reason says why.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod inherit;
pub mod io;
pub mod listen;
#[cfg(test)]
pub(crate) mod memory;
pub mod parking;
pub mod pipe;
pub mod stream;
pub mod sys;
mod transport;
pub mod wait;
#[expect(
    clippy::indexing_slicing,
    reason = "INVARIANT: it goes backwards, so what it takes out moves nothing that is to come"
)]
pub mod warm;
pub mod wheel;
