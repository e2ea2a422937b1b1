//! Backend connections that belong to one client, because the client has logged in over them with
//! a scheme that authenticates connections: NTLM or Negotiate.
//!
//! INVARIANT: such a connection never joins the backend's idle connections, where another client
//! could take it. It serves its own client's next requests to the same pool, stays with that
//! client's task in between, and is closed with it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::clock::Moment;
use crate::base::limits::PINNED_PER_CLIENT_MAX;
use crate::net::stream::{Rest, Stream};
use crate::upstream::backend::{Backend, Pin, Unusable};
use crate::upstream::idle_connections::Distrust;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Pool;

/// The connections of one client, at most one for each pool; nearly always there are none.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    /// The last one that was kept. A list, so that tasks without any have room for a pointer only.
    first: Option<Box<PinnedConnection>>,
}

#[derive(Debug)]
struct PinnedConnection {
    stream: Stream,
    /// The pool's number.
    pool: u32,
    /// The backend's number. The backend itself is looked up in the present configuration.
    backend: u32,
    address: Option<SocketAddr>,
    /// Counts it among the backend's connections.
    _pin: Pin,
    next: Option<Box<PinnedConnection>>,
}

impl Pinned {
    /// Keeps a connection for the client's next request to this pool.
    pub(super) fn keep(&mut self, stream: Stream, lease: &Lease, pool: &Pool) {
        drop(self.remove(pool.id()));
        let backend = lease.backend();
        let next = self.first.take();
        self.first = Some(Box::new(PinnedConnection {
            stream,
            pool: pool.id(),
            backend: backend.id(),
            address: backend.address(),
            _pin: backend.pin(),
            next,
        }));
        // The oldest one goes, if there is one too many.
        let mut last = &mut self.first;
        for _ in 0..PINNED_PER_CLIENT_MAX {
            let Some(connection) = last else { return };
            last = &mut connection.next;
        }
        *last = None;
    }

    /// Takes the connection to a pool out of the list.
    fn remove(&mut self, pool: u32) -> Option<Box<PinnedConnection>> {
        let mut place = &mut self.first;
        while place.as_ref().is_some_and(|connection| connection.pool != pool) {
            place = &mut place.as_mut()?.next;
        }
        let mut found = place.take()?;
        *place = found.next.take();
        Some(found)
    }

    /// The backend that the client is logged in at, if it still serves this pool: its requests go
    /// there, and wait for a place there like those of others.
    ///
    /// A drained backend still serves it, as it does other clients that it has to itself. A
    /// connection to one that is down or that the pool no longer has is closed.
    pub(super) fn backend<'p>(&mut self, pool: &'p Pool) -> Option<&'p Arc<Backend>> {
        let mut connections = std::iter::successors(self.first.as_deref(), |known| known.next.as_deref());
        let connection = connections.find(|known| known.pool == pool.id())?;
        let backend = pool.backends().iter().find(|known| known.id() == connection.backend);
        let backend = backend.filter(|backend| {
            let serves = matches!(backend.usability(), Ok(()) | Err(Unusable::Drained));
            serves && backend.address() == connection.address
        });
        if backend.is_none() {
            drop(self.remove(pool.id()));
        }
        backend
    }

    /// Takes the client's connection to this backend of the pool. One that the backend has closed is
    /// found out here.
    pub(super) fn take(&mut self, pool: &Pool, backend: &Backend, now: Moment) -> Option<Stream> {
        let connection = self.remove(pool.id())?;
        if connection.backend != backend.id() {
            return None;
        }
        match connection.stream.at_rest() {
            Rest::Quiet => Some(connection.stream),
            Rest::Closed => None,
            Rest::Talking => {
                backend.distrust(Distrust::UnaskedBytes, now);
                None
            }
        }
    }
}
