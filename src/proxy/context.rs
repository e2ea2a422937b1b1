//! What a worker brings along to every task it advances.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::cache::Cache;
use arc_swap::{ArcSwap, ArcSwapOption};

use crate::base::buffer::{BufferPool, LargeBuffers};
use crate::base::clock::Moment;
use crate::base::limits::LOG_LINGER;
use crate::net::parking::Unpark;
use crate::net::pipe::{PipeAllowance, PipePool};
use crate::observe::batch::{Batch, Intake};
use crate::observe::line::Format;
use crate::observe::metrics::Shard;
use crate::proxy::date::Date;
use crate::proxy::record::Note;
use crate::proxy::request_id::RequestIds;
use crate::proxy::turn::Turn;
use crate::route::password_queue::PasswordQueue;
use crate::upstream::snapshot::Snapshot;

/// What all threads of one balancer share.
pub struct Shared {
    /// The present configuration.
    pub snapshot: ArcSwap<Snapshot>,
    /// What a connection refers to while it serves no request.
    pub bare: Arc<Snapshot>,
    /// Where clients connect; a reload may change it.
    pub listeners: ArcSwap<Vec<Arc<ListenerInfo>>>,
    /// When the stop began, in nanoseconds; 0 while there is none. Ordering: Relaxed; a
    /// worker that learns of it one turn later is no worse off.
    pub draining_since: AtomicU64,
    /// How many more pipes there may be.
    pub pipes: PipeAllowance,
    /// Open client connections.
    pub connections: Arc<AtomicUsize>,
    /// Connections that were refused, or closed to make room.
    pub turned_away: TurnedAway,
    /// Those of them that are tunnels, or have asked to become one.
    pub tunnels: Arc<AtomicUsize>,
    /// There is an access log or an admin listener, so what heads say is written down.
    /// Ordering: Relaxed; a request more or less does not matter.
    pub takes_notes: AtomicBool,
    /// Passwords that wait to be hashed.
    pub passwords: Arc<PasswordQueue>,
    /// The access log, if there is one.
    pub log: ArcSwapOption<LogSource>,
    /// How many large buffers there may be, if `limits.memory` says.
    pub large_buffers: Option<Arc<LargeBuffers>>,
    /// What each worker has counted.
    pub shards: Box<[Shard]>,
}

/// Connections for which there was no room, since the start. Ordering: Relaxed; these are only
/// shown.
#[derive(Debug, Default)]
pub struct TurnedAway {
    /// New connections over `limits.connections`.
    pub of_all: AtomicU64,
    /// New connections over `limits.connections_per_client`.
    pub of_client: AtomicU64,
    /// Idle ones that were closed to make room.
    pub idle: AtomicU64,
}

impl Shared {
    /// What a balancer starts with: no connection, no access log, and large buffers without a limit.
    pub fn new(
        snapshot: &Arc<Snapshot>,
        listeners: Vec<Arc<ListenerInfo>>,
        workers: usize,
        pipes: usize,
    ) -> Self {
        Self {
            snapshot: ArcSwap::new(Arc::clone(snapshot)),
            bare: Arc::new(Snapshot::bare(&snapshot.plan)),
            listeners: ArcSwap::from_pointee(listeners),
            draining_since: AtomicU64::new(0),
            pipes: PipeAllowance::new(pipes),
            connections: Arc::default(),
            turned_away: TurnedAway::default(),
            tunnels: Arc::default(),
            takes_notes: AtomicBool::new(false),
            passwords: Arc::default(),
            log: ArcSwapOption::empty(),
            large_buffers: None,
            shards: (0..workers).map(|_| Shard::default()).collect(),
        }
    }

    /// What is known now of a listener, which a reload may have given another name.
    pub fn present(&self, info: &Arc<ListenerInfo>) -> Arc<ListenerInfo> {
        let present = self.listeners.load();
        Arc::clone(present.iter().find(|present| present.id == info.id).unwrap_or(info))
    }
}

/// Where lines of the access log are to go.
#[derive(Debug)]
pub struct LogSource {
    /// Where batches of them come from.
    pub intake: Intake,
    /// What a line looks like.
    pub format: Format,
}

