//! The queue of passwords to hash, and the requests that wait for the result.
//!
//! A hash takes milliseconds by design. If workers computed them, wrong passwords from many addresses
//! would delay every other client. So one thread per balancer computes them, one at a time in the whole
//! process, and a request that needs one waits as it would for a backend: parked, with a deadline. The
//! queue is bounded, and a request that finds it full is refused.
//!
//! INVARIANT: no wake-up is lost. A task is [parked](Ticket::park) under the lock that guards the
//! outcome: either the task sees the outcome and does not sleep, or the thread sees where to wake it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use rustix::process::setpriority_process;

use crate::base::limits::PASSWORDS_WAITING_MAX;
use crate::net::parking::{ParkToken, Unpark};
use crate::route::basic_auth::{Authenticator, Credentials};

/// The niceness of this thread: under contention it gets a tenth of a worker's share.
const NICENESS: i32 = 10;

/// The queue of passwords to hash.
#[derive(Default)]
pub struct PasswordQueue {
    /// LOCK: guards the queue while a job is added or taken; hashing happens outside it.
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Arc<Job>>,
    stopped: bool,
}

/// One password to hash for one request.
struct Job {
    authenticator: Arc<Authenticator>,
    credentials: Credentials,
    unpark: Weak<dyn Unpark>,
    /// LOCK: guards the outcome and where the task is parked, held for one assignment.
    state: Mutex<State>,
}

enum State {
    /// Not hashed yet; the task may be parked already.
    Waiting(Option<ParkToken>),
    Hashed(Option<u16>),
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A request's ticket in the queue. If it is dropped early, its password is not hashed.
pub struct Ticket(Arc<Job>);

/// LOCK: held while a password is hashed, some milliseconds, by the password threads of all balancers
/// in the process and by no other thread. So hashing keeps at most one core busy, no matter how many
/// balancers a program embeds.
static HASHING: Mutex<()> = Mutex::new(());

impl PasswordQueue {
    /// Adds credentials to the queue; `unpark` wakes the task once they are hashed.
    ///
    /// # Errors
    /// The queue is full.
    pub fn join(
        &self,
        authenticator: &Arc<Authenticator>,
        credentials: Credentials,
        unpark: &Weak<dyn Unpark>,
    ) -> Result<Ticket, Full> {
        let job = Arc::new(Job {
            authenticator: Arc::clone(authenticator),
            credentials,
            unpark: Weak::clone(unpark),
            state: Mutex::new(State::Waiting(None)),
        });
        let mut line = self.line.lock();
        if line.waiting.len() >= PASSWORDS_WAITING_MAX {
            // Drops entries whose requests are gone.
            line.waiting.retain(Job::is_wanted);
        }
        if line.stopped || line.waiting.len() >= PASSWORDS_WAITING_MAX {
            return Err(Full);
        }
        line.waiting.push_back(Arc::clone(&job));
        drop(line);
        self.changed.notify_one();
        Ok(Ticket(job))
    }

    /// Hashes passwords from the queue until [`PasswordQueue::stop`] is called.
    pub fn run(&self) {
        // Workers come first: a busy password thread must not slow them down. If this fails, it runs at
        // normal priority.
        let _ = setpriority_process(None, NICENESS);
        while let Some(job) = self.next() {
            if Job::is_wanted(&job) {
                job.finish();
            }
        }
    }

    fn next(&self) -> Option<Arc<Job>> {
        let mut line = self.line.lock();
        loop {
            if line.stopped {
                return None;
            }
            match line.waiting.pop_front() {
                Some(job) => return Some(job),
                None => self.changed.wait(&mut line),
            }
        }
    }

    /// Ends [`PasswordQueue::run`]. Waiting requests time out.
    pub fn stop(&self) {
        self.line.lock().stopped = true;
        self.changed.notify_all();
    }
}

impl Job {
    /// Whether a request still waits for it, holding the ticket.
    fn is_wanted(this: &Arc<Self>) -> bool {
        Arc::strong_count(this) > 1
    }

    fn finish(&self) {
        let user = {
            let _one_at_a_time = HASHING.lock();
            self.authenticator.verify(&self.credentials)
        };
        let before = std::mem::replace(&mut *self.state.lock(), State::Hashed(user));
        debug_assert!(matches!(before, State::Waiting(_)), "a password was hashed twice");
        if let (State::Waiting(Some(spot)), Some(unpark)) = (before, self.unpark.upgrade()) {
            unpark.unpark(spot);
        }
    }
}

impl Ticket {
    /// The outcome, once there is one: the user, or `None` if the credentials are wrong.
    pub fn outcome(&self) -> Option<Option<u16>> {
        match *self.0.state.lock() {
            State::Waiting(_) => None,
            State::Hashed(user) => Some(user),
        }
    }

