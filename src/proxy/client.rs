//! The client's side of a connection: what outlives one exchange.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::buffer::Buffer;
use crate::base::clock::Moment;
use crate::net::stream::Stream;
use crate::proxy::context::ListenerInfo;
use crate::proxy::counted::Counts;
use crate::proxy::pinned::Pinned;
use crate::proxy::send_progress::SendProgress;

/// A client, over the whole life of its connection.
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    /// Where it connected.
    pub(super) listener: Arc<ListenerInfo>,
    /// What has arrived and is not used yet.
    pub(super) inbound: Buffer,
    /// How much of it has been searched for the end of a head.
    pub(super) scanned: usize,
    /// What goes out and is not taken yet.
    pub(super) outbound: Buffer,
    /// Requests that were begun.
    pub(super) served: u64,
    /// When it was accepted, or its last request answered.
    pub(super) since: Moment,
    /// When the first byte of the head that is arriving came.
    pub(super) head_began: Option<Moment>,
    /// How fast it takes what it is sent.
    pub(super) send_progress: SendProgress,
    /// It has finished sending, which was noticed while an answer was being waited for.
    pub(super) ended: bool,
    /// Bytes of its response that went out ahead, to see whether anybody is there.
    pub(super) probed: usize,
    /// The connection broke.
    pub(super) broke: bool,
    /// When its last byte came, while it is being waited for to close.
    pub(super) heard: Moment,
    /// Unused backend connections that belong to this client.
    pub(super) pinned: Pinned,
    _counts: Counts,
}

impl Client {
    /// A client whose connection was just accepted.
    pub(super) fn new(
        stream: Stream,
        peer: SocketAddr,
        listener: Arc<ListenerInfo>,
        counts: Counts,
        now: Moment,
    ) -> Self {
        Self {
            stream,
            peer,
            listener,
            inbound: Buffer::default(),
            scanned: 0,
            outbound: Buffer::default(),
            served: 0,
            since: now,
            head_began: None,
            send_progress: SendProgress::new(now),
            ended: false,
            probed: 0,
            broke: false,
            heard: now,
            pinned: Pinned::default(),
            _counts: counts,
        }
    }
}
