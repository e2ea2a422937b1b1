//! TCP probes: connections that are opened only to see whether they can be.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{getpeername, getsockname};

use crate::base::clock::Moment;
use crate::net::stream::{Stream, is_shortage};
use crate::upstream::health::Reason;

/// One dial under way.
#[derive(Debug)]
pub(super) struct Dial {
    stream: Stream,
    pub(super) began: Moment,
    pub(super) deadline: Moment,
}

impl Dial {
    /// Begins to connect.
    ///
    /// # Errors
    /// The address cannot be dialled at all.
    pub(super) fn begin(address: SocketAddr, began: Moment, deadline: Moment) -> Result<Self, Fault> {
        let stream = Stream::connect(address).map_err(Fault::of)?;
        Ok(Self { stream, began, deadline })
    }

    /// How the dial ended, once its socket has become writable.
    ///
    /// # Errors
    /// There is no connection, or none to a backend.
    pub(super) fn result(self) -> Result<(), Fault> {
        // Closed with a reset: a probe is to leave nothing behind in TIME_WAIT.
        let mut stream = self.stream;
        stream.reset_on_close();
        socket_error(&stream).and_then(|outcome| outcome).map_err(Fault::of)?;
        if is_connected_to_itself(&stream) { Err(Fault::Theirs(Reason::Refused)) } else { Ok(()) }
    }
}

impl AsFd for Dial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whose fault it is that there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// We are out of descriptors, memory or ports, which says nothing about the backend. Were it
    /// counted, the first rush that uses up our descriptors would take down every backend.
    Ours,
    /// The backend's, or that of the way to it.
    Theirs(Reason),
}

impl Fault {
    /// What a failed call on a socket says.
    pub(super) fn of(error: Errno) -> Self {
        match error {
            error if is_shortage(error) => Self::Ours,
            Errno::CONNREFUSED => Self::Theirs(Reason::Refused),
            Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE => Self::Theirs(Reason::Reset),
            Errno::TIMEDOUT | Errno::AGAIN => Self::Theirs(Reason::Timeout),
            _ => Self::Theirs(Reason::Unreachable),
        }
    }

    /// Whether another address of the same name may do better: nobody answered at this one,
    /// and it did not take long to find out.
    pub(super) fn concerns_the_address(self) -> bool {
        use Reason::{Refused, Reset, Unreachable, Unresolved};
        matches!(self, Self::Theirs(Refused | Reset | Unreachable | Unresolved))
    }
}

/// Whether both ends are this one socket. When nobody listens on a local port out of the range
/// that clients are given, the kernel may choose that very port for our end, and TCP lets the
/// socket connect to itself: a dead backend would look alive.
fn is_connected_to_itself(socket: impl AsFd) -> bool {
    match (getsockname(&socket), getpeername(&socket)) {
        (Ok(ours), Ok(theirs)) => Some(ours) == theirs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    use super::*;

    #[test]
    fn our_own_shortage_is_not_the_backends_fault() {
        assert_eq!(Fault::of(Errno::MFILE), Fault::Ours);
        assert_eq!(Fault::of(Errno::NOBUFS), Fault::Ours);
        assert_eq!(Fault::of(Errno::ADDRNOTAVAIL), Fault::Ours);
        assert_eq!(Fault::of(Errno::CONNREFUSED), Fault::Theirs(Reason::Refused));
    }

    #[test]
    fn a_socket_connected_to_itself_is_told_from_a_backend() {
        let itself = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&itself, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        connect(&itself, &getsockname(&itself).unwrap()).unwrap();
        assert!(is_connected_to_itself(&itself));

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let other = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!is_connected_to_itself(&other));
    }
}
