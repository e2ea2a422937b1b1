//! The `rw-reload` thread: reads the configuration again and applies it on request.
//!
//! Reading a configuration may hang, for example on a network file system, and applying a large one
//! takes seconds. Signals, the admin listener and shutdown must not wait for either. So a caller
//! leaves a call-back and does not wait. Reloads run one at a time; requests that come while one runs
//! share the next.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::admin::operations::ReloadDone;
use crate::app::{Handle, Inner};
use crate::base::clock::{self, Moment};
use crate::base::limits::{RELOAD_WAIT, RELOAD_WAITERS_MAX};

/// Where reloads are asked for.
#[derive(Default)]
pub(super) struct Reloads {
    /// LOCK: guards the requests for an addition or a copy; never held during a reload.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A reload was asked for and has not begun.
    wanted: bool,
    /// The call-backs that get the result.
    waiting: Vec<ReloadDone>,
    /// What the reload that runs is doing, and since when it runs.
    running: Option<(Step, Moment)>,
    /// A warning that it is slow has been logged.
    told: bool,
    stop: bool,
}

/// What a reload is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The source is asked for a configuration.
    Read,
    /// It is applied.
    Apply,
}

impl Reloads {
    /// Asks for a reload. `done` is called with the result, from another thread; at once if too
    /// many requests wait.
    pub(super) fn request(&self, done: ReloadDone) {
        let mut state = self.state.lock();
        if state.stop {
            drop(state);
            return done(Err("the balancer is shutting down".to_owned()));
        }
        state.wanted = true;
        self.changed.notify_one();
        if state.waiting.len() < RELOAD_WAITERS_MAX {
            state.waiting.push(done);
        } else {
            drop(state);
            done(Err(
                "too many requests are waiting for this reload; the log will have its result".to_owned()
            ));
        }
    }

    /// What the running reload is doing, for people; empty if none is running.
    pub(super) fn progress(&self) -> String {
        let state = self.state.lock();
        let Some((step, since)) = state.running else { return String::new() };
        let step = match step {
            Step::Read => "reading the configuration",
            Step::Apply => "applying the configuration",
        };
        format!("{step} for {} s", clock::now().since(since).as_secs())
    }

    /// When to log that the reload is slow; `NEVER` if not.
    pub(super) fn late_at(&self) -> Moment {
        let state = self.state.lock();
        match state.running {
            Some((_, since)) if !state.told => since + RELOAD_WAIT,
            _ => Moment::NEVER,
        }
    }

    /// Logs that the reload is slow, if it is by now.
    pub(super) fn log_if_late(&self) {
        if clock::now() >= self.late_at() {
            self.state.lock().told = true;
            log::warn!(
                "the reload is still running: {}; the old configuration stays in use",
                self.progress()
            );
        }
    }

    /// Notes what the running reload does now.
    pub(super) fn at(&self, step: Step) {
        if let Some((present, _)) = &mut self.state.lock().running {
            *present = step;
        }
    }

    /// Waits for requests; `None` when there will be no more.
    fn next(&self) -> Option<Vec<ReloadDone>> {
        let mut state = self.state.lock();
        // No deadline: without a request there is nothing to do.
        self.changed.wait_while(&mut state, |state| !state.wanted && !state.stop);
        if state.stop {
            return None;
        }
        state.wanted = false;
        state.told = false;
        state.running = Some((Step::Read, clock::now()));
        Some(std::mem::take(&mut state.waiting))
    }

    fn end(&self) {
        self.state.lock().running = None;
    }
}

/// The thread. Dropping this ends it. If a reload hangs, the thread is abandoned, since a read
/// cannot be interrupted; it finds the balancer stopped when the read returns.
pub(super) struct ReloadThread {
    inner: Weak<Inner>,
    thread: Option<JoinHandle<()>>,
}

impl ReloadThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn spawn(handle: &Handle) -> io::Result<Self> {
        let inner = Arc::downgrade(&handle.inner);
        let of_thread = Weak::clone(&inner);
        let reloads = Arc::clone(&handle.inner.reload_requests);
        let thread = Builder::new().name("rw-reload".to_owned());
        let thread = handle.inner.threads.spawn(thread, move || {
            run(&reloads, &of_thread);
            Ok(())
        })?;
        Ok(Self { inner, thread: Some(thread) })
    }
}

impl Drop for ReloadThread {
    fn drop(&mut self) {
        let (Some(inner), Some(thread)) = (self.inner.upgrade(), self.thread.take()) else { return };
        let mut state = inner.reload_requests.state.lock();
        state.stop = true;
        inner.reload_requests.changed.notify_one();
        let (runs, waiting) = (state.running.is_some(), std::mem::take(&mut state.waiting));
        drop(state);
        drop(waiting);
        if runs {
            log::warn!("abandoning a reload that is still running: {}", inner.reload_requests.progress());
        } else if thread.join().is_err() {
            log::error!("the reload thread ended with a panic");
        }
    }
}

fn run(reloads: &Reloads, inner: &Weak<Inner>) {
    while let Some(waiting) = reloads.next() {
        let Some(inner) = inner.upgrade() else { return };
        let handle = Handle { inner };
        // For `join`, which logs slow reloads.
        handle.inner.ending.look_again();
        // The source is the embedder's code; a panic in it must not end reloads for good.
        let result = catch_unwind(AssertUnwindSafe(|| handle.reload_now()))
            .unwrap_or_else(|_| Err("the reload panicked; see the log".to_owned()));
        drop(handle);
        reloads.end();
        waiting.into_iter().for_each(|done| done(result.clone()));
    }
}
