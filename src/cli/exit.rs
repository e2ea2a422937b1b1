//! How a command ends: exit status and final messages.

use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread::Builder;

use super::logging;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Fine,
    /// Failed while running: a port in use, for example.
    Failed,
    /// Bad usage or configuration.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Refused => Self::from(2),
        }
    }
}

/// Starts a thread that the process cannot do without: if it panics, the process exits.
pub(crate) fn spawn_vital(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Builder::new().name(name.to_owned()).spawn(move || {
        // The panic itself has been logged.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            log::error!("thread {name}, which the balancer cannot work without, has ended: it panicked");
            logging::flush();
            std::process::exit(1);
        }
    })?;
    Ok(())
}

/// Writes a line to stdout. `println!` would panic if the reader has gone, as in `ropewalk check | head
/// -0`.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line to stderr, likewise. Never blocks in a running balancer.
pub(crate) fn complain(line: impl fmt::Display) {
    logging::write(&line.to_string());
}
