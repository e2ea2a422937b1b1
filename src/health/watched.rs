//! One backend as the health thread sees it: its schedule, its addresses, its current probe.
//!
//! It lives as long as the backend is configured. A reload only passes in the new configuration
//! ([`Watched::adopt`]), so a probe in flight, the schedule and a name lookup continue. It decides what
//! is due; the [prober](super::prober) does it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::clock::Moment;
use crate::base::limits::{PROBE_AHEAD_FOR, RESOLVE_AHEAD_EVERY, RESOLVE_EVERY};
use crate::health::addresses::Addresses;
use crate::health::attempt::Attempt;
use crate::health::places::{Lane, Place};
use crate::health::resolver::Job;
use crate::health::schedule::Schedule;
use crate::upstream::backend::Backend;
use crate::upstream::health::{ProbeResult, Reason};

/// A backend under watch.
pub(super) struct Watched {
    pub(super) backend: Arc<Backend>,
    /// The id of its pool.
    pub(super) pool: u32,
    /// `None` if it is not checked.
    pub(super) schedule: Option<Schedule>,
    pub(super) addresses: Addresses,
    /// `None` if its host is an IP address.
    name: Option<Name>,
    pub(super) activity: Activity,
    /// Whether a probe has been recorded.
    pub(super) judged: bool,
    /// Whether the last probe timed out.
    hangs: bool,
    /// Until when it is probed ahead of schedule while no probe has succeeded.
    eager_until: Moment,
}

/// What its probe is doing.
#[cfg_attr(
    test,
    expect(clippy::large_enum_variant, reason = "tests have streams in memory, larger than a socket")
)]
pub(super) enum Activity {
    /// No probe.
    Idle,
    /// Waiting for a slot.
    Waiting,
    /// In flight.
    Probing(Probing),
}

/// A probe in flight.
pub(super) struct Probing {
    pub(super) attempt: Attempt,
    /// The address being tried.
    pub(super) address: SocketAddr,
    /// When the probe began, at the first address.
    pub(super) began: Moment,
    /// When it ends at the latest, at any address.
    pub(super) deadline: Moment,
    pub(super) place: Place,
}

/// The lookups of its name.
struct Name {
    next: Moment,
    last: Option<Moment>,
    looking_up: bool,
    lane: Lane,
    /// How long the first probe waits for the first lookup: as long as a probe may take.
    awaited_until: Moment,
}

impl Watched {
    /// A new backend. `chance` is in 0..1.
    pub(super) fn new(backend: Arc<Backend>, pool: u32, now: Moment, chance: f64) -> Self {
        let check = backend.check();
        let is_name = backend.host().parse::<IpAddr>().is_err();
        let mut addresses = Addresses::default();
        addresses.learn(backend.addresses().iter().copied());
        Self {
            schedule: check.map(|check| Schedule::new(check.interval, now, chance)),
            name: is_name.then(|| Name {
                next: now,
                last: None,
                looking_up: false,
                lane: Lane::Prompt,
                awaited_until: check.map_or(now, |check| now + check.timeout),
            }),
            pool,
            addresses,
            activity: Activity::Idle,
            judged: false,
            hangs: false,
            eager_until: now + PROBE_AHEAD_FOR,
            backend,
        }
    }

    /// Adopts a new configuration of the backend. A probe in flight continues and counts. If it were
    /// dropped, repeated reloads would keep a hung backend UP.
    pub(super) fn adopt(&mut self, backend: Arc<Backend>, pool: u32, now: Moment, chance: f64) {
        let before = std::mem::replace(&mut self.backend, backend);
        self.pool = pool;
        if before.check() == self.backend.check() {
            return;
        }
        self.schedule = self.backend.check().map(|check| match &self.schedule {
            Some(schedule) => schedule.replaced(check.interval, now, chance),
            None => Schedule::new(check.interval, now, chance),
        });
        if self.schedule.is_none() {
            self.activity = Activity::Idle;
            self.judged = false;
        }
    }

