//! A simulation of everything that decides where a request goes: pools, strategies, health, ejection,
//! and the backends that a request has already tried.
//!
//! Time is virtual and randomness is seeded, so a run is reproducible. After each of some hundred
//! random events, the state of the balancer's types is compared with a model that is kept here in the
//! simplest correct form. A failure names its seed, and `ROPEWALK_SIMULATION_SEED=17 cargo test --test
//! simulation` replays it.

mod ejections;
mod member;
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ropewalk::internal::base::clock::Moment;
use ropewalk::internal::base::limits::PROBE_EVERY_IN_TRANSITION;
use ropewalk::internal::config::plan::{Ejection, HealthCheck, PoolPlan, Probe, Strategy};
use ropewalk::internal::net::parking::Unpark;
use ropewalk::internal::upstream::ejection::Evidence as Failed;
use ropewalk::internal::upstream::health::{Evidence, ProbeResult, Proof, Reason, Transition};
use ropewalk::internal::upstream::lease::Lease;
use ropewalk::internal::upstream::pool::{Ask, Pool};
use ropewalk::internal::upstream::queue::{Admission, Ticket};

use member::{Member, NeverParks, backend, limits};

/// Seeds of one test run, and events of each.
const SEEDS: u64 = 200;
const EVENTS: usize = 400;

/// LIMIT: requests in flight at once.
const FLIGHTS_MAX: usize = 40;

/// Requests that may wait for a slot.
const QUEUE: usize = 8;

/// Turns of a weighted rotation after which a change no longer has an effect.
const TURNS_TO_SETTLE: usize = 3;

#[test]
fn no_order_of_events_breaks_a_promise() {
    let seeds = match std::env::var("ROPEWALK_SIMULATION_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("ROPEWALK_SIMULATION_SEED is a number");
            seed..=seed
        }
        Err(_) => 0..=SEEDS - 1,
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| World::new(seed).run())) {
            eprintln!("play it again: ROPEWALK_SIMULATION_SEED={seed} cargo test --test simulation");
            resume_unwind(panic);
        }
    }
}

/// One pool, what is going on in it, and what should be true of it.
struct World {
    rng: fastrand::Rng,
    now: Moment,
    strategy: Strategy,
    rules: Option<HealthCheck>,
    ejection: Option<Ejection>,
    retries: u32,
    pool: Pool,
    flights: Vec<Flight>,
    /// Requests in the queue, in the order in which they came.
    waiting: Vec<Waiting>,
    members: Vec<Member>,
    /// The member that was picked last.
    picked: Option<usize>,
}

/// One request in flight.
struct Flight {
    lease: Lease,
    ask: Ask,
    /// The same, where it can be looked at.
    tried_indexes: Vec<usize>,
    tries_left: u32,
}

