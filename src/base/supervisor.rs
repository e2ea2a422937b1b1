//! Detects threads that end unexpectedly.
//!
//! A balancer is a fixed set of threads, each with its own job: without the poller no connection
//! is accepted, without the health thread no backend changes state. Half a balancer is worse than none,
//! because a service manager restarts only a process that has exited. So every thread is spawned here,
//! and the first one to panic or fail is remembered and reported.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Builder, JoinHandle};

/// A thread that ended unexpectedly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadEnded {
    /// Its name.
    pub thread: String,
    /// The error that it returned, or its panic message.
    pub reason: String,
}

/// Spawns threads and detects when they end.
#[derive(Clone)]
pub struct Supervisor {
    first: Arc<OnceLock<ThreadEnded>>,
    /// Called after `first` is set.
    tell: Arc<dyn Fn() + Send + Sync>,
}

impl Supervisor {
    /// Creates a supervisor that calls `tell`, on the failed thread, whenever one ends unexpectedly.
    pub fn new(tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self { first: Arc::default(), tell: Arc::new(tell) }
    }

    /// Starts a thread. It must return `Ok` only when it was asked to end.
    ///
    /// # Errors
    /// The system cannot create a thread.
    pub fn spawn(
        &self,
        thread: Builder,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let supervisor = self.clone();
        thread.spawn(move || {
            // Unwind safety: its unfinished work is lost with it.
            let reason = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => reason,
                Err(panic) => text_of(&*panic),
            };
            supervisor.ended(reason);
        })
    }

    /// The first thread that ended unexpectedly.
    pub fn failure(&self) -> Option<&ThreadEnded> {
        self.first.get()
    }

    fn ended(&self, reason: String) {
        let thread = thread::current().name().unwrap_or("?").to_owned();
        let ended = ThreadEnded { thread, reason };
        log::error!("{ended}");
        // Threads that end after the first, perhaps because of it, are not reported.
        let _ = self.first.set(ended);
        (self.tell)();
    }
}

impl Default for Supervisor {
    /// A supervisor that calls nothing; its owner checks [`Supervisor::failure`].
    fn default() -> Self {
        Self::new(|| {})
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", text.unwrap_or("without a message"))
}

impl fmt::Display for ThreadEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, reason } = self;
        write!(f, "thread {thread}, which the balancer cannot work without, has ended: {reason}")
    }
}

impl std::error::Error for ThreadEnded {}

#[cfg(test)]
mod tests {
    use crossbeam::channel::bounded;

    use super::*;

    #[test]
    fn the_first_thread_that_fails_or_panics_is_remembered() {
        let (told, tell) = bounded(64);
        let supervisor = Supervisor::new(move || told.send(()).unwrap());
        let spawn = |name: &str, run: fn() -> Result<(), String>| {
            supervisor.spawn(Builder::new().name(name.to_owned()), run).unwrap().join().unwrap();
        };
        spawn("fine", || Ok(()));
        assert_eq!(supervisor.failure(), None);
        assert!(tell.try_recv().is_err());
        spawn("failing", || Err("epoll failed".to_owned()));
        spawn("panicking", || panic!("a test's own"));
        assert_eq!(tell.try_iter().count(), 2);
        let expected = ThreadEnded { thread: "failing".to_owned(), reason: "epoll failed".to_owned() };
        assert_eq!(supervisor.failure(), Some(&expected));
    }

    #[test]
    fn a_panic_is_reported_with_its_message() {
        let supervisor = Supervisor::default();
        let run = || -> Result<(), String> { panic!("number {}", 7) };
        supervisor.spawn(Builder::new().name("a".to_owned()), run).unwrap().join().unwrap();
        assert_eq!(supervisor.failure().unwrap().reason, "it panicked: number 7");
    }
}