    /// When there is next something to do, if no event comes first.
    pub(super) fn acts_at(&self) -> Moment {
        let probe = match &self.activity {
            Activity::Probing(probing) => probing.deadline,
            Activity::Waiting => Moment::NEVER,
            Activity::Idle => {
                let due = self.schedule.as_ref().map_or(Moment::NEVER, Schedule::due);
                due.max(self.awaits_name_until())
            }
        };
        probe.min(self.looks_up_at())
    }

    /// When to probe it ahead of schedule.
    pub(super) fn ahead(&self) -> Moment {
        match (&self.activity, &self.schedule) {
            (Activity::Idle, Some(schedule)) => match schedule.ahead() {
                Moment::NEVER => Moment::NEVER,
                ahead => ahead.max(self.awaits_name_until()),
            },
            _ => Moment::NEVER,
        }
    }

    /// Whether a probe is due on the schedule.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        matches!(self.activity, Activity::Idle)
            && self.awaits_name_until() <= now
            && self.schedule.as_ref().is_some_and(|schedule| schedule.due() <= now)
    }

    /// Whether its probe in flight is late.
    pub(super) fn is_late(&self, now: Moment) -> bool {
        matches!(&self.activity, Activity::Probing(probing) if probing.deadline <= now)
    }

    /// How long the first probe waits for the name.
    fn awaits_name_until(&self) -> Moment {
        match &self.name {
            Some(name) if name.looking_up && !self.judged => name.awaited_until,
            _ => Moment::ZERO,
        }
    }

    fn looks_up_at(&self) -> Moment {
        match &self.name {
            Some(name) if !name.looking_up => name.next,
            _ => Moment::NEVER,
        }
    }

    /// How long its probes are expected to take. A backend that is up and has only just hung is not
    /// treated as slow: it gets requests until it is down, so its probes must not wait.
    pub(super) fn lane(&self) -> Lane {
        if self.hangs && !self.backend.is_up() { Lane::Suspect } else { Lane::Prompt }
    }

    /// The lookup that is due, if any.
    pub(super) fn look_up(&mut self, now: Moment) -> Option<Job> {
        if self.looks_up_at() > now {
            return None;
        }
        let name = self.name.as_mut()?;
        name.looking_up = true;
        name.last = Some(now);
        name.next = now + RESOLVE_EVERY;
        let (host, port) = (self.backend.host().to_owned(), self.backend.port());
        Some(Job { backend: self.backend.id(), host, port, lane: name.lane })
    }

    /// Brings the next lookup forward: the current addresses do not work.
    pub(super) fn look_up_soon(&mut self, now: Moment) {
        if let Some(name) = &mut self.name {
            let soonest = name.last.map_or(now, |last| now.max(last + RESOLVE_AHEAD_EVERY));
            name.next = name.next.min(soonest);
        }
    }

    /// Takes over the result of a lookup. A name that stops resolving keeps its last addresses: the
    /// resolver may be down while the backend is not, and probes will tell.
    pub(super) fn learn(&mut self, found: Vec<SocketAddr>, now: Moment) {
        let Some(name) = &mut self.name else { return };
        name.looking_up = false;
        name.lane = if found.is_empty() { Lane::Suspect } else { Lane::Prompt };
        if found.is_empty() {
            return;
        }
        let in_use = self.backend.address();
        self.addresses.learn(found);
        self.backend.set_addresses(&self.addresses.in_order());
        if in_use == self.backend.address() {
            return;
        }
        // It has moved, or was down for lack of an address.
        self.eager_until = now + PROBE_AHEAD_FOR;
        if let Some(schedule) = &mut self.schedule
            && self.judged
        {
            schedule.ask(now);
        }
    }

    /// Applies the result of a probe: to where requests go, and to the next probe. `address` is the one
    /// that answered.
    pub(super) fn conclude(&mut self, result: ProbeResult, address: Option<SocketAddr>, now: Moment) {
        self.hangs = result == ProbeResult::Failure(Reason::Timeout);
        match (result, address) {
            (ProbeResult::Success, Some(address)) => {
                self.addresses.answered(address);
                self.backend.set_addresses(&self.addresses.in_order());
            }
            (ProbeResult::Success, None) => {}
            (ProbeResult::Failure(_), _) => {
                self.addresses.failed();
                self.look_up_soon(now);
            }
        }
    }

    /// Whether it is probed ahead of schedule because it has not been up since the start, or since its
    /// address changed.
    pub(super) fn is_eager(&self, now: Moment) -> bool {
        now < self.eager_until && !self.backend.is_proven()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::plan::{BackendPlan, HealthCheck};

    const START: Moment = Moment::from_nanos(1 << 40);

    fn backend(host: &str, check: Option<HealthCheck>) -> Arc<Backend> {
        let plan = BackendPlan {
            name: "a".to_owned(),
            host: host.to_owned(),
            port: 80,
            weight: 1,
            max_connections: None,
        };
        Arc::new(Backend::new(plan, check, 1))
    }

    fn named() -> Watched {
        Watched::new(backend("name.invalid", Some(HealthCheck::default())), 1, START, 0.5)
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    #[test]
    fn a_hung_lookup_delays_the_first_probe_by_one_timeout() {
        let mut watched = named();
        assert_eq!(watched.look_up(START).map(|job| job.host), Some("name.invalid".to_owned()));
        assert!(watched.look_up(START).is_none(), "two look-ups at once");
        let until = START + HealthCheck::default().timeout;
        assert!(!watched.is_due(START));
        assert_eq!(watched.acts_at(), until);
        assert!(watched.is_due(until));
    }

    #[test]
    fn a_late_or_changed_address_is_probed_immediately() {
        let mut watched = named();
        watched.look_up(START);
        watched.judged = true;
        for last in [1, 2] {
            let now = START + Duration::from_secs(100 * u64::from(last));
            watched.learn(vec![address(last)], now);
            assert_eq!((watched.ahead(), watched.backend.address()), (now, Some(address(last))));
            assert!(watched.is_eager(now) && !watched.is_eager(now + PROBE_AHEAD_FOR));
            watched.schedule.as_mut().unwrap().began(now, 0.5);
        }
    }

    #[test]
    fn a_name_is_resolved_every_ten_seconds_and_soon_if_its_addresses_fail() {
        let mut watched = named();
        watched.look_up(START);
        watched.learn(vec![address(1)], START);
        watched.conclude(ProbeResult::Success, Some(address(1)), START);
        assert_eq!(watched.looks_up_at(), START + Duration::from_secs(10));
        let later = START + Duration::from_secs(5);
        watched.conclude(ProbeResult::Failure(Reason::Refused), None, later);
        assert_eq!(watched.looks_up_at(), later);
        // But only once per interval.
        watched.look_up(later);
        watched.learn(vec![address(1)], later);
        watched.conclude(ProbeResult::Failure(Reason::Refused), None, later);
        assert_eq!(watched.looks_up_at(), later + RESOLVE_AHEAD_EVERY);
    }

    #[test]
    fn a_reload_without_a_change_leaves_the_schedule_and_a_look_up_alone() {
        let mut watched = named();
        watched.look_up(START);
        watched.schedule.as_mut().unwrap().began(START, 0.5);
        let before = (watched.acts_at(), watched.ahead());
        let again = Arc::clone(&watched.backend);
        watched.adopt(again, 1, START + Duration::from_secs(1), 0.9);
        assert_eq!((watched.acts_at(), watched.ahead()), before);
        assert!(watched.look_up(START + Duration::from_secs(100)).is_none(), "a second look-up");
    }

    #[test]
    fn a_backend_that_is_no_longer_checked_has_no_schedule() {
        let mut watched = Watched::new(backend("192.0.2.1", Some(HealthCheck::default())), 1, START, 0.5);
        watched.adopt(backend("192.0.2.1", None), 1, START, 0.5);
        assert_eq!((watched.acts_at(), watched.ahead()), (Moment::NEVER, Moment::NEVER));
        watched.adopt(backend("192.0.2.1", Some(HealthCheck::default())), 1, START, 0.5);
        assert!(watched.is_due(START));
    }
}
