//! The client side: connections to the balancer, and what is measured on them.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::wait::PATIENCE;
use super::wire::{Fault, Message, Role, Wire};

/// One client connection.
pub struct Client {
    /// The connection, for tests that speak byte by byte.
    pub wire: Wire,
}

impl Client {
    /// Connects, or panics after the usual bound.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => Self { wire: Wire::new(stream) },
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// Connects if there is a listener.
    pub fn connect_if_open(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).ok().map(|stream| Self { wire: Wire::new(stream) })
    }

    /// Sends raw bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes.as_ref()).expect("send");
    }

    /// Reads one whole response.
    pub fn response(&mut self) -> Result<Message, Fault> {
        self.wire.read_message(Role::Response)
    }

    /// A GET on this connection, and its response.
    pub fn try_get(&mut self, path: &str) -> Result<Message, Fault> {
        self.wire.send(get_request(path).as_bytes()).map_err(|_| Fault::Cut)?;
        self.response()
    }

    /// A GET that must be answered.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Message {
        match self.try_get(path) {
            Ok(message) => message,
            Err(fault) => panic!("GET {path}: {fault:?}"),
        }
    }
}

/// The bytes of a GET that keeps the connection.
pub fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test.example\r\n\r\n")
}

/// A GET on its own connection.
#[track_caller]
pub fn get(address: SocketAddr, path: &str) -> Message {
    Client::connect(address).get(path)
}

/// How long each of many requests took.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Repeats a GET on one connection while `wanted` says so, timing each.
    #[track_caller]
    pub fn of_gets(address: SocketAddr, path: &str, mut wanted: impl FnMut(usize) -> bool) -> Self {
        let mut client = Client::connect(address);
        let mut taken = Vec::new();
        while wanted(taken.len()) {
            let start = Instant::now();
            assert_eq!(client.get(path).head.status(), 200);
            taken.push(start.elapsed());
            // The balancer ends a connection after a number of requests; so does this client, sooner.
            if taken.len() % 500 == 0 {
                client = Client::connect(address);
            }
        }
        taken.sort_unstable();
        Self(taken)
    }

    /// The number of requests.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The median.
    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// The 99th percentile.
    pub fn p99(&self) -> Duration {
        assert!(self.0.len() >= 100, "{} requests are too few for a p99", self.0.len());
        self.0[self.0.len() * 99 / 100]
    }
}
