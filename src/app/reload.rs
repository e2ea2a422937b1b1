//! A new configuration for a running balancer: all of it at once, or nothing.
//!
//! What can fail comes first: listeners are bound before anything else changes. Then one
//! atomic store publishes the new snapshot. Requests under way keep the one that
//! they began with; backends that both name keep their health, counters and connections.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{RecvTimeoutError, bounded};

use crate::access_log::AccessLog;
use crate::app::reloader::Step;
use crate::app::{Handle, Inner, StartError, bind, descriptors, takes_notes};
use crate::base::limits::RELOAD_WAIT;
use crate::config::changes::changes;
use crate::config::plan::{ListenerPlan, LogPlan, Plan};
use crate::health::thread::HealthThread;
use crate::observe::metrics::{GONE, Key};
use crate::proxy::context::{ListenerInfo, LogSource};
use crate::server::accept::Change;
use crate::upstream::backend::Backend;
use crate::upstream::pool::Pool;
use crate::upstream::snapshot::Snapshot;

/// What reloads change, beside the snapshot.
#[derive(Default)]
pub(super) struct Reloading {
    /// Probes the backends of the present snapshot, for as long as the balancer runs; `None` once
    /// it has stopped.
    pub(super) health: Option<HealthThread>,
}

/// Where a configuration comes from.
pub(super) type Source = Box<dyn Fn() -> Result<Plan, String> + Send + Sync>;

/// Why a configuration was not applied. Nothing has changed.
#[derive(Debug)]
pub enum ReloadError {
    /// A listener could not be bound, or the system is out of threads or descriptors.
    Start(StartError),
    /// Another reload is still being applied.
    Busy,
    /// The balancer is being stopped.
    Stopping,
}

impl Inner {
    /// Opens the access log that a plan describes, if it describes one.
    pub(super) fn open_log(&self, plan: &LogPlan) -> io::Result<Option<AccessLog>> {
        plan.access.as_ref().map(|plan| AccessLog::open(plan, &self.log_dropped, &self.threads)).transpose()
    }

    /// Puts an access log in the place of the one there is, whose last lines are still written.
    pub(super) fn replace_log(&self, log: Option<AccessLog>) {
        let source = log.as_ref().map(AccessLog::source);
        self.state.shared.log.store(source.map(|(intake, format)| Arc::new(LogSource { intake, format })));
        let before = std::mem::replace(&mut *self.log.lock(), log);
        match before {
            Some(before) if self.state.stop.load(Ordering::Relaxed) => drop(before),
            // Workers may hold lines for it yet.
            Some(before) => before.retire(),
            None => {}
        }
    }
}

