//! Floor 2: sockets, and waiting for them.
//!
//! There is one mechanism for waiting, however many kinds of wait there are: each stream remembers
//! what its last blocked call needs, a [`wait::Wait`] says until when; [`warm::WarmSet`] holds it for a moment
//! with `poll`, and [`parking::lot::Parking`] for as long as it takes with epoll.

pub mod inherit;
pub mod io;
pub mod listen;
pub mod parking;
pub mod pipe;
pub mod stream;
pub mod sys;
pub mod wait;
pub mod warm;
pub mod wheel;
