//! Ejection, with the time passed in.

use super::*;

/// A pool of serving members, and how many requests each has had.
struct Pool {
    ejections: Ejections,
    standing: Vec<Standing>,
}

fn at(millis: u64) -> Moment {
    Moment::from_nanos(1 << 50) + Duration::from_millis(millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn evidence() -> Evidence {
    Evidence { reason: Reason::Reset, pieces: 1, client: None }
}

fn from(client: &str) -> Evidence {
    Evidence { client: Some(client.parse().unwrap()), ..evidence() }
}

fn pool_under(count: u32, rules: Rules) -> Pool {
    let mut ejections = Ejections::default();
    let ids: Vec<u32> = (0..count).collect();
    ejections.adopt(Some(rules), &ids);
    let standing = ids.into_iter().map(|id| Standing { id, serves: true, requests: 0 });
    let mut pool = Pool { ejections, standing: standing.collect() };
    pool.tick(0);
    pool
}

fn pool(count: u32) -> Pool {
    pool_under(count, Rules::default())
}

impl Pool {
    fn tick(&mut self, millis: u64) {
        self.ejections.tick(&self.standing, at(millis));
    }

    /// Requests that the member answered, or at least did not fail.
    fn asked(&mut self, id: usize, count: u64) {
        self.standing[id].requests += count;
    }

    /// A request that fails.
    fn fail(&mut self, id: usize, evidence: Evidence, millis: u64) -> Option<Change> {
        self.asked(id, 1);
        self.ejections.failed(id as u32, evidence, &self.standing, at(millis))
    }

    /// Five failures, which eject by default.
    fn eject(&mut self, id: usize, millis: u64) -> Option<Duration> {
        (0..5).filter_map(|_| self.fail(id, evidence(), millis)).find_map(|change| match change {
            Change::Ejected { time, .. } => Some(time),
            _ => None,
        })
    }

    fn seat(&mut self, id: u32, millis: u64) -> Seat {
        self.tick(millis);
        self.ejections.seat(id).0
    }

    fn answer_trial(&mut self, id: u32, millis: u64) -> Option<Change> {
        let epoch = self.ejections.seat(id).1;
        self.ejections.trial_answered(id, epoch, at(millis))
    }

    fn fail_trial(&mut self, id: u32, evidence: Evidence, millis: u64) -> Option<Change> {
        let epoch = self.ejections.seat(id).1;
        self.ejections.trial_failed(id, epoch, evidence, at(millis))
    }

    fn ejected(&self) -> usize {
        self.ejections.ejected().count()
    }
}

#[test]
fn the_fifth_failure_ejects_for_five_seconds() {
    let mut pool = pool(3);
    for _ in 0..4 {
        assert_eq!(pool.fail(0, evidence(), 0), None);
    }
    let change = pool.fail(0, evidence(), 100).unwrap();
    assert_eq!(change, Change::Ejected { time: seconds(5), seen: (5, 5), reason: Reason::Reset });
    assert_eq!(
        change.to_string(),
        "is EJECTED for 5s: 5 failure points in 5 requests within 10s, the last: connection closed before it answered"
    );
    assert_eq!(pool.seat(0, 5_000), Seat::Ejected);
    assert_eq!(pool.seat(1, 5_000), Seat::Serving);
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let mut pool = pool(3);
    for _ in 0..4 {
        pool.fail(0, evidence(), 0);
    }
    assert_eq!(pool.fail(0, evidence(), 10_600), None);
    assert!(pool.eject(0, 10_700).is_some());
}

#[test]
fn failures_that_are_less_than_half_of_the_requests_do_not_eject() {
    let mut pool = pool(3);
    pool.asked(0, 6);
    assert_eq!(pool.eject(0, 0), None);
    // Six of twelve.
    assert!(pool.fail(0, evidence(), 10).is_some());
}

#[test]
fn requests_of_an_earlier_window_do_not_count_either() {
    let mut pool = pool(3);
    pool.asked(0, 1_000);
    pool.tick(0);
    for second in 1..12 {
        pool.tick(second * 1_000);
    }
    assert!(pool.eject(0, 12_000).is_some());
}

#[test]
fn a_timeout_is_worth_several_pieces() {
    let mut pool = pool(3);
    let silence = Evidence { pieces: 3, reason: Reason::Timeout, ..evidence() };
    assert_eq!(pool.fail(0, silence, 0), None);
    assert!(pool.fail(0, silence, 0).is_some());
}

#[test]
fn a_client_proves_no_more_with_many_requests() {
    let mut pool = pool(3);
    for millis in 0..100 {
        assert_eq!(pool.fail(0, from("192.0.2.1"), millis * 10), None);
    }
    // The same for one IPv6 network.
    for host in 1..100 {
        assert_eq!(pool.fail(0, from(&format!("2001:db8::{host}")), 1_000), None);
    }
    for host in 2..100 {
        pool.fail(0, from(&format!("192.0.2.{host}")), 2_000);
    }
    assert_eq!(pool.seat(0, 2_000), Seat::Serving, "most of its requests have not counted");
    pool.tick(13_000);
    let five = (10..15).find_map(|host| pool.fail(0, from(&format!("192.0.2.{host}")), 13_000));
    assert!(five.is_some(), "five clients with a failed request each");
}

#[test]
fn the_memory_of_clients_is_bounded() {
    let mut clients = Clients::default();
    for address in 0..EVIDENCE_CLIENTS_MAX as u32 * 3 {
        assert!(clients.is_first(IpAddr::V4(address.into()), at(0)));
    }
    assert!(clients.order.len() <= EVIDENCE_CLIENTS_MAX && clients.noted.len() == clients.order.len());
}

#[test]
fn trials_are_for_idempotent_requests_first_and_one_answer_ends_the_ejection() {
    let mut pool = pool(3);
    pool.eject(0, 0);
    assert_eq!(pool.seat(0, 4_999), Seat::Ejected);
    assert_eq!(pool.ejections.due(), at(5_000));
    assert_eq!(pool.seat(0, 5_000), Seat::OpenToIdempotent);
    assert_eq!(pool.ejections.due(), at(6_000));
    assert_eq!(pool.seat(0, 6_000), Seat::OpenToAny);
    assert_eq!(pool.answer_trial(0, 6_100), Some(Change::Ended(End::Answered)));
    assert_eq!(pool.seat(0, 6_100), Seat::Serving);
    // Evidence from before is forgotten.
    assert_eq!(pool.fail(0, evidence(), 6_200), None);
}

#[test]
fn a_failed_trial_makes_it_longer_up_to_a_minute() {
    let mut pool = pool(3);
    pool.eject(0, 0);
    let mut now = 5_000;
    for time in [10, 20, 40, 60, 60] {
        pool.tick(now);
        let renewed = pool.fail_trial(0, evidence(), now);
        assert_eq!(renewed, Some(Change::Renewed { time: seconds(time), reason: Reason::Reset }));
        now += time * 1_000;
    }
}

#[test]
fn an_ejection_within_a_minute_of_the_end_of_the_last_is_twice_as_long() {
    let mut pool = pool(3);
    pool.eject(0, 0);
    pool.tick(5_000);
    pool.answer_trial(0, 5_000);
    assert_eq!(pool.eject(0, 64_000), Some(seconds(10)));
    pool.tick(74_000);
    pool.answer_trial(0, 74_000);
    assert_eq!(pool.eject(0, 134_001), Some(seconds(5)));
}

#[test]
fn the_trial_of_an_earlier_ejection_decides_nothing() {
    let mut pool = pool(3);
    pool.eject(0, 0);
    let early = pool.ejections.seat(0).1;
    pool.tick(5_000);
    pool.fail_trial(0, evidence(), 5_000);
    assert_eq!(pool.ejections.trial_answered(0, early, at(5_100)), None);
    assert_eq!(pool.ejections.trial_failed(0, early, evidence(), at(5_100)), None);
    assert_eq!(pool.seat(0, 5_200), Seat::Ejected);
}

#[test]
fn a_trial_that_fails_for_a_client_that_has_counted_renews_nothing() {
    let mut pool = pool(3);
    for host in 1..6 {
        pool.fail(0, from(&format!("192.0.2.{host}")), 0);
    }
    assert_eq!(pool.ejected(), 1);
    pool.tick(5_000);
    assert_eq!(pool.fail_trial(0, from("192.0.2.3"), 5_000), None);
    assert_eq!(pool.seat(0, 5_000), Seat::OpenToIdempotent);
    assert!(pool.fail_trial(0, from("192.0.2.9"), 5_000).is_some());
}

#[test]
fn never_more_than_half_and_never_the_last() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (8, 4)] {
        let mut pool = pool(count);
        for id in 0..count as usize {
            pool.eject(id, 0);
        }
        assert_eq!(pool.ejected(), most, "of {count}");
    }
}

