//! The `rw-health` thread: probes backends on their schedules and writes the verdicts down.
//!
//! TCP dials are all in flight at once, watched with one `poll`. HTTP probes and name look-ups
//! block, so a few helper threads make them. A backend whose last probe timed out may hold only
//! half of those, so backends that are known to hang delay each other and nobody else. One that
//! begins to hang holds a helper for its `timeout` once: should eight begin at the same moment,
//! the other HTTP probes are late by that much, once.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;

use crate::base::clock::{self, Moment};
use crate::base::limits::{PROBE_THREADS_MAX, RESOLVE_EVERY, RESOLVE_THREADS_MAX};
use crate::base::supervisor::Supervisor;
use crate::config::plan::{HealthCheck, Probe};
use crate::side::addresses::Addresses;
use crate::side::blocking::{Answer, Helpers, Job, Lane, agent, judge};
use crate::side::dial::{Dial, Fault};
use crate::side::schedule::Schedule;
use crate::upstream::backend::Backend;
use crate::upstream::health::{ProbeResult, Reason};

/// The running health thread. Dropping it stops it.
pub struct HealthThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread, its helpers and its owner share.
struct Shared {
    stop: AtomicBool,
    wake: OwnedFd,
    /// LOCK: guards the number of backends without a first verdict, for one decrement.
    unjudged: Mutex<usize>,
    judged: Condvar,
}

impl HealthThread {
    /// Starts to probe `backends`.
    ///
    /// # Errors
    /// The system refuses a thread or a descriptor.
    pub fn spawn(backends: Vec<Arc<Backend>>, threads: &Supervisor) -> io::Result<Self> {
        let unjudged = backends.iter().filter(|backend| needs_probe(backend)).count();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            unjudged: Mutex::new(unjudged),
            judged: Condvar::new(),
        });
        let prober = Prober::new(Arc::clone(&shared), backends)?;
        let thread = threads.spawn(thread::Builder::new().name("rw-health".to_owned()), move || {
            prober.run();
            Ok(())
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until every backend has its first verdict, or until `patience` is over.
    pub fn wait_first_round(&self, patience: Duration) {
        let mut unjudged = self.shared.unjudged.lock();
        self.shared.judged.wait_while_for(&mut unjudged, |unjudged| *unjudged > 0, patience);
    }

    /// Stops the thread and waits for its end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for HealthThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the health thread ended with a panic");
        }
    }
}

