//! The queue in which requests wait while every usable backend of a pool is at its limit.
//!
//! No slot stays free while a request waits that may take it: a request that releases a slot hands it
//! to the longest waiting of those, and wakes only that one. A request may take a slot at any backend
//! that it has not tried. A slot given to a request that is gone is passed on when that request's
//! [`Ticket`] is dropped.
//!
//! INVARIANT: no wake-up is lost. Joining the queue and giving up a slot of a bounded backend both take
//! the queue's lock: either the request that joins sees the free slot, or the one that gives it up sees
//! the request that waits. And a ticket learns where its task is [parked](Ticket::park) before another
//! thread can take the task from there: either it has a slot by then and the task does not sleep, or
//! the thread that gives it one knows where to wake it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::net::parking::{ParkToken, Unpark};
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Ask;

/// The requests of one pool that wait for a slot at a backend.
#[derive(Debug, Default)]
pub struct Queue {
    /// LOCK: guards the line, held for a lookup or two and never across a call.
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    /// How many requests may wait.
    max: usize,
    /// The pool's backends in the current configuration. Weak, because each of them holds its queue.
    members: Vec<Weak<Backend>>,
    next: u64,
    /// Waiting requests, in order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    /// Slots given to requests that have not claimed them yet.
    given: BTreeMap<u64, Lease>,
}

/// A waiting request.
struct Waiting {
    unpark: Weak<dyn Unpark>,
    /// Which backends it may get.
    ask: Ask,
    /// Where the task is parked, if it is.
    spot: Option<ParkToken>,
    /// It was told to look again before it was parked.
    missed: bool,
    /// The only backend that it waits for refuses connections.
    refused: bool,
}

/// The result of asking for a slot.
pub enum Admission {
    /// A slot.
    Admitted(Lease),
    /// A ticket for the queue.
    Queued(Ticket),
    /// No slot is free and the queue is full.
    Full,
    /// No backend is usable.
    Nobody,
}

impl Queue {
    /// Sets how many requests may wait, and for which backends.
    pub(super) fn set(&self, max: usize, members: &[Arc<Backend>]) {
        let mut line = self.line.lock();
        line.max = max;
        line.members = members.iter().map(Arc::downgrade).collect();
    }

