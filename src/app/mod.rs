//! Wires the threads of one balancer together, in start order, and takes them down again.

mod descriptors;
mod explain;
mod handle;
mod operations;
mod reload;
mod reloader;
mod start_error;

use descriptors::Fitted;
pub use descriptors::TooFewDescriptors;
pub use explain::explain_plan;
pub use handle::{BackendState, UnknownBackend};
pub use reload::ReloadError;
pub use start_error::StartError;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::access_log::AccessLog;
use crate::admin::AdminThread;
use crate::admin::operations::{Operations, ReloadsStatus};
use crate::base::buffer::LargeBuffers;
use crate::base::clock::{self, Moment};
use crate::base::counted::Counted;
use crate::base::ids;
use crate::base::limits::{RELOAD_STOP_WAIT, THREAD_STACK_BYTES};
use crate::base::supervisor::{Supervisor, ThreadEnded};
use crate::config::memory::WorstCase;
use crate::config::plan::{AdminPlan, ListenerPlan, Plan};
use crate::health::thread::HealthThread;
use crate::net::listen::Listener;
use crate::net::parking::lot::Parking;
use crate::proxy::context::{ListenerInfo, Shared};
use crate::server::accept::{Acceptor, BoundListener};
use crate::server::poller::Poller;
use crate::server::ready::Ready;
use crate::server::state::ServerState;
use crate::server::task_dump::TaskDump;
use crate::server::worker::Worker;
use crate::upstream::snapshot::Snapshot;
use reload::{Reloading, Source};
use reloader::{ReloadThread, Reloads};

/// A running balancer. Dropping it stops it at once; [`Balancer::join`] lets it run.
///
/// There is no global state: several balancers in one process do not know of each other.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ropewalk::Config::from_file("config.json")?;
/// let balancer = ropewalk::Balancer::start(config.check()?.plan)?;
/// println!("listening on {:?}", balancer.addresses());
/// balancer.join()?;
/// # Ok(())
/// # }
/// ```
pub struct Balancer {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    admin: Option<AdminThread>,
    reload: Option<ReloadThread>,
}

/// Looks into a running [`Balancer`], changes it and stops it, from any thread.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

/// What a balancer and its handles share.
struct Inner {
    /// Spawns every thread, and remembers the first that ended unexpectedly.
    threads: Supervisor,
    state: Arc<ServerState>,
    ending: Arc<Ending>,
    started: Moment,
    /// LOCK: held for a whole reload, so that there is one at a time. No request asks for it.
    reloading: Mutex<Reloading>,
    /// LOCK: guards what became of reloads, for one addition or copy.
    reloads: Mutex<ReloadsStatus>,
    /// LOCK: guards the list of configurations that may be in memory yet, for one addition or count.
    configurations: Mutex<Vec<Weak<Snapshot>>>,
    /// Reloads that were asked for.
    reload_requests: Arc<Reloads>,
    /// LOCK: guards the access log while it is replaced or told something.
    log: Mutex<Option<AccessLog>>,
    /// Lines that were lost, of this access log and those before it.
    log_dropped: Arc<AtomicU64>,
    /// Lines of diagnostics that the program's logger has lost, if it counts them.
    diagnostics_dropped: OnceLock<Arc<AtomicU64>>,
    /// Where a configuration comes from when an operator asks for a reload.
    source: OnceLock<Source>,
}

/// What stands between a stop that was asked for and its end.
#[derive(Default)]
struct Ending {
    /// LOCK: guards the wish for the moment it takes to read or change it.
    wish: Mutex<StopMode>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum StopMode {
    #[default]
    Run,
    Drain,
    Stop,
}

impl Ending {
    /// Wakes the threads that wait for the end, so that they look again.
    fn look_again(&self) {
        // Locked, so that no thread is between its look and the wait that follows.
        drop(self.wish.lock());
        self.changed.notify_all();
    }
}

impl Balancer {
    /// Binds the listeners and starts the threads. Clients are served when this returns.
    ///
    /// # Errors
    /// An address cannot be bound, or the system is out of threads or descriptors.
    pub fn start(plan: Plan) -> Result<Self, StartError> {
        Self::start_with(plan, Vec::new())
    }

    /// The same with listeners that are bound already, for a program that binds before it drops
    /// privileges, or that wants to know its port first. Each serves as the configured listener with
    /// its address; the others are bound. The backlog of a listener stays as it is; the standard
    /// library's is 128, ropewalk's own 4096.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let config = ropewalk::Config::new()
    ///     .listen(&listener.local_addr()?.to_string())
    ///     .backend("http://127.0.0.1:9001");
    /// let balancer = ropewalk::Balancer::start_with(config.check()?.plan, vec![listener])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Balancer::start`], and when a listener is not among the configured ones.
    pub fn start_with(plan: Plan, listeners: Vec<TcpListener>) -> Result<Self, StartError> {
        let listeners: Result<_, _> = listeners.into_iter().map(Listener::try_from).collect();
        Self::start_inherited(plan, listeners.map_err(StartError::System)?)
    }