impl Shared {
    fn wake(&self) {
        // A full counter means that a wake-up is pending.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// The thread's own state.
struct Prober {
    shared: Arc<Shared>,
    entries: Vec<Entry>,
    http: Option<Helpers>,
    names: Option<Helpers>,
    answers: Receiver<Answer>,
    rng: fastrand::Rng,
}

/// One backend as the thread sees it.
struct Entry {
    backend: Arc<Backend>,
    schedule: Option<Schedule>,
    agent: Option<ureq::Agent>,
    addresses: Addresses,
    /// Whether its host is a name, and when that is looked up next.
    resolve_at: Moment,
    resolving: bool,
    /// How long the first probe waits for the name: as long as it may take itself.
    name_by: Moment,
    /// How long its next look-up and its next HTTP probe are expected to take.
    name_lane: Lane,
    probe_lane: Lane,
    probing: Option<Probing>,
    judged: bool,
}

/// A probe under way: at one address now, after `spent` at others.
struct Probing {
    spent: Duration,
    attempt: Attempt,
}

enum Attempt {
    Dial(Dial),
    Http,
}

impl Prober {
    fn new(shared: Arc<Shared>, backends: Vec<Arc<Backend>>) -> io::Result<Self> {
        let now = clock::now();
        let mut rng = fastrand::Rng::new();
        let (answer, answers) = unbounded();
        let entries: Vec<Entry> =
            backends.into_iter().map(|backend| Entry::new(backend, now, rng.f64())).collect();
        // At most one job of each kind is under way for each backend, so the queues and the
        // channel of answers are bounded by their number.
        let count = entries.len();
        let http = entries.iter().filter(|entry| entry.agent.is_some()).count().min(PROBE_THREADS_MAX);
        let names = entries.iter().filter(|entry| entry.resolve_at != Moment::NEVER).count();
        let names = names.min(RESOLVE_THREADS_MAX);
        let start = |name, threads| Helpers::start(name, threads, count, tell(&answer, &shared));
        Ok(Self {
            http: if http > 0 { Some(start("rw-probe", http)?) } else { None },
            names: if names > 0 { Some(start("rw-resolve", names)?) } else { None },
            shared,
            entries,
            answers,
            rng,
        })
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            for index in 0..self.entries.len() {
                self.begin_what_is_due(index, now);
            }
            let decided = self.wait(now);
            let now = clock::now();
            self.end_dials(&decided, now);
            while let Ok(answer) = self.answers.try_recv() {
                self.take(answer, now);
            }
        }
    }

    /// Begins the look-up and the probe of a backend, if it is time for them.
    fn begin_what_is_due(&mut self, index: usize, now: Moment) {
        let entry = &mut self.entries[index];
        if now >= entry.resolve_at
            && !entry.resolving
            && let Some(names) = &self.names
        {
            let (host, port) = (entry.backend.host().to_owned(), entry.backend.port());
            entry.resolving = names.ask(Job::Resolve { backend: index, host, port }, entry.name_lane);
            entry.resolve_at = now + RESOLVE_EVERY;
        }
        if entry.waits_for_name(now) {
            return;
        }
        let Some(schedule) = &mut entry.schedule else { return };
        if now < schedule.due() {
            return;
        }
        schedule.began(now, self.rng.f64());
        if entry.probing.is_some() {
            return;
        }
        entry.addresses.begin();
        self.try_next_address(index, Fault::Theirs(Reason::Unresolved), Duration::ZERO, now);
    }

    /// Goes on with a probe that has failed at every address so far, the last time with
    /// `fault`, or ends it.
    fn try_next_address(&mut self, index: usize, mut fault: Fault, spent: Duration, now: Moment) {
        let backend = Arc::clone(&self.entries[index].backend);
        let Some(check) = backend.check() else { return };
        let left = check.timeout.saturating_sub(spent);
        while fault.concerns_the_address()
            && !left.is_zero()
            && let Some(address) = self.entries[index].addresses.next()
        {
            match self.attempt(index, check, address, left, now) {
                Ok(attempt) => {
                    self.entries[index].probing = Some(Probing { spent, attempt });
                    return;
                }
                Err(found) => fault = found,
            }
        }
        match fault {
            Fault::Theirs(reason) => self.record(index, ProbeResult::Failure(reason), spent, now),
            Fault::Ours => {
                log::debug!("no probe of backend {}: out of descriptors or memory", backend.name())
            }
        }
    }

    /// Begins a probe at one address, which may take as long as is `left`.
    fn attempt(
        &self,
        index: usize,
        check: &HealthCheck,
        mut address: SocketAddr,
        left: Duration,
        now: Moment,
    ) -> Result<Attempt, Fault> {
        let entry = &self.entries[index];
        if let Some(port) = check.port {
            address.set_port(port);
        }
        match (&check.probe, &entry.agent, &self.http) {
            (Probe::Http { path, host, .. }, Some(agent), Some(http)) => {
                let host = host.clone().unwrap_or_else(|| host_of(&entry.backend, address));
                let url = format!("http://{address}{path}");
                let job = Job::Probe { backend: index, agent: agent.clone(), url, host, timeout: left };
                // INVARIANT: the queue has a place for every backend.
                if http.ask(job, entry.probe_lane) { Ok(Attempt::Http) } else { Err(Fault::Ours) }
            }
            _ => Dial::begin(address, now, now + left).map(Attempt::Dial),
        }
    }

    /// Sleeps until a dial ends, a helper answers, something is due, or it is time to stop.
    /// Returns the backends whose dials are decided.
    fn wait(&self, now: Moment) -> Vec<usize> {
        let mut fds = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        let mut dialled = Vec::new();
        let mut until = Moment::NEVER;
        for (index, entry) in self.entries.iter().enumerate() {
            until = until.min(entry.acts_at(now));
            if let Some(dial) = entry.dial() {
                fds.push(PollFd::new(dial, PollFlags::OUT));
                dialled.push(index);
            }
        }
        let ahead = until.since(clock::now());
        let timeout = Timespec { tv_sec: ahead.as_secs() as i64, tv_nsec: i64::from(ahead.subsec_nanos()) };
        // However this ends, the loop looks at everything again.
        let _ = poll(&mut fds, (until != Moment::NEVER).then_some(&timeout));
        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        let answers = fds.iter().skip(1).map(|fd| !fd.revents().is_empty());
        dialled.into_iter().zip(answers).filter_map(|(index, decided)| decided.then_some(index)).collect()
    }

    /// Ends the dials that are decided, then those that are too late.
    fn end_dials(&mut self, decided: &[usize], now: Moment) {
        for &index in decided {
            let Some((dial, spent)) = self.entries[index].take_dial() else { continue };
            let spent = spent + now.since(dial.began);
            match dial.result() {
                Ok(()) => self.record(index, ProbeResult::Success, spent, now),
                Err(fault) => self.try_next_address(index, fault, spent, now),
            }
        }
        for index in 0..self.entries.len() {
            if self.entries[index].dial().is_none_or(|dial| now < dial.deadline) {
                continue;
            }
            let Some((dial, spent)) = self.entries[index].take_dial() else { continue };
            let spent = spent + now.since(dial.began);
            self.record(index, ProbeResult::Failure(Reason::Timeout), spent, now);
        }
    }

    fn take(&mut self, answer: Answer, now: Moment) {
        match answer {
            Answer::Probed { backend, status, took } => {
                let entry = &mut self.entries[backend];
                let Some(probing) = entry.probing.take() else { return };
                let spent = probing.spent + took;
                let expected = match entry.backend.check().map(|check| &check.probe) {
                    Some(Probe::Http { expect_status, .. }) => expect_status.as_slice(),
                    _ => &[],
                };
                match status.map(|status| judge(status, expected)) {
                    Ok(result) => self.record(backend, result, spent, now),
                    Err(fault) => self.try_next_address(backend, fault, spent, now),
                }
            }
            Answer::Resolved { backend, addresses } => self.entries[backend].learn(addresses, now),
        }
    }

    /// Writes down how a probe ended.
    fn record(&mut self, index: usize, result: ProbeResult, spent: Duration, now: Moment) {
        let entry = &mut self.entries[index];
        entry.settle(result);
        if let Some(transition) = entry.backend.record_probe(result, spent, now) {
            transition.log(entry.backend.name(), entry.backend.address());
        }
        if entry.backend.in_transition()
            && let Some(schedule) = &mut entry.schedule
        {
            schedule.hurry(now);
        }
        if result != ProbeResult::Success && entry.resolve_at != Moment::NEVER {
            entry.resolve_at = entry.resolve_at.min(now + RESOLVE_AFTER_FAILURE);
        }
        if !std::mem::replace(&mut entry.judged, true) {
            *self.shared.unjudged.lock() -= 1;
            self.shared.judged.notify_all();
        }
    }
}

/// How soon a name is looked up again after a probe of it failed.
const RESOLVE_AFTER_FAILURE: Duration = Duration::from_secs(1);

impl Entry {
    fn new(backend: Arc<Backend>, now: Moment, chance: f64) -> Self {
        let check = backend.check();
        // Not whether it has an address: after a reload a name that was resolved has one already.
        let is_name = backend.host().parse::<IpAddr>().is_err();
        let mut addresses = Addresses::default();
        addresses.learn(backend.addresses().iter().copied());
        Self {
            schedule: check.map(|check| Schedule::new(check.interval, now, chance)),
            agent: check.filter(|check| matches!(check.probe, Probe::Http { .. })).map(|_| agent()),
            addresses,
            resolve_at: if is_name { now } else { Moment::NEVER },
            resolving: false,
            name_by: check.map_or(now, |check| now + check.timeout),
            name_lane: Lane::Prompt,
            probe_lane: Lane::Prompt,
            probing: None,
            judged: false,
            backend,
        }
    }

