//! Everything that can go wrong with a request, in one table: what logs call it, what the client is
//! told, whose fault it was, and whether another try may help.

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
    /// What logs and metrics call it: one word of a closed list, which docs/access-log.md explains.
    pub(super) word: &'static str,
    /// What the client gets if no response has begun; 0 if it gets nothing.
    pub(super) status: u16,
    /// The error type of RFC 9209, section 2.3.
    pub(super) proxy_status: &'static str,
    pub(super) fault: Fault,
    pub(super) chance: Chance,
}

/// Makes the table: a function to look a row up, and for the tests the words of all rows.
macro_rules! table {
    ($($failure:ident $(($value:tt))? => ($word:literal, $status:tt, $proxy:literal, $fault:ident, $chance:ident);)*) => {
        impl Failure {
            /// Its row of the table.
            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$failure $(($value))? => Row {
                        word: $word,
                        status: $status,
                        proxy_status: $proxy,
                        fault: Fault::$fault,
                        chance: Chance::$chance,
                    },)*
                }
            }
        }

        /// The words of all rows.
        #[cfg(test)]
        pub(super) const WORDS: &[&str] = &[$($word),*];
    };
}

// A request that no route takes is not its client's fault as far as the connection is concerned: that
// goes on. A shortage leaves another chance, because a kept connection to another backend needs
// neither a descriptor nor a port.
#[rustfmt::skip]
table! {
    BadHead(error)      => ("bad_request",           (error.status()), "http_request_error",        Client,  None);
    HeadTimeout         => ("request_head_timeout",  408,              "http_request_error",        Client,  None);
    Connect             => ("method_not_allowed",    405,              "http_request_denied",       Client,  None);
    Loop                => ("loop",                  508,              "proxy_loop_detected",       Client,  None);
    BodyTooLarge        => ("request_too_large",     413,              "http_request_error",        Client,  None);
    BadBody(_)          => ("bad_request_body",      400,              "http_request_error",        Client,  None);
    BadTrailers(_)      => ("bad_request_body",      400,              "http_request_error",        Client,  None);
    BodyTimeout         => ("request_body_timeout",  408,              "http_request_error",        Client,  None);
    NoRoute             => ("no_route",              404,              "destination_not_found",     Service, None);
    AmbiguousPath       => ("ambiguous_path",        400,              "http_request_error",        Service, None);
    Forbidden           => ("forbidden",             403,              "http_request_denied",       Service, None);
    Unauthorized(_)     => ("unauthorized",          401,              "http_request_denied",       Service, None);
    TooMany(_)          => ("rate_limited",          429,              "http_request_denied",       Service, None);
    PasswordsBusy       => ("passwords_busy",        503,              "proxy_internal_error",      Service, None);
    ClientLeft          => ("client_left",           0,                "connection_terminated",     Client,  None);
    ClientStalled       => ("client_stalled",        0,                "connection_write_timeout",  Client,  None);
    TooManyTunnels      => ("too_many_tunnels",      503,              "connection_limit_reached",  Service, None);
    QueueFull           => ("queue_full",            503,              "connection_limit_reached",  Service, None);
    QueueTimeout        => ("queue_timeout",         503,              "connection_limit_reached",  Service, None);
    NoBackend           => ("no_backend",            503,              "destination_unavailable",   Service, None);
    Unresolved          => ("unresolved",            502,              "dns_error",                 Backend, NothingSent);
    Refused             => ("connection_refused",    502,              "connection_refused",        Backend, NothingSent);
    Unreachable(_)      => ("unreachable",           502,              "destination_ip_unroutable", Backend, NothingSent);
    Shortage(_)         => ("out_of_resources",      503,              "proxy_internal_error",      Service, NothingSent);
    ConnectTimeout      => ("connect_timeout",       504,              "connection_timeout",        Backend, NothingSent);
    SendTimeout         => ("send_timeout",          504,              "connection_write_timeout",  Backend, MaybeDone);
    Closed              => ("connection_closed",     502,              "connection_terminated",     Backend, MaybeDone);
    Reset(_)            => ("connection_reset",      502,              "connection_terminated",     Backend, MaybeDone);
    Status(status)      => ("retried_status",        (status),         "http_request_error",        Service, Granted);
    ResponseTimeout     => ("response_head_timeout", 504,              "http_response_timeout",     Backend, MaybeDone);
    WentDown            => ("backend_down",          503,              "destination_unavailable",   Service, Granted);
    RequestTimeout      => ("request_timeout",       504,              "http_response_timeout",     Service, None);
    BadResponse(_)      => ("bad_response",          502,              "http_protocol_error",       Backend, None);
    UnaskedUpgrade      => ("unasked_upgrade",       502,              "http_upgrade_failed",       Backend, None);
    EndlessInterim      => ("endless_interim",       502,              "http_protocol_error",       Backend, None);
    BadResponseBody(_)  => ("bad_response",          502,              "http_protocol_error",       Backend, None);
    Truncated           => ("response_truncated",    502,              "http_response_incomplete",  Backend, None);
    ResponseStalled     => ("response_body_timeout", 504,              "connection_read_timeout",   Backend, None);
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

    /// What logs and metrics call it.
    pub(super) fn word(self) -> &'static str {
        self.row().word
    }

    /// One sentence for people.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BadHead(error) => error.explain(),
            Self::HeadTimeout => "the request head took too long to arrive",
            Self::Connect => "this is not a forward proxy: CONNECT is not served",
            Self::Loop => "the request goes round in a loop through this balancer",
            Self::BodyTooLarge => "the request body is larger than this server accepts",
            Self::BadBody(error) => error.explain(),
            Self::BadTrailers(error) => error.explain(),
            Self::BodyTimeout => "the request body stopped coming",
            Self::NoRoute => "no route is for this request",
            Self::AmbiguousPath => "the path can be read in several ways",
            Self::Forbidden => "this client's network is not served",
            Self::Unauthorized(_) => "a user name and a password are needed",
            Self::TooMany(_) => "this client has asked too often",
            Self::PasswordsBusy => "too many passwords are being checked at the moment",
            Self::ClientLeft => "the client left",
            Self::ClientStalled => "the client reads the response too slowly, or not at all",
            Self::TooManyTunnels => "there are as many upgraded connections as there may be",
            Self::QueueFull => "every backend is busy, and as many requests wait for one as may",
            Self::QueueTimeout => "every backend was busy for as long as a request may wait for one",
            Self::NoBackend => "no healthy backend is available",
            Self::Unresolved => "the backend's name could not be resolved",
            Self::Refused => "the backend refused the connection",
            Self::Unreachable(_) => "the backend cannot be reached",
            Self::Shortage(_) => "the balancer has no descriptor, port or memory left for this request",
            Self::ConnectTimeout => "connecting to the backend took too long",
            Self::SendTimeout => "the backend stopped reading the request",
            Self::Closed => "the backend closed the connection before it answered",
            Self::Reset(_) => "the backend reset the connection before it answered",
            Self::Status(_) => "the backend answered with an error",
            Self::ResponseTimeout => "the backend took too long to answer",
            Self::WentDown => "the backend went down before it answered",
            Self::RequestTimeout => "the request took longer than its time limit",
            Self::BadResponse(error) => error.explain(),
            Self::UnaskedUpgrade => "the backend switched protocols without being asked",
            Self::EndlessInterim => "the backend sent too many interim responses",
            Self::BadResponseBody(error) => error.explain(),
            Self::Truncated => "the response ended before it was complete",
            Self::ResponseStalled => "the response stopped coming",
        }
    }

    /// What the backend's health is told; `None` if the failure is not about a backend.
    pub(super) fn health_reason(self) -> Option<Reason> {
        Some(match self {
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
            Self::UnaskedUpgrade | Self::EndlessInterim | Self::BadResponseBody(_) => Reason::BadResponse,
            Self::BadHead(_)
            | Self::HeadTimeout
            | Self::Connect
            | Self::Loop
            | Self::BodyTooLarge
            | Self::BadBody(_)
            | Self::BadTrailers(_)
            | Self::BodyTimeout
            | Self::NoRoute
            | Self::AmbiguousPath
            | Self::Forbidden
            | Self::Unauthorized(_)
            | Self::TooMany(_)
            | Self::PasswordsBusy
            | Self::ClientLeft
            | Self::ClientStalled
            | Self::TooManyTunnels
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::NoBackend
            | Self::Shortage(_)
            | Self::WentDown => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::net::wait::Reason;
    use crate::proxy::scene::{GET, Scene};

    #[test]
    fn a_malformed_head_is_answered_and_its_connection_closed() {
        let mut scene = Scene::new();
        scene.client_sends("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
        assert!(scene.client.received().starts_with("HTTP/1.1 400 "));
        assert!(scene.client.is_ended() && scene.network.accept().is_none());
    }

    #[test]
    fn a_backend_that_does_not_answer_in_time_is_a_504() {
        let mut scene = Scene::new();
        scene.client_sends(&GET.replace("GET", "POST"));
        let (_, backend) = scene.dialled();
        assert!(scene.waits == Some(Reason::ResponseHead) || scene.waits == Some(Reason::WholeRequest));
        scene.pass(3600);
        assert!(scene.client.received().starts_with("HTTP/1.1 504 ") && backend.is_ended());
    }

    #[test]
    fn a_malformed_response_is_a_502_whose_connection_is_not_kept() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        scene.backend_sends(&backend, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        assert!(scene.client.received().starts_with("HTTP/1.1 502 ") && backend.is_ended());
        assert_eq!(scene.waits, Some(Reason::NextRequest), "it is not the client's fault");
    }
}
