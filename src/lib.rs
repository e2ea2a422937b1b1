//! A layer-7 HTTP load balancer on plain OS threads, where nothing that waits holds a thread.

pub mod base;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod http;
pub mod upstream;
