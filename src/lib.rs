//! A layer-7 HTTP load balancer on plain OS threads, where nothing that waits holds a thread.

#[cfg(not(target_os = "linux"))]
compile_error!("ropewalk runs on Linux only: it waits with epoll and eventfd");

pub mod access_log;
pub mod admin;
mod app;
pub mod base;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod health;
pub mod http;
pub mod net;
pub mod observe;
pub mod proxy;
pub mod route;
pub mod server;
pub mod upstream;

pub use config::Config;

pub use base::supervisor::ThreadEnded;

pub use app::{BackendState, Balancer, Handle, ReloadError, StartError, TooFewDescriptors, explain_plan};
