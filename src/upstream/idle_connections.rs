//! Idle connections to a backend, kept for reuse, and whether reuse is suspended.
//!
//! Reuse is suspended for [`KEEP_NOTHING_FOR`] if the backend misuses kept connections: it sent
//! unsolicited bytes, which the next client would get as its response; or it closes most kept
//! connections before it answers, and such failures never count against it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::limits::{KEEP_NOTHING_FOR, REUSE_DEATHS_MAX};
use crate::net::stream::{Rest, Stream};
use crate::upstream::recent::Recent;

/// The idle connections to one backend. The one used last is reused first: it is the least likely to
/// have been closed, and the others get to expire.
///
/// At most `max` are kept, or as many as there were recent requests in flight, if that is more: a busy
/// backend's connections come and go by the dozen within a millisecond, and closing one only to open it
/// again costs more than the request it carries.
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
    /// The peak of requests in flight since the last sweep, and between the two sweeps before.
    most: u32,
    most_before: u32,
    /// No connection is kept until then.
    suspended_until: Option<Moment>,
    /// Recently reused connections, and those of them that died before a response.
    reuses: Recent,
    deaths: Recent,
    /// How often reuse was suspended, by [`Distrust`].
    suspensions: [u64; Distrust::ALL.len()],
}

/// Why reuse of a backend's connections is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It sent unsolicited bytes.
    UnaskedBytes,
    /// Most connections died when they were reused.
    ReuseDeaths,
}

impl Distrust {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::UnaskedBytes, Self::ReuseDeaths];

    /// Its label in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::UnaskedBytes => "unasked_bytes",
            Self::ReuseDeaths => "reuse_deaths",
        }
    }
}

/// An idle connection had unsolicited bytes on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unasked;

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

    /// Changes the limit.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The number of idle connections.
    pub fn len(&self) -> usize {
        self.kept.lock().list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a connection that is open and silent, if there is one.
    ///
    /// # Errors
    /// One of them was not silent: unsolicited bytes would be taken for the next response.
    pub fn take(&self, now: Moment) -> Result<Option<Stream>, Unasked> {
        loop {
            let idle = {
                let mut kept = self.kept.lock();
                let idle = kept.list.pop_back();
                if idle.is_some() {
                    kept.reuses.add(1, now);
                }
                idle
            };
            let Some(Idle { stream, expires }) = idle else { return Ok(None) };
            match stream.at_rest() {
                Rest::Talking => return Err(Unasked),
                Rest::Quiet if now < expires => return Ok(Some(stream)),
                Rest::Quiet | Rest::Closed => {}
            }
        }
    }

    /// Reports that a reused connection died before the backend answered. Returns whether that is so
    /// frequent that reuse should be suspended.
    pub fn died(&self, now: Moment) -> bool {
        let mut kept = self.kept.lock();
        kept.deaths.add(1, now);
        let (deaths, reuses) = (kept.deaths.sum(now), kept.reuses.sum(now));
        deaths >= REUSE_DEATHS_MAX && deaths * 2 >= reuses
    }

    /// Closes all connections and suspends reuse for a while. Returns how often this was done for this
    /// reason, or `None` if reuse was already suspended.
    #[expect(clippy::indexing_slicing, reason = "INVARIANT: there is a count for every reason")]
    pub fn suspend(&self, why: Distrust, now: Moment) -> Option<u64> {
        let (old, count) = {
            let mut kept = self.kept.lock();
            let begins = kept.suspended_until.is_none_or(|until| until <= now);
            kept.suspended_until = Some(now + KEEP_NOTHING_FOR);
            kept.reuses.clear();
            kept.deaths.clear();
            let count = &mut kept.suspensions[why as usize];
            *count += u64::from(begins);
            let count = begins.then_some(*count);
            (std::mem::take(&mut kept.list), count)
        };
        drop(old);
        count
    }

    /// How often reuse was suspended, for each reason of [`Distrust::ALL`].
    pub fn suspensions(&self) -> [u64; Distrust::ALL.len()] {
        self.kept.lock().suspensions
    }

    /// Keeps a connection for up to `lifetime`, or closes it if there are enough. `active` is the
    /// number of requests in flight.
    pub fn give(&self, stream: Stream, now: Moment, lifetime: Duration, active: u32) {
        let idle = Idle { stream, expires: now + lifetime };
        let mut kept = self.kept.lock();
        kept.most = kept.most.max(active);
        let suspended = kept.suspended_until.is_some_and(|until| now < until);
        if !suspended && kept.list.len() < self.enough(&kept) {
            kept.list.push_back(idle);
        } else {
            drop(kept);
            drop(idle);
        }
    }

    /// Closes connections that have expired or exceed the limit. `active` is the number of requests in
    /// flight. A raised limit falls back within two sweeps.
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
            // 0 turns keeping off; it is not a bound to be exceeded.
            0 => 0,
            max => max.max(kept.most as usize).max(kept.most_before as usize),
        }
    }

    /// Closes all connections: the backend is down, or moved.
    pub fn clear(&self) {
        let old = std::mem::take(&mut self.kept.lock().list);
        drop(old);
    }
}
