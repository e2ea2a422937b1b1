//! One probe of one address, on a non-blocking socket.
//!
//! A TCP probe ends once the connection is established. An HTTP probe then sends its request and reads
//! the response, which [`Answer`] judges. The health thread has many attempts in flight: it watches
//! their sockets, calls [`Attempt::advance`] when something happens, and [`Attempt::late`] when time is
//! up. Knows neither schedules nor health states.
//!
//! After a good response, or a connection for a TCP probe, it is closed normally: backends log resets,
//! and Python's `http.server` prints a traceback for each. All others are reset, so that probes leave
//! nothing in TIME_WAIT and nothing at a hung backend.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{getpeername, getsockname};

use crate::base::buffer::{Buffer, BufferPool, Size};
use crate::config::plan::{HealthCheck, Probe};
use crate::health::answer::{Answer, AnswerLimits, Reading};
use crate::health::fault::Fault;
use crate::net::io::Io;
use crate::net::stream::Stream;
use crate::upstream::backend::Backend;
use crate::upstream::health::Reason;

/// A probe in progress at one address.
#[derive(Debug)]
pub(super) struct Attempt {
    stream: Stream,
    connected: bool,
    /// What follows the connection; `None` for a TCP probe.
    exchange: Option<Exchange>,
}

/// The request and response of an HTTP probe.
#[derive(Debug)]
struct Exchange {
    /// The backend as configured when the probe began. Its check says what to expect.
    backend: Arc<Backend>,
    request: Vec<u8>,
    sent: usize,
    inbound: Buffer,
    answer: Answer,
}

/// How an attempt ended.
pub(super) type Outcome = Result<(), Fault>;

impl Attempt {
    /// Starts a probe of `backend` at one of its addresses.
    ///
    /// # Errors
    /// The address cannot be dialled at all.
    pub(super) fn begin(
        backend: &Arc<Backend>,
        check: &HealthCheck,
        mut address: SocketAddr,
        limits: AnswerLimits,
    ) -> Result<Self, Fault> {
        if let Some(port) = check.port {
            address.set_port(port);
        }
        let exchange = match &check.probe {
            Probe::Tcp => None,
            Probe::Http { path, host, .. } => {
                let host = host.clone().unwrap_or_else(|| host_of(backend, address));
                Some(Exchange {
                    backend: Arc::clone(backend),
                    request: request(path, &host),
                    sent: 0,
                    inbound: Buffer::default(),
                    answer: Answer::new(limits),
                })
            }
        };
        let stream = Stream::connect(address).map_err(Fault::of)?;
        Ok(Self { stream, connected: false, exchange })
    }

    /// Advances as far as the socket allows. Returns the outcome, or `None` if it must wait. Call it
    /// after an event on the socket.
    pub(super) fn advance(&mut self, buffers: &mut BufferPool) -> Option<Outcome> {
        if !self.connected {
            match connection(&self.stream) {
                Ok(Connection::Pending) => return None,
                Ok(Connection::Made) => self.connected = true,
                Err(fault) => return Some(Err(fault)),
            }
        }
        let Some(exchange) = &mut self.exchange else { return Some(Ok(())) };
        // Events are edge-triggered: each call must read until nothing is left, or one would be missed.
        self.stream.mark_readable();
        let outcome = exchange.go_on(&mut self.stream, buffers);
        if let Some(outcome) = outcome {
            exchange.inbound.release(buffers);
            if outcome.is_err() {
                self.stream.reset_on_close();
            }
        } else {
            exchange.inbound.release_if_empty(buffers);
        }
        outcome
    }

    /// The outcome when time is up.
    pub(super) fn late(&mut self) -> Outcome {
        self.stream.reset_on_close();
        let answered = match &self.exchange {
            Some(exchange) if self.connected => exchange.answer.late(),
            _ => Err(Reason::Timeout),
        };
        answered.map_err(Fault::Theirs)
    }
}

impl AsFd for Attempt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Exchange {
    fn go_on(&mut self, stream: &mut Stream, buffers: &mut BufferPool) -> Option<Outcome> {
        while let Some(rest) = self.request.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(Io::Moved(count)) => self.sent += count,
                Ok(Io::Blocked | Io::End) => break,
                // The backend may have answered before it closed; the proxy accepts that too.
                Err(_) => break,
            }
        }
        loop {
            match stream.read(&mut self.inbound, buffers, Size::Small) {
                Ok(Io::Moved(_)) => {}
                Ok(Io::Blocked) => return None,
                Ok(Io::End) => {
                    return Some(self.answer.ended(self.inbound.bytes()).map_err(Fault::Theirs));
                }
                Err(Errno::NOBUFS) => return Some(Err(Fault::Ours)),
                Err(error) => return Some(Err(Fault::of(error))),
            }
            // A short read means that the socket is empty, but the end may still follow.
            stream.mark_readable();
            match self.answer.read(self.inbound.bytes(), expected(&self.backend)) {
                Reading::More(done) => self.inbound.consume(done),
                Reading::Verdict(verdict) => return Some(verdict.map_err(Fault::Theirs)),
            }
        }
    }
}

/// The statuses that count as healthy.
fn expected(backend: &Backend) -> &[std::ops::RangeInclusive<u16>] {
    match backend.check().map(|check| &check.probe) {
        Some(Probe::Http { expect_status, .. }) => expect_status,
        _ => &[],
    }
}