/// One request in the queue.
struct Waiting {
    ticket: Ticket,
    ask: Ask,
    tried_indexes: Vec<usize>,
    tries_left: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let strategies = [
            Strategy::RoundRobin,
            Strategy::WeightedRoundRobin,
            Strategy::LeastConnections,
            Strategy::Random,
        ];
        let strategy = strategies[rng.usize(..strategies.len())];
        let rules = (rng.u8(..8) > 0).then(|| HealthCheck {
            probe: Probe::Tcp,
            port: None,
            interval: Duration::from_millis(rng.u64(500..8000)),
            timeout: Duration::from_millis(400),
            healthy_after: rng.u32(1..5),
            unhealthy_after: rng.u32(1..5),
        });
        let ejection = (rng.u8(..4) > 0).then(|| Ejection {
            failures: rng.u32(1..6),
            ratio: rng.u32(1..80),
            time: Duration::from_secs(rng.u64(1..8)),
            time_max: Duration::from_secs(rng.u64(8..70)),
            pool_max: [1, 50, 100][rng.usize(..3)],
            on_status: Vec::new(),
        });
        let now = Moment::from_nanos(1 << 40);
        let weights: Vec<u32> = (0..rng.usize(1..8)).map(|_| rng.u32(0..7).saturating_sub(1)).collect();
        let retries = rng.u32(0..5);
        // Half of the pools have no limits; there the rotation is exact.
        let bounded = rng.bool();
        let bounds: Vec<_> =
            weights.iter().map(|_| (bounded && rng.u8(..4) > 0).then(|| rng.u32(1..5))).collect();
        let bounds_of = bounds.clone();
        let plan = PoolPlan {
            name: "default".to_owned(),
            strategy,
            retry_on_status: Vec::new(),
            health_check: rules.clone(),
            ejection: ejection.clone(),
            backends: weights
                .iter()
                .zip(bounds)
                .enumerate()
                .map(|(index, (&weight, max))| backend(index, weight, max))
                .collect(),
        };
        let members = weights.iter().zip(bounds_of).map(|(&weight, max)| Member {
            weight,
            max,
            serves: rng.u8(..4) > 0,
            up: true,
            probed: false,
            proven: false,
            against: 0,
            ejection: None,
            ejected_for: None,
            probe_due: now,
            tries: 0,
            last_transition: None,
        });
        let members = members.collect();
        let pool = Pool::new(&plan, &limits(), seed);
        Self {
            rng,
            now,
            strategy,
            rules,
            ejection,
            retries,
            pool,
            flights: Vec::new(),
            waiting: Vec::new(),
            members,
            picked: None,
        }
    }

    fn run(mut self) {
        self.rotation_is_exact(0);
        for _ in 0..EVENTS {
            match self.rng.u8(..32) {
                0..=9 => self.begin(),
                10..=18 => self.end_one(),
                19..=20 => self.abort_one(),
                21 if self.rng.bool() => self.leave_queue(),
                21..=27 => self.probe_next(),
                28..=29 => self.change_one(),
                30 if self.rng.bool() => self.rotation_is_exact(TURNS_TO_SETTLE),
                30 => self.time_passes(),
                _ => self.calm(),
            }
            self.check();
        }
        while !self.flights.is_empty() {
            self.flights.clear();
            self.check();
        }
        // No request is left waiting while a slot is free.
        for waiting in &self.waiting {
            assert_eq!(self.candidates(&waiting.ask, &waiting.tried_indexes).next(), None);
        }
        self.waiting.clear();
        self.check();
    }

    /// A client sends a request.
    fn begin(&mut self) {
        if self.flights.len() < FLIGHTS_MAX {
            let ask = Ask { idempotent: self.rng.bool(), ..Ask::default() };
            self.attempt(ask, Vec::new(), self.retries);
        }
    }

    /// Nothing happens for a while, or an operator drains or enables a backend.
    fn time_passes(&mut self) {
        if self.rng.bool() {
            self.now = self.now + Duration::from_millis(self.rng.u64(..4000));
            self.pool.ward().tick(self.now);
            return;
        }
        let index = self.rng.usize(..self.members.len());
        let weight = if self.members[index].weight == 0 { 1 } else { 0 };
        self.pool.backends()[index].override_weight(weight, Moment::NEVER);
        self.members[index].weight = weight;
    }

    /// A request ends, or one of its attempts.
    fn end_one(&mut self) {
        let Some(Flight { mut lease, mut ask, mut tried_indexes, tries_left }) = self.take_flight() else {
            return;
        };
        let index = usize::from(lease.index());
        if self.members[index].serves {
            let was_trial = lease.trial().is_some();
            lease.answered(self.now);
            assert!(!was_trial || lease.backend().ejection().is_none(), "a trial was answered");
            return;
        }
        let client = self.rng.bool().then(|| [127, 0, 0, self.rng.u8(1..5)].into());
        let failed = Failed { reason: Reason::Reset, pieces: self.rng.u8(1..4), client };
        match lease.take_trial() {
            Some(trial) => trial.failed(failed, self.now),
            None => lease.backend().record_failure(failed, self.now),
        }
        if tries_left > 0 {
            ask.tried.insert(lease.backend().id());
            tried_indexes.push(index);
            // The next attempt starts before the last one is released, as in the balancer's worst case.
            self.flights_keep(lease, |world| world.attempt(ask, tried_indexes, tries_left - 1));
        }
    }

    /// A client leaves: this says nothing about the backend.
    fn abort_one(&mut self) {
        drop(self.take_flight());
    }

    /// A client leaves while it waits for a slot. It may just have been given one.
    fn leave_queue(&mut self) {
        if !self.waiting.is_empty() {
            drop(self.waiting.remove(self.rng.usize(..self.waiting.len())));
        }
    }

    /// The clock advances to the next probe, which is made.
    fn probe_next(&mut self) {
        let Some(index) = (0..self.members.len()).min_by_key(|&index| self.members[index].probe_due) else {
            return;
        };
        self.now = self.now.max(self.members[index].probe_due);
        self.pool.ward().tick(self.now);
        let result = match self.members[index].serves {
            true => ProbeResult::Success,
            false => ProbeResult::Failure(Reason::Refused),
        };
        let backend = &self.pool.backends()[index];
        let transition =
            backend.record_probe(result, Duration::from_millis(1), self.now, Proof::AsConfigured);
        let in_transition = backend.in_transition();
        self.expect_probe(index, result, transition);
        let interval = self.rules.as_ref().map_or(Duration::from_secs(1), |rules| rules.interval);
        let wait = if in_transition { interval.min(PROBE_EVERY_IN_TRANSITION) } else { interval };
        self.members[index].probe_due = self.now + wait;
    }

    /// A backend breaks, or is repaired.
    fn change_one(&mut self) {
        let index = self.rng.usize(..self.members.len());
        self.members[index].serves = !self.members[index].serves;
    }

    /// Everything is repaired and stays so: everything is up within the time that the rules give.
    fn calm(&mut self) {
        let Some(rules) = self.rules.clone() else { return };
        self.members.iter_mut().for_each(|member| member.serves = true);
        let soon = rules.interval.min(PROBE_EVERY_IN_TRANSITION);
        let until = self.now + rules.interval + soon * rules.healthy_after;
        while self.members.iter().any(|member| member.probe_due <= until) {
            self.probe_next();
            self.check();
        }
        assert!(self.members.iter().all(|member| member.up), "not all up by {until:?}");
        self.ejections_end();
    }

    /// While nothing changes, every window of a weighted rotation that is as long as the sum
    /// of the usable weights holds each backend exactly as often as its weight says.
    fn rotation_is_exact(&mut self, turns_before: usize) {
        let turn: usize = self.usable().map(|index| self.members[index].weight as usize).sum();
        let bounded = self.members.iter().any(|member| member.max.is_some());
        let ejected = self.pool.backends().iter().any(|backend| backend.ejection().is_some());
        if self.strategy != Strategy::WeightedRoundRobin || turn == 0 || bounded || ejected {
            return;
        }
        let picks: Vec<usize> = (0..turn * (turns_before + 3)).map(|_| self.pick_and_end()).collect();
        for window in picks[turn * turns_before..].windows(turn) {
            for index in self.usable() {
                let count = window.iter().filter(|&&picked| picked == index).count();
                assert_eq!(count, self.members[index].weight as usize, "of {index} in {window:?}");
            }
        }
    }

    fn pick_and_end(&mut self) -> usize {
        self.attempt(Ask::default(), Vec::new(), 0);
        let flight = self.flights.pop().expect("a usable backend is picked");
        usize::from(flight.lease.index())
    }

    /// Picks a backend for a request and checks that it was the right one.
    fn attempt(&mut self, ask: Ask, tried_indexes: Vec<usize>, tries_left: u32) {
        self.take_places();
        let candidates: Vec<usize> = self.candidates(&ask, &tried_indexes).collect();
        let allowed: Vec<usize> = candidates.iter().copied().filter(|&index| self.has_room(index)).collect();
        let expected = self.expected(&allowed);
        let lease = match self.pool.admit(&ask, &(Weak::<NeverParks>::new() as Weak<dyn Unpark>)) {
            Admission::Admitted(lease) => lease,
            outcome => {
                assert!(allowed.is_empty(), "nothing was picked of {allowed:?}");
                let usable = candidates.len();
                let waiting = self.waiting.len();
                match outcome {
                    Admission::Queued(ticket) => {
                        assert!(usable > 0 && waiting < QUEUE);
                        self.waiting.push(Waiting { ticket, ask, tried_indexes, tries_left });
                    }
                    Admission::Full => assert!(usable > 0 && waiting == QUEUE),
                    Admission::NoBackend => assert_eq!(usable, 0),
                    Admission::Admitted(_) => {}
                }
                return;
            }
        };
        let index = usize::from(lease.index());
        assert!(allowed.contains(&index), "{index} was picked of {allowed:?}");
        assert!(expected.is_none_or(|expected| expected == index), "{index} is not {expected:?}");
        assert!(Arc::ptr_eq(lease.backend(), &self.pool.backends()[index]));
        self.picked = Some(index);
        self.members[index].tries += 1;
        self.flights.push(Flight { lease, ask, tried_indexes, tries_left });
    }

    /// Requests that were given a slot claim it: always those that have waited longest.
    fn take_places(&mut self) {
        let mut passed_over: Vec<(Vec<usize>, bool)> = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.ticket.claim() {
                Some(lease) => {
                    let index = usize::from(lease.index());
                    // The first trials are for idempotent requests.
                    let may_not = |(tried, idempotent): &(Vec<usize>, bool)| {
                        tried.contains(&index) || lease.trial().is_some() && !idempotent
                    };
                    assert!(
                        passed_over.iter().all(may_not),
                        "a place was given past somebody who waits for it"
                    );
                    let Waiting { ask, tried_indexes, tries_left, .. } = waiting;
                    self.members[usize::from(lease.index())].tries += 1;
                    self.flights.push(Flight { lease, ask, tried_indexes, tries_left });
                }
                None => {
                    passed_over.push((waiting.tried_indexes.clone(), waiting.ask.idempotent));
                    self.waiting.push(waiting);
                }
            }
        }
    }

    fn has_room(&self, index: usize) -> bool {
        self.members[index].max.is_none_or(|max| self.active(index) < u64::from(max))
    }

    /// The backend that must be picked, for strategies without randomness or history.
    fn expected(&self, allowed: &[usize]) -> Option<usize> {
        let count = self.members.len();
        let first = self.picked.map_or(0, |picked| picked + 1);
        let mut in_rotation = (first..first + count).map(|at| at % count).filter(|at| allowed.contains(at));
        match self.strategy {
            Strategy::RoundRobin => in_rotation.next(),
            Strategy::LeastConnections => {
                // The first in rotation among equals: `min_by` keeps the first that it meets.
                in_rotation.min_by(|&one, &other| {
                    let load = |index: usize, weight_of: usize| {
                        self.active(index) * u64::from(self.members[weight_of].weight)
                    };
                    load(one, other).cmp(&load(other, one))
                })
            }
            Strategy::WeightedRoundRobin | Strategy::Random => None,
        }
    }

    fn expect_probe(&mut self, index: usize, result: ProbeResult, transition: Option<Transition>) {
        let member = &mut self.members[index];
        let Some(rules) = &self.rules else {
            assert_eq!(transition, None, "a verdict without rules");
            return;
        };
        let good = result == ProbeResult::Success;
        let first = !std::mem::replace(&mut member.probed, true);
        let proven = member.proven;
        member.proven |= good;
        member.against = if good == member.up { 0 } else { member.against + 1 };
        let needed = match good {
            _ if first => 1,
            true if !proven => 1,
            true => rules.healthy_after,
            false => rules.unhealthy_after,
        };
        if member.against < needed {
            assert_eq!(transition, None, "after {} of {needed} probes", member.against);
            return;
        }
        let evidence = match result {
            ProbeResult::Success => Evidence::GoodProbes(needed),
            ProbeResult::Failure(reason) => Evidence::BadProbes(needed, reason),
        };
        member.expect_turn(transition, Transition { up: good, evidence });
    }

    /// What holds after every event.
    fn check(&mut self) {
        self.check_ejections();
        self.take_places();
        assert_eq!(self.pool.queue().len(), self.waiting.len());
        for waiting in &self.waiting {
            let mut free = self.candidates(&waiting.ask, &waiting.tried_indexes);
            let missed = free.find(|&index| self.has_room(index));
            assert_eq!(missed, None, "a slot is free and a request waits for it");
        }
        for (index, (backend, member)) in self.pool.backends().iter().zip(&self.members).enumerate() {
            assert_eq!(u64::from(backend.active()), self.active(index), "active of {index}");
            assert!(member.max.is_none_or(|max| backend.active() <= max), "too many for {index}");
            assert_eq!(backend.requests(), member.tries, "tries of {index}");
            assert_eq!(backend.is_up(), member.up, "verdict on {index}");
            let ejected = backend.ejection().is_some();
            assert_eq!(backend.is_usable(), member.up && member.weight > 0 && !ejected, "use of {index}");
            assert_eq!(backend.in_transition(), member.against > 0, "transition of {index}");
        }
    }

    /// Members that may get any request: up, not drained, and not ejected.
    fn usable(&self) -> impl Iterator<Item = usize> {
        (0..self.members.len()).filter(|&index| {
            self.members[index].up && self.members[index].weight > 0 && self.view(index).is_none()
        })
    }

    fn active(&self, index: usize) -> u64 {
        self.flights.iter().filter(|flight| usize::from(flight.lease.index()) == index).count() as u64
    }

    fn take_flight(&mut self) -> Option<Flight> {
        match self.flights.len() {
            0 => None,
            count => Some(self.flights.swap_remove(self.rng.usize(..count))),
        }
    }

    /// Does something while a lease is still held.
    fn flights_keep(&mut self, lease: Lease, act: impl FnOnce(&mut Self)) {
        let held = Flight { lease, ask: Ask::default(), tried_indexes: Vec::new(), tries_left: 0 };
        self.flights.insert(0, held);
        act(self);
        self.flights.remove(0);
    }
}
