//! The queue of a pool: where requests wait for a place at a backend.
//!
//! [`waiting_line`](crate::upstream::waiting_line) holds the logic, for anything that has places.
//! Here it is told what a backend is.

use std::sync::Arc;

use crate::upstream::ask::Ask;
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::places::Places;
use crate::upstream::waiting_line::{self, Member, WaitingLine};

/// The requests of one pool that wait for a place at a backend.
pub type Queue = WaitingLine<Backend>;

/// The result of asking for a place.
pub type Admission = waiting_line::Admission<Backend>;

/// One request's place in the queue.
pub type Ticket = waiting_line::Ticket<Backend>;

impl Member for Backend {
    type Ask = Ask;
    type Lease = Lease;

    fn id(&self) -> u32 {
        Self::id(self)
    }

    fn places(&self) -> &Places {
        Self::places(self)
    }

    fn suits(&self, ask: &Ask) -> bool {
        ask.suits(self)
    }

    fn take(this: &Arc<Self>, ask: &Ask) -> Option<Lease> {
        Lease::take(this, ask)
    }

    fn inherit(this: &Arc<Self>, ask: &Ask) -> Option<Lease> {
        Lease::inherited(this, ask)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use super::*;
    use crate::config::Document;
    use crate::net::parking::{ParkToken, Unpark};
    use crate::upstream::snapshot::Snapshot;

    /// No task is parked in these tests.
    struct NeverParks;

    impl Unpark for NeverParks {
        fn unpark(&self, _: ParkToken) {}
    }

    fn snapshot(backends: &str, before: Option<&Snapshot>) -> Snapshot {
        let text = format!(r#"{{ "backends": [{backends}], "limits": {{ "queue": 2 }} }}"#);
        let plan = Document::from_json("c", &text).and_then(|document| document.check()).unwrap().plan;
        before.map_or_else(|| Snapshot::new(plan.clone()), |before| Snapshot::after(plan.clone(), before))
    }

    fn admit(snapshot: &Snapshot) -> Admission {
        snapshot.pools[0].admit(&Ask::default(), &(Weak::<NeverParks>::new() as Weak<dyn Unpark>))
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
        assert!(matches!(admit(&snapshot), Admission::NoBackend));
        backend.restore_weight();
        assert!(waiting.claim().is_some());
    }

    #[test]
    fn a_request_that_waits_for_one_backend_is_told_that_it_refuses_and_does_not_get_it() {
        let snapshot = snapshot(&format!("{ONE}, {TWO}"), None);
        let (one, two) = (lease(&snapshot), lease(&snapshot));
        let mut ask = Ask::default();
        ask.tried.insert(two.backend().id());
        let unpark = Weak::<NeverParks>::new() as Weak<dyn Unpark>;
        let Admission::Queued(alone) = snapshot.pools[0].admit(&ask, &unpark) else { panic!("not queued") };
        let either = ticket(&snapshot);
        one.backend().refuse_waiting();
        assert!(alone.is_refused() && !either.is_refused());
        drop(one);
        assert!(alone.claim().is_none());
        assert!(either.claim().is_some());
    }
}
