//! What is known of a request when it has ended: the data of one line of the access log.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// One request, from its head to its end. Texts are as they came from the peer, so they may
/// hold anything but line ends; whoever writes them must quote them.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the head was complete.
    pub time: SystemTime,
    /// The id that is sent to the backend and to the client as X-Request-Id.
    pub id: &'a [u8],
    /// The client's address: the peer's, or the one that a trusted proxy named.
    pub client: IpAddr,
    /// Who connected.
    pub peer: SocketAddr,
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// The user that Basic authentication let in.
    pub user: Option<&'a str>,
    /// The method; empty when it could not be read, like the next two.
    pub method: &'a str,
    /// The host that was asked for.
    pub host: &'a str,
    /// The target as the client sent it.
    pub target: &'a str,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub version: &'a str,
    /// The Referer field.
    pub referer: &'a [u8],
    /// The User-Agent field.
    pub user_agent: &'a [u8],
    /// What the client was told; 499 when it left before it could be told anything.
    pub status: u16,
    /// Bytes of the request's body that were read, without framing.
    pub bytes_in: u64,
    /// Bytes of the response's body that were sent, without framing.
    pub bytes_out: u64,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// The pool that it led to.
    pub pool: Option<&'a str>,
    /// The tries, in order; the last one decided. Empty if no backend was chosen.
    pub attempts: &'a [Attempt<'a>],
    /// How long it waited for a place at a backend.
    pub queue: Duration,
    /// From the head to the end of the response.
    pub total: Duration,
    /// Why it ended, from a closed list: `completed`, or what went wrong.
    pub end: &'static str,
    /// What was wrong, in words, if the client got an error from us.
    pub reason: Option<&'static str>,
}

/// One try at one backend.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The backend's name.
    pub backend: &'a str,
    /// Whether the connection was kept from an earlier request.
    pub reused: bool,
    /// From its beginning until the connection took a byte; `None` if it never did.
    pub connect: Option<Duration>,
    /// From its beginning until the response head was there; `None` if it never was.
    pub first_byte: Option<Duration>,
    /// How it ended, from the same list as [`Record::end`].
    pub outcome: &'static str,
}
