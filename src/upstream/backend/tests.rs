//! What a backend keeps across reloads, and what operators and DNS change about it.

use std::time::Duration;

use super::*;
use crate::base::limits::ADDRESSES_MAX;
use crate::upstream::health::{ProbeResult, Proof};
use crate::upstream::lease::Lease;
use crate::upstream::pool::Ask;

fn plan(weight: u32) -> BackendPlan {
    BackendPlan { name: "a".to_owned(), host: "127.0.0.1".to_owned(), port: 1, weight, max_connections: None }
}

#[test]
fn the_state_outlives_the_configuration() {
    let check = HealthCheck::default();
    let before = Arc::new(Backend::new(plan(1), Some(check.clone()), 1));
    let lease = Lease::take(&before, &Ask::default());
    before.record_probe(
        ProbeResult::Failure(Reason::Refused),
        Duration::ZERO,
        Moment::ZERO,
        Proof::AsConfigured,
    );
    before.override_weight(0, Moment::NEVER);
    let after = Arc::new(before.again(plan(7), Some(check), 1));
    assert_eq!((after.id(), after.active(), after.is_up()), (before.id(), 1, false));
    assert_eq!((after.weight(), after.configured_weight()), (0, 7));
    drop(lease);
    assert_eq!(after.active(), 0);
    after.restore_weight();
    assert_eq!((before.weight(), after.weight()), (1, 7));
}

#[test]
fn a_backend_asks_for_a_probe_once_until_its_request_is_taken() {
    let backend = Backend::new(plan(1), None, 1);
    // Without a health thread there is nowhere to ask.
    backend.ask_for_probe();
    let (requests, asked) = ProbeRequests::new().unwrap();
    backend.watched_by(&requests);
    for _ in 0..3 {
        backend.ask_for_probe();
    }
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [backend.id()]);
    backend.probe_request_taken();
    backend.ask_for_probe();
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [backend.id()]);
}

#[test]
fn a_backend_has_a_bounded_list_of_addresses_and_the_first_is_preferred() {
    let backend = Backend::new(plan(1), None, 1);
    let many: Vec<_> = (0..200).map(|last| SocketAddr::from(([192, 0, 2, last], 80))).collect();
    backend.set_addresses(&many);
    assert_eq!(*backend.addresses(), many[..ADDRESSES_MAX]);
    assert_eq!(backend.address(), Some(many[0]));
    backend.set_addresses(&[]);
    assert_eq!(backend.address(), None);
}

#[test]
fn a_backend_that_is_no_longer_checked_is_up() {
    let before = Arc::new(Backend::new(plan(1), Some(HealthCheck::default()), 1));
    before.record_probe(
        ProbeResult::Failure(Reason::Refused),
        Duration::ZERO,
        Moment::ZERO,
        Proof::AsConfigured,
    );
    assert!(before.again(plan(1), None, 1).is_up());
}

#[test]
fn a_temporary_weight_expires() {
    let backend = Arc::new(Backend::new(plan(3), None, 1));
    let until = Moment::ZERO + Duration::from_secs(1);
    backend.override_weight(0, until);
    assert_eq!(backend.usability(), Err(Unusable::Drained));
    assert!(!backend.expire_override(Moment::ZERO));
    assert!(backend.expire_override(until));
    assert_eq!((backend.weight(), backend.overridden_until()), (3, None));
    assert!(!backend.expire_override(until));
}