    /// The number of waiting requests.
    pub fn len(&self) -> usize {
        self.line.lock().waiting.len()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the queue, unless `pick` finds a slot after all or `usable` finds no backend at all.
    pub(super) fn join(
        self: &Arc<Self>,
        ask: &Ask,
        pick: impl FnOnce() -> Option<Lease>,
        usable: impl FnOnce() -> bool,
        unpark: &Weak<dyn Unpark>,
    ) -> Admission {
        let mut line = self.line.lock();
        if let Some(lease) = pick() {
            return Admission::Admitted(lease);
        }
        if !usable() {
            return Admission::Nobody;
        }
        if line.waiting.len() >= line.max {
            return Admission::Full;
        }
        let number = line.next;
        line.next += 1;
        let (unpark, ask) = (Weak::clone(unpark), ask.clone());
        line.waiting.insert(number, Waiting { unpark, ask, spot: None, missed: false, refused: false });
        Admission::Queued(Ticket { queue: Arc::clone(self), number })
    }

    /// Takes back one slot at a backend: it goes to the first request that may have it, or becomes
    /// free.
    pub(super) fn give_up(&self, backend: &Backend) {
        let woken = {
            let mut line = self.line.lock();
            let member =
                line.member(backend).filter(|member| !member.is_over() && !member.redial().is_busy());
            let next = member.and_then(|member| {
                let (number, ask) = line.first_for(&member)?;
                Some((number, Lease::inherited(&member, ask)?))
            });
            match next {
                Some((number, lease)) => line.give(number, lease),
                None => {
                    backend.vacate();
                    return;
                }
            }
        };
        if let Some((unpark, spot)) = woken {
            wake(&unpark, spot);
        }
    }

    /// Hands out the free slots of a backend that has become usable.
    pub(super) fn admit(&self, backend: &Backend) {
        loop {
            let woken = {
                let mut line = self.line.lock();
                let Some(member) = line.member(backend) else { return };
                let Some((number, ask)) = line.first_for(&member) else { return };
                if !member.has_room() {
                    return;
                }
                let Some(lease) = Lease::take(&member, ask) else { return };
                line.give(number, lease)
            };
            if let Some((unpark, spot)) = woken {
                wake(&unpark, spot);
            }
        }
    }

    /// Tells requests that can only wait for this backend that it refuses connections.
    pub(super) fn refuse(&self, backend: &Backend) {
        let woken: Vec<_> = {
            let mut line = self.line.lock();
            let members: Vec<_> = line.members.iter().filter_map(Weak::upgrade).collect();
            let others = || members.iter().filter(|member| member.id() != backend.id());
            let alone = line.waiting.values_mut().filter(|waiting| !others().any(|m| waiting.ask.suits(m)));
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

    /// Wakes all waiting requests, to check whether there is still a backend to wait for.
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

impl Line {
    /// The backend in the current configuration, if it is there and any request waits.
    fn member(&self, backend: &Backend) -> Option<Arc<Backend>> {
        if self.waiting.is_empty() {
            return None;
        }
        self.members.iter().filter_map(Weak::upgrade).find(|member| member.id() == backend.id())
    }

    /// The first request in line that may get a slot at this backend.
    fn first_for(&self, member: &Backend) -> Option<(u64, &Ask)> {
        let waiting = self.waiting.iter().filter(|(_, waiting)| !waiting.refused);
        let mut waiting = waiting.map(|(number, waiting)| (*number, &waiting.ask));
        waiting.find(|(_, ask)| ask.suits(member))
    }

    /// Gives a slot to a request in line. Returns how to wake it if it is parked; otherwise it will see
    /// the slot itself.
    fn give(&mut self, number: u64, lease: Lease) -> Option<(Weak<dyn Unpark>, ParkToken)> {
        let waiting = self.waiting.remove(&number)?;
        self.given.insert(number, lease);
        Some((waiting.unpark, waiting.spot?))
    }
}

/// Wakes a parked task.
fn wake(unpark: &Weak<dyn Unpark>, spot: ParkToken) {
    if let Some(unpark) = unpark.upgrade() {
        unpark.unpark(spot);
    }
}

/// A request's place in the queue; it leaves when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    queue: Arc<Queue>,
    number: u64,
}

impl Ticket {
    /// The slot that this request was given, if any.
    pub fn claim(&self) -> Option<Lease> {
        self.queue.line.lock().given.remove(&self.number)
    }

    /// Whether the only backend that it waits for refuses connections.
    pub fn is_refused(&self) -> bool {
        self.queue.line.lock().waiting.get(&self.number).is_some_and(|waiting| waiting.refused)
    }

    /// Records where the task is about to be parked. Returns true if it should not sleep: it has been
    /// given a slot, or there may be no backend left to wait for.
    pub fn park(&self, spot: ParkToken) -> bool {
        match self.queue.line.lock().waiting.get_mut(&self.number) {
            Some(waiting) => {
                waiting.spot = Some(spot);
                std::mem::take(&mut waiting.missed)
            }
            None => true,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let lease = {
            let mut line = self.queue.line.lock();
            line.waiting.remove(&self.number);
            line.given.remove(&self.number)
        };
        // Outside the lock: the slot goes to the next request.
        drop(lease);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("spot", &self.spot).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::upstream::snapshot::Snapshot;

    /// No task is parked in these tests.
    struct Nobody;

    impl Unpark for Nobody {
        fn unpark(&self, _: ParkToken) {}
    }

    fn snapshot(backends: &str, before: Option<&Snapshot>) -> Snapshot {
        let text = format!(r#"{{ "backends": [{backends}], "limits": {{ "queue": 2 }} }}"#);
        let plan = Document::from_json("c", &text).and_then(|document| document.check()).unwrap().plan;
        before.map_or_else(|| Snapshot::new(plan.clone()), |before| Snapshot::after(plan.clone(), before))
    }

    fn admit(snapshot: &Snapshot) -> Admission {
        snapshot.pools[0].admit(&Ask::default(), &(Weak::<Nobody>::new() as Weak<dyn Unpark>))
    }

    fn lease(snapshot: &Snapshot) -> Lease {
        let Admission::Admitted(lease) = admit(snapshot) else { panic!("no slot") };
        lease
    }

    fn ticket(snapshot: &Snapshot) -> Ticket {
        let Admission::Queued(ticket) = admit(snapshot) else { panic!("not queued") };
        ticket
    }

    const ONE: &str = r#"{ "url": "http://127.0.0.1:1", "max_connections": 1 }"#;
    const TWO: &str = r#"{ "url": "http://127.0.0.1:2", "max_connections": 1 }"#;

    #[test]
    fn a_slot_goes_to_the_first_request_that_is_still_there() {
        let snapshot = snapshot(ONE, None);
        let held = lease(&snapshot);
        let (first, second) = (ticket(&snapshot), ticket(&snapshot));
        assert!(matches!(admit(&snapshot), Admission::Full));
        drop(held);
        assert!(second.claim().is_none());
        // It was given the slot and never claimed it.
        drop(first);
        assert!(second.claim().is_some());
        assert_eq!(snapshot.pools[0].backends()[0].active(), 0);
    }

    #[test]
    fn a_backend_that_is_no_longer_configured_is_not_handed_out() {
        let before = snapshot(ONE, None);
        let held = lease(&before);
        let after = snapshot(TWO, Some(&before));
        let of_new = lease(&after);
        let waiting = ticket(&after);
        drop(held);
        assert!(waiting.claim().is_none());
        drop(of_new);
        assert_eq!(waiting.claim().unwrap().backend().port(), 2);
    }

    #[test]
    fn a_higher_limit_admits_waiting_requests() {
        let before = snapshot(ONE, None);
        let _held = lease(&before);
        let waiting = ticket(&before);
        let after = snapshot(&ONE.replace("s\": 1", "s\": 2"), Some(&before));
        assert!(waiting.claim().is_none());
        after.backends().for_each(Backend::offer);
        assert!(waiting.claim().is_some());
    }

    #[test]
    fn a_lower_limit_is_reached_as_requests_end() {
        let before = snapshot(&ONE.replace("s\": 1", "s\": 2"), None);
        let (one, other) = (lease(&before), lease(&before));
        let after = snapshot(ONE, Some(&before));
        let waiting = ticket(&after);
        drop(one);
        assert!(waiting.claim().is_none());
        drop(other);
        assert_eq!(waiting.claim().unwrap().backend().active(), 1);
    }

    #[test]
    fn a_task_that_is_not_parked_yet_is_told_to_look_again() {
        let snapshot = snapshot(ONE, None);
        let _held = lease(&snapshot);
        let waiting = ticket(&snapshot);
        let backend = &snapshot.pools[0].backends()[0];
        // Between the task's check of the backends and its parking.
        backend.override_weight(0, crate::base::clock::Moment::NEVER);
        assert!(waiting.park(ParkToken::nowhere()));
        assert!(!waiting.park(ParkToken::nowhere()));
    }

    #[test]
    fn a_tried_backend_is_remembered_by_id_and_not_by_index() {
        let before = snapshot(&format!("{ONE}, {TWO}"), None);
        let (one, two) = (lease(&before), lease(&before));
        let waiting = ticket(&before);
        // The second is the first one of the new configuration.
        let after = snapshot(TWO, Some(&before));
        let of_two = [one, two].into_iter().filter(|lease| lease.backend().port() == 2);
        drop(of_two.collect::<Vec<_>>());
        let given = waiting.claim().unwrap();
        let mut ask = Ask::default();
        ask.tried.insert(given.backend().id());
        drop(given);
        let next = before.pools[0].pick(&ask).unwrap();
        assert_eq!((next.backend().port(), after.pools[0].backends().len()), (1, 1));
    }

    #[test]
    fn draining_the_last_backend_wakes_waiting_requests_and_gives_no_slot() {
        let snapshot = snapshot(ONE, None);
        let held = lease(&snapshot);
        let waiting = ticket(&snapshot);
        let backend = &snapshot.pools[0].backends()[0];
        backend.override_weight(0, crate::base::clock::Moment::NEVER);
        drop(held);
        assert!(waiting.claim().is_none());
        assert!(matches!(admit(&snapshot), Admission::Nobody));
        backend.restore_weight();
        assert!(waiting.claim().is_some());
    }

    #[test]
    fn a_request_that_waits_for_one_backend_is_told_that_it_refuses_and_does_not_get_it() {
        let snapshot = snapshot(&format!("{ONE}, {TWO}"), None);
        let (one, two) = (lease(&snapshot), lease(&snapshot));
        let mut ask = Ask::default();
        ask.tried.insert(two.backend().id());
        let nobody = Weak::<Nobody>::new() as Weak<dyn Unpark>;
        let Admission::Queued(alone) = snapshot.pools[0].admit(&ask, &nobody) else { panic!("not queued") };
        let either = ticket(&snapshot);
        one.backend().refuse_waiting();
        assert!(alone.is_refused() && !either.is_refused());
        drop(one);
        assert!(alone.claim().is_none());
        assert!(either.claim().is_some());
    }
}
