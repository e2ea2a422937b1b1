//! Why a balancer did not start, with the remedy where there is one.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::descriptors::TooFewDescriptors;

/// Why a balancer did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address could not be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A listener was inherited that the configuration does not name.
    NotConfigured {
        /// Its address.
        address: SocketAddr,
    },
    /// The process may have too few descriptors to serve any client.
    Descriptors(TooFewDescriptors),
    /// The system refused a thread, a descriptor or memory.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => {
                write!(f, "cannot listen on {address}: {source}")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => {
                        write!(f, "; find who holds it with: ss -ltnp 'sport = :{}'", address.port())
                    }
                    io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                        write!(f, "; ports below 1024 need CAP_NET_BIND_SERVICE: try a higher one")
                    }
                    io::ErrorKind::AddrNotAvailable => write!(f, "; this machine does not have that address"),
                    _ => Ok(()),
                }
            }
            Self::NotConfigured { address } => write!(
                f,
                "the service manager passed a socket that listens on {address}, but the configuration has no \
                 such listener; put \"{address}\" into \"listen\", or change ListenStream= of the socket unit"
            ),
            Self::Descriptors(source) => write!(f, "cannot start: {source}"),
            Self::System(source) => write!(f, "cannot start: {source}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::System(source) => Some(source),
            Self::Descriptors(source) => Some(source),
            Self::NotConfigured { .. } => None,
        }
    }
}
