//! A sample origin: a listener, and a thread for each connection.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::answer::{self, Next, Site};
use super::connection;
use super::input::Patience;
use crate::base::limits::{ORIGIN_CONNECTIONS_MAX, ORIGIN_STACK_BYTES};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Before the next try when the process has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A sample origin that has not been started.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use ropewalk::internal::demo::Origin;
///
/// let address = Origin::new("server-1").start("127.0.0.1:0".parse().unwrap())?;
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")?;
/// let mut head = [0; 15];
/// stream.read_exact(&mut head)?;
/// assert_eq!(&head, b"HTTP/1.1 200 OK");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origin {
    pub(super) site: Site,
    pub(super) connections_max: usize,
}

impl Origin {
    /// An origin that answers at once, with 200 and `Response from NAME`.
    pub fn new(name: &str) -> Self {
        let patience = Patience::USUAL;
        let site = Site { name: name.to_owned(), delay: Duration::ZERO, status: 200, patience };
        Self { site, connections_max: ORIGIN_CONNECTIONS_MAX }
    }

    /// Answers everything but `/health` after this time.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.site.delay = delay;
        self
    }

    /// Answers everything but `/health` and `/ws` with this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.site.status = status;
        self
    }

    /// Listens, and serves on threads of its own until the process ends. Returns the address,
    /// which matters when port 0 asked for a free one.
    ///
    /// # Errors
    /// The address is in use, or the system refuses a socket or a thread.
    pub fn start(self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Connections of an earlier run that linger in TIME_WAIT are no reason to refuse.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        let (site, max) = (Arc::new(self.site), self.connections_max);
        Builder::new().name("origin".to_owned()).spawn(move || accept(&listener, &site, max))?;
        Ok(address)
    }
}

fn accept(listener: &TcpListener, site: &Arc<Site>, connections_max: usize) {
    loop {
        match listener.accept() {
            // Each connection's thread has a clone, and the acceptor has one.
            Ok((stream, _)) if Arc::strong_count(site) > connections_max => turn_away(&stream),
            Ok((stream, _)) => {
                let site = Arc::clone(site);
                let thread = Builder::new().name("origin-conn".to_owned()).stack_size(ORIGIN_STACK_BYTES);
                // Without a thread the connection is closed.
                let _ = thread.spawn(move || connection::serve(&stream, &site));
            }
            // It left before it was accepted, or there is no descriptor for it.
            Err(_) => pause(),
        }
    }
}

/// A short answer fits into the send buffer of a new connection, so this does not block.
fn turn_away(stream: &TcpStream) {
    let _ = answer::whole(stream, 503, "too many connections\n", Next::Close);
}

#[allow(clippy::disallowed_methods, reason = "nothing reports that a descriptor has become free")]
fn pause() {
    // PACE: accepting again at once would only spin.
    thread::sleep(ACCEPT_PAUSE);
}
