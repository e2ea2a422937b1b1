//! What a worker brings along to every task it advances.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use crate::base::buffer::BufferPool;
use crate::base::clock::Moment;
use crate::net::parking::Unpark;
use crate::observe::metrics::Shard;
use crate::proxy::record::Note;
use crate::upstream::snapshot::Snapshot;

/// What all threads of one balancer share.
pub struct Shared {
    /// The present configuration.
    pub snapshot: ArcSwap<Snapshot>,
    /// Where clients connect; a reload may change it.
    pub entrances: ArcSwap<Vec<Arc<Entrance>>>,
    /// When the stop began, in nanoseconds; 0 while there is none. Ordering: Relaxed; a
    /// worker that learns of it one turn later is no worse off.
    pub draining_since: AtomicU64,
    /// Open client connections.
    pub connections: Arc<AtomicUsize>,
    /// Those of them that are tunnels, or have asked to become one.
    pub tunnels: Arc<AtomicUsize>,
    /// There is an access log or an admin listener, so what heads say is written down.
    /// Ordering: Relaxed; a request more or less does not matter.
    pub takes_notes: AtomicBool,
    /// What each worker has counted.
    pub shards: Box<[Shard]>,
}

/// Where clients connect.
#[derive(Debug, PartialEq, Eq)]
pub struct Entrance {
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
    /// Chance.
    pub rng: fastrand::Rng,
    /// Bytes that the present task may still move in this turn.
    pub quantum: usize,
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Which worker this is.
    pub worker: usize,
    /// Where what is known of ended requests was written.
    pub notes: Vec<Box<Note>>,
    /// Who wakes a task that waits for something else than a socket.
    pub unpark: Weak<dyn Unpark>,
    snapshot: Cache<SharedSnapshot, Arc<Snapshot>>,
}

impl Context {
    /// The context of a new worker with this number.
    pub fn new(worker: usize, shared: Arc<Shared>, unpark: Weak<dyn Unpark>, now: Moment) -> Self {
        Self {
            now,
            buffers: BufferPool::new(),
            rng: fastrand::Rng::new(),
            quantum: 0,
            worker,
            notes: Vec::new(),
            unpark,
            snapshot: Cache::new(SharedSnapshot(Arc::clone(&shared))),
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

    /// When the stop began, if it has: no new requests, answer what is under way and close.
    pub fn draining_since(&self) -> Option<Moment> {
        match self.shared.draining_since.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Moment::from_nanos(nanos)),
        }
    }
}

struct SharedSnapshot(Arc<Shared>);

impl std::ops::Deref for SharedSnapshot {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &Self::Target {
        &self.0.snapshot
    }
}