    #[doc(hidden)]
    pub fn start_inherited(mut plan: Plan, mut inherited: Vec<Listener>) -> Result<Self, StartError> {
        let listeners = plan.listeners.iter().map(|plan| {
            match inherited.iter().position(|inherited| inherited.address() == plan.address) {
                Some(position) => Ok(bound(plan, inherited.swap_remove(position))),
                None => bind(plan),
            }
        });
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        if let Some(left) = inherited.first() {
            return Err(StartError::NotConfigured { address: left.address() });
        }
        let admin = plan.admin.clone();
        let fitted = descriptors::fit(&mut plan).map_err(StartError::Descriptors)?;
        fitted.log();
        let mut balancer = Self::run(plan, listeners, &fitted).map_err(StartError::System)?;
        if let Some(AdminPlan { address, token }) = admin {
            let operations: Arc<dyn Operations> = Arc::new(balancer.handle());
            let thread = AdminThread::spawn(address, token, operations, &balancer.handle.inner.threads);
            balancer.admin = Some(thread.map_err(|source| StartError::Bind { address, source })?);
        }
        Ok(balancer)
    }

    fn run(plan: Plan, listeners: Vec<BoundListener>, fitted: &Fitted) -> io::Result<Self> {
        let workers = plan.workers;
        let now = clock::now();
        let ready = Ready::new(workers, plan.limits.connections)?;
        let snapshot = Arc::new(Snapshot::new(plan));
        let infos = listeners.iter().map(|bound| Arc::clone(&bound.info)).collect();
        let shared = Arc::new(Shared {
            takes_notes: AtomicBool::new(takes_notes(&snapshot.plan)),
            large_buffers: large_buffers(&snapshot.plan),
            ..Shared::new(&snapshot, infos, workers, fitted.pipes)
        });
        let state = Arc::new(ServerState {
            ready,
            parking: Parking::new(workers, now)?,
            shared,
            listeners: Mutex::new(None),
            listeners_changed: Condvar::new(),
            task_dump: TaskDump::default(),
            warm: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            stop: AtomicBool::new(false),
            panics: AtomicU64::new(0),
        });
        let ending = Arc::new(Ending::default());
        let of_threads = Arc::clone(&ending);
        let inner = Inner {
            threads: Supervisor::new(move || of_threads.look_again()),
            state: Arc::clone(&state),
            ending,
            started: now,
            reloading: Mutex::default(),
            reloads: Mutex::default(),
            configurations: Mutex::new(vec![Arc::downgrade(&snapshot)]),
            reload_requests: Arc::default(),
            log: Mutex::default(),
            log_dropped: Arc::default(),
            diagnostics_dropped: OnceLock::new(),
            source: OnceLock::new(),
        };
        let handle = Handle { inner: Arc::new(inner) };
        let mut balancer =
            Self { handle, threads: Vec::with_capacity(workers + 1), admin: None, reload: None };

        // Names are resolved and verdicts are in before the first request, as far as that
        // can be had without keeping clients waiting.
        let health = HealthThread::spawn(&balancer.handle.inner.threads)?;
        health.watch(&snapshot, fitted.probes);
        health.wait_first_round(FIRST_ROUND_WAIT);
        balancer.handle.inner.reloading.lock().health = Some(health);

        let log = balancer.handle.inner.open_log(&snapshot.plan.log)?;
        balancer.handle.inner.replace_log(log);
        for number in 0..workers {
            let worker = Worker::new(number, Arc::clone(&state));
            balancer.spawn(format!("rw-worker-{number:02}"), move || {
                worker.run();
                Ok(())
            })?;
        }
        let passwords = Arc::clone(&state.shared.passwords);
        balancer.spawn("rw-password".to_owned(), move || {
            passwords.run();
            Ok(())
        })?;
        balancer.reload = Some(ReloadThread::spawn(&balancer.handle)?);
        let acceptor = Acceptor::new(listeners);
        acceptor.open(&state)?;
        let poller = Poller::new(state, acceptor);
        balancer.spawn("rw-poller".to_owned(), move || poller.run())?;
        Ok(balancer)
    }

    fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> io::Result<()> {
        let thread = Builder::new().name(name).stack_size(THREAD_STACK_BYTES);
        self.threads.push(self.handle.inner.threads.spawn(thread, run)?);
        Ok(())
    }

    /// The addresses that are bound, with the port that was given for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.handle.addresses()
    }

