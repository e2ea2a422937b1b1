//! A task: one client connection and whatever it is in the middle of.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::buffer::{Buffer, BufferPool};
use crate::base::clock::Moment;
use crate::http::{ChunkDecoder, Method, Version};
use crate::net::parking::ParkToken;
use crate::net::pipe::Pipe;
use crate::net::stream::{Rest, Stream};
use crate::net::wait::{Reason, Sockets, Waiter};
use crate::proxy::accept::MediaType;
use crate::proxy::context::ListenerInfo;
use crate::proxy::evidence::FailedTries;
use crate::proxy::failure::Failure;
use crate::proxy::pinned::Pinned;
use crate::proxy::record::{Attempts, Note};
use crate::proxy::send_progress::SendProgress;
use crate::proxy::tunnel::Kept;
use crate::route::password_queue;
use crate::route::{Asker, User};
use crate::upstream::lease::Lease;
use crate::upstream::pool::Ask;
use crate::upstream::queue::Ticket;
use crate::upstream::redial::Redial;
use crate::upstream::retry_budget::Retrying;
use crate::upstream::snapshot::Snapshot;

/// One client connection and what it is in the middle of.
pub struct Task {
    pub(super) stage: Stage,
    pub(super) client: Client,
    pub(super) request: Request,
    pub(super) upstream: Option<Upstream>,
    /// A place at a backend that has no connection yet.
    pub(super) unconnected: Option<Box<Lease>>,
    /// Unused backend connections that belong to this client.
    pub(super) pinned: Pinned,
    /// What it waits for, and until when; `None` while a worker is at it.
    pub(super) waits_for: Option<Reason>,
    pub(super) waits_until: Moment,
    /// Its last turn was a long one.
    pub(super) bulk: bool,
    /// The configuration that the current request began with; a bare one between requests and in a
    /// tunnel.
    pub(super) snapshot: Arc<Snapshot>,
    /// What a tunnel keeps of the configuration that it began with.
    pub(super) kept: Option<Box<Kept>>,
}

/// What a task is in the middle of.
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

/// The client's side.
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
    _counts: Counts,
}

/// The request under way.
pub(super) struct Request {
    /// It has begun and has not been recorded yet.
    pub(super) begun: bool,
    /// The route that it takes; `None` until that is known.
    pub(super) route: Option<u16>,
    /// The pool that the route leads to, if it leads to one.
    pub(super) pool: Option<u16>,
    /// The user that Basic authentication let in.
    pub(super) user: Option<User>,
    /// What the logs want to know of its head; `None` when nobody listens.
    pub(super) note: Option<Box<Note>>,
    /// Its password waits to be hashed, or has been.
    pub(super) password: Option<password_queue::Ticket>,
    /// The tries so far.
    pub(super) attempts: Attempts,
    /// What the client was told; 0 if nothing yet.
    pub(super) status: u16,
    /// Why it ended, if that is not that it was completed.
    pub(super) end: Option<&'static str>,
    /// What was wrong, such as the rule that it breaks, if it got an answer of our own.
    pub(super) reason: Option<Failure>,
    /// How long it waited for a place at a backend.
    pub(super) waited: Duration,
    /// Bytes of the response's body that were passed on, without framing.
    pub(super) downloaded: u64,
    pub(super) method: Method,
    pub(super) version: Version,
    /// The client would like to keep the connection.
    pub(super) keep_alive: bool,
    /// It uses a scheme that authenticates its connection.
    pub(super) binds_connection: bool,
    /// It offers an upgrade, which is forwarded.
    pub(super) upgrade: bool,
    /// It is counted as a tunnel, which it may become or has become.
    pub(super) tunnel: Option<Counted>,
    /// The client is still waiting for a 100 before it sends the body.
    pub(super) awaits_continue: bool,
    /// The client that the request comes from; `None` until its head has been read.
    pub(super) asker: Option<Asker>,
    /// The media type that it prefers for our own answers.
    pub(super) prefers: MediaType,
    pub(super) id: Text<64>,
    pub(super) started: Moment,
    /// What `request_timeout` runs from: the start, moved on by the time that was spent waiting
    /// for the client's body.
    pub(super) timeout_from: Moment,
    /// What of the body is still to come from the client.
    pub(super) upload: Upload,
    /// Bytes of body seen so far, without framing.
    pub(super) uploaded: u64,
    /// What goes to the backend: the rewritten head and then the body.
    pub(super) outbound: Buffer,
    /// How much of `outbound` has been written to the present backend.
    pub(super) sent: usize,
    /// `outbound` still holds every byte from the first, so that it can be sent again.
    pub(super) replayable: bool,
    /// When the upload last moved.
    pub(super) moved: Moment,
    /// When the body will have been slower than the minimum rate for too long, unless more of
    /// it comes.
    pub(super) too_slow_at: Moment,
    /// It waits for a place at a backend.
    pub(super) ticket: Option<Ticket>,
    /// Since when.
    pub(super) queued: Moment,
    /// Which backends it may use.
    pub(super) ask: Ask,
    /// Tries that failed, until the request is settled.
    pub(super) failed_tries: FailedTries,
    /// Its permission to dial a backend again, and when it does so next.
    pub(super) redial: Option<Box<(Redial, Moment)>>,
    /// The result of the last try, once there has been another.
    pub(super) failed: Option<Failure>,
    pub(super) tries_left: u32,
    /// Counts against the pool's budget for second tries while it lasts.
    pub(super) retrying: Option<Retrying>,
    /// The one try on a fresh connection after a kept one died has been used.
    pub(super) refreshed: bool,
    pub(super) download: Download,
    /// Bytes of interim responses that came; after the first, nothing is tried again.
    pub(super) interim: u64,
    /// The client connection is kept after this response, if its request is read to the end.
    pub(super) keep_client: bool,
    /// The response ends when we close, and we have not closed yet.
    pub(super) ends_by_closing: bool,
    /// When the download last moved.
    pub(super) received: Moment,
}

