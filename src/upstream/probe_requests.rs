//! Requests for a probe: how a thread that carries requests asks the health thread to look at a
//! backend now.
//!
//! A refused request shows earlier than the schedule that a backend is gone. Its thread only puts
//! the backend's number into a channel and wakes the health thread. The health thread decides
//! whether a probe is due, so probes cannot become too frequent. A backend asks once until the
//! health thread has taken its request, so the channel never holds more entries than there are
//! backends. This file knows neither probes nor schedules.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, unbounded};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Where backends leave their requests; the health thread owns the other end.
#[derive(Clone, Debug)]
pub struct ProbeRequests {
    sender: Sender<u32>,
    wake: Arc<OwnedFd>,
}

impl ProbeRequests {
    /// The sending end, and the end from which the health thread takes the ids of backends.
    ///
    /// # Errors
    /// The system refuses a descriptor.
    pub fn new() -> Result<(Self, Receiver<u32>), Errno> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let (sender, receiver) = unbounded();
        Ok((Self { sender, wake: Arc::new(wake) }, receiver))
    }

    /// The descriptor that becomes readable when there is something to look at.
    pub fn bell(&self) -> &Arc<OwnedFd> {
        &self.wake
    }

    /// Wakes the health thread.
    pub fn ring(&self) {
        // A full counter means that a wake-up is pending.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Leaves the request of the backend with this id.
    pub(super) fn ask(&self, id: u32) {
        // The health thread may have stopped; then there are no more probes.
        if self.sender.send(id).is_ok() {
            self.ring();
        }
    }
}
