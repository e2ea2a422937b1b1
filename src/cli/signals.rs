//! Signal handling.
//!
//! SIGINT and SIGTERM drain: requests in flight finish; a second one stops at once. SIGHUP rereads the
//! configuration. SIGUSR1 reopens the access log. SIGQUIT prints what every task in flight is doing.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ropewalk::Handle;
use ropewalk::internal::admin::operations::Operations as _;
use ropewalk::internal::admin::requests_table;
use ropewalk::internal::base::counted::Counted;
use signal_hook::consts::{SIGHUP, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator;

use super::exit::{complain, spawn_vital};
use super::logging;
use super::notify::Manager;

/// The caught signals, and the balancer they are for once there is one.
pub(crate) struct Signals(Arc<Caught>);

/// State shared by the threads that catch signals.
#[derive(Default)]
struct Caught {
    served: OnceLock<Served>,
    /// A SIGHUP arrived before there was a balancer. The file may have changed after it was read, so a
    /// reload follows. SeqCst: either the signal thread sees the balancer, or the thread that publishes
    /// the balancer sees the flag.
    hangup: AtomicBool,
}

/// A balancer, and the service manager to notify.
#[derive(Clone)]
struct Served {
    handle: Handle,
    manager: Arc<Manager>,
}

impl Signals {
    /// Starts to catch signals. Until there is a balancer, a stop signal ends the process, since
    /// nothing is in flight; a SIGHUP is remembered; other signals are ignored.
    ///
    /// # Errors
    /// These signals are already handled elsewhere in this process.
    pub(crate) fn begin() -> Result<Self, Box<dyn Error>> {
        let caught = Arc::new(Caught::default());
        let of_interrupt = Arc::clone(&caught);
        ctrlc::set_handler(move || stop("SIGINT", &of_interrupt.served))?;

        let of_others = Arc::clone(&caught);
        let mut signals = iterator::Signals::new([SIGTERM, SIGHUP, SIGUSR1, SIGQUIT])?;
        spawn_vital("rw-signals", move || {
            for signal in signals.forever() {
                match (signal, of_others.served.get()) {
                    (SIGTERM, _) => stop("SIGTERM", &of_others.served),
                    (SIGHUP, _) => {
                        of_others.hangup.store(true, Ordering::SeqCst);
                        of_others.reload_if_asked();
                    }
                    (SIGUSR1, Some(Served { handle, .. })) => handle.reopen_logs(),
                    (SIGQUIT, Some(Served { handle, .. })) => {
                        complain(requests_table(handle.requests()).trim_end());
                    }
                    _ => {}
                }
            }
        })?;
        Ok(Self(caught))
    }

    /// From now on, signals go to the balancer behind `handle`, which serves clients; `manager` is
    /// notified.
    pub(crate) fn serve(&self, handle: Handle, manager: Manager) {
        // A second balancer would be a second process.
        let served = self.0.served.get_or_init(|| Served { handle, manager: Arc::new(manager) });
        served.manager.ready(&served.status());
        self.0.reload_if_asked();
    }
}

impl Caught {
    /// Requests a reload if a SIGHUP has arrived and there is a balancer.
    fn reload_if_asked(&self) {
        if let Some(served) = self.served.get()
            && self.hangup.swap(false, Ordering::SeqCst)
        {
            served.reload();
        }
    }
}

impl Served {
    /// Requests a reload and returns at once. The result is logged.
    fn reload(&self) {
        self.manager.reloading();
        let served = self.clone();
        self.handle.request_reload(move |result| {
            let status = match result {
                Ok(_) => served.status(),
                Err(error) => format!("{}; the last reload was refused: {error}", served.status()),
            };
            served.manager.ready(&status);
        });
    }

    /// The status line for normal operation.
    fn status(&self) -> String {
        let addresses: Vec<_> =
            self.handle.addresses().iter().map(|address| format!("http://{address}")).collect();
        let backends = Counted(self.handle.backends().len(), "backend");
        format!("listening on {} for {backends}", addresses.join(", "))
    }
}

fn stop(signal: &str, served: &OnceLock<Served>) {
    let Some(Served { handle, manager }) = served.get() else {
        logging::flush();
        std::process::exit(0)
    };
    let open = handle.connections();
    if handle.is_stopping() {
        log::warn!("{signal} again: stopping at once, with {} left", Counted(open, "open connection"));
        handle.stop_now();
    } else {
        log::info!("{signal}: no new connections; {} may finish", Counted(open, "open connection"));
        manager.stopping(&format!("draining since there were {}", Counted(open, "open connection")));
        handle.drain();
    }
}
