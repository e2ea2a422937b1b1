//! `ropewalk --config FILE`: run the balancer until a signal stops it.

use std::path::Path;

use ropewalk::internal::base::counted::Counted;
use ropewalk::internal::config::plan::Plan;
use ropewalk::internal::net::inherit;
use ropewalk::internal::net::listen::Listener;
use ropewalk::{Balancer, Handle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::args::Settings;
use super::exit::{Exit, complain};
use super::notify::Manager;
use super::signals::Signals;
use super::{check, logging, watch};

/// Checks the settings, as `ropewalk check` does, and runs what they describe.
pub(crate) fn run(settings: &Settings) -> Exit {
    if settings.watch && settings.is_read_once() {
        complain("--watch needs a file: standard input cannot be read again");
        return Exit::Refused;
    }
    let checked = match check::load(settings) {
        Ok(checked) => checked,
        Err(unusable) => {
            complain(format_args!("{unusable:#}"));
            return Exit::Refused;
        }
    };
    // Before any thread starts, including the logger's, because it changes the environment.
    let inherited = match inherit::listeners() {
        Ok(inherited) => inherited,
        Err(error) => {
            complain(format_args!("ropewalk: {error}"));
            return Exit::Failed;
        }
    };
    logging::start(checked.plan.log.level);
    for warning in &checked.warnings {
        log::warn!("{}", warning.for_log());
    }
    let (workers, backends) =
        (checked.plan.workers, checked.plan.pools.iter().map(|pool| pool.backends.len()));
    let backends: usize = backends.sum();
    let reload = settings.clone();
    let source = move || {
        if reload.is_read_once() {
            return Err("the configuration came from standard input, which cannot be read again; start \
                        ropewalk with a file to be able to reload"
                .to_owned());
        }
        let checked = check::load(&reload).map_err(|unusable| unusable.to_string())?;
        checked.warnings.iter().for_each(|warning| log::warn!("{}", warning.for_log()));
        log::set_max_level(checked.plan.log.level);
        Ok(checked.plan)
    };
    let watched = settings.file().filter(|_| settings.watch).map(Path::to_owned);
    let prepare = |handle: &Handle| {
        handle.set_source(source);
        if let Some(file) = watched {
            watch::start(file, handle.clone());
        }
    };
    balance(checked.plan, inherited, Manager::of_this_process(), prepare, |balancer| {
        let addresses = balancer.addresses();
        let addresses: Vec<_> = addresses.iter().map(|address| format!("http://{address}")).collect();
        log::info!(
            "ropewalk {} listening on {} with {} for {}",
            env!("CARGO_PKG_VERSION"),
            addresses.join(", "),
            Counted(workers, "worker"),
            Counted(backends, "backend")
        );
        if let Some(admin) = balancer.admin_address() {
            log::info!("admin listener on http://{admin}");
        }
    })
}

/// Starts the balancer, calls `prepare` before signals reach it, calls `started`, and waits for the
/// balancer's end. `inherited` are listeners that are already bound; `manager` is told when clients are
/// served, and what signals do.
pub(crate) fn balance(
    plan: Plan,
    inherited: Vec<Listener>,
    manager: Manager,
    prepare: impl FnOnce(&Handle),
    started: impl FnOnce(&Balancer),
) -> Exit {
    raise_descriptor_limit();
    let signals = match Signals::begin() {
        Ok(signals) => signals,
        Err(error) => {
            complain(format_args!("ropewalk: cannot listen for signals: {error}"));
            return Exit::Failed;
        }
    };
    let balancer = match Balancer::start_inherited(plan, inherited) {
        Ok(balancer) => balancer,
        Err(error) => {
            complain(format_args!("ropewalk: {error}"));
            return Exit::Failed;
        }
    };
    // Before the start is announced: a signal that follows immediately must find the balancer, and an
    // earlier SIGHUP must find the source of its configuration.
    prepare(&balancer.handle());
    signals.serve(balancer.handle(), manager);
    if let Some(dropped) = logging::dropped() {
        balancer.handle().count_lost_diagnostics(dropped);
    }
    started(&balancer);
    match balancer.join() {
        Ok(()) => {
            log::info!("stopped");
            Exit::Fine
        }
        // Already logged. The service manager restarts the process.
        Err(_) => Exit::Failed,
    }
}

/// Raises the descriptor limit to what the system allows. The soft limit is meant for programs that use
/// select(2), and this one does not.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If this fails, the limit on connections adapts to the descriptors there are.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
