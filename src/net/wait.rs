//! A wait as data: which sockets, which direction, until when, and why.

use crate::base::clock::Moment;
use crate::net::parking::ParkToken;
use crate::net::stream::Stream;

/// What a socket is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Interest {
    /// Something to read, or the peer's end.
    pub read: bool,
    /// Room to write.
    pub write: bool,
    /// The peer's end, whether or not there is something to read before it.
    pub end: bool,
}

impl Interest {
    /// Nothing but that the connection breaks.
    pub const NONE: Self = Self { read: false, write: false, end: false };
    /// Something to read.
    pub const READ: Self = Self { read: true, ..Self::NONE };
    /// Room to write.
    pub const WRITE: Self = Self { write: true, ..Self::NONE };
    /// The peer's end.
    pub const END: Self = Self { end: true, ..Self::NONE };

    /// Whether the task goes on as soon as the socket is ready, so that it is worth a place
    /// in a warm set's `poll`. Ends are watched for only where it costs nothing.
    pub fn is_urgent(self) -> bool {
        self.read || self.write
    }

    /// Both.
    pub fn or(self, other: Self) -> Self {
        Self { read: self.read || other.read, write: self.write || other.write, end: self.end || other.end }
    }
}

/// What a task is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What the client's socket is watched for.
    pub client: Interest,
    /// What the upstream socket is watched for.
    pub upstream: Interest,
    /// When the wait is over in any case.
    pub deadline: Moment,
    /// Which rule set the deadline.
    pub reason: Reason,
}

impl Wait {
    /// The same wait, or the one that `other` ends sooner, for both sets of sockets.
    pub fn and(self, other: Self) -> Self {
        let sooner = if other.deadline < self.deadline { other } else { self };
        Self {
            client: self.client.or(other.client),
            upstream: self.upstream.or(other.upstream),
            deadline: sooner.deadline,
            reason: sooner.reason,
        }
    }
}

/// Why a task waits, and so which deadline fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The first byte of the next request on a kept connection.
    NextRequest,
    /// The first byte on a new connection.
    FirstByte,
    /// The rest of a request head.
    RequestHead,
    /// The next bytes of a request body.
    RequestBody,
    /// A place at a backend.
    Queue,
    /// A password to be hashed.
    Password,
    /// The next dial of a backend that has refused a connection.
    Redial,
    /// The next check whether the backend that should answer is still up.
    LookAgain,
    /// A connection to a backend.
    Connect,
    /// A backend that takes no bytes.
    SendRequest,
    /// A response head.
    ResponseHead,
    /// Everything until the response head, over all tries.
    WholeRequest,
    /// The next bytes of a response body.
    ResponseBody,
    /// A client that takes no bytes.
    SendResponse,
    /// Bytes either way through a tunnel.
    Tunnel,
    /// A client to take note that it is being closed.
    Linger,
}

impl Reason {
    /// Whether the wait is for an event of a socket. If not, only the park token ends it.
    pub fn is_of_a_socket(self) -> bool {
        !matches!(self, Self::Queue | Self::Password)
    }
}

/// Something that waits: it has a client's socket and perhaps an upstream one.
pub trait Waiter {
    /// Its sockets.
    fn sockets(&mut self) -> Sockets<'_>;
    /// Told where it is about to be parked, for whoever is to wake it. Returns whether it need
    /// not be: what it waits for, and no socket tells of, has happened.
    fn parked(&mut self, spot: ParkToken) -> bool;
    /// Told while parked that the client has finished sending.
    fn client_ended(&mut self);
    /// Told while parked that the client's connection is broken.
    fn client_broke(&mut self);
}

/// The sockets of a [`Waiter`].
pub struct Sockets<'t> {
    /// The client's.
    pub client: &'t mut Stream,
    /// The upstream one, if there is any.
    pub upstream: Option<&'t mut Stream>,
}
