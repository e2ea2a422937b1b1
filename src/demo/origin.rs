//! A sample origin on may_minihttp: `Response from server-1` on every path, 200 on `/health`.
//!
//! Each connection is a coroutine of a few tens of KiB, and a delay sleeps in it, so that a
//! thousand slow requests at once cost a thousand small stacks and no thread. Measured: 4 000
//! keep-alive connections; 1 000 requests of one second each, together in 1.05 s.
//!
//! What may_minihttp 0.1 does not do, as measured, so that nobody looks for the fault in the
//! balancer:
//!
//! - A request with more than 16 header fields is dropped: the connection is closed without
//!   an answer, and a line goes to stderr. A browser sends about 15 and fits; through a
//!   balancer, which adds its own, the same request does not.
//! - It knows no chunked bodies: the chunks are taken for the next request, and the
//!   connection is closed, as a rule before the answer has gone out.
//! - It never closes a connection of its own accord: no `Connection: close`, no HTTP/1.0
//!   rules, no time limits. A client must have the end from Content-Length.
//! - It panics on a Content-Length that is not a number. The guard in [`Service::call`]
//!   answers 400 instead, and leaves the body, if any, to be taken for the next request.
//! - It binds with SO_REUSEPORT, so that two origins on one port would share it in silence.
//!   [`reserve`] refuses that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Once;
use std::time::Duration;

use may_minihttp::{HttpServer, HttpService, Request, Response};
use socket2::{Domain, Socket, Type};

/// A sample origin that has not been started.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use ropewalk::demo::Origin;
///
/// let address = Origin::new("server-1").start("127.0.0.1:0".parse().unwrap())?;
/// let mut stream = TcpStream::connect(address)?;
/// stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")?;
/// let mut head = [0; 15];
/// stream.read_exact(&mut head)?;
/// assert_eq!(&head, b"HTTP/1.1 200 Ok");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origin {
    name: String,
    delay: Duration,
    status: u16,
}

impl Origin {
    /// An origin that answers at once, with 200 and `Response from NAME`.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), delay: Duration::ZERO, status: 200 }
    }

    /// Answers everything but `/health` after this time.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers everything but `/health` with this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Listens, and serves on the coroutine runtime's threads until the process ends.
    /// Returns the address, which matters when port 0 asked for a free one. Errors when the
    /// address is in use.
    pub fn start(self, address: SocketAddr) -> io::Result<SocketAddr> {
        start_runtime();
        let reserved = reserve(address)?;
        let address = reserved.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let service = Service {
            body: format!("Response from {}\n", self.name).into(),
            delay: self.delay,
            status: self.status,
        };
        // Dropping the handle detaches the acceptor; it does not stop it.
        HttpServer(service).start(address)?;
        Ok(address)
    }
}

/// Settings of the coroutine runtime, which only count before its first use.
fn start_runtime() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // In words: 64 KiB. The 32 KiB of the default are tight for an unoptimised build
        // that formats an error.
        may::config().set_stack_size(8 * 1024);
        // Left alone, the runtime ties its threads to cores that the balancer wants as well.
        may::config().set_worker_pin(false);
    });
}

/// Takes the address, unless anybody has it, and then lets the server's own socket share it.
/// A port that is merely looked at and let go could be gone when the server wants it.
fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of an earlier run that linger in TIME_WAIT are no reason to refuse.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Only now: set before the bind, it would let us share a port with a stranger.
    rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    Ok(socket)
}

/// What answers the requests of one connection.
#[derive(Clone)]
struct Service {
    body: Arc<str>,
    delay: Duration,
    status: u16,
}

impl HttpService for Service {
    fn call(&mut self, request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
        response.header("Content-Type: text/plain");
        if !has_good_length(&request) {
            response.status_code(400, "Bad Request").body("bad Content-Length\n");
            return Ok(());
        }
        let is_head = request.method() == "HEAD";
        let is_health = request.path().split('?').next() == Some("/health");
        // Reads the body to its end; unread, it would be taken for the next request.
        drop(request.body());
        if is_health {
            if !is_head {
                response.body("ok\n");
            }
            return Ok(());
        }
        if !self.delay.is_zero() {
            may::coroutine::sleep(self.delay);
        }
        response.status_code(usize::from(self.status), reason(self.status));
        // RFC 9110 sections 9.3.2, 15.3.5 and 15.4.5: these have no content.
        if !is_head && !matches!(self.status, 204 | 304) {
            response.body_mut().extend_from_slice(self.body.as_bytes());
        }
        Ok(())
    }
}

