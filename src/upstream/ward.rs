//! The ejections of one pool, shared by all threads.
//!
//! Requests read only one atomic per backend, the [`SeatCell`]. Failed attempts, trial results and
//! clock ticks come here, take the pool's lock, and publish what they decide. Logging and waking queued
//! requests happen after the lock is released.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::config::plan::Ejection as Rules;
use crate::upstream::ejection::{Change, Ejections, Evidence, Seat, Standing, View};
use crate::upstream::health::Reason;

/// A member of a pool, as its ejections see it.
pub trait Member: fmt::Debug + Send + Sync {
    /// A number that no other member has, in any configuration.
    fn id(&self) -> u32;
    /// Its name and address, for the log.
    fn title(&self) -> String;
    /// Whether probes find it up and it is not drained, ejected or not.
    fn serves(&self) -> bool;
    /// Tries that were given to it since the start.
    fn requests(&self) -> u64;
    /// What requests may be given to it as far as ejection goes.
    fn seat(&self) -> &SeatCell;
    /// The ejections of its pool.
    fn ward(&self) -> &Ward;
    /// Tells the requests that wait that they may be given it now, or no longer.
    fn make_known(self: Arc<Self>);
}

/// The ejections of one pool.
#[derive(Debug, Default)]
pub struct Ward {
    /// LOCK: guards the members' state, held for one decision. A request takes it only if one of its
    /// attempts failed or was a trial.
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    ejections: Ejections,
    /// The pool's name and members in the current configuration. Weak, because each member holds its
    /// ward.
    pool: String,
    members: Vec<Weak<dyn Member>>,
}

/// What to do after the lock is released.
#[derive(Default)]
struct Outcome {
    changes: Vec<(Arc<dyn Member>, Change)>,
    /// Members that may be given requests, or other ones than before.
    moved: Vec<Arc<dyn Member>>,
    pool: String,
}

impl Ward {
    /// Sets the rules and the members.
    pub(super) fn set(&self, pool: &str, rules: Option<Rules>, members: &[Arc<dyn Member>]) {
        self.judge(|held| {
            pool.clone_into(&mut held.pool);
            held.members = members.iter().map(Arc::downgrade).collect();
            let ids: Vec<u32> = members.iter().map(|member| member.id()).collect();
            held.ejections.adopt(rules, &ids)
        });
    }

    /// Advances the time. Returns when to call this again, at the latest.
    pub fn tick(&self, now: Moment) -> Moment {
        self.judge(|held| {
            let standing = held.standing();
            held.ejections.tick(&standing, now);
            held.ejections.settle(&standing).into_iter().collect()
        });
        self.held.lock().ejections.due()
    }

    /// Called when members came, went, or changed their health or weight: if only ejected ones are
    /// left, one of them serves again.
    pub(super) fn settle(&self) {
        self.judge(|held| {
            let standing = held.standing();
            held.ejections.settle(&standing).into_iter().collect()
        });
    }

    /// Counts a failed attempt at a backend.
    pub(super) fn failed(&self, id: u32, evidence: Evidence, now: Moment) {
        self.judge(|held| {
            let standing = held.standing();
            let change = held.ejections.failed(id, evidence, &standing, now);
            change.map(|change| (id, change)).into_iter().collect()
        });
    }

    fn trial_answered(&self, id: u32, epoch: u32, now: Moment) {
        self.judge(|held| {
            let change = held.ejections.trial_answered(id, epoch, now);
            change.map(|change| (id, change)).into_iter().collect()
        });
    }

    fn trial_failed(&self, id: u32, epoch: u32, evidence: Evidence, now: Moment) {
        self.judge(|held| {
            let change = held.ejections.trial_failed(id, epoch, evidence, now);
            change.map(|change| (id, change)).into_iter().collect()
        });
    }

    /// A trial ended without a verdict: the next request may try.
    pub(super) fn release(&self, backend: &dyn Member, epoch: u32) {
        let held = self.held.lock();
        backend.seat().release(epoch);
        let (seat, epoch) = held.ejections.seat(backend.id());
        backend.seat().publish(seat, epoch);
    }

    /// The ejection of a backend, if there is one.
    pub(super) fn view(&self, id: u32) -> Option<View> {
        self.held.lock().ejections.view(id)
    }

    /// How often a backend was ejected, in the order of [`Reason::WORDS`].
    pub(super) fn counts(&self, id: u32) -> [u64; Reason::WORDS.len()] {
        self.held.lock().ejections.counts(id)
    }

    fn judge(&self, judge: impl FnOnce(&mut Held) -> Vec<(u32, Change)>) {
        let outcome = {
            let mut held = self.held.lock();
            let changes = judge(&mut held);
            held.publish(changes)
        };
        for (backend, change) in &outcome.changes {
            let level = match change {
                Change::Ejected { .. } => log::Level::Warn,
                Change::Renewed { .. } | Change::Ended(_) => log::Level::Info,
            };
            log::log!(level, "backend {} of pool {} {change}", backend.title(), outcome.pool);
        }
        outcome.moved.into_iter().for_each(Member::make_known);
    }
}

