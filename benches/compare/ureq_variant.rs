//! The same balancer as a plain thread pool that forwards through ureq 3.
//!
//! It answers the question of why ropewalk speaks HTTP to the origins itself. Heads
//! are read with httparse, a poller hands readable connections to the pool, and each
//! request blocks one thread until its answer has been written. It forwards requests
//! without a body only, which is all that is measured.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use parking_lot::Mutex;
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use ureq::http::{HeaderName, HeaderValue, Request, Response};
use ureq::{Agent, Body};

/// The subcommand that runs [`serve`].
pub const COMMAND: &str = "ureq-variant";
/// Threads of the pool. A thread that waits for an origin does nothing else, so it
/// needs more of them than there are cores; `--workers` does not apply.
pub const THREADS: usize = 16;

/// LIMIT: connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// LIMIT: bytes and fields of a request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;
/// LIMIT: a client that stops in the middle of a head or of an answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// LIMIT: sockets told of per `epoll_wait`.
const EVENTS_MAX: usize = 256;
/// Kept connections: as many as threads can use at once.
const KEPT: usize = THREADS * 4;
/// The number of the listener among the events.
const LISTENER: u64 = u64::MAX;

/// Balances what comes to `address` over `origins`.
pub fn serve(address: SocketAddrV4, origins: &[SocketAddrV4]) -> io::Result<()> {
    let (ready, work) = channel::unbounded();
    let pool = Arc::new(Pool {
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        parked: Mutex::new(Vec::new()),
        agent: agent(),
        origins: origins.to_vec(),
        next: AtomicUsize::new(0),
        port: address.port(),
    });
    for number in 0..THREADS {
        let (pool, work) = (Arc::clone(&pool), work.clone());
        thread::Builder::new().name(format!("ureq-{number}")).spawn(move || pool.work(&work))?;
    }
    pool.poll(&listen(address)?, &ready)
}

struct Pool {
    epoll: OwnedFd,
    /// LOCK: guards the connections that no thread holds, for one take or put.
    parked: Mutex<Vec<Option<TcpStream>>>,
    agent: Agent,
    origins: Vec<SocketAddrV4>,
    next: AtomicUsize,
    port: u16,
}

/// A connection and its place among the parked ones.
struct Ready {
    place: usize,
    stream: TcpStream,
}

/// What becomes of a client's connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

impl Pool {
    fn poll(&self, listener: &TcpListener, ready: &Sender<Ready>) -> io::Result<()> {
        epoll::add(&self.epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let mut events = [NO_EVENT; EVENTS_MAX];
        loop {
            let count = epoll::wait(&self.epoll, &mut events[..], None)?;
            for event in events.iter().take(count) {
                let number = event.data.u64();
                if number == LISTENER {
                    self.accept(listener)?;
                    continue;
                }
                let place = number as usize;
                let stream = self.parked.lock().get_mut(place).and_then(Option::take);
                if let Some(stream) = stream {
                    ready.send(Ready { place, stream }).map_err(io::Error::other)?;
                }
            }
        }
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<()> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
        stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let mut parked = self.parked.lock();
        // Places of closed connections are not used again: a run opens too few
        // connections for that to matter.
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(parked.len() as u64), interest)?;
        parked.push(Some(stream));
        Ok(())
    }

    fn work(&self, work: &Receiver<Ready>) {
        let mut buffer = vec![0; HEAD_BYTES_MAX];
        for Ready { place, mut stream } in work {
            if let Ok(After::Keep) = self.exchange(&mut stream, &mut buffer) {
                self.park(place, stream);
            }
        }
    }

    fn park(&self, place: usize, stream: TcpStream) {
        let interest = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        let mut parked = self.parked.lock();
        // The lock is held across the system call here, because the event of the
        // next request may come before it returns and must find the connection.
        if epoll::modify(&self.epoll, &stream, epoll::EventData::new_u64(place as u64), interest).is_ok() {
            parked[place] = Some(stream);
        }
    }

    fn exchange(&self, client: &mut TcpStream, buffer: &mut [u8]) -> io::Result<After> {
        let mut filled = 0;
        loop {
            let received = client.read(&mut buffer[filled..])?;
            if received == 0 {
                return Ok(After::Close);
            }
            filled += received;
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut head = httparse::Request::new(&mut fields);
            if head.parse(&buffer[..filled]).map_err(io::Error::other)?.is_complete() {
                return self.forward(client, &head);
            }
        }
    }

    fn forward(&self, client: &mut TcpStream, head: &httparse::Request) -> io::Result<After> {
        let request = self.request(client, head).map_err(io::Error::other)?;
        let asked_to_close = head.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(b"close")
        });
        let after = if asked_to_close { After::Close } else { After::Keep };
        match self.agent.run(request) {
            Ok(response) => answer(client, response, after),
            Err(_) => {
                client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")?;
                Ok(after)
            }
        }
    }

    fn request(&self, client: &TcpStream, head: &httparse::Request) -> Result<Request<()>, String> {
        // Relaxed: only the rotation matters, nothing is published by it.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.origins.len();
        let target = format!("http://{}{}", self.origins[turn], head.path.unwrap_or("/"));
        let mut request = Request::builder().method(head.method.unwrap_or("GET")).uri(target);
        let mut has_id = false;
        for field in head.headers.iter().filter(|field| is_forwarded(field.name)) {
            has_id |= field.name.eq_ignore_ascii_case("x-request-id");
            if field.name.eq_ignore_ascii_case("host") {
                request = request.header("x-forwarded-host", field.value);
            }
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|error| error.to_string())?;
            request = request.header(name, field.value);
        }
        let address = client.peer_addr().map_err(|error| error.to_string())?.ip().to_string();
        if !has_id {
            request = request.header("x-request-id", format!("{:032x}", fastrand::u128(..)));
        }
        request
            .header("x-forwarded-for", &address)
            .header("x-real-ip", &address)
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-port", HeaderValue::from(self.port))
            .header("via", "1.1 ureq")
            .body(())
            .map_err(|error| error.to_string())
    }
}

fn answer(client: &mut TcpStream, mut response: Response<Body>, after: After) -> io::Result<After> {
    let status = response.status();
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or(""));
    for (name, value) in response.headers().iter().filter(|(name, _)| is_forwarded(name.as_str())) {
        head.push_str(name.as_str());
        head.push_str(": ");
        head.push_str(&String::from_utf8_lossy(value.as_bytes()));
        head.push_str("\r\n");
    }
    head.push_str("via: 1.1 ureq\r\n");
    if after == After::Close {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    let mut body = response.body_mut().as_reader();
    // Head and small body leave in one write; what does not fit follows by itself.
    (&mut body).take(HEAD_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    client.write_all(&bytes)?;
    io::copy(&mut body, client)?;
    Ok(after)
}

/// Neither hop-by-hop nor replaced by a value of our own.
pub fn is_forwarded(name: &str) -> bool {
    const STOPPED: [&str; 13] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
    ];
    !STOPPED.iter().any(|stopped| name.eq_ignore_ascii_case(stopped))
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_idle_connections(KEPT * 3)
        .max_idle_connections_per_host(KEPT)
        .no_delay(true)
        .build()
        .into()
}

fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

const NO_EVENT: epoll::Event =
    epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
