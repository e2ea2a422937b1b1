//! Requests for a probe: how a worker asks the health thread to check a backend now.
//!
//! A refused connection shows sooner than the schedule that a backend is gone. The worker only puts the
//! backend's id into a channel and wakes the health thread, which decides whether a probe is due, so
//! probes cannot become too frequent. A backend asks only once until the health thread has taken its
//! request, so the channel never holds more entries than there are backends. This file knows neither
//! probes nor schedules.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// The sending end; the health thread owns the other one.
#[derive(Clone, Debug)]
pub struct ProbeRequests {
    sender: Sender<u32>,
    wake: Arc<OwnedFd>,
}

impl ProbeRequests {
    /// The sending end, and the end from which the health thread takes backend ids.
    ///
    /// # Errors
    /// The system cannot create a descriptor.
    pub fn new() -> Result<(Self, Receiver<u32>), Errno> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "LIMIT: a backend is in it once at most, as it asks once"
        )]
        let (sender, receiver) = unbounded();
        Ok((Self { sender, wake: Arc::new(wake) }, receiver))
    }

    /// The descriptor that becomes readable when there is a request.
    pub fn wake_fd(&self) -> &Arc<OwnedFd> {
        &self.wake
    }

    /// Wakes the health thread.
    pub fn wake(&self) {
        // A full counter means that a wake-up is pending.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Requests a probe of the backend with this id.
    pub(super) fn ask(&self, id: u32) {
        // If the health thread has stopped, there are no more probes.
        if self.sender.send(id).is_ok() {
            self.wake();
        }
    }
}
