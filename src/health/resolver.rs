//! Threads that resolve names, which takes blocking calls.
//!
//! Reloads share the threads, and there are never more than [`RESOLVE_THREADS_MAX`], because a lookup
//! cannot be interrupted and a resolver may hang for minutes. They start when first needed. A lookup
//! whose backend is gone is dropped while it waits for a thread.
//!
//! Names that are expected to hang, because their last lookup failed, get at most half of the threads,
//! so they delay only each other.

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

/// The result of a lookup.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) backend: u32,
    pub(super) lane: Lane,
    /// The addresses of the name; none if it does not resolve.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Passes a result to the health thread.
type Tell = Arc<dyn Fn(Resolved) + Send + Sync>;
/// Resolves a name; the system's resolver, except in tests.
pub(super) type LookUp = fn(&str, u16) -> Vec<SocketAddr>;

/// The threads, and the lookups that wait for one.
pub(super) struct Resolver {
    jobs: Sender<Job>,
    taken: Receiver<Job>,
    tell: Tell,
    look_up: LookUp,
    threads: usize,
    prompt: VecDeque<Job>,
    suspect: VecDeque<Job>,
    /// Lookups in progress, by lane.
    busy: [usize; 2],
}

impl Resolver {
    /// A resolver without threads yet. They will call `tell` with their results.
    pub(super) fn new(tell: impl Fn(Resolved) + Send + Sync + 'static) -> Self {
        Self::with(tell, system)
    }

    /// The same with another lookup function.
    pub(super) fn with(tell: impl Fn(Resolved) + Send + Sync + 'static, look_up: LookUp) -> Self {
        let (jobs, taken) = bounded(RESOLVE_THREADS_MAX);
        let (prompt, suspect) = (VecDeque::new(), VecDeque::new());
        Self { jobs, taken, tell: Arc::new(tell), look_up, threads: 0, prompt, suspect, busy: [0; 2] }
    }

    /// Requests a lookup. A backend has one at a time, so there are never more than backends.
    pub(super) fn ask(&mut self, job: Job) {
        match job.lane {
            Lane::Prompt => self.prompt.push_back(job),
            Lane::Suspect => self.suspect.push_back(job),
        }
        self.hand_out();
    }

    /// Called when a lookup has ended: gives its thread the next one.
    pub(super) fn ended(&mut self, lane: Lane) {
        let busy = &mut self.busy[lane as usize];
        *busy = busy.saturating_sub(1);
        self.hand_out();
    }

    /// Drops waiting lookups that are no longer wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.prompt.retain(|job| wanted(job.backend));
        self.suspect.retain(|job| wanted(job.backend));
    }

    /// Gives waiting lookups to free threads, and starts threads while there are too few.
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
                // Without any thread, report that the name does not resolve: it will be retried.
                (self.tell)(Resolved { backend: job.backend, lane, addresses: Vec::new() });
            } else if self.jobs.try_send(job).is_err() {
                // INVARIANT: the channel has room for every lookup that is handed out.
                debug_assert!(false, "a look-up too many");
            }
        }
    }

    /// Starts a thread, which ends after its current lookup once the resolver is dropped. The threads
    /// are not joined, and hold nothing that a stop would miss.
    fn start_thread(&mut self) {
        let (taken, tell, look_up) = (self.taken.clone(), Arc::clone(&self.tell), self.look_up);
        let run = move || {
            while let Ok(Job { backend, host, port, lane }) = taken.recv() {
                // If the thread ended here, its backend would wait for ever.
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

    use crossbeam::channel::bounded;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn job(backend: u32, host: &str, lane: Lane) -> Job {
        Job { backend, host: host.to_owned(), port: 80, lane }
    }

    fn resolver(look_up: LookUp) -> (Resolver, Receiver<Resolved>) {
        let (sender, found) = bounded(64);
        (Resolver::with(move |resolved| drop(sender.send(resolved)), look_up), found)
    }

    #[test]
    fn threads_are_bounded_for_any_number_of_lookups() {
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
    fn names_that_hang_leave_threads_to_others_and_removed_names_are_dropped() {
        fn look_up(host: &str, _: u16) -> Vec<SocketAddr> {
            // Nothing wakes a hung thread; it ends with the test.
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