impl Handle {
    /// Applies another configuration without losing a request: returns what has changed, a
    /// line for each change.
    ///
    /// `workers` and `admin` stay as they are until a restart, and so does
    /// `limits.connections` as far as it is raised.
    ///
    /// # Errors
    /// A new listener cannot be bound, the system refuses a thread, or a stop is under way.
    /// Nothing has changed then.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let balancer = ropewalk::Balancer::start(ropewalk::Config::new().check()?.plan)?;
    /// let config = ropewalk::Config::from_file("config.json")?;
    /// for change in balancer.handle().reload(config.check()?.plan)? {
    ///     println!("{change}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn reload(&self, plan: Plan) -> Result<Vec<String>, ReloadError> {
        let mut reloading = self.inner.reloading.try_lock_for(RELOAD_WAIT).ok_or(ReloadError::Busy)?;
        self.apply(plan, &mut reloading)
    }

    fn apply(&self, mut plan: Plan, reloading: &mut Reloading) -> Result<Vec<String>, ReloadError> {
        if reloading.health.is_none() || self.is_stopping() {
            return Err(ReloadError::Stopping);
        }
        let state = &self.inner.state;
        let shared = &state.shared;
        let before = shared.snapshot.load_full();
        // How many pipes there may be was settled at the start.
        let fitted = descriptors::fit(&mut plan)
            .map_err(|error| ReloadError::Start(StartError::Descriptors(error)))?;
        // The ready channel was made for so many.
        plan.lower_limits(state.ready.capacity(), usize::MAX);

        let change = listen(&plan.listeners, &shared.listeners.load()).map_err(ReloadError::Start)?;
        let same_log = before.plan.log.access == plan.log.access;
        let log = if same_log { Ok(None) } else { self.inner.open_log(&plan.log) };
        let log = log.map_err(|error| ReloadError::Start(StartError::System(error)))?;
        let lines = changes(&before.plan, &plan);
        // The admin listener is the one that there is, and its views want to know what heads say.
        plan.keep_admin(&before.plan);
        // From here on nothing fails. Backends that stay get the new configuration's settings.
        let after = Arc::new(Snapshot::after(plan, &before));
        if !same_log {
            self.inner.replace_log(log);
        }

        shared.takes_notes.store(takes_notes(&after.plan), Ordering::Relaxed);
        // First, since a connection asks once for each snapshot what its listener is called.
        let added = change.add.iter().map(|bound| &bound.info);
        shared.listeners.store(Arc::new(change.keep.iter().chain(added).map(Arc::clone).collect()));
        shared.snapshot.store(Arc::clone(&after));
        let mut configurations = self.inner.configurations.lock();
        configurations.retain(|old| old.strong_count() > 0);
        configurations.push(Arc::downgrade(&after));
        drop(configurations);
        // Bounds, weights and members may be other ones now, and requests wait for them.
        after.backends().for_each(Backend::offer);
        if let Some(health) = &reloading.health {
            health.watch(&after, fitted.probes);
        }
        let mut listeners = state.listeners.lock();
        *listeners = Some(match listeners.take() {
            Some(pending) => pending.and_then(change),
            None => change,
        });
        state.parking.wake();
        // What is removed is closed when this returns, so that the next reload may open it again.
        state.listeners_changed.wait_while_for(
            &mut listeners,
            |listeners| listeners.is_some(),
            DOORS_PATIENCE,
        );
        drop(listeners);
        // A stop that did not wait for this found no probes to end.
        if state.stop.load(Ordering::Relaxed) {
            drop(reloading.health.take());
        }
        // Workers that sleep let go of the old access log.
        state.ready.wake_all();
        self.forget_what_is_gone(&before, &after);
        Ok(lines)
    }

    /// Says where a configuration comes from when an operator asks for a reload: from the
    /// file again, usually. Can be said once; without it such a reload is refused.
    pub fn set_source(&self, source: impl Fn() -> Result<Plan, String> + Send + Sync + 'static) {
        if self.inner.source.set(Box::new(source)).is_err() {
            log::warn!("the source of the configuration was set twice; the first one stays");
        }
    }

    /// Asks for a reload from the source and returns at once. `done` is called from another thread
    /// with what changed, a line for each change, or why nothing did; both are logged too. Requests
    /// that come while a reload runs share the next one.
    pub fn request_reload(&self, done: impl FnOnce(Result<Vec<String>, String>) + Send + 'static) {
        self.inner.reload_requests.request(Box::new(done));
    }

    /// The same, but waits for the end of the reload.
    ///
    /// # Errors As for [`Handle::reload`], or the source has no valid configuration, or it hangs:
    /// then the reload continues and may still be applied. The text is for people.
    pub fn reload_from_source(&self) -> Result<Vec<String>, String> {
        let (result, ended) = bounded(1);
        self.request_reload(move |what| drop(result.send(what)));
        match ended.recv_timeout(RELOAD_WAIT) {
            Ok(what) => what,
            Err(RecvTimeoutError::Disconnected) => Err(ReloadError::Stopping.to_string()),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("the reload is still running: {}", self.inner.reload_requests.progress()))
            }
        }
    }

    /// Applies the configuration that the source has now, and logs the result. Only the reload
    /// thread calls this, so reloads run one at a time and the last request wins.
    pub(super) fn reload_now(&self) -> Result<Vec<String>, String> {
        let read = match self.inner.source.get() {
            Some(source) => source(),
            None => Err("there is no configuration file to read again".to_owned()),
        };
        self.inner.reload_requests.at(Step::Apply);
        let result = read.and_then(|plan| self.reload(plan).map_err(|error| error.to_string()));
        match &result {
            Ok(lines) => {
                match lines.len() {
                    1 => log::info!("configuration reloaded: 1 change"),
                    count => log::info!("configuration reloaded: {count} changes"),
                }
                lines.iter().for_each(|line| log::info!("  {line}"));
            }
            Err(error) => {
                // A record is a line; what is wrong may be several.
                let mut lines = error.lines();
                let first = lines.next().unwrap_or_default();
                log::error!("configuration not reloaded, the old one stays: {first}");
                lines.for_each(|line| log::error!("  {line}"));
            }
        }
        let mut reloads = self.inner.reloads.lock();
        match &result {
            Ok(_) => {
                reloads.applied += 1;
                reloads.last_error.clear();
            }
            Err(error) => {
                reloads.refused += 1;
                reloads.last_error.clone_from(error);
            }
        }
        drop(reloads);
        result
    }

    /// Closes kept connections to backends that are gone, and drops what was counted of what is.
    fn forget_what_is_gone(&self, before: &Snapshot, after: &Snapshot) {
        let shared = &self.inner.state.shared;
        let backends: HashSet<u32> = after.backends().map(|backend| backend.id()).collect();
        for backend in before.backends().filter(|backend| !backends.contains(&backend.id())) {
            // Requests in flight are about to give theirs back, and nobody would look after those.
            backend.idle().set_max(0);
            backend.idle().clear();
        }
        let pools: HashSet<u32> = after.pools.iter().map(Pool::id).collect();
        let listeners: HashSet<u32> = shared.listeners.load().iter().map(|info| info.id).collect();
        let stays = |ids: &HashSet<u32>, id: u32| if id == 0 || ids.contains(&id) { id } else { GONE };
        for shard in &shared.shards {
            // Under one number, so that reloads do not pile up what nobody is shown; but not
            // forgotten, or the sums of a pool or a backend that stays would go down.
            shard.rekey(|Key { listener, pool, backend, code }| {
                (stays(&pools, pool) != GONE).then(|| Key {
                    listener: stays(&listeners, listener),
                    pool,
                    backend: stays(&backends, backend),
                    code,
                })
            });
        }
    }
}

/// LIMIT: how long a reload waits for the poller, whose turn is a few milliseconds at most.
const DOORS_PATIENCE: Duration = Duration::from_secs(1);

/// Binds the listeners that are new, and finds those that stay.
fn listen(plans: &[ListenerPlan], before: &[Arc<ListenerInfo>]) -> Result<Change, StartError> {
    let mut open: Vec<_> = before.to_vec();
    let mut change = Change::default();
    for plan in plans {
        match open.iter().position(|info| info.planned == plan.address) {
            Some(place) => {
                let ListenerInfo { id, address, planned, .. } = *open.swap_remove(place);
                change.keep.push(Arc::new(ListenerInfo { id, address, planned, name: plan.name.clone() }));
            }
            None => change.add.push(bind(plan)?),
        }
    }
    Ok(change)
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(StartError::System(source)) => write!(f, "cannot apply it: {source}"),
            Self::Start(error) => error.fmt(f),
            Self::Busy => f.write_str("another reload is still being applied"),
            Self::Stopping => f.write_str("the balancer is shutting down"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            Self::Busy | Self::Stopping => None,
        }
    }
}
