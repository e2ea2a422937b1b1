//! Listening sockets that whoever started the process bound for it: `LISTEN_FDS` of systemd
//! and of others that speak its protocol, sd_listen_fds(3).
//!
//! A socket that outlives the process keeps the connections that arrive while it is replaced,
//! and a process that binds nothing needs no privilege for low ports. This file says which
//! descriptors are meant for us and that they are what they should be; it must not know which
//! addresses are configured.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::listen::Listener;
use super::sys;
use crate::base::limits::INHERITED_MAX;

/// The first descriptor that is passed, by the protocol: those below are the standard streams.
const FIRST: RawFd = 3;

/// What the protocol speaks of. Removed when it has been read: it is not for processes that
/// this one may start.
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Why the sockets that were passed cannot be used.
#[derive(Debug)]
pub enum InheritError {
    /// `LISTEN_FDS` is not a number of sockets.
    Count(OsString),
    /// A descriptor is not a socket that listens for TCP connections.
    Socket {
        /// Its number.
        descriptor: RawFd,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There are other threads, which may be using the environment.
    Threads,
}

/// The listeners that were passed to this process, each once: a second call returns none.
///
/// Call it before any other thread is started.
///
/// # Errors
/// What was passed is not what the protocol promises, or there are other threads.
pub fn listeners() -> Result<Vec<Listener>, InheritError> {
    let [pid, count, _] = VARIABLES.map(env::var_os);
    // The variables of a process further up are inherited like all others, its descriptors are not.
    let ours = pid.is_some_and(|pid| pid.to_str() == Some(&std::process::id().to_string()));
    let Some(count) = count.filter(|_| ours) else { return Ok(Vec::new()) };
    let number = count.to_str().and_then(|count| count.parse().ok());
    let Some(number) = number.filter(|number| (0..=INHERITED_MAX).contains(number)) else {
        return Err(InheritError::Count(count));
    };
    sys::remove_variables(&VARIABLES).map_err(|_| InheritError::Threads)?;
    let owned: Vec<_> = (FIRST..FIRST + number).map(|fd| (fd, sys::own(fd))).collect();
    owned.into_iter().map(|(fd, owned)| listener(fd, owned)).collect()
}

fn listener(descriptor: RawFd, owned: io::Result<OwnedFd>) -> Result<Listener, InheritError> {
    owned.and_then(Listener::inherited).map_err(|source| InheritError::Socket { descriptor, source })
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(
                f,
                "LISTEN_FDS is {count:?}, which is not a number of sockets from 0 to {INHERITED_MAX}"
            ),
            Self::Socket { descriptor, source } => write!(
                f,
                "descriptor {descriptor}, passed by the service manager, cannot be used: {source}; \
                 a socket unit for ropewalk has ListenStream= with an IP address and a port, and Accept=no"
            ),
            Self::Threads => {
                write!(f, "sockets of the service manager must be taken over before threads are started")
            }
        }
    }
}

impl std::error::Error for InheritError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            Self::Count(_) | Self::Threads => None,
        }
    }
}