#[test]
fn the_caps_count_only_members_that_are_up_and_not_drained() {
    let mut pool = pool(4);
    pool.standing[2].serves = false;
    pool.standing[3].serves = false;
    assert!(pool.eject(0, 0).is_some());
    assert_eq!(pool.eject(1, 0), None);
    // And one that does not serve is not ejected as well.
    assert_eq!(pool.eject(2, 0), None);
}

#[test]
fn the_cap_is_a_share_of_the_pool_and_one_member_always_serves() {
    let ejected = |pool_max| {
        let mut pool = pool_under(10, Rules { pool_max, ..Rules::default() });
        (0..10).for_each(|id| _ = pool.eject(id, 0));
        pool.ejected()
    };
    assert_eq!((ejected(1), ejected(30), ejected(39), ejected(100)), (1, 3, 3, 9));
}

#[test]
fn when_only_ejected_members_are_left_the_oldest_ejection_ends() {
    let mut pool = pool(4);
    pool.eject(1, 0);
    pool.eject(0, 100);
    assert_eq!(pool.ejections.settle(&pool.standing), None);
    pool.standing[2].serves = false;
    pool.standing[3].serves = false;
    assert_eq!(pool.ejections.settle(&pool.standing), Some((1, Change::Ended(End::LastOne))));
    assert_eq!(pool.ejections.settle(&pool.standing), None);
    // The same again for the other one.
    pool.standing[1].serves = false;
    assert_eq!(pool.ejections.settle(&pool.standing), Some((0, Change::Ended(End::LastOne))));
}

#[test]
fn new_rules_keep_the_state_and_no_rules_end_all_ejections() {
    let mut pool = pool(3);
    pool.eject(0, 0);
    assert_eq!(pool.ejections.adopt(Some(Rules { failures: 9, ..Rules::default() }), &[0, 1, 2]), []);
    assert_eq!(pool.ejected(), 1);
    let ended = pool.ejections.adopt(None, &[0, 1, 2]);
    assert_eq!(ended, [(0, Change::Ended(End::TurnedOff))]);
    assert_eq!(pool.eject(1, 0), None);
    // A member that is gone is forgotten.
    pool.ejections.adopt(Some(Rules::default()), &[1]);
    assert_eq!(pool.ejections.members.len(), 1);
}
