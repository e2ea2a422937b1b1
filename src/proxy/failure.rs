//! Everything that can go wrong with a request, in one table: what the client is told,
//! whether another try may help, and whose fault it was.

use rustix::io::Errno;

use crate::http::{ChunkError, HeadError};
use crate::net::stream::is_shortage;
use crate::upstream::health::Reason;

/// Why a request, or one try of it, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The request head breaks a rule.
    BadHead(HeadError),
    /// The head did not arrive in time.
    HeadTimeout,
    /// CONNECT, which only a forward proxy serves.
    Connect,
    /// The request has passed through us too often.
    Loop,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body's chunks are malformed.
    BadBody(ChunkError),
    /// The body's trailers are malformed.
    BadTrailers(HeadError),
    /// The body stopped coming.
    BodyTimeout,
    /// No route is for this request.
    NoRoute,
    /// Backends may read its path in several ways, so it is unclear which guards apply.
    AmbiguousPath,
    /// The route does not serve this client's network.
    Forbidden,
    /// The route at this place requires authentication.
    Unauthorized(u16),
    /// The client has asked too often; after so many seconds it may ask again.
    TooMany(u32),
    /// Too many passwords wait to be hashed, or this one waited too long.
    PasswordsBusy,
    /// The client left before it had sent its request.
    ClientLeft,
    /// The client takes no more of the response, or too little.
    ClientStalled,
    /// There are as many tunnels as there may be.
    TooManyTunnels,
    /// No backend has a place, and as many requests wait for one as may.
    QueueFull,
    /// No backend had a place in time.
    QueueTimeout,
    /// No backend is usable.
    NoBackend,
    /// The backend's name has no address.
    Unresolved,
    /// The connection was refused.
    Refused,
    /// The backend cannot be reached.
    Unreachable(Errno),
    /// This machine is out of descriptors, memory or ports for another connection.
    Shortage(Errno),
    /// The connection did not come to be in time.
    ConnectTimeout,
    /// The backend takes no more of the request.
    SendTimeout,
    /// The backend closed the connection before it answered.
    Closed,
    /// The backend reset the connection.
    Reset(Errno),
    /// The backend answered with a status that is worth another try.
    Status(u16),
    /// The response head did not come in time.
    ResponseTimeout,
    /// Probes found the backend down while the request waited for its answer.
    WentDown,
    /// `request_timeout` is over.
    RequestTimeout,
    /// The response head breaks a rule.
    BadResponse(HeadError),
    /// The backend switched protocols, and nobody asked for it.
    UnaskedUpgrade,
    /// The backend sends interim responses without end.
    EndlessInterim,
    /// The response body's chunks are malformed.
    BadResponseBody(ChunkError),
    /// The response ended before its body was complete.
    Truncated,
    /// The response body stopped coming.
    ResponseStalled,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Client,
    Backend,
    /// The configuration, or the state of all backends together.
    Service,
}

/// What is known about the backend when a try fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    /// Nothing was sent: any request may go to another backend.
    NothingSent,
    /// The backend may have acted on it: only what can be repeated without harm may be.
    MaybeDone,
    /// Leave for another try has been taken already.
    Granted,
    /// Another try would be no better, or there is no time for one.
    None,
}

/// One row of the table.
pub(super) struct Row {
    /// What the client gets if no response has begun; 0 if it gets nothing.
    pub(super) status: u16,
    /// The error type of RFC 9209, section 2.3.
    pub(super) proxy_status: &'static str,
    pub(super) fault: Fault,
    pub(super) chance: Chance,
    /// One sentence for people.
    pub(super) text: &'static str,
}

impl Failure {
    /// A connection that failed before it took a byte.
    pub(super) fn connecting(error: Errno) -> Self {
        match error {
            Errno::CONNREFUSED => Self::Refused,
            Errno::TIMEDOUT => Self::ConnectTimeout,
            // Linux reports a connection that was refused between two calls as a broken pipe.
            Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => Self::Refused,
            error if is_shortage(error) => Self::Shortage(error),
            error => Self::Unreachable(error),
        }
    }

