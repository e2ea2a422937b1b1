//! The `rw-reload` thread: reads the configuration again and applies it, for whoever asks.
//!
//! What a configuration is read from may hang, as a file on a network does, and applying a large one
//! takes seconds. Signals, the admin listener and a stop must not wait for either. So whoever asks for
//! a reload leaves a call-back and goes on. Reloads run one at a time; requests that come while one
//! runs share the next.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};

use parking_lot::{Condvar, Mutex};

use crate::app::{Handle, Inner};
use crate::base::clock::{self, Moment};
use crate::base::limits::{RELOAD_WAIT, RELOAD_WAITERS_MAX};
use crate::side::admin::operations::ReloadDone;

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
    /// Who is told what came of it.
    waiting: Vec<ReloadDone>,
    /// What the reload that runs is doing, and since when it runs.
    running: Option<(Step, Moment)>,
    /// The log has been told that it takes long.
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
    /// Asks for a reload. `done` is called with what came of it, from another thread; at once if
    /// there is no room for it.
    pub(super) fn request(&self, done: ReloadDone) {
        let mut state = self.state.lock();
        if state.stop {
            drop(state);
            return done(Err("the balancer is being stopped".to_owned()));
        }
        state.wanted = true;
        self.changed.notify_one();
        if state.waiting.len() < RELOAD_WAITERS_MAX {
            state.waiting.push(done);
        } else {
            drop(state);
            done(Err("too many others wait for this reload; the log says what comes of it".to_owned()));
        }
    }

    /// What the reload that runs is doing, for people; empty while none does.
    pub(super) fn progress(&self) -> String {
        let state = self.state.lock();
        let Some((step, since)) = state.running else { return String::new() };
        let step = match step {
            Step::Read => "it is reading the configuration",
            Step::Apply => "it is applying the configuration",
        };
        format!("{step}, for {} s so far", clock::now().since(since).as_secs())
    }

    /// When the log is to be told that the reload takes long; `NEVER` if it is not.
    pub(super) fn late_at(&self) -> Moment {
        let state = self.state.lock();
        match state.running {
            Some((_, since)) if !state.told => since + RELOAD_WAIT,
            _ => Moment::NEVER,
        }
    }

    /// Tells the log that the reload takes long, if it does by now.
    pub(super) fn log_if_late(&self) {
        if clock::now() >= self.late_at() {
            self.state.lock().told = true;
            log::warn!("the reload has not ended yet: {}; the old configuration serves", self.progress());
        }
    }

    /// Notes what the reload that runs does now.
    pub(super) fn at(&self, step: Step) {
        if let Some((present, _)) = &mut self.state.lock().running {
            *present = step;
        }
    }

    /// Waits for requests; `None` when there will be no more.
    fn next(&self) -> Option<Vec<ReloadDone>> {
        let mut state = self.state.lock();
        // No deadline: while nobody asks, nothing is due.
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

/// The thread. Dropping this ends it, unless a reload hangs: that one is left behind, since a read
/// cannot be cut short, and finds the balancer stopped when it comes back.
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
            log::warn!("a reload has not ended and is left behind: {}", inner.reload_requests.progress());
        } else if thread.join().is_err() {
            log::error!("the reload thread ended with a panic");
        }
    }
}

fn run(reloads: &Reloads, inner: &Weak<Inner>) {
    while let Some(waiting) = reloads.next() {
        let Some(inner) = inner.upgrade() else { return };
        let handle = Handle { inner };
        // For `join`, which tells of a reload that takes long.
        handle.inner.ending.look_again();
        // The source is the embedder's, and its bug is no reason to do without reloads.
        let result = catch_unwind(AssertUnwindSafe(|| handle.reload_now()))
            .unwrap_or_else(|_| Err("a panic; the log has it".to_owned()));
        drop(handle);
        reloads.end();
        waiting.into_iter().for_each(|done| done(result.clone()));
    }
}
