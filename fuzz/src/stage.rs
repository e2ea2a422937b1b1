//! A task that is advanced as a worker would, on a clock that stands still and in one thread:
//! its client is one end of a socket pair, its backend a listener on the loopback interface.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ropewalk::config::{Config, HealthCheck, Limits};
use ropewalk::internal::base::clock::Moment;
use ropewalk::internal::config::plan::Plan;
use ropewalk::internal::net::parking::{ParkToken, Unpark};
use ropewalk::internal::net::stream::Stream;
use ropewalk::internal::proxy::connection::Connection;
use ropewalk::internal::proxy::context::{Context, ListenerInfo, Shared};
use ropewalk::internal::proxy::counted::{Counted, Counts};
use ropewalk::internal::upstream::snapshot::Snapshot;

/// Where the client claims to come from.
pub const PEER: &str = "127.0.0.1";

/// A listener for a backend.
pub fn listener() -> TcpListener {
    let listener = TcpListener::bind((PEER, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a flag");
    listener
}

/// A connection that such a listener has accepted. It closes with a reset: nothing is left
/// behind to wait for its time, however many runs there are in a second.
pub fn accepted(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(true).expect("a flag");
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("a flag");
    stream
}

/// One backend, and nothing that happens by itself.
pub fn config(backend: Option<SocketAddr>) -> Config {
    let backend = backend.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 1)));
    let config = Config::new()
        .listen("127.0.0.1:0")
        .backend(&format!("http://{backend}"))
        .health_check(HealthCheck::off());
    let limits = Limits { requests_per_connection: Some(0), ..Limits::default() };
    Config { limits: Some(limits), ..config }
}

/// The plan of a configuration without mistakes.
pub fn plan(config: &Config) -> Plan {
    config.check().expect("a good configuration").plan
}

/// A task, what a worker brings along to it, and its client.
pub fn set(plan: Plan) -> (Box<Connection>, Context, UnixStream) {
    let snapshot = Arc::new(Snapshot::new(plan));
    let (client, ours) = UnixStream::pair().expect("a socket pair");
    client.set_nonblocking(true).expect("a flag");
    ours.set_nonblocking(true).expect("a flag");
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let info = Arc::new(ListenerInfo { id: 1, name: "here".to_owned(), address, planned: address });
    let shared = Arc::new(Shared {
        takes_notes: AtomicBool::new(true),
        ..Shared::new(&snapshot, vec![Arc::clone(&info)], 0, ropewalk::internal::base::limits::PIPES_MAX)
    });
    let counts =
        Counts { connections: Counted::new(&shared.connections), of_client: Counted::new(&Arc::default()) };
    // The clock stands still, so no deadline ever fires.
    let now = Moment::ZERO + Duration::from_secs(1000);
    let peer = SocketAddr::from(([127, 0, 0, 1], 50_000));
    let task = Box::new(Connection::new(Stream::accepted(ours.into()), peer, info, snapshot, counts, now));
    (task, Context::new(0, shared, Weak::<Nobody>::new(), now), client)
}

/// Who wakes the tasks here: nobody, as they are advanced all the time.
struct Nobody;

impl Unpark for Nobody {
    fn unpark(&self, _: ParkToken) {}
}
