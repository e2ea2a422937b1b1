//! A connection that a test advances step by step, with client and backends in memory.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::base::clock::Moment;
use crate::config::{Config, HealthCheck};
use crate::net::memory::{self, Network, Peer};
use crate::net::parking::{ParkToken, Unpark};
use crate::net::stream::Stream;
use crate::net::wait::{Reason, Waiter};
use crate::proxy::advance::advance;
use crate::proxy::connection::Connection;
use crate::proxy::context::{Context, ListenerInfo, Shared};
use crate::proxy::counted::{Counted, Counts};
use crate::proxy::step::Next;
use crate::upstream::snapshot::Snapshot;

/// A client, the balancer's connection to it, and two backends.
pub(super) struct Scene {
    connection: Option<Box<Connection>>,
    cx: Context,
    pub(super) client: Peer,
    pub(super) network: Network,
    /// Why the connection waits.
    pub(super) waits: Option<Reason>,
}

/// A request without a body.
pub(super) const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request that must not be sent twice.
pub(super) const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// A response after which the connection is kept.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

impl Scene {
    pub(super) fn new() -> Self {
        let config = Config::new()
            .listen("127.0.0.1:0")
            .backend("http://127.0.0.1:1")
            .backend("http://127.0.0.1:2")
            .health_check(HealthCheck::off());
        let snapshot = Arc::new(Snapshot::new(config.check().unwrap().plan));
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let info = Arc::new(ListenerInfo { id: 1, name: "here".to_owned(), address, planned: address });
        // No pipes: they cannot take bytes from memory.
        let shared = Arc::new(Shared::new(&snapshot, vec![Arc::clone(&info)], 0, 0));
        let counts = Counts {
            connections: Counted::new(&shared.connections),
            of_client: Counted::new(&Arc::default()),
        };
        let now = Moment::ZERO + Duration::from_secs(1000);
        let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let (ours, client) = memory::pair();
        let connection = Connection::new(Stream::in_memory(ours), peer, info, snapshot, counts, now);
        Self {
            connection: Some(Box::new(connection)),
            cx: Context::new(0, shared, Weak::<Nobody>::new(), now),
            client,
            network: Network::new(),
            waits: None,
        }
    }

    /// The client sends something.
    pub(super) fn client_sends(&mut self, bytes: &str) {
        self.client.send(bytes);
        self.turn();
    }

    /// A backend sends something.
    pub(super) fn backend_sends(&mut self, backend: &Peer, bytes: &str) {
        backend.send(bytes);
        self.turn();
    }

    /// Time passes.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.cx.now = self.cx.now + Duration::from_secs(seconds);
        self.turn();
    }

    /// The next connection to a backend that was opened.
    #[track_caller]
    pub(super) fn dialled(&self) -> (SocketAddr, Peer) {
        self.network.accept().unwrap()
    }

    /// Advances the connection until it waits for something that has not happened.
    pub(super) fn turn(&mut self) {
        // A short read takes a stream for empty. A second poll finds what was behind it.
        for _ in 0..2 {
            self.advance();
        }
    }

    fn advance(&mut self) {
        while let Some(connection) = &mut self.connection {
            connection.each_stream(|_, stream| stream.mark_readable());
            match advance(connection, &mut self.cx) {
                Next::Wait(wait) => {
                    self.waits = Some(wait.reason);
                    return;
                }
                Next::Yield => {}
                Next::Close => self.connection = None,
            }
        }
    }
}

/// Wakes nothing: the connection is advanced all the time.
struct Nobody;

impl Unpark for Nobody {
    fn unpark(&self, _: ParkToken) {}
}
