//! An exchange: one request and its response, from the first byte of the request's head until the
//! client has the last byte of the response.
//!
//! The state is split by subject, so that a function says in its arguments what it can change. An
//! exchange knows its link to a backend but not its client's connection, which outlives it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::buffer::{Buffer, BufferPool};
use crate::base::clock::Moment;
use crate::http::{ChunkDecoder, Method, Version};
use crate::proxy::accept::MediaType;
use crate::proxy::counted::Counted;
use crate::proxy::link::Link;
use crate::proxy::record::RequestRecord;
use crate::proxy::retry::Tries;
use crate::proxy::text::Text;
use crate::proxy::tunnel::Kept;
use crate::route::password_queue;
use crate::route::{Asker, User};
use crate::upstream::snapshot::Snapshot;

/// One request and its response; between requests, an empty one.
pub(super) struct Exchange {
    pub(super) stage: Stage,
    /// The configuration that the request began with; a bare one between requests and in a tunnel.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) asked: Asked,
    pub(super) routed: Routed,
    pub(super) upload: Upload,
    pub(super) tries: Tries,
    pub(super) link: Option<Link>,
    pub(super) download: Download,
    pub(super) record: RequestRecord,
    /// It is counted as a tunnel, which it may become or has become.
    pub(super) tunnel: Option<Counted>,
    /// What a tunnel keeps of the configuration that it began with.
    pub(super) kept: Option<Box<Kept>>,
}

/// What an exchange is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Between requests, or while a request head arrives.
    Head,
    /// The password that the request came with is to be hashed.
    Password,
    /// A backend is to be chosen.
    Choose,
    /// All backends are busy: a place at one is to become free.
    Queue,
    /// A fresh connection to the same backend is to be made.
    Refresh,
    /// The same, after a pause: it has refused one.
    Redial,
    /// The request goes up and the response comes down.
    Exchange,
    /// Bytes go both ways after an upgrade.
    Tunnel,
    /// An answer of our own is on its way to the client.
    Reply,
    /// The connection is done with; the client may not know yet.
    Linger,
}

/// What the client asked for.
pub(super) struct Asked {
    pub(super) id: Text<64>,
    /// When the head was complete.
    pub(super) started: Moment,
    pub(super) method: Method,
    pub(super) version: Version,
    /// The client would like to keep the connection.
    pub(super) keep_alive: bool,
    /// It uses a scheme that authenticates its connection.
    pub(super) binds_connection: bool,
    /// It offers an upgrade, which is forwarded.
    pub(super) upgrade: bool,
    /// The client that the request comes from; `None` until its head has been read.
    pub(super) asker: Option<Asker>,
    /// The media type that it prefers for our own answers.
    pub(super) prefers: MediaType,
}

/// What the configuration says about the request. The numbers are places in the snapshot.
#[derive(Default)]
pub(super) struct Routed {
    /// The route that it takes; `None` until that is known.
    pub(super) route: Option<u16>,
    /// The pool that the route leads to, if it leads to one.
    pub(super) pool: Option<u16>,
    /// The user that Basic authentication let in.
    pub(super) user: Option<User>,
    /// Its password waits to be hashed, or has been.
    pub(super) password: Option<password_queue::Ticket>,
}

/// The request on its way up.
pub(super) struct Upload {
    /// What of the body is still to come from the client.
    pub(super) state: UploadState,
    /// The client is still waiting for a 100 before it sends the body.
    pub(super) awaits_continue: bool,
    /// Bytes of body seen so far, without framing.
    pub(super) bytes: u64,
    /// What goes to the backend: the rewritten head and then the body.
    pub(super) outbound: Buffer,
    /// How much of `outbound` has been written to the present backend.
    pub(super) sent: usize,
    /// When the upload last moved.
    pub(super) moved: Moment,
    /// What `request_timeout` runs from: the start, moved on by the time that was spent waiting
    /// for the client's body.
    pub(super) timeout_from: Moment,
    /// When the body will have been slower than the minimum rate for too long, unless more of
    /// it comes.
    pub(super) too_slow_at: Moment,
}