    /// The address of the admin listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// A handle that other threads can use.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until somebody asks for a stop, and returns when that is complete: after a
    /// [`Handle::drain`] when the last request has been answered or the drain timeout is
    /// over, after a [`Handle::stop_now`] at once.
    ///
    /// # Errors One of its threads ended unexpectedly. Connections are cut then, because the
    /// remaining threads may not be able to serve them.
    pub fn join(mut self) -> Result<(), ThreadEnded> {
        self.wait_for_end();
        self.take_down();
        self.handle.failure().map_or(Ok(()), Err)
    }

    fn wait_for_end(&self) {
        let Inner { state, ending, reload_requests, threads, .. } = &*self.handle.inner;
        let mut deadline = Moment::NEVER;
        let mut wish = ending.wish.lock();
        while threads.failure().is_none() {
            match *wish {
                StopMode::Run => {
                    let late_at = reload_requests.late_at();
                    if late_at == Moment::NEVER {
                        ending.changed.wait(&mut wish);
                    } else {
                        ending.changed.wait_for(&mut wish, late_at.since(clock::now()));
                        reload_requests.log_if_late();
                    }
                }
                StopMode::Stop => return,
                StopMode::Drain => {
                    let now = clock::now();
                    if deadline == Moment::NEVER {
                        deadline = now + state.shared.snapshot.load().plan.timeouts.drain;
                    }
                    let open = state.shared.connections.load(Ordering::Relaxed);
                    if open == 0 {
                        return;
                    }
                    if now >= deadline {
                        log::warn!("the drain timeout is over; closing {}", Counted(open, "connection"));
                        return;
                    }
                    ending.changed.wait_for(&mut wish, DRAIN_LOOK_EVERY);
                }
            }
        }
    }

    fn take_down(&mut self) {
        // They look into everything else.
        drop(self.admin.take());
        drop(self.reload.take());
        let state = &self.handle.inner.state;
        state.stop.store(true, Ordering::Relaxed);
        state.ready.wake_all();
        state.parking.wake();
        state.shared.passwords.stop();
        // If a reload is still being applied, it stops the probes itself.
        if let Some(mut reloading) = self.handle.inner.reloading.try_lock_for(RELOAD_STOP_WAIT) {
            drop(reloading.health.take());
        }
        for thread in self.threads.drain(..) {
            // How it ended is known already.
            let _ = thread.join();
        }
        // After the workers, so that it has their last lines.
        self.handle.inner.replace_log(None);
        // Handles may outlive the balancer; its connections must not.
        let mut left = Vec::new();
        state.parking.take(|_| true, &mut left);
        while let Some(task) = state.ready.take() {
            left.push(task);
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// Opens a listener.
fn bind(plan: &ListenerPlan) -> Result<BoundListener, StartError> {
    Listener::bind(plan.address)
        .map(|listener| bound(plan, listener))
        .map_err(|source| StartError::Bind { address: plan.address, source })
}

/// An open listener as the configured one.
fn bound(plan: &ListenerPlan, listener: Listener) -> BoundListener {
    let (name, address) = (plan.name.clone(), listener.address());
    let info = Arc::new(ListenerInfo { id: ids::next(), name, address, planned: plan.address });
    BoundListener { listener, info }
}

/// Whether somebody wants to know what requests say.
fn takes_notes(plan: &Plan) -> bool {
    plan.admin.is_some() || plan.log.access.is_some()
}

/// How many large buffers `limits.memory` leaves room for, if it is set.
fn large_buffers(plan: &Plan) -> Option<Arc<LargeBuffers>> {
    let count = WorstCase::of(plan).large_buffers?;
    Some(Arc::new(LargeBuffers::new(usize::try_from(count).unwrap_or(usize::MAX))))
}

/// LIMIT: how long a start waits for the first probes.
const FIRST_ROUND_WAIT: Duration = Duration::from_millis(200);

/// How often a drain looks whether the last connection has closed.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_poller_that_cannot_wait_ends_the_balancer_and_join_says_so() {
        let plan = Config::new().listen("127.0.0.1:0").backend("http://127.0.0.1:1").check().unwrap().plan;
        let balancer = Balancer::start(plan).unwrap();
        let handle = balancer.handle();
        assert_eq!(handle.failure(), None);
        handle.inner.state.parking.is_broken.store(true, Ordering::Relaxed);
        handle.inner.state.parking.wake();
        // It returns at all: nobody has asked for a stop.
        let ended = balancer.join().unwrap_err();
        assert_eq!(ended.thread, "rw-poller");
        assert!(ended.reason.starts_with("epoll failed: "), "{ended}");
        assert_eq!(handle.failure(), Some(ended));
    }
}
