//! Unused connections that are kept to a backend for its next request.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::net::stream::Stream;

/// The unused connections to one backend. The one used last is used next: it is the least
/// likely to have been closed, and the others get the chance to grow old and be closed.
#[derive(Debug)]
pub struct IdleConnections {
    /// LOCK: guards the list for one push or pop. Checking and closing happen outside it.
    list: Mutex<VecDeque<Idle>>,
    max: usize,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    expires: Moment,
}

impl IdleConnections {
    /// An empty list of at most `max`.
    pub fn new(max: usize) -> Self {
        Self { list: Mutex::new(VecDeque::new()), max }
    }

    /// A connection that is open and silent, if there is one.
    pub fn take(&self, now: Moment) -> Option<Stream> {
        loop {
            let Idle { stream, expires } = self.list.lock().pop_back()?;
            // What a backend sends unasked would be taken for the next answer: such a
            // connection is closed, like one that the backend has closed.
            if now < expires && stream.is_quiet() {
                return Some(stream);
            }
        }
    }

    /// Keeps a connection for up to `lifetime`, or closes it if there are enough.
    pub fn give(&self, stream: Stream, now: Moment, lifetime: Duration) {
        let idle = Idle { stream, expires: now + lifetime };
        let mut list = self.list.lock();
        if list.len() < self.max {
            list.push_back(idle);
        } else {
            drop(list);
            drop(idle);
        }
    }

    /// Closes the connections that have been kept for too long. Returns how many are left.
    pub fn sweep(&self, now: Moment) -> usize {
        let mut old = Vec::new();
        let left = {
            let mut list = self.list.lock();
            while list.front().is_some_and(|idle| idle.expires <= now) {
                old.extend(list.pop_front());
            }
            list.len()
        };
        drop(old);
        left
    }

    /// Closes all of them: the backend is down, or moved.
    pub fn clear(&self) {
        let old = std::mem::take(&mut *self.list.lock());
        drop(old);
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.list.lock().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
