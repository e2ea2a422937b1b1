//! The `rw-diag` thread: writes diagnostics to stderr, so that no other thread waits for its reader.
//!
//! Stderr is inherited. It may be a pipe to a stalled log driver, a terminal stopped with Ctrl-S, or a
//! file on a hung disk, and then writing blocks. So lines go into a bounded queue. If the queue is
//! full, lines are dropped and counted, and a later line reports how many. Once this thread runs, no
//! other thread writes to stderr.

use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::Builder;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use ropewalk::internal::base::clock;
use ropewalk::internal::base::limits::{
    DIAGNOSTIC_BYTES_MAX, DIAGNOSTIC_LINES_MAX, DIAGNOSTICS_FLUSH_WAIT, THREAD_STACK_BYTES,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// The queue of lines; the receiving end belongs to the thread.
pub(super) struct Queue {
    items: Sender<Item>,
    counts: Arc<Counts>,
}

/// What the queue holds and what was dropped. Ordering: Relaxed, since these are only counts and the
/// channel orders the lines themselves.
#[derive(Default)]
struct Counts {
    /// Bytes of lines not written yet.
    waiting: AtomicUsize,
    /// Lines dropped since the start.
    dropped: Arc<AtomicU64>,
}

enum Item {
    /// One line, with its line end.
    Line(Vec<u8>),
    /// The sender is dropped once everything before this is written.
    Flush(Sender<()>),
}

impl Queue {
    /// Starts the thread that writes to `sink`. `missing` formats the line that reports dropped
    /// ones.
    ///
    /// # Errors
    /// The system cannot create a thread.
    pub(super) fn start(
        sink: impl AsFd + Send + 'static,
        missing: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> io::Result<Self> {
        let (items, received) = bounded(DIAGNOSTIC_LINES_MAX);
        let counts = Arc::new(Counts::default());
        let mut writer = Writer { sink, received, counts: Arc::clone(&counts), reported: 0, missing };
        Builder::new().name("rw-diag".to_owned()).stack_size(THREAD_STACK_BYTES).spawn(move || {
            // Nothing can be logged any more, so exit and be restarted.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                process::exit(1);
            }
        })?;
        Ok(Self { items, counts })
    }

    /// Queues a line, or drops and counts it. Never blocks.
    pub(super) fn put(&self, line: Vec<u8>) {
        let bytes = line.len();
        let before = self.counts.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > DIAGNOSTIC_BYTES_MAX || self.items.try_send(Item::Line(line)).is_err() {
            self.counts.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything is written, but no longer than [`DIAGNOSTICS_FLUSH_WAIT`].
    pub(super) fn flush(&self) {
        let began = clock::now();
        let (written, done) = bounded(0);
        if self.items.send_timeout(Item::Flush(written), DIAGNOSTICS_FLUSH_WAIT).is_ok() {
            let left = DIAGNOSTICS_FLUSH_WAIT.saturating_sub(clock::now().since(began));
            // This fails either way: the writer has dropped its end, or time is up.
            let _: Result<(), _> = done.recv_timeout(left);
        }
    }

    /// How many lines were dropped since the start.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.counts.dropped)
    }
}

/// The thread's own state.
struct Writer<S, M> {
    sink: S,
    received: Receiver<Item>,
    counts: Arc<Counts>,
    /// How many dropped lines have been reported.
    reported: u64,
    missing: M,
}

impl<S: AsFd, M: Fn(u64) -> Vec<u8>> Writer<S, M> {
    fn run(&mut self) {
        loop {
            let item = match self.received.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.report();
                    // No deadline: without a line there is nothing to do.
                    let Ok(item) = self.received.recv() else { return };
                    item
                }
            };
            match item {
                Item::Line(line) => self.write(&line),
                Item::Flush(_written) => self.report(),
            }
        }
    }

    /// Writes a line, or counts it as dropped if the sink refuses it.
    fn write(&self, line: &[u8]) {
        if write_all(&self.sink, line).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }

    /// Reports how many lines were dropped, once for each gap.
    fn report(&mut self) {
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        if dropped > self.reported && write_all(&self.sink, &(self.missing)(dropped - self.reported)).is_ok()
        {
            self.reported = dropped;
        }
    }
}

/// Writes everything, however long it takes.
fn write_all(sink: &impl AsFd, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        match rustix::io::write(sink, rest) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another process that shares stderr has made it non-blocking.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(sink, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            },
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::pipe;

    use super::*;

    fn missing(count: u64) -> Vec<u8> {
        format!("{count} are missing\n").into_bytes()
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_never_blocks() {
        let (mut reader, sink) = pipe().unwrap();
        let queue = Queue::start(sink, missing).unwrap();
        let line = [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<u8>>();
        // More than the pipe and the queue hold together. That this returns at all shows that nothing
        // blocks.
        let count = 2 * DIAGNOSTIC_BYTES_MAX / line.len() + 64;
        (0..count).for_each(|_| queue.put(line.clone()));
        let dropped = queue.dropped().load(Ordering::Relaxed);
        assert!(dropped > 0 && dropped < count as u64, "{dropped} of {count}");

        // When the reader resumes, it gets all kept lines and the number of missing ones.
        let written = (count as u64 - dropped) as usize * line.len();
        let mut text = vec![0; written];
        reader.read_exact(&mut text).unwrap();
        queue.put(b"more\n".to_vec());
        queue.flush();
        drop(queue);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains(&format!("{dropped} are missing\n")), "{rest}");
        assert!(rest.contains("more\n"), "{rest}");
    }

    #[test]
    fn a_flush_waits_for_queued_lines_but_not_for_ever() {
        let (mut reader, sink) = pipe().unwrap();
        let queue = Queue::start(sink, missing).unwrap();
        queue.put(b"first\n".to_vec());
        queue.flush();
        let mut text = [0; 6];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"first\n");

        // More than a pipe holds; the reader does not read it.
        (0..512).for_each(|_| queue.put([b'y'; 512].to_vec()));
        let began = clock::now();
        queue.flush();
        assert!(clock::now().since(began) >= DIAGNOSTICS_FLUSH_WAIT);
    }

    #[test]
    fn a_sink_that_refuses_lines_counts_them() {
        let (reader, sink) = pipe().unwrap();
        drop(reader);
        let queue = Queue::start(sink, missing).unwrap();
        queue.put(b"lost\n".to_vec());
        queue.flush();
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 1);
    }
}
