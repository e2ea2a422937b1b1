//! TCP probes: connections that are opened only to see whether they can be.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;

use crate::base::clock::Moment;
use crate::net::stream::{Stream, is_shortage};
use crate::upstream::health::{ProbeResult, Reason};

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
    pub(super) fn begin(address: SocketAddr, began: Moment, deadline: Moment) -> Result<Self, Reason> {
        let stream = Stream::connect(address).map_err(reason)?;
        Ok(Self { stream, began, deadline })
    }

    /// How the dial ended, once its socket has become writable.
    pub(super) fn result(self) -> ProbeResult {
        // Closed with a reset: a probe is to leave nothing behind in TIME_WAIT.
        let mut stream = self.stream;
        stream.reset_on_close();
        match socket_error(&stream) {
            Ok(Ok(())) => ProbeResult::Success,
            Ok(Err(error)) | Err(error) => ProbeResult::Failure(reason(error)),
        }
    }
}

impl AsFd for Dial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn reason(error: Errno) -> Reason {
    match error {
        Errno::CONNREFUSED => Reason::Refused,
        Errno::CONNRESET | Errno::PIPE => Reason::Reset,
        Errno::TIMEDOUT => Reason::Timeout,
        error if is_shortage(error) => Reason::Shortage,
        _ => Reason::Unreachable,
    }
}
