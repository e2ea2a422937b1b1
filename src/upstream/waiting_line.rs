//! The line in which requests wait for a place while every usable member of a pool is at its limit.
//!
//! A place is never free while a request that may take it waits: a request that gives up a place
//! hands it to the first in line that may have it, and wakes only that one. A request may take a
//! place at each member that it has not tried. If a request leaves that was given a place and has
//! not taken it, the place is handed on when its [`Ticket`] is dropped.
//!
//! Knows members by the [`Member`] trait alone; `tests/loom/upstream/hand_over.rs` runs this file under
//! every order of events.
//!
//! INVARIANT: no wake-up is lost. Joining the line and giving up a place at a bounded member both take
//! the line's lock: either the request that joins sees the free place, or the one that gives it up sees
//! the request that waits. And a ticket learns where its task is [parked](Ticket::park) before another
//! thread can take the task from there: either it has a place by then and the task does not sleep, or
//! the thread that gives it a place knows where to wake it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use crate::net::parking::{ParkToken, Unpark};
use crate::upstream::places::Places;

/// A member of a pool, with places for requests.
pub trait Member {
    /// What decides which members a request may be given.
    type Ask: Clone;
    /// A request's lease on a place. Dropping it gives the place up.
    type Lease;

    /// An id that is unique in every configuration.
    fn id(&self) -> u32;
    /// Its places.
    fn places(&self) -> &Places;
    /// Whether it may get this request, as soon as it has room.
    fn suits(&self, ask: &Self::Ask) -> bool;
    /// Takes a place, if one is free and the request may have it.
    fn take(this: &Arc<Self>, ask: &Self::Ask) -> Option<Self::Lease>;
    /// Takes over the counted place of a request that has just ended, if this request may have it.
    fn inherit(this: &Arc<Self>, ask: &Self::Ask) -> Option<Self::Lease>;
}

/// The requests of one pool that wait for a place.
pub struct WaitingLine<M: Member> {
    /// LOCK: guards the line, held for a lookup or two and never across a call.
    line: Mutex<Line<M>>,
}

struct Line<M: Member> {
    /// How many requests may wait.
    max: usize,
    /// The pool's members in the current configuration. Weak, because each of them holds its line.
    members: Vec<Weak<M>>,
    next: u64,
    /// The requests that wait, in the order in which they came.
    waiting: BTreeMap<u64, Waiting<M::Ask>>,
    /// Places that were given to requests which have not taken them yet.
    given: BTreeMap<u64, M::Lease>,
}

/// A request that waits.
struct Waiting<A> {
    unpark: Weak<dyn Unpark>,
    /// Which members it may be given.
    ask: A,
    /// Where the task sleeps, if it does.
    spot: Option<ParkToken>,
    /// It was told to look again before it was parked.
    missed: bool,
    /// The one member that it waits for refuses connections.
    refused: bool,
}

/// The result of asking for a place.
pub enum Admission<M: Member> {
    /// A place.
    Admitted(M::Lease),
    /// A ticket for the line.
    Queued(Ticket<M>),
    /// No place is free and the line is full.
    Full,
    /// No member is usable.
    NoBackend,
}