    /// Whether the outcome is for these credentials of this authenticator.
    pub fn is_for(&self, authenticator: &Arc<Authenticator>, credentials: &Credentials) -> bool {
        Arc::ptr_eq(&self.0.authenticator, authenticator) && self.0.credentials == *credentials
    }

    /// Records where the task is about to be parked. Returns true if it should not sleep, because the
    /// outcome is already there.
    pub fn park(&self, spot: ParkToken) -> bool {
        match &mut *self.0.state.lock() {
            State::Waiting(parked) => {
                *parked = Some(spot);
                false
            }
            State::Hashed(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::plan::BasicAuth;
    use crate::route::basic_auth::Proof;

    /// Counts wake-ups.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Unpark for Counter {
        fn unpark(&self, _: ParkToken) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Knows one user, with what `openssl passwd -5 -salt abcdefgh secret` prints.
    fn authenticator() -> Authenticator {
        let hash = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";
        let users = vec![("ann".to_owned(), hash.to_owned())];
        Authenticator::new(BasicAuth { realm: "r".to_owned(), users })
    }

    /// The credentials to hash for this name and password, in base64.
    fn credentials(authenticator: &Authenticator, encoded: &str) -> Credentials {
        match authenticator.look_up(format!("Basic {encoded}").as_bytes()) {
            Proof::Unverified(credentials) => credentials,
            proof => panic!("{encoded} needs no hash: {proof:?}"),
        }
    }

    const RIGHT: &str = "YW5uOnNlY3JldA==";
    const WRONG: &str = "YW5uOndyb25n";

    fn never() -> Weak<dyn Unpark> {
        Weak::<Counter>::new()
    }

    /// Hashes everything in the queue.
    fn hash_all(queue: &PasswordQueue) {
        while let Some(job) = queue.line.lock().waiting.pop_front() {
            job.finish();
        }
    }

    #[test]
    fn the_outcome_names_the_user_and_wakes_the_task() {
        let (queue, authenticator) = (PasswordQueue::default(), Arc::new(authenticator()));
        let counter = Arc::new(Counter::default());
        let unpark = Arc::downgrade(&counter) as Weak<dyn Unpark>;
        let right = queue.join(&authenticator, credentials(&authenticator, RIGHT), &unpark).unwrap();
        let wrong = queue.join(&authenticator, credentials(&authenticator, WRONG), &unpark).unwrap();
        assert!(right.is_for(&authenticator, &credentials(&authenticator, RIGHT)));
        assert!(!right.is_for(&authenticator, &credentials(&authenticator, WRONG)));
        assert_eq!((right.outcome(), right.park(ParkToken::nowhere())), (None, false));
        hash_all(&queue);
        assert_eq!((right.outcome(), wrong.outcome()), (Some(Some(0)), Some(None)));
        // Only the parked task is woken; the other one sees the outcome when it is about to park.
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert!(wrong.park(ParkToken::nowhere()));
    }

    #[test]
    fn the_queue_is_bounded_and_requests_that_are_gone_make_room() {
        let (queue, authenticator) = (PasswordQueue::default(), Arc::new(authenticator()));
        let join = || queue.join(&authenticator, credentials(&authenticator, WRONG), &never());
        let mut tickets: Vec<_> = (0..PASSWORDS_WAITING_MAX).map(|_| join().unwrap()).collect();
        assert_eq!(join().err(), Some(Full));
        tickets.pop();
        assert!(join().is_ok());
    }

    #[test]
    fn the_thread_ends_when_it_is_told_to() {
        let queue = Arc::new(PasswordQueue::default());
        let (authenticator, thread) = (Arc::new(authenticator()), {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || queue.run())
        });
        let ticket = queue.join(&authenticator, credentials(&authenticator, RIGHT), &never()).unwrap();
        while ticket.outcome().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(ticket.outcome(), Some(Some(0)));
        queue.stop();
        thread.join().unwrap();
        assert_eq!(
            queue.join(&authenticator, credentials(&authenticator, WRONG), &never()).err(),
            Some(Full)
        );
    }
}
