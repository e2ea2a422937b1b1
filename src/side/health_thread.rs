//! The `rw-health` thread: probes backends on their schedules and writes the verdicts down.
//!
//! TCP dials are all in flight at once, watched with one `poll`. HTTP probes and name look-ups
//! block, so a few helper threads make them. A backend that hangs holds one helper for its
//! `timeout`; with fewer of those than helpers nobody else is delayed, with more each probe is
//! late by at most `timeout` for every eight of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;

use crate::base::clock::{self, Moment};
use crate::base::limits::{PROBE_THREADS_MAX, RESOLVE_EVERY};
use crate::config::plan::{HealthCheck, Probe};
use crate::side::blocking::{Answer, Helpers, Job, agent, judge};
use crate::side::dial::Dial;
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
    pub fn spawn(backends: Vec<Arc<Backend>>) -> io::Result<Self> {
        let unjudged = backends.iter().filter(|backend| needs_probe(backend)).count();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            unjudged: Mutex::new(unjudged),
            judged: Condvar::new(),
        });
        let prober = Prober::new(Arc::clone(&shared), backends)?;
        let thread = thread::Builder::new().name("rw-health".to_owned()).spawn(move || prober.run())?;
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
    /// Whether its host is a name, and when that is looked up next.
    resolve_at: Moment,
    resolving: bool,
    probing: Option<Probing>,
    judged: bool,
}

/// A probe under way.
enum Probing {
    Dial(Dial),
    Http { began: Moment },
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
        let names = entries.iter().any(|entry| entry.resolve_at != Moment::NEVER);
        let start = |name, threads| Helpers::start(name, threads, count, tell(&answer, &shared));
        Ok(Self {
            http: if http > 0 { Some(start("rw-probe", http)?) } else { None },
            names: if names { Some(start("rw-resolve", 1)?) } else { None },
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
            self.wait();
            let now = clock::now();
            self.end_dials(now);
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
            entry.resolving = names.ask(Job::Resolve { backend: index, host, port });
            entry.resolve_at = now + RESOLVE_EVERY;
        }
        // The first probe of a named backend waits for the name.
        if entry.resolving && !entry.judged {
            return;
        }
        let (Some(schedule), Some(check)) = (&mut entry.schedule, entry.backend.check()) else { return };
        if now < schedule.due() {
            return;
        }
        schedule.began(now, self.rng.f64());
        if entry.probing.is_some() {
            return;
        }
        match begin(entry, check, index, self.http.as_ref(), now) {
            Ok(probing) => self.entries[index].probing = Some(probing),
            Err(reason) => self.record(index, ProbeResult::Failure(reason), now, now),
        }
    }

    /// Sleeps until a dial ends, a helper answers, something is due, or it is time to stop.
    fn wait(&self) {
        let mut fds = vec![PollFd::new(&self.shared.wake, PollFlags::IN)];
        let mut until = Moment::NEVER;
        for entry in &self.entries {
            if let Some(schedule) = &entry.schedule
                && (entry.judged || !entry.resolving)
            {
                until = until.min(schedule.due());
            }
            if !entry.resolving {
                until = until.min(entry.resolve_at);
            }
            if let Some(Probing::Dial(dial)) = &entry.probing {
                fds.push(PollFd::new(dial, PollFlags::OUT));
                until = until.min(dial.deadline);
            }
        }
        let ahead = until.since(clock::now());
        let timeout = Timespec { tv_sec: ahead.as_secs() as i64, tv_nsec: i64::from(ahead.subsec_nanos()) };
        // However this ends, the loop looks at everything again.
        let _ = poll(&mut fds, (until != Moment::NEVER).then_some(&timeout));
        let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
    }

    /// Ends the dials that are decided or too late.
    fn end_dials(&mut self, now: Moment) {
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            let Some(Probing::Dial(dial)) = &entry.probing else { continue };
            let (decided, late) = (is_decided(dial), now >= dial.deadline);
            if !decided && !late {
                continue;
            }
            let Some(Probing::Dial(dial)) = entry.probing.take() else { continue };
            let began = dial.began;
            let result = if decided { dial.result() } else { ProbeResult::Failure(Reason::Timeout) };
            self.record(index, result, began, now);
        }
    }

    fn take(&mut self, answer: Answer, now: Moment) {
        match answer {
            Answer::Probed { backend, status } => {
                let entry = &mut self.entries[backend];
                let Some(Probing::Http { began }) = entry.probing.take() else { return };
                let expected = match entry.backend.check().map(|check| &check.probe) {
                    Some(Probe::Http { expect_status, .. }) => expect_status.as_slice(),
                    _ => &[],
                };
                let result = judge(status, expected);
                self.record(backend, result, began, now);
            }
            Answer::Resolved { backend, address } => {
                let entry = &mut self.entries[backend];
                entry.resolving = false;
                // A name that stops resolving keeps its last address: the resolver may be
                // down while the backend is not, and probes tell.
                if address.is_some() {
                    entry.backend.set_address(address);
                }
            }
        }
    }

    /// Writes down how a probe ended.
    fn record(&mut self, index: usize, result: ProbeResult, began: Moment, now: Moment) {
        let entry = &mut self.entries[index];
        if let Some(transition) = entry.backend.record_probe(result, now.since(began), now) {
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
        let is_name = backend.address().is_none();
        Self {
            schedule: check.map(|check| Schedule::new(check.interval, now, chance)),
            agent: check
                .filter(|check| matches!(check.probe, Probe::Http { .. }))
                .map(|check| agent(check.timeout)),
            resolve_at: if is_name { now } else { Moment::NEVER },
            resolving: false,
            probing: None,
            judged: false,
            backend,
        }
    }
}

fn needs_probe(backend: &Arc<Backend>) -> bool {
    backend.check().is_some()
}

/// Begins one probe.
fn begin(
    entry: &Entry,
    check: &HealthCheck,
    index: usize,
    http: Option<&Helpers>,
    now: Moment,
) -> Result<Probing, Reason> {
    let mut address = entry.backend.address().ok_or(Reason::Unresolved)?;
    if let Some(port) = check.port {
        address.set_port(port);
    }
    match (&check.probe, &entry.agent, http) {
        (Probe::Http { path, host, .. }, Some(agent), Some(http)) => {
            let host = host.clone().unwrap_or_else(|| host_of(&entry.backend, address));
            let url = format!("http://{address}{path}");
            match http.ask(Job::Probe { backend: index, agent: agent.clone(), url, host }) {
                true => Ok(Probing::Http { began: now }),
                // INVARIANT: the queue has a place for every backend.
                false => Err(Reason::Timeout),
            }
        }
        _ => Dial::begin(address, now, now + check.timeout).map(Probing::Dial),
    }
}

/// What a probe puts into Host: what a request to this backend alone would.
fn host_of(backend: &Backend, address: SocketAddr) -> String {
    match (backend.host().parse::<std::net::IpAddr>(), address.port()) {
        (Ok(_), _) => address.to_string(),
        (Err(_), 80) => backend.host().to_owned(),
        (Err(_), port) => format!("{}:{port}", backend.host()),
    }
}

fn is_decided(dial: &Dial) -> bool {
    let mut fds = [PollFd::new(dial, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0) > 0
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