impl<M: Member> WaitingLine<M> {
    /// Sets how many requests may wait, and for which members.
    pub(super) fn set(&self, max: usize, members: &[Arc<M>]) {
        let mut line = self.line.lock();
        line.max = max;
        line.members = members.iter().map(Arc::downgrade).collect();
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.line.lock().waiting.len()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the line, unless `pick` finds a place after all or `usable` finds no member at all.
    pub(super) fn join(
        self: &Arc<Self>,
        ask: &M::Ask,
        pick: impl FnOnce() -> Option<M::Lease>,
        usable: impl FnOnce() -> bool,
        unpark: &Weak<dyn Unpark>,
    ) -> Admission<M> {
        let mut line = self.line.lock();
        if let Some(lease) = pick() {
            return Admission::Admitted(lease);
        }
        if !usable() {
            return Admission::NoBackend;
        }
        if line.waiting.len() >= line.max {
            return Admission::Full;
        }
        let number = line.next;
        line.next += 1;
        let (unpark, ask) = (Weak::clone(unpark), ask.clone());
        line.waiting.insert(number, Waiting { unpark, ask, spot: None, missed: false, refused: false });
        Admission::Queued(Ticket { line: Arc::clone(self), number })
    }

    /// Takes back one place at a member: it goes to the first request that may have it, or becomes
    /// free.
    pub(super) fn give_up(&self, of: &M) {
        let woken = {
            let mut line = self.line.lock();
            let member = line.member(of).filter(|member| member.places().can_hand_on());
            let next = member.and_then(|member| {
                let (number, ask) = line.first_for(&member)?;
                Some((number, M::inherit(&member, ask)?))
            });
            match next {
                Some((number, lease)) => line.give(number, lease),
                None => {
                    // Under the lock: a request that joins later sees the free place.
                    of.places().vacate();
                    return;
                }
            }
        };
        if let Some((unpark, spot)) = woken {
            wake(&unpark, spot);
        }
    }

    /// Gives away the free places of a member that has become usable.
    pub(super) fn admit(&self, of: &M) {
        loop {
            let woken = {
                let mut line = self.line.lock();
                let Some(member) = line.member(of) else { return };
                let Some((number, ask)) = line.first_for(&member) else { return };
                if !member.places().has_room() {
                    return;
                }
                let Some(lease) = M::take(&member, ask) else { return };
                line.give(number, lease)
            };
            if let Some((unpark, spot)) = woken {
                wake(&unpark, spot);
            }
        }
    }

    /// Tells requests that can only wait for this member that it refuses connections.
    pub(super) fn refuse(&self, of: &M) {
        let woken: Vec<_> = {
            let mut line = self.line.lock();
            let members: Vec<_> = line.members.iter().filter_map(Weak::upgrade).collect();
            let others = || members.iter().filter(|member| member.id() != of.id());
            let alone = line
                .waiting
                .values_mut()
                .filter(|waiting| !others().any(|member| member.suits(&waiting.ask)));
            alone
                .filter_map(|waiting| {
                    waiting.refused = true;
                    let spot = waiting.spot.take();
                    waiting.missed = spot.is_none();
                    Some((Weak::clone(&waiting.unpark), spot?))
                })
                .collect()
        };
        woken.into_iter().for_each(|(unpark, spot)| wake(&unpark, spot));
    }

    /// Wakes every request, to see whether there is still a member to wait for.
    pub(super) fn reconsider(&self) {
        let woken: Vec<_> = {
            let mut line = self.line.lock();
            line.waiting
                .values_mut()
                .filter_map(|waiting| {
                    let spot = waiting.spot.take();
                    waiting.missed = spot.is_none();
                    Some((Weak::clone(&waiting.unpark), spot?))
                })
                .collect()
        };
        woken.into_iter().for_each(|(unpark, spot)| wake(&unpark, spot));
    }
}

impl<M: Member> Line<M> {
    /// The member in the current configuration, if it is there and a request waits.
    fn member(&self, of: &M) -> Option<Arc<M>> {
        if self.waiting.is_empty() {
            return None;
        }
        self.members.iter().filter_map(Weak::upgrade).find(|member| member.id() == of.id())
    }

    /// The first in the line that may be given a place at this member.
    fn first_for(&self, member: &M) -> Option<(u64, &M::Ask)> {
        let waiting = self.waiting.iter().filter(|(_, waiting)| !waiting.refused);
        let mut waiting = waiting.map(|(number, waiting)| (*number, &waiting.ask));
        waiting.find(|(_, ask)| member.suits(ask))
    }

    /// Gives a place to a request in line. Returns how to wake it if it is parked; otherwise it will
    /// see the place itself.
    fn give(&mut self, number: u64, lease: M::Lease) -> Option<(Weak<dyn Unpark>, ParkToken)> {
        let waiting = self.waiting.remove(&number)?;
        let before = self.given.insert(number, lease);
        debug_assert!(before.is_none(), "a request was given two places");
        Some((waiting.unpark, waiting.spot?))
    }
}

/// Wakes a parked task.
fn wake(unpark: &Weak<dyn Unpark>, spot: ParkToken) {
    if let Some(unpark) = unpark.upgrade() {
        unpark.unpark(spot);
    }
}

/// One request's place in the line; it leaves when this is dropped.
pub struct Ticket<M: Member> {
    line: Arc<WaitingLine<M>>,
    number: u64,
}

impl<M: Member> Ticket<M> {
    /// The place that this request was given, if any.
    pub fn claim(&self) -> Option<M::Lease> {
        self.line.line.lock().given.remove(&self.number)
    }

    /// Whether the one member that it waits for refuses connections.
    pub fn is_refused(&self) -> bool {
        self.line.line.lock().waiting.get(&self.number).is_some_and(|waiting| waiting.refused)
    }

    /// Records where the task is about to be parked. Returns true if it should not sleep: it has been
    /// given a place, or there may be no member left to wait for.
    pub fn park(&self, spot: ParkToken) -> bool {
        let line = &mut *self.line.line.lock();
        match line.waiting.get_mut(&self.number) {
            Some(waiting) => {
                // INVARIANT: see the head of the file. One that was given a place does not wait.
                debug_assert!(!line.given.contains_key(&self.number), "given a place, and still in line");
                waiting.spot = Some(spot);
                std::mem::take(&mut waiting.missed)
            }
            None => true,
        }
    }
}

impl<M: Member> Drop for Ticket<M> {
    fn drop(&mut self) {
        let lease = {
            let mut line = self.line.line.lock();
            line.waiting.remove(&self.number);
            line.given.remove(&self.number)
        };
        // Outside the lock: the place goes to the next request.
        drop(lease);
    }
}

impl<M: Member> Default for WaitingLine<M> {
    fn default() -> Self {
        let (waiting, given) = (BTreeMap::new(), BTreeMap::new());
        Self { line: Mutex::new(Line { max: 0, members: Vec::new(), next: 0, waiting, given }) }
    }
}

impl<M: Member> fmt::Debug for WaitingLine<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingLine").finish_non_exhaustive()
    }
}

impl<M: Member> fmt::Debug for Ticket<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).finish_non_exhaustive()
    }
}
