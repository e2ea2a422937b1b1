//! Signals, in the words of the operator who sends them.
//!
//! SIGINT and SIGTERM: requests in flight finish; a second one stops at once. SIGHUP: the
//! configuration is read again. SIGUSR1: the access log is opened anew. SIGQUIT: what every
//! task in flight is doing is printed.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::thread;

use ropewalk::Handle;
use ropewalk::side::admin::operations::Operations as _;
use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::exit::complain;
use super::requests_table;

/// Signals that are caught, and the balancer that they are meant for once there is one.
pub(crate) struct Obedience(Arc<OnceLock<Handle>>);

impl Obedience {
    /// Starts to catch signals. Until there is a balancer, one that would stop it ends the
    /// process: nothing is in flight that could finish. Others mean nothing yet.
    ///
    /// # Errors
    /// Somebody else in this process handles these signals.
    pub(crate) fn begin() -> Result<Self, Box<dyn Error>> {
        let handle = Arc::new(OnceLock::new());
        let of_interrupt = Arc::clone(&handle);
        ctrlc::set_handler(move || stop("SIGINT", &of_interrupt))?;

        let of_others = Arc::clone(&handle);
        let mut signals = Signals::new([SIGTERM, SIGHUP, SIGUSR1, SIGQUIT])?;
        thread::Builder::new().name("rw-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                match (signal, of_others.get()) {
                    (SIGTERM, _) => stop("SIGTERM", &of_others),
                    // What came of it is logged.
                    (SIGHUP, Some(handle)) => drop(handle.reload_from_source()),
                    (SIGUSR1, Some(handle)) => handle.reopen_logs(),
                    (SIGQUIT, Some(handle)) => complain(requests_table::table(&handle.requests())),
                    _ => {}
                }
            }
        })?;
        Ok(Self(handle))
    }

    /// From now on, signals are for the balancer behind `handle`.
    pub(crate) fn serve(&self, handle: Handle) {
        // A second balancer would be a second process.
        let _ = self.0.set(handle);
    }
}

fn stop(signal: &str, handle: &OnceLock<Handle>) {
    match handle.get() {
        None => std::process::exit(0),
        Some(handle) if handle.is_stopping() => {
            log::warn!("{signal} again: stopping at once, with {} connections open", handle.connections());
            handle.stop_now();
        }
        Some(handle) => {
            log::info!("{signal}: no new connections, {} open ones may finish", handle.connections());
            handle.drain();
        }
    }
}
