//! The same balancer on coroutines: may_minihttp towards clients, ureq 3 towards the origins.
//!
//! It answers the question of what ready-made parts come to: a server on may's coroutines, a
//! client, crossbeam and parking_lot, and as little code between them as possible. ureq's
//! connections are may's streams, so that a request that waits for its origin suspends a
//! coroutine and holds no thread.
//!
//! What the parts cannot do, as seen in may_minihttp 0.1:
//!
//! - More than 16 request fields: the connection is closed without a response.
//! - The client's address does not reach the service, so X-Forwarded-For and X-Real-IP are
//!   missing, which is to its advantage.
//! - A response may have 16 fields, each of them a `&'static str`. They are interned here
//!   ([`Lines`]); a real balancer would leak memory with each new value.
//! - Reason phrases, `Server` and `Date` are its own. It never closes a connection, knows no
//!   chunked bodies, no timeouts, and buffers a response whole.
//!
//! So it forwards requests without a body over kept connections only, and takes part where
//! nothing else is measured.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;
use may::net::TcpStream;
use may_minihttp::{HttpServer, HttpService};
use parking_lot::RwLock;
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, Request, StatusCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::ureq_variant::is_forwarded;

/// The subcommand that runs [`serve`].
pub const COMMAND: &str = "may-variant";

/// In words: 256 KiB for each coroutine. ureq needs more than the 32 KiB of the default.
const STACK_WORDS: usize = 32 * 1024;
/// LIMIT: fields that may_minihttp lets a response have.
const FIELDS_MAX: usize = 16;
/// LIMIT: different lines of response heads that are remembered; others are left out.
const LINES_MAX: usize = 1024;
/// Kept connections to each origin: as many as clients can use at once.
const KEPT: usize = 2048;

/// Balances what comes to `address` over `origins` on `workers` threads.
pub fn serve(address: SocketAddrV4, workers: usize, origins: &[SocketAddrV4]) -> io::Result<()> {
    may::config().set_workers(workers).set_stack_size(STACK_WORDS);
    // Left alone, it ties its threads to cores that other processes need as well.
    may::config().set_worker_pin(false);
    let balancer = Arc::new(Balancer {
        agent: agent(),
        origins: origins.to_vec(),
        next: CachePadded::new(AtomicUsize::new(0)),
        port: address.port(),
        lines: Lines::default(),
    });
    let accepting = HttpServer(Service(balancer)).start(address)?;
    accepting.join().map_err(|_| io::Error::other("the acceptor panicked"))
}

struct Balancer {
    agent: Agent,
    origins: Vec<SocketAddrV4>,
    next: CachePadded<AtomicUsize>,
    port: u16,
    lines: Lines,
}

#[derive(Clone)]
struct Service(Arc<Balancer>);

impl HttpService for Service {
    fn call(
        &mut self,
        request: may_minihttp::Request<'_, '_, '_>,
        response: &mut may_minihttp::Response<'_>,
    ) -> io::Result<()> {
        match self.0.forward(&request) {
            Ok(answer) => self.0.relay(answer, response),
            Err(_) => {
                response.status_code(502, "Bad Gateway").body("");
                Ok(())
            }
        }
    }
}

type Answer = ureq::http::Response<ureq::Body>;

impl Balancer {
    fn forward(&self, asked: &may_minihttp::Request<'_, '_, '_>) -> Result<Answer, ureq::Error> {
        // Relaxed: only the rotation matters, nothing is published by it.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.origins.len();
        let target = format!("http://{}{}", self.origins[turn], asked.path());
        let mut request = Request::builder().method(asked.method()).uri(target);
        let mut has_id = false;
        for field in asked.headers().iter().filter(|field| is_forwarded(field.name)) {
            has_id |= field.name.eq_ignore_ascii_case("x-request-id");
            if field.name.eq_ignore_ascii_case("host") {
                request = request.header("x-forwarded-host", field.value);
            }
            request = request.header(
                HeaderName::from_bytes(field.name.as_bytes()).map_err(ureq::http::Error::from)?,
                field.value,
            );
        }
        if !has_id {
            request = request.header("x-request-id", format!("{:032x}", fastrand::u128(..)));
        }
        let request = request
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-port", HeaderValue::from(self.port))
            .header("via", "1.1 may")
            .body(())?;
        self.agent.run(request)
    }

    fn relay(&self, mut answer: Answer, response: &mut may_minihttp::Response<'_>) -> io::Result<()> {
        let status = answer.status();
        response.status_code(usize::from(status.as_u16()), reason(status)).header("via: 1.1 may");
        // may_minihttp writes these itself.
        let is_own = |name: &HeaderName| ["content-length", "date", "server"].contains(&name.as_str());
        let fields = answer.headers().iter().filter(|(name, _)| is_forwarded(name.as_str()) && !is_own(name));
        for (name, value) in fields.take(FIELDS_MAX - 1) {
            let value = String::from_utf8_lossy(value.as_bytes());
            if let Some(line) = self.lines.intern(&format!("{name}: {value}")) {
                response.header(line);
            }
        }
        let mut body = Vec::new();
        answer.body_mut().as_reader().read_to_end(&mut body)?;
        response.body_vec(body);
        Ok(())
    }
}

fn reason(status: StatusCode) -> &'static str {
    // Of the `http` crate's own table, which is static.
    status.canonical_reason().unwrap_or("Status")
}

/// Lines of response heads that live as long as the process.
#[derive(Default)]
struct Lines {
    /// LOCK: held to look one up or to add one. LIMIT: [`LINES_MAX`].
    known: RwLock<HashSet<&'static str>>,
}

impl Lines {
    fn intern(&self, line: &str) -> Option<&'static str> {
        if let Some(known) = self.known.read().get(line) {
            return Some(known);
        }
        let mut known = self.known.write();
        if known.len() == LINES_MAX {
            return None;
        }
        let line: &'static str = Box::leak(line.to_owned().into_boxed_str());
        known.insert(line);
        Some(line)
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent("")
        .accept("")
        .accept_encoding("")
        .max_idle_connections(KEPT * 3)
        .max_idle_connections_per_host(KEPT)
        .build();
    Agent::with_parts(config, MayConnector, DefaultResolver::default())
}

/// Connects ureq through may's streams.
#[derive(Debug)]
struct MayConnector;

impl Connector for MayConnector {
    type Out = MayTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<MayTransport>, ureq::Error> {
        let address = details.addrs.iter().next().ok_or(ureq::Error::HostNotFound)?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(MayTransport { stream, buffers }))
    }
}

/// A connection to an origin whose waits suspend the coroutine. There are no timeouts.
struct MayTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for MayTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _timeout: NextTimeout) -> Result<(), ureq::Error> {
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, _timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // The benchmark's origins close nothing.
        true
    }
}

impl std::fmt::Debug for MayTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stream.fmt(f)
    }
}