/// Where clients connect.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// A number that no other has.
    pub id: u32,
    /// What the configuration calls it.
    pub name: String,
    /// The address that was bound.
    pub address: SocketAddr,
    /// The address that the configuration asks for, which may leave the port open.
    pub planned: SocketAddr,
}

/// A worker's clock, memory and view of the configuration.
pub struct Context {
    /// The time, as of the last `poll`.
    pub now: Moment,
    /// Memory for what is on its way through.
    pub buffers: BufferPool,
    /// Pipes for large bodies.
    pub pipes: PipePool,
    /// Ids for requests that come without one.
    pub ids: RequestIds,
    /// The date of this second.
    pub date: Date,
    /// The turn of the task that is being advanced.
    pub turn: Turn,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Which worker this is.
    pub worker: usize,
    /// Where what is known of ended requests was written.
    pub notes: Vec<Box<Note>>,
    /// Who wakes a task that waits for something else than a socket.
    pub unpark: Weak<dyn Unpark>,
    snapshot: Cache<SharedSnapshot, Arc<Snapshot>>,
    /// The access log's source that `batch` is from.
    log: Cache<SharedLog, Option<Arc<LogSource>>>,
    source: Option<Arc<LogSource>>,
    batch: Option<Batch>,
    flushed: Moment,
}

impl Context {
    /// The context of a new worker with this number.
    pub fn new(worker: usize, shared: Arc<Shared>, unpark: Weak<dyn Unpark>, now: Moment) -> Self {
        Self {
            now,
            buffers: BufferPool::bounded(shared.large_buffers.clone()),
            pipes: PipePool::new(shared.pipes.clone()),
            ids: RequestIds::new(),
            date: Date::new(),
            turn: Turn::new(),
            worker,
            notes: Vec::new(),
            unpark,
            snapshot: Cache::new(SharedSnapshot(Arc::clone(&shared))),
            log: Cache::new(SharedLog(Arc::clone(&shared))),
            source: None,
            batch: None,
            flushed: now,
            shared,
        }
    }

    /// Whether anybody wants to know what the heads of requests say.
    pub fn takes_notes(&self) -> bool {
        self.shared.takes_notes.load(Ordering::Relaxed)
    }

    /// The present configuration, for the price of one atomic load.
    pub fn snapshot(&mut self) -> &Arc<Snapshot> {
        self.snapshot.load()
    }

    /// What lines of the access log are appended to, for the price of one atomic load.
    pub fn log(&mut self) -> Option<&mut Batch> {
        let present = self.log.load();
        if present.as_ref().map(Arc::as_ptr) != self.source.as_ref().map(Arc::as_ptr) {
            self.source.clone_from(present);
            self.batch = self.source.as_ref().map(|source| source.intake.batch(source.format));
        }
        self.batch.as_mut()
    }

    /// Hands lines of the access log over that have been held back for long enough, or all of
    /// them `before_sleep`.
    pub fn flush_log(&mut self, before_sleep: BeforeSleep) {
        if self.batch.is_none() {
            return;
        }
        // Of a log that another has replaced nothing is kept, whether or not there is a request.
        let (now, flushed) = (self.now, self.flushed);
        let Some(batch) = self.log() else { return };
        if before_sleep == BeforeSleep::Yes || now.since(flushed) >= LOG_LINGER {
            batch.flush();
            self.flushed = self.now;
        }
    }

    /// When the stop began, if it has: no new requests, answer what is under way and close.
    pub fn draining_since(&self) -> Option<Moment> {
        match self.shared.draining_since.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Moment::from_nanos(nanos)),
        }
    }
}

/// Whether a worker may be about to sleep for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeSleep {
    /// It has nothing to wait for but the bell.
    Yes,
    /// It will look again soon.
    No,
}

struct SharedLog(Arc<Shared>);

impl std::ops::Deref for SharedLog {
    type Target = ArcSwapOption<LogSource>;

    fn deref(&self) -> &Self::Target {
        &self.0.log
    }
}

struct SharedSnapshot(Arc<Shared>);

impl std::ops::Deref for SharedSnapshot {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &Self::Target {
        &self.0.snapshot
    }
}