/// What of a request body is still to come.
pub(super) enum Upload {
    Done,
    Fixed(u64),
    Chunked(ChunkDecoder),
}

/// What of a response is still to come.
pub(super) enum Download {
    /// The head, and perhaps interim responses before it.
    Head,
    Fixed(u64),
    Chunked(ChunkDecoder, Framing),
    UntilClose(Framing),
    Done,
}

/// How a body of unknown length is framed towards the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    /// It ends with the connection: for HTTP/1.0 clients.
    UntilClose,
}

/// The upstream side.
pub(super) struct Upstream {
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

impl Upstream {
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

impl Task {
    /// A task for a connection that was just accepted.
    pub fn new(
        fd: OwnedFd,
        peer: SocketAddr,
        listener: Arc<ListenerInfo>,
        snapshot: Arc<Snapshot>,
        counts: Counts,
        now: Moment,
    ) -> Self {
        Self {
            stage: Stage::Head,
            client: Client {
                stream: Stream::accepted(fd),
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
                _counts: counts,
            },
            request: Request::new(now),
            upstream: None,
            unconnected: None,
            pinned: Pinned::default(),
            waits_for: None,
            waits_until: Moment::NEVER,
            bulk: false,
            snapshot,
            kept: None,
        }
    }

    /// What it is in the middle of.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it is between requests, so that closing it loses nothing.
    pub fn is_idle(&self) -> bool {
        self.stage == Stage::Head && self.client.head_began.is_none()
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
        self.request.outbound.release(pool);
        if let Some(upstream) = &mut self.upstream {
            upstream.inbound.release(pool);
        }
    }

    /// Gives back the memory that it does not need while it waits. Between requests that includes the
    /// configuration: the next request takes the one current then.
    pub fn shrink(&mut self, pool: &mut BufferPool, bare: &Arc<Snapshot>) {
        if matches!(self.stage, Stage::Head | Stage::Linger) && !Arc::ptr_eq(&self.snapshot, bare) {
            self.snapshot = Arc::clone(bare);
        }
        self.client.inbound.shrink(pool);
        self.client.outbound.shrink(pool);
        self.request.outbound.shrink(pool);
        if let Some(upstream) = &mut self.upstream {
            upstream.inbound.shrink(pool);
        }
    }
}

impl Waiter for Task {
    fn sockets(&mut self) -> Sockets<'_> {
        Sockets {
            client: &mut self.client.stream,
            upstream: self.upstream.as_mut().map(|upstream| &mut upstream.stream),
        }
    }

