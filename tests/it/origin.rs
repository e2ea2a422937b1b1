//! Scripted origins: the backends in a test.
//!
//! Each is a listener with a thread per connection, which is exactly what the balancer is not, and good
//! enough for a test. The origin counts what reaches it, because most tests ask "which backend saw it,
//! how often, over how many connections".

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use super::wire::{Head, Role, Wire};

/// What a connection does after a response.
pub enum Next {
    /// Waits for another request.
    Keep,
    /// Closes, like a server that is done.
    Close,
    /// Resets, like a server that crashed.
    Reset,
}

type Handler = dyn Fn(&Head, &mut Wire) -> Next + Send + Sync;

/// A running origin; stops listening and closes every connection when dropped.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<thread::JoinHandle<()>>,
}

struct Shared {
    handler: Box<Handler>,
    stopping: AtomicBool,
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// LOCK: open streams by number, to shut down at the end; held to add, to remove or to walk, never
    /// across a wait.
    streams: Mutex<HashMap<usize, TcpStream>>,
}

impl Origin {
    /// Answers every request with its name, after the delay that a target like `/slow/250`
    /// asks for in milliseconds. `/health` is answered like everything else.
    pub fn named(name: &str) -> Self {
        Self::named_at(free_listener(), name)
    }

    /// The same on a listener of the caller's.
    pub fn named_at(listener: TcpListener, name: &str) -> Self {
        let body = format!("{name}\n");
        Self::serve_at(listener, move |head, wire| {
            if wire.read_rest().is_err() {
                return Next::Close;
            }
            if let Some(delay) = delay_of(head.target()) {
                // PACE: the scripted delay of a slow origin.
                thread::sleep(delay);
            }
            reply(wire, 200, body.as_bytes())
        })
    }

    /// Calls `handler` for each request head; reading the body is up to the handler.
    pub fn serve(handler: impl Fn(&Head, &mut Wire) -> Next + Send + Sync + 'static) -> Self {
        Self::serve_at(free_listener(), handler)
    }

    /// The same on a listener of the caller's.
    pub fn serve_at(
        listener: TcpListener,
        handler: impl Fn(&Head, &mut Wire) -> Next + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("local address");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            streams: Mutex::default(),
        });
        let acceptor = spawn("origin", {
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its entry in the `backends` of a configuration.
    pub fn backend(&self) -> serde_json::Value {
        backend_at(self.address)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Request heads read so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which is blocked in accept.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().expect("the origin's acceptor does not panic");
        }
        for stream in self.shared.streams.lock().values() {
            // A stream that the peer has already closed cannot be shut down again.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// A response with a Content-Length; `Keep` when it could be sent.
pub fn reply(wire: &mut Wire, status: u16, body: &[u8]) -> Next {
    let mut bytes =
        format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    match wire.send(&bytes) {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

/// The `backends` entry for an address.
pub fn backend_at(address: SocketAddr) -> serde_json::Value {
    serde_json::json!({ "url": format!("http://{address}") })
}

/// A listener on a free port of the loopback interface.
pub fn free_listener() -> TcpListener {
    listener_at(super::balancer::free_address())
}

/// A listener at this address, with room for a thousand connections that arrive at once: the
/// standard library's 128 would drop most of them, and each would come back a second later.
pub fn listener_at(address: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_reuse_address(true).expect("allow reuse");
    socket.bind(&address.into()).expect("bind");
    socket.listen(4096).expect("listen");
    socket.into()
}

/// A port where every connection is refused: it is bound, but nothing listens on it.
pub struct Refusing(Socket);

impl Refusing {
    /// Takes a free port.
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        Self(socket)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("local address").as_socket().expect("an IP address")
    }
}

/// An address where connections are never answered: the queue of a listener that does not accept is
/// full, and Linux drops further connections.
pub struct Deaf {
    listener: Socket,
    _waiting: Vec<Socket>,
}

impl Deaf {
    /// Takes a free port and fills its queue.
    pub fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("local address");
        // A queue of 0 holds one; a second connection is the first to be left unanswered.
        let waiting = (0..2).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
            socket.set_nonblocking(true).expect("non-blocking");
            // Deliberately left incomplete.
            let _ = socket.connect(&address);
            socket
        });
        Self { _waiting: waiting.collect(), listener }
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("local address").as_socket().expect("an IP address")
    }
}

fn delay_of(target: &str) -> Option<Duration> {
    target.strip_prefix("/slow/")?.parse().ok().map(Duration::from_millis)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        shared.streams.lock().insert(number, stream.try_clone().expect("clone a socket"));
        let shared = Arc::clone(shared);
        spawn("origin-conn", move || {
            converse(Wire::new(stream), &shared);
            shared.streams.lock().remove(&number);
        });
    }
}

fn converse(mut wire: Wire, shared: &Shared) {
    // An idle keep-alive connection is not a failure: it lasts until the balancer closes it.
    wire.set_patience(Duration::from_secs(120));
    while let Ok(head) = wire.read_head(Role::Request) {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        match (shared.handler)(&head, &mut wire) {
            Next::Keep => {}
            Next::Close => {
                // The shutdown also ends the clone that the origin keeps for its own stop.
                let _ = wire.stream().shutdown(std::net::Shutdown::Both);
                return;
            }
            Next::Reset => return crash(wire),
        }
    }
    let _ = wire.stream().shutdown(std::net::Shutdown::Both);
}

/// Sends a reset even if a clone of the socket exists: connecting a TCP socket to "no address"
/// disconnects it at once, for all its descriptors.
fn crash(wire: Wire) {
    let _ = rustix::net::sockopt::set_socket_linger(wire.stream(), Some(Duration::ZERO));
    let _ = rustix::net::connect_unspec(wire.stream());
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    // A thousand of these exist at once in some tests.
    let thread = thread::Builder::new().name(name.into()).stack_size(256 * 1024);
    thread.spawn(run).map_err(io::Error::other).expect("start a thread")
}

#[cfg(test)]
mod tests {
    use super::super::client::{Client, get};
    use super::super::wire::Fault;
    use super::*;

    #[test]
    fn a_named_origin_keeps_its_connections_and_counts() {
        let origin = Origin::named("one");
        let mut client = Client::connect(origin.address());
        assert_eq!(client.get("/a").text(), "one\n");
        assert_eq!(client.get("/b").text(), "one\n");
        assert_eq!((origin.connections(), origin.requests()), (1, 2));
    }

    #[test]
    fn a_stopped_origin_refuses_and_can_come_back_at_its_address() {
        let origin = Origin::named("first");
        let address = origin.address();
        let mut client = Client::connect(address);
        client.get("/");
        drop(origin);
        assert!(client.try_get("/").is_err());
        assert!(TcpStream::connect(address).is_err());
        let _origin = Origin::named_at(listener_at(address), "second");
        assert_eq!(get(address, "/").text(), "second\n");
    }

    #[test]
    fn a_scripted_reset_is_seen_as_a_cut() {
        let origin = Origin::serve(|_, wire| {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").expect("send");
            Next::Reset
        });
        assert_eq!(Client::connect(origin.address()).try_get("/"), Err(Fault::Cut));
    }

    #[test]
    fn a_full_queue_never_answers() {
        let deaf = Deaf::new();
        let error =
            TcpStream::connect_timeout(&deaf.address(), Duration::from_millis(100)).expect_err("silence");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_refusing_port_has_no_listener() {
        let refusing = Refusing::new();
        let error = TcpStream::connect(refusing.address()).expect_err("a refusal");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