/// The request of a probe. Every probe uses a new connection.
fn request(path: &str, host: &str) -> Vec<u8> {
    let agent = concat!("ropewalk/", env!("CARGO_PKG_VERSION"), " health");
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// The Host of a probe, the same as in a direct request to this backend.
fn host_of(backend: &Backend, address: SocketAddr) -> String {
    match (backend.host().parse::<IpAddr>(), address.port()) {
        (Ok(_), _) => address.to_string(),
        (Err(_), 80) => backend.host().to_owned(),
        (Err(_), port) => format!("{}:{port}", backend.host()),
    }
}

/// The state of a connection attempt.
enum Connection {
    Pending,
    Made,
}

fn connection(stream: &Stream) -> Result<Connection, Fault> {
    socket_error(stream).and_then(|outcome| outcome).map_err(Fault::of)?;
    match (getsockname(stream), getpeername(stream)) {
        // The socket is connected to itself: nothing listens on a local port in the ephemeral range,
        // and the kernel chose that very port for our end. A dead backend would look alive.
        (Ok(ours), Ok(Some(theirs))) if ours == theirs => Err(Fault::Theirs(Reason::Refused)),
        (_, Ok(Some(_))) => Ok(Connection::Made),
        _ => Ok(Connection::Pending),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    use super::*;
    use crate::config::plan::BackendPlan;
    use crate::http::HeadError;

    fn check(probe: Probe) -> HealthCheck {
        HealthCheck { probe, ..HealthCheck::default() }
    }

    fn http() -> Probe {
        Probe::Http { path: "/health".to_owned(), host: None, expect_status: vec![200..=299] }
    }

    fn begin(probe: Probe, address: SocketAddr) -> Attempt {
        let plan = BackendPlan {
            name: "a".to_owned(),
            host: address.ip().to_string(),
            port: address.port(),
            weight: 1,
            max_connections: None,
        };
        let check = check(probe);
        let backend = Arc::new(Backend::new(plan, Some(check.clone()), 1));
        Attempt::begin(&backend, &check, address, AnswerLimits { head: 32 * 1024, interim: 1024 }).unwrap()
    }

    /// Waits for events and advances, until there is an outcome or nothing has happened for `quiet`.
    fn run(attempt: &mut Attempt, quiet: Duration) -> Option<Outcome> {
        let mut buffers = BufferPool::new();
        loop {
            let events = match attempt.connected {
                true => PollFlags::IN,
                false => PollFlags::OUT,
            };
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(quiet.subsec_nanos()) };
            if poll(&mut [PollFd::new(&*attempt, events)], Some(&timeout)).unwrap() == 0 {
                return None;
            }
            if let Some(outcome) = attempt.advance(&mut buffers) {
                return Some(outcome);
            }
        }
    }

    const QUIET: Duration = Duration::from_millis(900);

    /// An HTTP probe of a backend that does `act` once it has read the request.
    fn probed(act: impl FnOnce(&mut TcpStream) + Send + 'static) -> Option<Outcome> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut attempt = begin(http(), listener.local_addr().unwrap());
        let backend = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            assert!(head[..read].starts_with(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:"));
            act(&mut stream);
            stream
        });
        let outcome = run(&mut attempt, QUIET);
        // Before joining the backend, which may still be writing.
        drop(attempt);
        drop(backend.join().unwrap());
        outcome
    }

    #[test]
    fn an_answer_that_comes_byte_by_byte_is_judged() {
        let outcome = probed(|stream| {
            stream.set_nodelay(true).unwrap();
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" {
                stream.write_all(&[*byte]).unwrap();
            }
        });
        assert_eq!(outcome, Some(Ok(())));
    }

    #[test]
    fn a_connection_is_closed_after_a_good_answer_and_reset_after_a_bad_one() {
        for (status, closes) in [("200 OK", true), ("503 Busy", false)] {
            let outcome = probed(move |stream| {
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
                assert_eq!(stream.read(&mut [0; 8]).is_ok(), closes, "{status}");
            });
            assert_eq!(outcome.unwrap().is_ok(), closes);
        }
    }

    #[test]
    fn an_end_right_after_the_bytes_is_seen() {
        let outcome = probed(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(outcome, Some(Err(Fault::Theirs(Reason::Truncated))));
    }

    #[test]
    fn a_close_without_an_answer_concerns_the_address() {
        let outcome = probed(|stream| stream.shutdown(Shutdown::Both).unwrap());
        assert_eq!(outcome, Some(Err(Fault::Theirs(Reason::Reset))));
        assert!(Fault::Theirs(Reason::Reset).concerns_the_address());
        assert!(!Fault::Theirs(Reason::Truncated).concerns_the_address());
    }

    #[test]
    fn an_endless_head_ends_the_probe_at_the_limit() {
        let outcome = probed(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nA: ").unwrap();
            // Ends when the probe has closed.
            while stream.write_all(&[b'a'; 4096]).is_ok() {}
        });
        assert_eq!(outcome, Some(Err(Fault::Theirs(Reason::BadHead(HeadError::HeadTooLarge)))));
    }

    #[test]
    fn silence_is_a_timeout() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut attempt = begin(http(), listener.local_addr().unwrap());
        assert_eq!(attempt.late(), Err(Fault::Theirs(Reason::Timeout)));
        assert_eq!(run(&mut attempt, Duration::from_millis(50)), None);
        assert!(attempt.connected);
        assert_eq!(attempt.late(), Err(Fault::Theirs(Reason::Timeout)));
    }

    #[test]
    fn a_tcp_probe_ends_with_the_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(run(&mut begin(Probe::Tcp, address), QUIET), Some(Ok(())));
        drop(listener);
        assert_eq!(run(&mut begin(Probe::Tcp, address), QUIET), Some(Err(Fault::Theirs(Reason::Refused))));
    }

    #[test]
    fn a_socket_connected_to_itself_is_not_a_backend() {
        let itself = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&itself, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        connect(&itself, &getsockname(&itself).unwrap()).unwrap();
        let stream = Stream::accepted(itself);
        assert!(matches!(connection(&stream), Err(Fault::Theirs(Reason::Refused))));
    }
}
