//! The `rw-log` thread: writes the lines of the access log, so that no request waits for a disk.
//!
//! It takes whatever has been handed over, writes that with as few calls as there can be, and
//! lingers until more has come; so a busy balancer wakes it fifty times a second and not once
//! for each request. Only this thread is held up by a sink that takes nothing.

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
/// Dropping it writes what has been handed over and ends its thread: drop its batches first, or
/// what they bring later is dropped and counted. A sink that takes nothing is waited for
/// [`LOG_STOP_WAIT`] at most; then its lines are dropped and its thread is left behind, because a
/// blocking write cannot be cut short.
pub struct AccessLog {
    format: Format,
    intake: Intake,
    outlet: Outlet,
    wishes: Arc<Wishes>,
    dropped: Arc<AtomicU64>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    /// `None` when it may go on alone.
    thread: Option<JoinHandle<()>>,
}

/// What the thread is asked for besides writing. Sequentially consistent: a ring of the bell that
/// is pending already must do for a wish that comes now, and lines from before a stop must be
/// there for whoever has seen it.
#[derive(Default)]
struct Wishes {
    reopen: AtomicBool,
    stop: AtomicBool,
}

impl AccessLog {
    /// Opens the sink and starts the thread. Lines that get lost are counted in `dropped`, which
    /// outlives the log, so that the count goes on when a reload opens another.
    ///
    /// # Errors
    /// The file cannot be opened, which the error names with a remedy, or the system refuses a
    /// thread.
    pub fn open(plan: &AccessLogPlan, dropped: &Arc<AtomicU64>, threads: &Supervisor) -> io::Result<Self> {
        let sink = Sink::open(&plan.sink, Arc::clone(dropped))?;
        let (intake, outlet) = channel(Arc::clone(dropped));
        let wishes = Arc::new(Wishes::default());
        let (alive, ended) = bounded(0);
        let writer = Writer { sink, outlet: outlet.clone(), wishes: Arc::clone(&wishes), lines: Vec::new() };
        let thread = threads.spawn(Builder::new().name("rw-log".to_owned()), move || {
            writer.run(&alive);
            Ok(())
        })?;
        let format = match plan.format {
            AccessLogFormat::Json => Format::Json,
            AccessLogFormat::Combined => Format::Combined,
        };
        let dropped = Arc::clone(dropped);
        Ok(Self { format, intake, outlet, wishes, dropped, ended, thread: Some(thread) })
    }

    /// What one worker appends its lines to. Once it is gone, nothing that was appended to it is
    /// missing here.
    pub fn batch(&self) -> Batch {
        self.intake.batch(self.format)
    }

    /// What workers make their batches from, and how lines look in them.
    pub fn source(&self) -> (Intake, Format) {
        (self.intake.clone(), self.format)
    }

    /// Opens the file anew, after somebody has renamed it. Lines that are handed over when this
    /// has returned go into the new one; none is lost. Standard output stays as it is.
    pub fn reopen(&self) {
        self.wishes.reopen.store(true, Ordering::SeqCst);
        self.intake.ring();
    }

    /// Lines that were lost because the sink took none, or not fast enough.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Lets go of the log when another has taken its place: what its batches still bring is
    /// written, and the thread ends when the last of them is gone.
    pub fn retire(mut self) {
        // A thread that is not joined goes on.
        drop(self.thread.take());
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.wishes.stop.store(true, Ordering::SeqCst);
        self.intake.ring();
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
    wishes: Arc<Wishes>,
    /// Lines of several batches that are written at once.
    lines: Vec<u8>,
}

/// Whether there can be more lines.
#[derive(PartialEq, Eq)]
enum More {
    Perhaps,
    /// The last batch is gone.
    Never,
}

impl Writer {
    /// Writes until there is nothing more. `alive` goes with the thread, however that ends.
    fn run(mut self, _alive: &Sender<()>) {
        self.lines.reserve_exact(LOG_WRITE_BYTES);
        loop {
            // Before the look for lines: those that come after a stop are not waited for.
            let stop = self.wishes.stop.load(Ordering::SeqCst);
            if self.take_all() == More::Never || stop {
                return;
            }
            // Others' lines may come now without waking anybody, unless they are very many.
            if self.outlet.bell.recv_timeout(LOG_LINGER) == Err(RecvTimeoutError::Timeout) {
                self.wait();
            }
        }
    }

    /// Waits for lines or for the bell.
    fn wait(&mut self) {
        // No deadline: while nobody has anything to say, nothing is due.
        select_biased! {
            recv(self.outlet.filled) -> lines => if let Ok(lines) = lines {
                self.take(lines);
            },
            recv(self.outlet.bell) -> _ => {},
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
        self.reopen_if_wished();
        more
    }

    fn take(&mut self, lines: Vec<u8>) {
        // Between the lines from before the wish and these, which may come from after it.
        self.reopen_if_wished();
        if self.lines.len() + lines.len() > LOG_WRITE_BYTES {
            self.write_out();
        }
        self.lines.extend_from_slice(&lines);
        self.outlet.give_back(lines);
    }

    fn reopen_if_wished(&mut self) {
        if self.wishes.reopen.swap(false, Ordering::SeqCst) {
            self.write_out();
            self.sink.reopen();
        }
    }

    fn write_out(&mut self) {
        if !self.lines.is_empty() {
            self.sink.write(&self.lines, clock::now(), &self.wishes.stop);
            self.lines.clear();
        }
    }
}
