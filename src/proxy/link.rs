//! A link: the connection to a backend that an exchange goes over, from the lease of a place there
//! until the connection is kept for the next request or closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::buffer::Buffer;
use crate::base::clock::Moment;
use crate::net::pipe::Pipe;
use crate::net::stream::Stream;
use crate::upstream::lease::Lease;

/// A connection to a backend, for as long as one exchange has it.
pub(super) struct Link {
    pub(super) stream: Stream,
    pub(super) lease: Lease,
    pub(super) inbound: Buffer,
    pub(super) scanned: usize,
    /// It was kept from an earlier request.
    pub(super) reused: bool,
    /// It belongs to this client, which has logged in over it.
    pub(super) pinned: bool,
    /// It has taken a byte, so the connection came to be.
    pub(super) connected: bool,
    /// The addresses of the backend if it has several, and which of them comes next.
    pub(super) addresses: Option<Arc<Vec<SocketAddr>>>,
    pub(super) next_address: u8,
    /// It takes no more; only what it may have said before that is of interest.
    pub(super) write_closed: bool,
    /// It has answered, perhaps before the end of the request, and keeps reading.
    pub(super) reads_on: bool,
    pub(super) opened: Moment,
    /// Pieces of large bodies that are on their way through the kernel.
    pub(super) pipes: Pipes,
    /// How long it may be kept after this response; `None` if it must be closed.
    pub(super) lifetime: Option<Duration>,
}

impl Link {
    /// Whether its host has an address that was not dialled yet.
    pub(super) fn has_another_address(&self) -> bool {
        !self.connected
            && self
                .addresses
                .as_ref()
                .is_some_and(|addresses| usize::from(self.next_address) < addresses.len())
    }
}

/// What an exchange has in pipes; they are never empty.
#[derive(Default)]
pub(super) struct Pipes {
    pub(super) up: Option<Box<Pipe>>,
    pub(super) down: Option<Box<Pipe>>,
}
