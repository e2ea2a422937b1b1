//! The data of one access log line: what is known about a request when it ends.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// One request. Texts are as the peer sent them and may contain anything but line ends: quote them when
/// writing.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the whole head had arrived.
    pub time: SystemTime,
    /// The request id, sent to the backend and to the client as X-Request-Id.
    pub id: &'a [u8],
    /// The client's address: the peer's, or the one that a trusted proxy named.
    pub client: IpAddr,
    /// The peer of the connection.
    pub peer: SocketAddr,
    /// The name of the listener that accepted it.
    pub listener: &'a str,
    /// The user authenticated by Basic authentication.
    pub user: Option<&'a str>,
    /// The method; empty if it could not be parsed, like the next two.
    pub method: &'a str,
    /// The requested host.
    pub host: &'a str,
    /// The target as the client sent it.
    pub target: &'a str,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: &'a str,
    /// The Referer field.
    pub referer: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
    /// The status that the client got; 499 if it disconnected before a response began.
    pub status: u16,
    /// Bytes of the request body that were read, without framing.
    pub bytes_in: u64,
    /// Bytes of the response body that were sent, without framing.
    pub bytes_out: u64,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// The pool of that route.
    pub pool: Option<&'a str>,
    /// The attempts in order; the last one decided the outcome. Empty if no backend was chosen.
    pub attempts: &'a [Attempt<'a>],
    /// How long it waited in the queue for a backend.
    pub queue: Duration,
    /// From the head to the end of the response.
    pub total: Duration,
    /// Why it ended, from a closed list: `completed`, or what went wrong.
    pub end: &'static str,
    /// What was wrong, in words, if we answered with an error.
    pub reason: Option<&'static str>,
}

/// One attempt at one backend.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The backend's name.
    pub backend: &'a str,
    /// Whether it reused a connection from an earlier request.
    pub reused: bool,
    /// From its start until the connection accepted a byte; `None` if it never did.
    pub connect: Option<Duration>,
    /// From its start until the response head was complete; `None` if it never was.
    pub first_byte: Option<Duration>,
    /// How it ended, from the same list as [`Record::end`].
    pub outcome: &'static str,
}
