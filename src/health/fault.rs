//! Whether the backend or this process is to blame for a failed probe.

use rustix::io::Errno;

use crate::net::stream::is_shortage;
use crate::upstream::health::Reason;

/// Why a probe failed at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// We are out of descriptors, memory or ports, which says nothing about the backend. If this
    /// counted, the first burst that uses up our descriptors would take down every backend.
    Ours,
    /// The backend, or the network path to it.
    Theirs(Reason),
}

impl Fault {
    /// The fault behind a failed socket call.
    pub(super) fn of(error: Errno) -> Self {
        match error {
            error if is_shortage(error) => Self::Ours,
            Errno::CONNREFUSED => Self::Theirs(Reason::Refused),
            Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE => Self::Theirs(Reason::Reset),
            Errno::TIMEDOUT => Self::Theirs(Reason::Timeout),
            _ => Self::Theirs(Reason::Unreachable),
        }
    }

    /// Whether another address of the same name may do better: nothing answered at this one, and
    /// finding out did not take long.
    pub(super) fn concerns_the_address(self) -> bool {
        use Reason::{Refused, Reset, Unreachable, Unresolved};
        matches!(self, Self::Theirs(Refused | Reset | Unreachable | Unresolved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_shortage_is_not_the_backends_fault() {
        assert_eq!(Fault::of(Errno::MFILE), Fault::Ours);
        assert_eq!(Fault::of(Errno::NOBUFS), Fault::Ours);
        assert_eq!(Fault::of(Errno::ADDRNOTAVAIL), Fault::Ours);
        assert_eq!(Fault::of(Errno::CONNREFUSED), Fault::Theirs(Reason::Refused));
    }
}