    /// Whether a connection failed in a way that another address of the same host may not.
    pub(super) fn concerns_the_address(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable(_))
    }

    /// The table.
    pub(super) fn row(self) -> Row {
        use Chance::{MaybeDone, NothingSent};
        use Fault::{Backend, Client, Service};
        let (status, proxy_status, fault, chance, text) = match self {
            Self::BadHead(error) => {
                (error.status(), "http_request_error", Client, Chance::None, error.explain())
            }
            Self::HeadTimeout => {
                (408, "http_request_error", Client, Chance::None, "the request head took too long to arrive")
            }
            Self::Connect => (
                405,
                "http_request_denied",
                Client,
                Chance::None,
                "this is not a forward proxy: CONNECT is not served",
            ),
            Self::Loop => (
                508,
                "proxy_loop_detected",
                Client,
                Chance::None,
                "the request goes round in a loop through this balancer",
            ),
            Self::BodyTooLarge => (
                413,
                "http_request_error",
                Client,
                Chance::None,
                "the request body is larger than this server accepts",
            ),
            Self::BadBody(error) => (400, "http_request_error", Client, Chance::None, error.explain()),
            Self::BadTrailers(error) => (400, "http_request_error", Client, Chance::None, error.explain()),
            Self::BodyTimeout => {
                (408, "http_request_error", Client, Chance::None, "the request body stopped coming")
            }
            // Not the client's fault, as far as its connection is concerned: that goes on.
            Self::NoRoute => {
                (404, "destination_not_found", Service, Chance::None, "no route is for this request")
            }
            Self::AmbiguousPath => {
                (400, "http_request_error", Service, Chance::None, "the path can be read in several ways")
            }
            Self::Forbidden => {
                (403, "http_request_denied", Service, Chance::None, "this client's network is not served")
            }
            Self::Unauthorized(_) => {
                (401, "http_request_denied", Service, Chance::None, "a user name and a password are needed")
            }
            Self::TooMany(_) => {
                (429, "http_request_denied", Service, Chance::None, "this client has asked too often")
            }
            Self::PasswordsBusy => (
                503,
                "proxy_internal_error",
                Service,
                Chance::None,
                "too many passwords are being checked at the moment",
            ),
            Self::ClientLeft => (0, "connection_terminated", Client, Chance::None, "the client left"),
            Self::ClientStalled => (
                0,
                "connection_write_timeout",
                Client,
                Chance::None,
                "the client reads the response too slowly, or not at all",
            ),
            Self::TooManyTunnels => (
                503,
                "connection_limit_reached",
                Service,
                Chance::None,
                "there are as many upgraded connections as there may be",
            ),
            Self::QueueFull => (
                503,
                "connection_limit_reached",
                Service,
                Chance::None,
                "every backend is busy, and as many requests wait for one as may",
            ),
            Self::QueueTimeout => (
                503,
                "connection_limit_reached",
                Service,
                Chance::None,
                "every backend was busy for as long as a request may wait for one",
            ),
            Self::NoBackend => {
                (503, "destination_unavailable", Service, Chance::None, "no healthy backend is available")
            }
            Self::Unresolved => {
                (502, "dns_error", Backend, NothingSent, "the backend's name could not be resolved")
            }
            Self::Refused => {
                (502, "connection_refused", Backend, NothingSent, "the backend refused the connection")
            }
            Self::Unreachable(_) => {
                (502, "destination_ip_unroutable", Backend, NothingSent, "the backend cannot be reached")
            }
            // A kept connection to another backend needs none of it. Memory is short only for heads
            // that are longer than a small buffer, under `limits.memory`.
            Self::Shortage(_) => (
                503,
                "proxy_internal_error",
                Service,
                NothingSent,
                "the balancer has no descriptor, port or memory left for this request",
            ),
            Self::ConnectTimeout => {
                (504, "connection_timeout", Backend, NothingSent, "connecting to the backend took too long")
            }
            Self::SendTimeout => (
                504,
                "connection_write_timeout",
                Backend,
                MaybeDone,
                "the backend stopped reading the request",
            ),
            Self::Closed => (
                502,
                "connection_terminated",
                Backend,
                MaybeDone,
                "the backend closed the connection before it answered",
            ),
            Self::Reset(_) => (
                502,
                "connection_terminated",
                Backend,
                MaybeDone,
                "the backend reset the connection before it answered",
            ),
            Self::Status(status) => {
                (status, "http_request_error", Service, Chance::Granted, "the backend answered with an error")
            }
            Self::ResponseTimeout => {
                (504, "http_response_timeout", Backend, MaybeDone, "the backend took too long to answer")
            }
            Self::WentDown => (
                503,
                "destination_unavailable",
                Service,
                Chance::Granted,
                "the backend went down before it answered",
            ),
            Self::RequestTimeout => (
                504,
                "http_response_timeout",
                Service,
                Chance::None,
                "the request took longer than its time limit",
            ),
            Self::BadResponse(error) => (502, "http_protocol_error", Backend, Chance::None, error.explain()),
            Self::UnaskedUpgrade => (
                502,
                "http_upgrade_failed",
                Backend,
                Chance::None,
                "the backend switched protocols without being asked",
            ),
            Self::EndlessInterim => (
                502,
                "http_protocol_error",
                Backend,
                Chance::None,
                "the backend sent too many interim responses",
            ),
            Self::BadResponseBody(error) => {
                (502, "http_protocol_error", Backend, Chance::None, error.explain())
            }
            Self::Truncated => (
                502,
                "http_response_incomplete",
                Backend,
                Chance::None,
                "the response ended before it was complete",
            ),
            Self::ResponseStalled => {
                (504, "connection_read_timeout", Backend, Chance::None, "the response stopped coming")
            }
        };
        Row { status, proxy_status, fault, chance, text }
    }

    /// What logs and metrics call it: one word of a closed list, which docs/access-log.md
    /// explains.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::BadHead(_) => "bad_request",
            Self::HeadTimeout => "request_head_timeout",
            Self::Connect => "method_not_allowed",
            Self::Loop => "loop",
            Self::BodyTooLarge => "request_too_large",
            Self::BadBody(_) | Self::BadTrailers(_) => "bad_request_body",
            Self::BodyTimeout => "request_body_timeout",
            Self::NoRoute => "no_route",
            Self::AmbiguousPath => "ambiguous_path",
            Self::Forbidden => "forbidden",
            Self::Unauthorized(_) => "unauthorized",
            Self::TooMany(_) => "rate_limited",
            Self::PasswordsBusy => "passwords_busy",
            Self::ClientLeft => "client_left",
            Self::ClientStalled => "client_stalled",
            Self::NoBackend => "no_backend",
            Self::TooManyTunnels => "too_many_tunnels",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Unresolved => "unresolved",
            Self::Refused => "connection_refused",
            Self::Unreachable(_) => "unreachable",
            Self::Shortage(_) => "out_of_resources",
            Self::ConnectTimeout => "connect_timeout",
            Self::SendTimeout => "send_timeout",
            Self::Closed => "connection_closed",
            Self::Reset(_) => "connection_reset",
            Self::Status(_) => "retried_status",
            Self::ResponseTimeout => "response_head_timeout",
            Self::WentDown => "backend_down",
            Self::RequestTimeout => "request_timeout",
            Self::BadResponse(_) | Self::BadResponseBody(_) => "bad_response",
            Self::UnaskedUpgrade => "unasked_upgrade",
            Self::EndlessInterim => "endless_interim",
            Self::Truncated => "response_truncated",
            Self::ResponseStalled => "response_body_timeout",
        }
    }

    /// What the backend's health is told.
    pub(super) fn health_reason(self) -> Reason {
        match self {
            Self::Refused => Reason::Refused,
            Self::Unresolved => Reason::Unresolved,
            Self::Unreachable(_) => Reason::Unreachable,
            Self::BadResponse(error) => Reason::BadHead(error),
            Self::Closed | Self::Reset(_) | Self::Truncated => Reason::Reset,
            Self::ConnectTimeout
            | Self::SendTimeout
            | Self::ResponseTimeout
            | Self::RequestTimeout
            | Self::ResponseStalled => Reason::Timeout,
            Self::Status(status) => Reason::Status(status),
            _ => Reason::BadResponse,
        }
    }
}