    fn parked(&mut self, spot: ParkToken) -> bool {
        let Request { ticket, password, .. } = &self.request;
        ticket.as_ref().is_some_and(|ticket| ticket.park(spot))
            || password.as_ref().is_some_and(|ticket| ticket.park(spot))
    }

    fn client_ended(&mut self) {
        self.client.ended = true;
    }

    fn client_broke(&mut self) {
        self.client.broke = true;
    }
}

impl Request {
    /// The address of its client: the peer's until the head has been read.
    pub(super) fn client(&self, peer: SocketAddr) -> IpAddr {
        self.asker.map_or(peer.ip(), |asker| asker.address).to_canonical()
    }

    /// Notes what it ends with. The cause of a server error stays, whatever comes of telling the
    /// client about it: its record is there to name that cause.
    pub(super) fn fail(&mut self, word: &'static str) {
        if self.status < 500 || self.end.is_none() {
            self.end = Some(word);
        }
    }

    pub(super) fn new(now: Moment) -> Self {
        Self {
            begun: false,
            route: None,
            pool: None,
            user: None,
            password: None,
            note: None,
            attempts: Attempts::default(),
            status: 0,
            end: None,
            reason: None,
            waited: Duration::ZERO,
            downloaded: 0,
            method: Method::Other,
            version: Version::Http11,
            keep_alive: false,
            binds_connection: false,
            upgrade: false,
            tunnel: None,
            awaits_continue: false,
            asker: None,
            prefers: MediaType::Text,
            id: Text::default(),
            started: now,
            timeout_from: now,
            upload: Upload::Done,
            uploaded: 0,
            outbound: Buffer::default(),
            sent: 0,
            replayable: true,
            moved: now,
            too_slow_at: Moment::NEVER,
            ticket: None,
            queued: now,
            ask: Ask::default(),
            failed: None,
            redial: None,
            failed_tries: FailedTries::default(),
            tries_left: 0,
            retrying: None,
            refreshed: false,
            download: Download::Head,
            interim: 0,
            keep_client: false,
            ends_by_closing: false,
            received: now,
        }
    }

    /// Everything the client had to say has been read and passed on.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.upload, Upload::Done) && self.sent == self.outbound.len()
    }

    /// The client's message has been read to its end, so that another may follow.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.upload, Upload::Done)
    }

    /// The final response has been read to its end.
    pub(super) fn is_relayed(&self) -> bool {
        matches!(self.download, Download::Done)
    }

    /// The final response has begun, so that nothing else may be sent in its place.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.download, Download::Head)
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

/// Where a client connection is counted for as long as it is open.
pub struct Counts {
    /// Among all of them.
    pub connections: Counted,
    /// Among those of its client.
    pub of_client: Counted,
}

/// Counts an open connection, or something else there may be many of, until it is dropped.
pub struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// Counts one more.
    pub fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }

    /// Counts one more, unless there are `max` already.
    pub fn within(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let counted = Self(Arc::clone(count));
        (before < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A short text that lives where it stands; what does not fit is cut off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Text<N> {
    pub(super) fn set(&mut self, bytes: &[u8]) {
        self.len = 0;
        self.extend(bytes);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(usize::from(self.len)..).unwrap_or_default();
        let count = bytes.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.len += count as u8;
    }

    pub(super) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> std::fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.extend(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::TASK_BYTES_MAX;

    #[test]
    fn an_idle_connection_costs_no_more_than_it_is_said_to() {
        let bytes = size_of::<Task>();
        assert!(
            bytes <= TASK_BYTES_MAX,
            "a task has {bytes} bytes, {TASK_BYTES_MAX} is what `check` counts with"
        );
    }
}
