//! Something to balance: the sample origin behind `ropewalk origin` and `ropewalk demo`.
//!
//! For trying things out and for tests; never part of the balancer's own data path. It is an
//! ordinary blocking server with a thread for each connection, which is what the balancer is
//! not. It reads heads and bodies with the balancer's parser (`http/`) and knows nothing else of
//! the balancer.

mod answer;
mod connection;
mod input;
mod origin;
#[cfg(test)]
mod tests;
mod websocket;

pub use origin::Origin;