    /// Whether the first probe still waits for the name.
    fn waits_for_name(&self, now: Moment) -> bool {
        self.resolving && !self.judged && now < self.name_by
    }

    /// When there is something to do, if nothing happens before.
    fn acts_at(&self, now: Moment) -> Moment {
        let due = self.schedule.as_ref().map_or(Moment::NEVER, Schedule::due);
        let probe = if self.waits_for_name(now) { self.name_by } else { due };
        let look_up = if self.resolving { Moment::NEVER } else { self.resolve_at };
        let give_up = self.dial().map_or(Moment::NEVER, |dial| dial.deadline);
        probe.min(look_up).min(give_up)
    }

    fn dial(&self) -> Option<&Dial> {
        match &self.probing {
            Some(Probing { attempt: Attempt::Dial(dial), .. }) => Some(dial),
            _ => None,
        }
    }

    fn take_dial(&mut self) -> Option<(Dial, Duration)> {
        self.dial()?;
        match self.probing.take() {
            Some(Probing { attempt: Attempt::Dial(dial), spent }) => Some((dial, spent)),
            _ => None,
        }
    }

    /// Takes over what a look-up found. A name that stops resolving keeps its last addresses:
    /// the resolver may be down while the backend is not, and probes tell.
    fn learn(&mut self, found: Vec<SocketAddr>, now: Moment) {
        self.resolving = false;
        self.name_lane = if found.is_empty() { Lane::Suspect } else { Lane::Prompt };
        if found.is_empty() {
            return;
        }
        self.addresses.learn(found);
        let in_use = self.backend.address();
        if in_use.is_some_and(|address| self.addresses.contains(address)) {
            return;
        }
        self.backend.set_addresses(&self.addresses.in_order());
        // It was down for want of an address, which a probe at the usual time would leave so.
        if in_use.is_none()
            && self.judged
            && let Some(schedule) = &mut self.schedule
        {
            schedule.hurry(now);
        }
    }