impl Held {
    fn standing(&self) -> Vec<Standing> {
        let members = self.members.iter().filter_map(Weak::upgrade);
        let standing = |member: Arc<dyn Member>| Standing {
            id: member.id(),
            serves: member.serves(),
            requests: member.requests(),
        };
        members.map(standing).collect()
    }

    /// Publishes to each member which requests it may get.
    fn publish(&self, changes: Vec<(u32, Change)>) -> Outcome {
        let mut outcome = Outcome { pool: self.pool.clone(), ..Outcome::default() };
        for member in self.members.iter().filter_map(Weak::upgrade) {
            let (seat, epoch) = self.ejections.seat(member.id());
            if member.seat().publish(seat, epoch) {
                outcome.moved.push(Arc::clone(&member));
            }
            let of_this = changes.iter().filter(|(id, _)| *id == member.id());
            outcome.changes.extend(of_this.map(|(_, change)| (Arc::clone(&member), *change)));
        }
        outcome
    }
}

/// Which requests a backend may get now: a [`Seat`] or a trial in progress, and the number of the
/// ejection. Ordering: Relaxed, since a request that reads an old value might as well have come a
/// moment earlier.
#[derive(Debug, Default)]
pub struct SeatCell(AtomicU32);

const SERVING: u32 = 0;
const EJECTED: u32 = 1;
const OPEN_TO_IDEMPOTENT: u32 = 2;
const OPEN_TO_ANY: u32 = 3;
const TRIAL: u32 = 4;
const CODE_BITS: u32 = 3;
const CODE: u32 = (1 << CODE_BITS) - 1;

impl SeatCell {
    /// Whether it serves like any other.
    pub fn is_serving(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SERVING
    }

    /// Whether a trial is in progress.
    pub(super) fn is_on_trial(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CODE == TRIAL
    }

    /// Whether it may get a request.
    pub(super) fn admits(&self, idempotent: bool) -> bool {
        match self.0.load(Ordering::Relaxed) & CODE {
            SERVING | OPEN_TO_ANY => true,
            OPEN_TO_IDEMPOTENT => idempotent,
            _ => false,
        }
    }

    /// Takes the seat for a request, if it may have it. Returns the number of the ejection if the
    /// request is its trial.
    pub(super) fn take(&self, idempotent: bool) -> Result<Option<u32>, Taken> {
        let seat = self.0.load(Ordering::Relaxed);
        match seat & CODE {
            SERVING => Ok(None),
            OPEN_TO_IDEMPOTENT if !idempotent => Err(Taken),
            OPEN_TO_IDEMPOTENT | OPEN_TO_ANY => {
                let trial = seat & !CODE | TRIAL;
                let taken = self.0.compare_exchange(seat, trial, Ordering::Relaxed, Ordering::Relaxed);
                taken.map(|_| Some(seat >> CODE_BITS)).map_err(|_| Taken)
            }
            _ => Err(Taken),
        }
    }

    /// Publishes a decision. A trial in progress is left alone while its ejection lasts. Returns
    /// whether anything changed.
    fn publish(&self, seat: Seat, epoch: u32) -> bool {
        let code = match seat {
            Seat::Serving => SERVING,
            Seat::Ejected => EJECTED,
            Seat::OpenToIdempotent => OPEN_TO_IDEMPOTENT,
            Seat::OpenToAny => OPEN_TO_ANY,
        };
        let epoch = epoch << CODE_BITS;
        let new = if code == SERVING { SERVING } else { epoch | code };
        let open = code == OPEN_TO_IDEMPOTENT || code == OPEN_TO_ANY;
        let written = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            let busy = open && old == epoch | TRIAL;
            (!busy && old != new).then_some(new)
        });
        written.is_ok()
    }

    /// Ends a trial without a result. The ward decides what the seat is now.
    fn release(&self, epoch: u32) {
        let (trial, none) = (epoch << CODE_BITS | TRIAL, epoch << CODE_BITS | EJECTED);
        // If the trial is no longer there, something else was decided meanwhile.
        let _ = self.0.compare_exchange(trial, none, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The seat is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken;

/// A request that decides whether an ejected backend serves again. Dropped without a result, it leaves
/// the decision to the next request.
#[derive(Debug)]
pub struct Trial {
    backend: Arc<dyn Member>,
    epoch: u32,
    decided: bool,
}

impl Trial {
    pub(super) fn begin(backend: Arc<dyn Member>, epoch: u32) -> Self {
        Self { backend, epoch, decided: false }
    }

    /// The number of the ejection.
    pub(super) fn number(&self) -> u32 {
        self.epoch
    }

    /// Reports that the backend sent a response head.
    pub fn answered(mut self, now: Moment) {
        self.decided = true;
        self.backend.ward().trial_answered(self.backend.id(), self.epoch, now);
    }

    /// Reports that it did not.
    pub fn failed(mut self, evidence: Evidence, now: Moment) {
        self.decided = true;
        let (ward, id) = (self.backend.ward(), self.backend.id());
        ward.trial_failed(id, self.epoch, evidence, now);
        // Where that proved nothing, the seat is free again.
        self.backend.ward().release(&*self.backend, self.epoch);
        Arc::clone(&self.backend).make_known();
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.decided {
            self.backend.ward().release(&*self.backend, self.epoch);
            Arc::clone(&self.backend).make_known();
        }
    }
}