/// Whether may_minihttp will survive the Content-Length of this request.
fn has_good_length(request: &Request<'_, '_, '_>) -> bool {
    let mut lengths =
        request.headers().iter().filter(|field| field.name.eq_ignore_ascii_case("content-length"));
    lengths.all(|field| std::str::from_utf8(field.value).is_ok_and(|text| text.parse::<usize>().is_ok()))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "Ok",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        // RFC 9112 section 4: the phrase may be anything.
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;

    use super::*;
    use crate::base::clock;

    fn free() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    struct Client(BufReader<TcpStream>);

    impl Client {
        fn connect(address: SocketAddr) -> Self {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Self(BufReader::new(stream))
        }

        fn send(&mut self, request: &str) {
            self.0.get_mut().write_all(request.as_bytes()).unwrap();
        }

        /// The status line and the body of the next response.
        fn receive(&mut self) -> (String, String) {
            let (mut status, mut length) = (String::new(), 0);
            self.0.read_line(&mut status).unwrap();
            loop {
                let mut field = String::new();
                self.0.read_line(&mut field).unwrap();
                match field.trim_end().split_once(": ") {
                    Some(("Content-Length", value)) => length = value.parse().unwrap(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).unwrap();
            (status.trim_end().to_owned(), String::from_utf8(body).unwrap())
        }

        fn exchange(&mut self, request: &str) -> (String, String) {
            self.send(request);
            self.receive()
        }
    }

    fn answer(status: &str, body: &str) -> (String, String) {
        (status.to_owned(), body.to_owned())
    }

    #[test]
    fn answers_with_its_name_on_one_connection_again_and_again() {
        let mut client = Client::connect(Origin::new("server-1").start(free()).unwrap());
        let named = answer("HTTP/1.1 200 Ok", "Response from server-1\n");
        assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named);
        assert_eq!(client.exchange("GET /any/path?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), named);
        let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(client.exchange(upload), named);
        assert_eq!(client.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), answer("HTTP/1.1 200 Ok", ""));
        assert_eq!(
            client.exchange("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
            answer("HTTP/1.1 200 Ok", "ok\n")
        );
    }

    #[test]
    fn a_bad_content_length_is_answered_and_does_not_stop_the_server() {
        let address = Origin::new("server-1").start(free()).unwrap();
        for length in ["-1", "x", "99999999999999999999999"] {
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
            let (status, _) = Client::connect(address).exchange(&request);
            assert_eq!(status, "HTTP/1.1 400 Bad Request", "{length}");
        }
        let (status, _) = Client::connect(address).exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(status, "HTTP/1.1 200 Ok");
    }

    #[test]
    fn the_status_and_the_health_are_two_things() {
        let mut client = Client::connect(Origin::new("x").status(503).start(free()).unwrap());
        assert_eq!(
            client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            answer("HTTP/1.1 503 Service Unavailable", "Response from x\n")
        );
        assert_eq!(
            client.exchange("GET /health?deep HTTP/1.1\r\nHost: a\r\n\r\n"),
            answer("HTTP/1.1 200 Ok", "ok\n")
        );
    }

    #[test]
    fn many_slow_requests_wait_side_by_side() {
        let delay = Duration::from_millis(300);
        let address = Origin::new("slow").delay(delay).start(free()).unwrap();
        let begun = clock::now();
        let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        for client in &mut clients {
            assert_eq!(client.receive().1, "Response from slow\n");
        }
        let took = clock::now().since(begun);
        assert!(took >= delay, "the delay was not kept: {took:?}");
        // One after the other they would take 30 s.
        assert!(took < Duration::from_secs(10), "they waited for each other: {took:?}");
    }

    #[test]
    fn a_port_in_use_is_refused() {
        let address = Origin::new("first").start(free()).unwrap();
        let error = Origin::new("second").start(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    /// Not a wish but a record: when this fails, may_minihttp has learnt to take more fields,
    /// and the head of this file, and what the guide says of browsers, can go.
    #[test]
    fn seventeen_fields_are_one_too_many() {
        let address = Origin::new("server-1").start(free()).unwrap();
        let request = |fields: usize| {
            let more: String = (1..fields).map(|index| format!("X-{index}: y\r\n")).collect();
            format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
        };
        assert_eq!(Client::connect(address).exchange(&request(16)).0, "HTTP/1.1 200 Ok");
        let mut client = Client::connect(address);
        client.send(&request(17));
        let mut left = Vec::new();
        // Closed or reset, but not answered.
        let _ = client.0.read_to_end(&mut left);
        assert_eq!(left, b"");
    }
}
