//! A client connection and what it is in the middle of: the task that a worker advances.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::buffer::BufferPool;
use crate::base::clock::Moment;
use crate::net::parking::{ParkToken, StreamIndex};
use crate::net::stream::{Rest, Stream};
use crate::net::wait::{Reason, Waiter};
use crate::proxy::client::Client;
use crate::proxy::context::ListenerInfo;
use crate::proxy::counted::Counts;
use crate::proxy::exchange::{Exchange, Stage};
use crate::upstream::snapshot::Snapshot;

/// A client connection and the exchange that it carries.
pub struct Connection {
    pub(super) client: Client,
    pub(super) exchange: Exchange,
    /// What it waits for, and until when; `None` while a worker is at it.
    pub(super) waits_for: Option<Reason>,
    pub(super) waits_until: Moment,
    /// Its last turn was a long one.
    pub(super) bulk: bool,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(
        stream: Stream,
        peer: SocketAddr,
        listener: Arc<ListenerInfo>,
        snapshot: Arc<Snapshot>,
        counts: Counts,
        now: Moment,
    ) -> Self {
        Self {
            client: Client::new(stream, peer, listener, counts, now),
            exchange: Exchange::new(snapshot, now),
            waits_for: None,
            waits_until: Moment::NEVER,
            bulk: false,
        }
    }

    /// What it is in the middle of.
    pub fn stage(&self) -> Stage {
        self.exchange.stage
    }

    /// Whether it is between requests, so that closing it loses nothing.
    pub fn is_idle(&self) -> bool {
        self.exchange.stage == Stage::Head && self.client.head_began.is_none()
    }

    /// Whether its last turn was a long one, so that its next is likely to be: it moves a large body.
    pub fn is_bulk(&self) -> bool {
        self.bulk
    }

    /// If it is between requests: its client's address, and since when. A connection that has not sent
    /// a byte is idle since it was accepted.
    pub fn idle_since(&self) -> Option<(IpAddr, Moment)> {
        self.is_idle().then(|| (self.client.peer.ip(), self.client.since))
    }

    /// Whether its client has sent something that was not read yet.
    pub fn unread(&self) -> Unread {
        match self.client.stream.at_rest() {
            Rest::Talking => Unread::Something,
            Rest::Quiet | Rest::Closed => Unread::Nothing,
        }
    }

    /// Gives all its memory back to the worker.
    pub fn release(&mut self, pool: &mut BufferPool) {
        self.client.inbound.release(pool);
        self.client.outbound.release(pool);
        self.exchange.release(pool);
    }

    /// Gives back the memory that it does not need while it waits. Between requests that includes the
    /// configuration: the next request takes the one current then.
    pub fn shrink(&mut self, pool: &mut BufferPool, bare: &Arc<Snapshot>) {
        if matches!(self.exchange.stage, Stage::Head | Stage::Linger)
            && !Arc::ptr_eq(&self.exchange.snapshot, bare)
        {
            self.exchange.snapshot = Arc::clone(bare);
        }
        self.client.inbound.shrink(pool);
        self.client.outbound.shrink(pool);
        self.exchange.shrink(pool);
    }
}

impl Waiter for Connection {
    fn each_stream(&mut self, mut see: impl FnMut(StreamIndex, &mut Stream)) {
        see(StreamIndex::CLIENT, &mut self.client.stream);
        if let Some(link) = &mut self.exchange.link {
            see(StreamIndex::LINK, &mut link.stream);
        }
    }

    fn parked(&mut self, spot: ParkToken) -> bool {
        let Exchange { tries, routed, .. } = &self.exchange;
        tries.ticket.as_ref().is_some_and(|ticket| ticket.park(spot))
            || routed.password.as_ref().is_some_and(|ticket| ticket.park(spot))
    }

    fn client_ended(&mut self) {
        self.client.ended = true;
    }

    fn client_broke(&mut self) {
        self.client.broke = true;
    }
}

/// Whether there are bytes to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// A request has begun to arrive.
    Something,
    /// The connection can be closed without loss.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::TASK_BYTES_MAX;

    #[test]
    fn an_idle_connection_costs_no_more_than_it_is_said_to() {
        let bytes = size_of::<Connection>();
        assert!(
            bytes <= TASK_BYTES_MAX,
            "a connection has {bytes} bytes, {TASK_BYTES_MAX} is what `check` counts with"
        );
    }
}
