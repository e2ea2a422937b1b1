//! A layer-7 HTTP load balancer on plain OS threads, where nothing that waits holds a thread.
//!
//! The `ropewalk` program is this library with a command line. A program of your own can run a
//! balancer in the same way, for example to test a service behind it, or to put several copies of a
//! service behind one address.
//!
//! Three types do all of it:
//!
//! 1. A [`Config`] says what to balance. Build it in code, or read the same JSON file that the program
//!    reads. [`Config::check`] finds every mistake at once and says what to write instead. What it
//!    returns holds the checked configuration and the warnings.
//! 2. [`Balancer::start`] binds the listeners and starts the threads. Clients are served when it
//!    returns. [`Balancer::join`] runs until it is told to stop; dropping a balancer stops it at once.
//! 3. A [`Handle`] looks into a running balancer, reloads it, and drains a backend or all of it, from any
//!    thread.
//!
//! There is no global state: several balancers in one process do not know of each other. There is no
//! async runtime either, so this works in a program with one and in a program without.
//!
//! # Example
//!
//! A backend, a balancer in front of it, and one request through both:
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::{TcpListener, TcpStream};
//!
//! use ropewalk::{Balancer, Config};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = TcpListener::bind("127.0.0.1:0")?;
//! let config = Config::new()
//!     .listen("127.0.0.1:0")
//!     .named_backend("only", &format!("http://{}", backend.local_addr()?))
//!     // The backend of this example answers a single request, so do not probe it.
//!     .health_check(ropewalk::config::HealthCheck::off());
//! let service = std::thread::spawn(move || -> std::io::Result<()> {
//!     let (mut connection, _) = backend.accept()?;
//!     let mut request = [0; 1024];
//!     let _ = connection.read(&mut request)?;
//!     connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
//! });
//!
//! let balancer = Balancer::start(config.check()?.plan)?;
//! let mut client = TcpStream::connect(balancer.addresses()[0])?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")?;
//! let mut response = String::new();
//! client.read_to_string(&mut response)?;
//! assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
//! assert!(response.ends_with("hello"), "{response}");
//! assert_eq!(balancer.handle().backends()[0].requests, 1);
//!
//! balancer.handle().drain();
//! balancer.join()?;
//! service.join().expect("the backend does not panic")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What can fail, and when
//!
//! Each step has an error of its own. [`ConfigErrors`](config::ConfigErrors) lists the mistakes in a
//! configuration, with their places. [`StartError`] is about the machine: an address in use, too few
//! descriptors. [`ReloadError`] means that the old configuration is still in use. [`ThreadEnded`] means
//! that one of the balancer's threads has died; its connections are cut and the process should end or
//! start another balancer.
//!
//! # Logging
//!
//! Diagnostics go to the [`log`] crate. The library installs no logger and no signal handler.
//!
//! # Stability
//!
//! The module `internal` is for the program, tests, benchmarks and fuzz targets of this project only. It
//! may change in every release.

#[cfg(not(target_os = "linux"))]
compile_error!("ropewalk runs on Linux only: it waits with epoll and eventfd");

mod access_log;
mod admin;
mod app;
mod base;
pub mod config;
#[cfg(feature = "demo")]
mod demo;
mod health;
mod http;
mod net;
mod observe;
mod proxy;
mod route;
mod server;
mod upstream;

pub use config::Config;

pub use base::supervisor::ThreadEnded;

pub use app::{BackendState, Balancer, Handle, ReloadError, StartError, TooFewDescriptors, UnknownBackend};

/// What the program, the tests, the benchmarks and the fuzz targets of this project use.
///
/// No part of the interface: anything here may change in every release.
#[doc(hidden)]
pub mod internal {
    pub use crate::app::explain_plan;

    pub mod access_log {
        pub use crate::access_log::*;
    }
    pub mod admin {
        pub use crate::admin::*;
    }
    pub mod base {
        pub use crate::base::*;
    }
    pub mod config {
        pub mod changes {
            pub use crate::config::changes::*;
        }
        pub mod memory {
            pub use crate::config::memory::*;
        }
        pub mod plan {
            pub use crate::config::plan::*;
        }
    }
    #[cfg(feature = "demo")]
    pub mod demo {
        pub use crate::demo::*;
    }
    pub mod health {
        pub use crate::health::*;
    }
    pub mod http {
        pub use crate::http::*;
    }
    pub mod net {
        pub use crate::net::*;
    }
    pub mod observe {
        pub use crate::observe::*;
    }
    pub mod proxy {
        pub use crate::proxy::*;
    }
    pub mod route {
        pub use crate::route::*;
    }
    pub mod server {
        pub use crate::server::*;
    }
    pub mod upstream {
        pub use crate::upstream::*;
    }
}