    /// Draws the conclusions for the next probe, and for where requests go.
    fn settle(&mut self, result: ProbeResult) {
        self.probe_lane = match result {
            ProbeResult::Failure(Reason::Timeout) => Lane::Suspect,
            _ => Lane::Prompt,
        };
        if result != ProbeResult::Success {
            self.addresses.failed();
            return;
        }
        self.addresses.answered();
        if self.backend.address() != self.addresses.first() {
            self.backend.set_addresses(&self.addresses.in_order());
        }
    }
}

fn needs_probe(backend: &Arc<Backend>) -> bool {
    backend.check().is_some()
}

/// What a probe puts into Host: what a request to this backend alone would.
fn host_of(backend: &Backend, address: SocketAddr) -> String {
    match (backend.host().parse::<std::net::IpAddr>(), address.port()) {
        (Ok(_), _) => address.to_string(),
        (Err(_), 80) => backend.host().to_owned(),
        (Err(_), port) => format!("{}:{port}", backend.host()),
    }
}

/// How helpers report: into the channel, then wake the thread.
fn tell(answer: &Sender<Answer>, shared: &Arc<Shared>) -> impl Fn(Answer) + Send + Sync + use<> {
    let (answer, shared) = (answer.clone(), Arc::clone(shared));
    move |found| {
        // The thread may have stopped; then nobody wants to know.
        let _ = answer.send(found);
        shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

    use super::*;
    use crate::config::plan::BackendPlan;

    /// What the system says to a name is not for a test to rely on, so the test says it.
    const NAME: &str = "two-addresses.invalid";
    const TIMEOUT: Duration = Duration::from_secs(20);

    fn prober(probe: Probe) -> Prober {
        let check = HealthCheck {
            probe,
            port: None,
            interval: TIMEOUT * 2,
            timeout: TIMEOUT,
            healthy_after: 2,
            unhealthy_after: 3,
            passive_failures: None,
        };
        let plan = BackendPlan {
            name: NAME.to_owned(),
            host: NAME.to_owned(),
            port: 80,
            weight: 1,
            max_connections: None,
        };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::NONBLOCK).unwrap(),
            unjudged: Mutex::new(1),
            judged: Condvar::new(),
        });
        let mut prober = Prober::new(shared, vec![Arc::new(Backend::new(plan, Some(check), 1))]).unwrap();
        // As if the look-up had been asked for and had not come back.
        prober.entries[0].resolving = true;
        prober.entries[0].resolve_at = Moment::NEVER;
        prober
    }

    #[test]
    fn a_name_that_was_resolved_before_a_reload_is_looked_up_after_it() {
        let backend = Arc::clone(&prober(Probe::Tcp).entries[0].backend);
        backend.set_addresses(&[SocketAddr::from(([127, 0, 0, 1], 80))]);
        let now = clock::now();
        assert_eq!(Entry::new(Arc::clone(&backend), now, 0.5).resolve_at, now);
    }

    /// Runs the prober until the probe that is due has its verdict.
    fn judge_first(prober: &mut Prober) {
        let give_up = clock::now() + TIMEOUT;
        while !prober.entries[0].judged {
            let now = clock::now();
            assert!(now < give_up, "no verdict");
            prober.begin_what_is_due(0, now);
            if prober.entries[0].probing.is_none() {
                continue;
            }
            let decided = prober.wait(now);
            let now = clock::now();
            prober.end_dials(&decided, now);
            while let Ok(answer) = prober.answers.try_recv() {
                prober.take(answer, now);
            }
        }
    }

    /// A name with an address where nobody listens, as `::1` often is, before one that answers.
    fn judged_at_its_second_address(probe: Probe, listener: &TcpListener) -> (Arc<Backend>, SocketAddr) {
        let refusing = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&refusing, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let refused = SocketAddr::try_from(getsockname(&refusing).unwrap()).unwrap();
        let good = listener.local_addr().unwrap();
        let mut prober = prober(probe);
        prober.take(Answer::Resolved { backend: 0, addresses: vec![refused, good] }, clock::now());
        assert_eq!(prober.entries[0].backend.address(), Some(refused));
        judge_first(&mut prober);
        (Arc::clone(&prober.entries[0].backend), good)
    }

    #[test]
    fn requests_follow_a_dial_to_the_address_that_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (backend, good) = judged_at_its_second_address(Probe::Tcp, &listener);
        assert!(backend.is_up());
        assert_eq!(backend.address(), Some(good));
    }

    #[test]
    fn requests_follow_an_http_probe_to_the_address_that_answers() {
        use std::io::{Read, Write};

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = listener.try_clone().unwrap();
        let origin = thread::spawn(move || {
            let (mut stream, _) = origin.accept().unwrap();
            let mut head = [0; 1024];
            let read = stream.read(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            String::from_utf8_lossy(&head[..read]).into_owned()
        });
        let probe = Probe::Http { path: "/health".to_owned(), host: None, expect_status: vec![200..=299] };
        let (backend, good) = judged_at_its_second_address(probe, &listener);
        assert!(backend.is_up());
        assert_eq!(backend.address(), Some(good));
        let head = origin.join().unwrap().to_lowercase();
        assert!(head.contains(&format!("host: {NAME}:{}\r\n", good.port())), "{head}");
    }

    #[test]
    fn a_look_up_that_hangs_delays_the_first_verdict_by_one_timeout() {
        let mut prober = prober(Probe::Tcp);
        let name_by = prober.entries[0].name_by;
        let just_before = Moment::from_nanos(name_by.as_nanos() - 1);
        prober.begin_what_is_due(0, just_before);
        assert!(!prober.entries[0].judged);
        assert_eq!(prober.entries[0].acts_at(just_before), name_by);
        prober.begin_what_is_due(0, name_by);
        assert!(prober.entries[0].judged && !prober.entries[0].backend.is_up());
    }

    #[test]
    fn an_address_that_comes_late_is_probed_soon() {
        let mut prober = prober(Probe::Tcp);
        let name_by = prober.entries[0].name_by;
        prober.begin_what_is_due(0, name_by);
        prober.take(Answer::Resolved { backend: 0, addresses: vec![([192, 0, 2, 1], 80).into()] }, name_by);
        assert!(prober.entries[0].acts_at(name_by) <= name_by + Duration::from_secs(1));
    }
}
