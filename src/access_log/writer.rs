//! The `rw-log` thread: writes access log lines, so that no request waits for a disk.
//!
//! It takes all batches that have been handed over, writes them with as few calls as possible, and
//! lingers for more. So a busy balancer wakes it fifty times a second, not once per request. A stalled
//! sink blocks only this thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, select_biased};

use crate::access_log::sink::Sink;
use crate::base::clock;
use crate::base::limits::{LOG_LINGER, LOG_STOP_WAIT, LOG_WRITE_BYTES};
use crate::base::supervisor::Supervisor;
use crate::config::plan::{AccessLogFormat, AccessLogPlan};
use crate::observe::batch::{Batch, Intake, Outlet, channel, lines_in};
use crate::observe::line::Format;

/// A running access log.
///
/// Dropping it writes what has been handed over and ends the thread. Drop its batches first: what they
/// deliver later is dropped and counted. A stalled sink is waited for at most [`LOG_STOP_WAIT`]; then
/// its lines are dropped and the thread is left behind, because a blocking write cannot be interrupted.
pub struct AccessLog {
    format: Format,
    intake: Intake,
    outlet: Outlet,
    requests: Arc<Requests>,
    dropped: Arc<AtomicU64>,
    /// Disconnected once the thread has ended.
    ended: Receiver<()>,
    /// `None` once the log is retired.
    thread: Option<JoinHandle<()>>,
}

/// Requests to the thread. SeqCst: a pending wake-up must also serve a request made now, and a
/// thread that has seen a stop must see the lines from before it.
#[derive(Default)]
struct Requests {
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl AccessLog {
    /// Opens the sink and starts the thread. Lost lines are counted in `dropped`, which outlives the
    /// log so that the count continues when a reload opens another.
    ///
    /// # Errors
    /// The file cannot be opened (the error includes a remedy), or the system cannot create a thread.
    pub fn open(plan: &AccessLogPlan, dropped: &Arc<AtomicU64>, threads: &Supervisor) -> io::Result<Self> {
        let sink = Sink::open(&plan.sink, Arc::clone(dropped))?;
        let (intake, outlet) = channel(Arc::clone(dropped));
        let requests = Arc::new(Requests::default());
        let (alive, ended) = bounded(0);
        let writer =
            Writer { sink, outlet: outlet.clone(), requests: Arc::clone(&requests), lines: Vec::new() };
        let thread = threads.spawn(Builder::new().name("rw-log".to_owned()), move || {
            writer.run(&alive);
            Ok(())
        })?;
        let format = match plan.format {
            AccessLogFormat::Json => Format::Json,
            AccessLogFormat::Combined => Format::Combined,
        };
        let dropped = Arc::clone(dropped);
        Ok(Self { format, intake, outlet, requests, dropped, ended, thread: Some(thread) })
    }

    /// A batch for one worker. Dropping it hands over everything that was appended.
    pub fn batch(&self) -> Batch {
        self.intake.batch(self.format)
    }

    /// What workers create their batches from, and the line format.
    pub fn source(&self) -> (Intake, Format) {
        (self.intake.clone(), self.format)
    }

    /// Reopens the file after it was renamed. Lines handed over after this returns go into the new
    /// file; none is lost. Does nothing for standard output.
    pub fn reopen(&self) {
        self.requests.reopen.store(true, Ordering::SeqCst);
        self.intake.wake();
    }

    /// Lines that could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Releases the log after another has replaced it. What its batches still deliver is written, and
    /// the thread ends with the last of them.
    pub fn retire(mut self) {
        // A detached thread keeps running.
        drop(self.thread.take());
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.requests.stop.store(true, Ordering::SeqCst);
        self.intake.wake();
        let is_stuck = self.ended.recv_timeout(LOG_STOP_WAIT) == Err(RecvTimeoutError::Timeout);
        let left: u64 = self.outlet.filled.try_iter().map(|lines| lines_in(&lines)).sum();
        self.dropped.fetch_add(left, Ordering::Relaxed);
        if is_stuck {
            log::error!(
                "the access log's sink takes nothing: {left} lines, and those that were on their way, are lost"
            );
        } else if thread.join().is_err() {
            log::error!("the access log's thread ended with a panic");
        }
    }
}

/// The thread's own state.
struct Writer {
    sink: Sink,
    outlet: Outlet,
    requests: Arc<Requests>,
    /// Lines of several batches, for one write.
    lines: Vec<u8>,
}

/// Whether more lines may come.
#[derive(PartialEq, Eq)]
enum More {
    Perhaps,
    /// The last batch is gone.
    Never,
}

impl Writer {
    /// Runs until no more lines can come. `alive` is dropped with the thread, however it ends.
    fn run(mut self, _alive: &Sender<()>) {
        self.lines.reserve_exact(LOG_WRITE_BYTES);
        loop {
            // Read before taking lines: those that come after a stop are not waited for.
            let stop = self.requests.stop.load(Ordering::SeqCst);
            if self.take_all() == More::Never || stop {
                return;
            }
            // While this lingers, lines are handed over without waking it, unless there are very many.
            if self.outlet.wake.recv_timeout(LOG_LINGER) == Err(RecvTimeoutError::Timeout) {
                self.wait();
            }
        }
    }

    /// Waits for lines or for a wake-up.
    fn wait(&mut self) {
        // No deadline: without lines there is nothing to do.
        select_biased! {
            recv(self.outlet.filled) -> lines => if let Ok(lines) = lines {
                self.take(lines);
            },
            recv(self.outlet.wake) -> _ => {},
        }
    }

    /// Writes everything that has been handed over.
    fn take_all(&mut self) -> More {
        let more = loop {
            match self.outlet.filled.try_recv() {
                Ok(lines) => self.take(lines),
                Err(TryRecvError::Empty) => break More::Perhaps,
                Err(TryRecvError::Disconnected) => break More::Never,
            }
        };
        self.write_out();
        self.reopen_if_requested();
        more
    }

    fn take(&mut self, lines: Vec<u8>) {
        // Reopen between the lines from before the request and these, which may come from after it.
        self.reopen_if_requested();
        if self.lines.len() + lines.len() > LOG_WRITE_BYTES {
            self.write_out();
        }
        self.lines.extend_from_slice(&lines);
        self.outlet.give_back(lines);
    }

    fn reopen_if_requested(&mut self) {
        if self.requests.reopen.swap(false, Ordering::SeqCst) {
            self.write_out();
            self.sink.reopen();
        }
    }

    fn write_out(&mut self) {
        if !self.lines.is_empty() {
            self.sink.write(&self.lines, clock::now(), &self.requests.stop);
            self.lines.clear();
        }
    }
}