/// The response on its way down.
pub(super) struct Download {
    /// What is still to come from the backend.
    pub(super) state: DownloadState,
    /// Bytes of the body that were passed on, without framing.
    pub(super) bytes: u64,
    /// When the download last moved.
    pub(super) moved: Moment,
    /// The client connection is kept after this response, if its request is read to the end.
    pub(super) keep_client: bool,
    /// The response ends when we close, and we have not closed yet.
    pub(super) ends_by_closing: bool,
}

/// What of a request body is still to come.
pub(super) enum UploadState {
    Done,
    Fixed(u64),
    Chunked(ChunkDecoder),
}

/// What of a response is still to come.
pub(super) enum DownloadState {
    /// The head, and perhaps interim responses before it.
    Head,
    Fixed(u64),
    Chunked(ChunkDecoder, Framing),
    UntilClose(Framing),
    Done,
    /// No response: the backend has switched protocols, and a tunnel follows.
    Switched,
}

/// How a body of unknown length is framed towards the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// It ends with the connection: for HTTP/1.0 clients.
    UntilClose,
}

impl Exchange {
    /// The first exchange of a connection.
    pub(super) fn new(snapshot: Arc<Snapshot>, now: Moment) -> Self {
        Self {
            stage: Stage::Head,
            snapshot,
            asked: Asked::new(now),
            routed: Routed::default(),
            upload: Upload::new(now),
            tries: Tries::new(now),
            link: None,
            download: Download::new(now),
            record: RequestRecord::default(),
            tunnel: None,
            kept: None,
        }
    }

    /// Forgets the request that has ended and gives back what it held.
    pub(super) fn clear(&mut self, now: Moment) {
        self.asked = Asked::new(now);
        self.routed = Routed::default();
        self.upload = Upload::new(now);
        self.tries = Tries::new(now);
        self.download = Download::new(now);
        self.record = RequestRecord::default();
        self.tunnel = None;
    }

    /// Gives all its memory back to the worker.
    pub(super) fn release(&mut self, pool: &mut BufferPool) {
        self.upload.outbound.release(pool);
        if let Some(link) = &mut self.link {
            link.inbound.release(pool);
        }
    }

    /// Gives back the memory that it does not need while it waits.
    pub(super) fn shrink(&mut self, pool: &mut BufferPool) {
        self.upload.outbound.shrink(pool);
        if let Some(link) = &mut self.link {
            link.inbound.shrink(pool);
        }
    }
}

impl Asked {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            id: Text::default(),
            started: now,
            method: Method::Other,
            version: Version::Http11,
            keep_alive: false,
            binds_connection: false,
            upgrade: false,
            asker: None,
            prefers: MediaType::Text,
        }
    }

    /// The address of its client: the peer's until the head has been read.
    pub(super) fn client(&self, peer: SocketAddr) -> IpAddr {
        self.asker.map_or(peer.ip(), |asker| asker.address).to_canonical()
    }
}

impl Upload {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            state: UploadState::Done,
            awaits_continue: false,
            bytes: 0,
            outbound: Buffer::default(),
            sent: 0,
            moved: now,
            timeout_from: now,
            too_slow_at: Moment::NEVER,
        }
    }

    /// Everything the client had to say has been read and passed on.
    pub(super) fn is_sent(&self) -> bool {
        self.is_read() && self.sent == self.outbound.len()
    }

    /// The client's message has been read to its end, so that another may follow.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.state, UploadState::Done)
    }
}

impl Download {
    pub(super) fn new(now: Moment) -> Self {
        Self { state: DownloadState::Head, bytes: 0, moved: now, keep_client: false, ends_by_closing: false }
    }

    /// The final response has been read to its end.
    pub(super) fn is_relayed(&self) -> bool {
        matches!(self.state, DownloadState::Done)
    }

    /// The backend has agreed to another protocol.
    pub(super) fn is_switched(&self) -> bool {
        matches!(self.state, DownloadState::Switched)
    }

    /// The final response has begun, so that nothing else may be sent in its place.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.state, DownloadState::Head)
    }
}
