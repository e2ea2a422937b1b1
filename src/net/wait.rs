//! A wait as data: until when, and why. What the sockets are watched for, the streams know.

use crate::base::clock::Moment;
use crate::net::parking::{ParkToken, StreamIndex};
use crate::net::stream::Stream;

/// How long a task waits at most, and for what. Which sockets end the wait sooner, the streams
/// know themselves: each remembers what its last blocked call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When the wait is over in any case.
    pub deadline: Moment,
    /// Which rule set the deadline.
    pub reason: Reason,
}

impl Wait {
    /// A wait that ends at this time, for this reason.
    pub fn until(deadline: Moment, reason: Reason) -> Self {
        Self { deadline, reason }
    }

    /// The one of two waits that ends sooner.
    pub fn and(self, other: Self) -> Self {
        if other.deadline < self.deadline { other } else { self }
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

/// Something that waits: a client's stream, and those to backends.
pub trait Waiter {
    /// Shows each of its streams to `see`, always in the same order: the client's, then those to
    /// backends. LIMIT: at most [`STREAMS_PER_TASK_MAX`](crate::base::limits::STREAMS_PER_TASK_MAX).
    fn each_stream(&mut self, see: impl FnMut(StreamIndex, &mut Stream));
    /// Told where it is about to be parked, for whoever is to wake it. Returns whether it need
    /// not be: what it waits for, and no socket tells of, has happened.
    fn parked(&mut self, spot: ParkToken) -> bool;
    /// Told while parked that the client has finished sending.
    fn client_ended(&mut self);
    /// Told while parked that the client's connection is broken.
    fn client_broke(&mut self);
}
