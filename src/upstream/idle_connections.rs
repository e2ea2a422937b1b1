//! Unused connections that are kept to a backend for its next request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::net::stream::Stream;

/// The unused connections to one backend. The one used last is used next: it is the least
/// likely to have been closed, and the others get the chance to grow old and be closed.
///
/// At most `max` are kept, or as many as there have been requests in flight lately if those are
/// more: a busy backend's connections come and go by the dozen within a millisecond, and closing
/// one only to open it again costs more than the request it carries.
#[derive(Debug)]
pub struct IdleConnections {
    /// LOCK: guards the list for one push or pop. Checking and closing happen outside it.
    kept: Mutex<Kept>,
    /// Ordering: Relaxed; a reload may change it at any time.
    max: AtomicUsize,
}

#[derive(Debug, Default)]
struct Kept {
    list: VecDeque<Idle>,
    /// The most requests that were in flight since the last sweep, and between the two before.
    most: u32,
    most_before: u32,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    expires: Moment,
}

impl IdleConnections {
    /// An empty list of at most `max`.
    pub fn new(max: usize) -> Self {
        Self { kept: Mutex::default(), max: AtomicUsize::new(max) }
    }

    /// Changes how many are kept.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.lock().list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A connection that is open and silent, if there is one.
    pub fn take(&self, now: Moment) -> Option<Stream> {
        loop {
            let Idle { stream, expires } = self.kept.lock().list.pop_back()?;
            // What a backend sends unasked would be taken for the next answer: such a
            // connection is closed, like one that the backend has closed.
            if now < expires && stream.is_quiet() {
                return Some(stream);
            }
        }
    }

    /// Keeps a connection for up to `lifetime`, or closes it if there are enough. `active` requests
    /// are in flight.
    pub fn give(&self, stream: Stream, now: Moment, lifetime: Duration, active: u32) {
        let idle = Idle { stream, expires: now + lifetime };
        let mut kept = self.kept.lock();
        kept.most = kept.most.max(active);
        if kept.list.len() < self.enough(&kept) {
            kept.list.push_back(idle);
        } else {
            drop(kept);
            drop(idle);
        }
    }

    /// Closes the connections that have been kept for too long, and what is more than enough.
    /// `active` requests are in flight. What is enough falls within two sweeps.
    pub fn sweep(&self, now: Moment, active: u32) {
        let mut old = Vec::new();
        let mut kept = self.kept.lock();
        kept.most_before = std::mem::replace(&mut kept.most, active);
        let enough = self.enough(&kept);
        while kept.list.len() > enough || kept.list.front().is_some_and(|idle| idle.expires <= now) {
            old.extend(kept.list.pop_front());
        }
        drop(kept);
        drop(old);
    }

    fn enough(&self, kept: &Kept) -> usize {
        match self.max.load(Ordering::Relaxed) {
            // Keeping none is a wish, not a bound.
            0 => 0,
            max => max.max(kept.most as usize).max(kept.most_before as usize),
        }
    }

    /// Closes all of them: the backend is down, or moved.
    pub fn clear(&self) {
        let old = std::mem::take(&mut self.kept.lock().list);
        drop(old);
    }
}
