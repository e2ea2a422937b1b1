//! Threads for name look-ups, which can only be done with blocking calls.
//!
//! They belong to the process: reloads share them, and there are never more than
//! [`RESOLVE_THREADS_MAX`], because a look-up cannot be cut short and a resolver may hang for
//! minutes. They start when there is first something to look up. A look-up whose backend is gone
//! is dropped while it waits for a thread.
//!
//! Names that are expected to hang, because their last look-up failed, have half of the threads at
//! most. So they delay each other and no others.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::base::limits::RESOLVE_THREADS_MAX;
use crate::health::places::Lane;

/// A name to look up for the backend with this id.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) backend: u32,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) lane: Lane,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) backend: u32,
    pub(super) lane: Lane,
    /// The addresses of the name; none if it does not resolve.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Tells the health thread what a look-up found.
type Tell = Arc<dyn Fn(Resolved) + Send + Sync>;
/// Looks a name up; the system's resolver, except in tests.
pub(super) type LookUp = fn(&str, u16) -> Vec<SocketAddr>;

/// The threads and the look-ups that wait for one of them.
pub(super) struct Resolver {
    jobs: Sender<Job>,
    taken: Receiver<Job>,
    tell: Tell,
    look_up: LookUp,
    threads: usize,
    prompt: VecDeque<Job>,
    suspect: VecDeque<Job>,
    /// Look-ups that a thread has, by lane.
    busy: [usize; 2],
}

impl Resolver {
    /// No threads yet. They will call `tell` with what they find.
    pub(super) fn new(tell: impl Fn(Resolved) + Send + Sync + 'static) -> Self {
        Self::with(tell, system)
    }

    /// The same with another way to look names up.
    pub(super) fn with(tell: impl Fn(Resolved) + Send + Sync + 'static, look_up: LookUp) -> Self {
        let (jobs, taken) = bounded(RESOLVE_THREADS_MAX);
        let (prompt, suspect) = (VecDeque::new(), VecDeque::new());
        Self { jobs, taken, tell: Arc::new(tell), look_up, threads: 0, prompt, suspect, busy: [0; 2] }
    }

    /// Asks for a look-up. A backend has one at a time, so there are no more than backends.
    pub(super) fn ask(&mut self, job: Job) {
        match job.lane {
            Lane::Prompt => self.prompt.push_back(job),
            Lane::Suspect => self.suspect.push_back(job),
        }
        self.hand_out();
    }

    /// Notes that a look-up has ended, and gives its thread the next.
    pub(super) fn ended(&mut self, lane: Lane) {
        let busy = &mut self.busy[lane as usize];
        *busy = busy.saturating_sub(1);
        self.hand_out();
    }

    /// Drops what waits for a thread and is no longer wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.prompt.retain(|job| wanted(job.backend));
        self.suspect.retain(|job| wanted(job.backend));
    }

    /// Gives waiting look-ups to free threads, and starts threads while there are too few.
    fn hand_out(&mut self) {
        while self.busy.iter().sum::<usize>() < RESOLVE_THREADS_MAX {
            let suspects = self.busy[Lane::Suspect as usize];
            let job = match self.prompt.pop_front() {
                Some(job) => job,
                None if suspects < RESOLVE_THREADS_MAX / 2 => match self.suspect.pop_front() {
                    Some(job) => job,
                    None => return,
                },
                None => return,
            };
            let lane = job.lane;
            self.busy[lane as usize] += 1;
            if self.busy.iter().sum::<usize>() > self.threads {
                self.start_thread();
            }
            if self.threads == 0 {
                // The system refuses a thread, as if the name did not resolve: it is tried again.
                (self.tell)(Resolved { backend: job.backend, lane, addresses: Vec::new() });
            } else if self.jobs.try_send(job).is_err() {
                // INVARIANT: the channel has a place for every look-up that is handed out.
                debug_assert!(false, "a look-up too many");
            }
        }
    }

    /// The threads end when the resolver is dropped and the look-up at hand is done. They are not
    /// joined, and hold on to nothing that a stop would miss.
    fn start_thread(&mut self) {
        let (taken, tell, look_up) = (self.taken.clone(), Arc::clone(&self.tell), self.look_up);
        let run = move || {
            while let Ok(Job { backend, host, port, lane }) = taken.recv() {
                // A thread that ended would leave its backend waiting for ever.
                let addresses = catch_unwind(|| look_up(&host, port)).unwrap_or_default();
                tell(Resolved { backend, lane, addresses });
            }
        };
        let name = format!("rw-resolve-{}", self.threads);
        match thread::Builder::new().name(name).spawn(run) {
            Ok(_) => self.threads += 1,
            Err(error) => log::debug!("no thread for a name look-up: {error}"),
        }
    }
}

fn system(host: &str, port: u16) -> Vec<SocketAddr> {
    (host, port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam::channel::unbounded;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn job(backend: u32, host: &str, lane: Lane) -> Job {
        Job { backend, host: host.to_owned(), port: 80, lane }
    }

    fn resolver(look_up: LookUp) -> (Resolver, Receiver<Resolved>) {
        let (sender, found) = unbounded();
        (Resolver::with(move |resolved| drop(sender.send(resolved)), look_up), found)
    }

    #[test]
    fn threads_are_bounded_however_much_is_asked() {
        let (mut resolver, found) = resolver(|_, port| vec![SocketAddr::from(([192, 0, 2, 1], port))]);
        for backend in 0..100 {
            resolver.ask(job(backend, "a", Lane::Prompt));
        }
        let mut seen: Vec<u32> = (0..100)
            .map(|_| {
                let resolved = found.recv_timeout(PATIENCE).expect("an answer");
                resolver.ended(resolved.lane);
                resolved.backend
            })
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        assert!(resolver.threads <= RESOLVE_THREADS_MAX);
    }

    #[test]
    fn names_that_hang_leave_threads_to_the_others_and_what_is_gone_is_not_looked_up() {
        fn look_up(host: &str, _: u16) -> Vec<SocketAddr> {
            // Nothing wakes a thread that hangs; it ends with the test.
            match host {
                "hangs" => loop {
                    thread::park();
                },
                _ => Vec::new(),
            }
        }
        let (mut resolver, found) = resolver(look_up);
        for backend in 0..100 {
            resolver.ask(job(backend, "hangs", Lane::Suspect));
        }
        for backend in 100..110 {
            resolver.ask(job(backend, "answers", Lane::Prompt));
            let resolved = found.recv_timeout(PATIENCE).expect("an answer");
            assert_eq!(resolved.backend, backend);
            resolver.ended(resolved.lane);
        }
        assert!(resolver.threads <= RESOLVE_THREADS_MAX);
        resolver.retain(|backend| backend == 99);
        assert_eq!(resolver.suspect.len(), 1);
    }
}
