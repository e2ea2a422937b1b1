//! The same balancer as an async program: hyper 1 and hyper-util on tokio.
//!
//! It answers the question of what the plain threads are worth, so it is written to
//! be fast: one task per connection, the client's pool of kept connections, no
//! boxing of bodies, heads changed in place. It leaves out what ropewalk does beyond
//! that (health checks, retries, timeouts, limits), which is to its advantage.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The subcommand that runs [`serve`].
pub const COMMAND: &str = "async-variant";

/// LIMIT: connections that wait to be accepted.
const BACKLOG: u32 = 4096;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VIA: HeaderValue = HeaderValue::from_static("1.1 async");
/// RFC 9110, section 7.6.1, and what is obsolete but still sent.
const HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Balances what comes to `address` over `origins` on `workers` threads.
pub fn serve(address: SocketAddrV4, workers: usize, origins: &[SocketAddrV4]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_io().build()?;
    let balancer = Arc::new(Balancer::new(address, origins)?);
    runtime.block_on(async {
        // A task of its own, because `block_on` would accept on the main thread.
        let accepting = tokio::spawn(accept(listen(address)?, balancer));
        accepting.await.map_err(io::Error::other)?
    })
}

struct Balancer {
    client: Client<HttpConnector, Incoming>,
    origins: Vec<Authority>,
    next: AtomicUsize,
    port: HeaderValue,
}

type Body = Either<Incoming, Empty<Bytes>>;

async fn accept(listener: TcpListener, balancer: Arc<Balancer>) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let address = HeaderValue::try_from(peer.ip().to_string()).map_err(io::Error::other)?;
        tokio::spawn(attend(stream, address, Arc::clone(&balancer)));
    }
}

async fn attend(stream: TcpStream, address: HeaderValue, balancer: Arc<Balancer>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| balancer.forward(request, &address));
    // A client that breaks off is no event here; the load generator counts it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Balancer {
    fn new(address: SocketAddrV4, origins: &[SocketAddrV4]) -> io::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // The Host of the client is kept, so the client must not set one.
        let client = Client::builder(TokioExecutor::new()).set_host(false).build(connector);
        let authorities = origins.iter().map(|origin| Authority::try_from(origin.to_string()));
        Ok(Self {
            client,
            origins: authorities.collect::<Result<_, _>>().map_err(io::Error::other)?,
            next: AtomicUsize::new(0),
            port: HeaderValue::from(address.port()),
        })
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        client: &HeaderValue,
    ) -> Result<Response<Body>, hyper::http::Error> {
        *request.uri_mut() = self.pick(request.uri())?;
        *request.version_mut() = Version::HTTP_11;
        self.rewrite(request.headers_mut(), client);
        match self.client.request(request).await {
            Ok(mut response) => {
                remove_hop_by_hop(response.headers_mut());
                response.headers_mut().append(header::VIA, VIA);
                Ok(response.map(Either::Left))
            }
            Err(_) => Response::builder().status(StatusCode::BAD_GATEWAY).body(Either::Right(Empty::new())),
        }
    }

    fn pick(&self, target: &Uri) -> Result<Uri, hyper::http::Error> {
        // Relaxed: only the rotation matters, nothing is published by it.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.origins.len();
        let path = target.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.origins[turn].clone());
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
    }

    fn rewrite(&self, headers: &mut HeaderMap, client: &HeaderValue) {
        remove_hop_by_hop(headers);
        // Nobody is trusted, so what the client sent in these is dropped.
        headers.insert(X_FORWARDED_FOR, client.clone());
        headers.insert(X_REAL_IP, client.clone());
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        headers.insert(X_FORWARDED_PORT, self.port.clone());
        if let Some(host) = headers.get(header::HOST).cloned() {
            headers.insert(X_FORWARDED_HOST, host);
        }
        headers.entry(X_REQUEST_ID).or_insert_with(request_id);
        headers.append(header::VIA, VIA);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(connection) = headers.remove(header::CONNECTION) {
        for name in connection.to_str().unwrap_or_default().split(',') {
            let name = name.trim();
            if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("content-length") {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn request_id() -> HeaderValue {
    let id = format!("{:032x}", fastrand::u128(..));
    // INVARIANT: hexadecimal digits are a valid value; the fallback never shows.
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("0"))
}

fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address.into())?;
    socket.listen(BACKLOG)
}
