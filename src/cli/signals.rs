//! Signals: the first SIGINT or SIGTERM lets requests in flight finish, a second one does not.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::thread;

use ropewalk::Handle;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// Signals that are caught, and the balancer that they are meant for once there is one.
pub(crate) struct Obedience(Arc<OnceLock<Handle>>);

impl Obedience {
    /// Starts to catch signals. Until there is a balancer, a signal ends the process: nothing
    /// is in flight that could finish.
    ///
    /// # Errors
    /// Somebody else in this process handles these signals.
    pub(crate) fn begin() -> Result<Self, Box<dyn Error>> {
        let handle = Arc::new(OnceLock::new());
        let of_interrupt = Arc::clone(&handle);
        ctrlc::set_handler(move || stop("SIGINT", &of_interrupt))?;

        let of_terminate = Arc::clone(&handle);
        let mut signals = Signals::new([SIGTERM])?;
        thread::Builder::new().name("rw-signals".to_owned()).spawn(move || {
            for _ in signals.forever() {
                stop("SIGTERM", &of_terminate);
            }
        })?;
        Ok(Self(handle))
    }

    /// From now on, signals stop the balancer behind `handle`.
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
