//! Signals: the first SIGINT or SIGTERM lets requests in flight finish, a second one does not.

use std::error::Error;
use std::thread;

use ropewalk::Handle;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// Stops the balancer behind `handle` when the process is told to.
///
/// # Errors
/// Somebody else in this process handles these signals.
pub(crate) fn obey(handle: Handle) -> Result<(), Box<dyn Error>> {
    let on_interrupt = handle.clone();
    ctrlc::set_handler(move || stop("SIGINT", &on_interrupt))?;

    let mut signals = Signals::new([SIGTERM])?;
    thread::Builder::new().name("rw-signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            stop("SIGTERM", &handle);
        }
    })?;
    Ok(())
}

fn stop(signal: &str, handle: &Handle) {
    if handle.is_stopping() {
        log::warn!("{signal} again: stopping at once, with {} connections open", handle.connections());
        handle.stop_now();
    } else {
        log::info!("{signal}: no new connections, {} open ones may finish", handle.connections());
        handle.drain();
    }
}
