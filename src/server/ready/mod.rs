//! Tasks that can go on, and which workers are awake to take them.
//!
//! Everything about "who is awake" is in this folder: the channel and its announcements here, the
//! flags and their memory orderings in [`wakes`], what one worker does about it in [`shift`], and
//! how many workers share the work in [`crew`].
//!
//! Waking a sleeping thread costs as much as a request, and tasks that are spread over more workers
//! than they need make smaller batches. So few workers stay awake. A worker that is awake looks at
//! the channel before it sleeps and needs no wake-up; if all sleep, the first of them is woken. More
//! of the crew join in when a body keeps a worker busy, when the channel is long, or when a worker
//! has not slept for a while.
//!
//! ```text
//!                    begin_poll: asleep = true
//!   ┌─────────────┐  then a last look at the channel   ┌──────────────┐
//!   │   at work   │───────────────────────────────────►│ about to     │
//!   │ asleep = no │◄───────────────────────────────────│ sleep        │
//!   └─────────────┘  the channel holds work: end_poll  └──────┬───────┘
//!      ▲                                                      │ nothing there
//!      │ end_poll                                             ▼
//!      │                             ┌─────────────────────────────────────────────┐
//!      │                             │ asleep, in poll(waker, warm tasks, …)       │
//!      │                             │  watches = yes: and parked tasks (one       │
//!      │                             │                 sleeper of the crew does)   │
//!      │                             │  watches = no:  only these                  │
//!      │                             └──────┬──────────────────────┬───────────────┘
//!      │   a warm or parked task is ready   │                      │ announce, wake_another:
//!      ├────────────────────────────────────┘                      │ asleep = no, ring
//!      │                                                           ▼
//!      │                                                    ┌─────────────┐
//!      └────────────────────────────────────────────────────│ being woken │
//!                                                           └─────────────┘
//! ```
//!
//! `wake_all` rings every waker in any state: the balancer stops, the crew has changed, or an
//! operator asks what the workers are doing. A worker outside the crew hands its tasks over and
//! then only sleeps.

pub mod crew;
pub mod shift;
pub mod wakes;

use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use crate::net::warm::Waker;
use crate::proxy::connection::Connection;
use crate::server::ready::crew::{Sizer, WorkerSample};
use crate::server::ready::wakes::{Wake, Wakes};

/// Tasks that can go on, and the workers that may take them.
pub struct Ready {
    sender: Sender<Box<Connection>>,
    receiver: Receiver<Box<Connection>>,
    wakes: Wakes<Waker>,
    /// LOCK: guards the crew's size for some arithmetic; each worker asks for it once in a window.
    sizer: Mutex<Sizer>,
}

impl Wake for Waker {
    fn ring(&self) {
        Self::ring(self);
    }
}

impl Ready {
    /// A channel for `workers` workers that holds `capacity` tasks.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(workers: usize, capacity: usize) -> std::io::Result<Self> {
        let (sender, receiver) = bounded(capacity);
        let wakers = (0..workers).map(|_| Waker::new()).collect::<std::io::Result<Vec<_>>>()?;
        let sizer = Mutex::new(Sizer::new(workers));
        Ok(Self { sender, receiver, wakes: Wakes::new(wakers.into_iter()), sizer })
    }

    /// Puts a task at the end of the channel. Gives it back if the channel is full, which
    /// takes more tasks than there may be connections.
    pub fn push(&self, task: Box<Connection>) -> Result<(), Box<Connection>> {
        self.sender.try_send(task).map_err(|error| error.into_inner())
    }

    /// Puts a task at the end of the channel, for callers that could do nothing else with it. The
    /// channel holds as many tasks as there may be connections; were it full, the connection closes.
    pub fn put(&self, task: Box<Connection>) {
        drop(self.push(task));
    }

    /// Takes the task at the front, if there is one.
    pub fn take(&self) -> Option<Box<Connection>> {
        self.receiver.try_recv().ok()
    }

    /// How many tasks there is room for.
    pub fn capacity(&self) -> usize {
        self.receiver.capacity().unwrap_or(usize::MAX)
    }

    /// Whether no task is waiting.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// How many tasks are waiting.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Makes sure that a worker notices what was just put into the channel.
    pub fn announce(&self) {
        self.wakes.announce(|| self.len());
    }

    /// Wakes one more worker of the crew, if one sleeps.
    pub fn wake_another(&self) {
        self.wakes.wake_another();
    }

    /// Wakes every worker, of the crew or not.
    pub fn wake_all(&self) {
        self.wakes.wake_all();
    }

    /// Whether some worker of the crew is at work.
    pub fn is_awake(&self) -> bool {
        self.wakes.is_awake()
    }

    /// How many workers sleep.
    pub fn sleepers(&self) -> usize {
        self.wakes.sleepers()
    }

    /// Takes a worker's report, and changes the crew if that seems right.
    fn report(&self, worker: usize, sample: WorkerSample) {
        let changed = {
            let mut sizer = self.sizer.lock();
            sizer.report(worker, sample);
            // Under the lock, so that a later size cannot be overwritten by an earlier one.
            self.wakes.set_crew(sizer.size())
        };
        if changed {
            self.wakes.wake_all();
        }
    }
}
