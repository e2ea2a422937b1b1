//! Carries access log lines from the workers to the thread that writes them.
//!
//! Each worker owns a [`Batch`] and appends to it without synchronisation. When the batch is large, or
//! its worker is about to sleep, the whole buffer goes into a bounded channel; empty buffers come back
//! through another. Nothing here blocks: if the channel is full, because the disk or the reader of a
//! pipe has stalled, the batch is dropped and its lines are counted. Nothing allocates either, unless
//! more buffers are in flight than ever before.
//!
//! Handing over a batch usually wakes no thread. The writer polls the channel when its linger time is
//! over, and a wake-up cuts that short when the channel fills up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::line::Format;
use super::record::Record;
use crate::base::limits::{LOG_BATCH_BYTES, LOG_BATCHES_HURRY, LOG_BATCHES_MAX, LOG_BUFFER_BYTES};

/// The access log lines of one worker.
#[derive(Debug)]
pub struct Batch {
    format: Format,
    /// Whole lines. Has no capacity from the time they are handed over until the next line.
    lines: Vec<u8>,
    intake: Intake,
}

/// The sending end: creates batches and takes what they hand over.
#[derive(Clone, Debug)]
pub struct Intake {
    filled: Sender<Vec<u8>>,
    wake: Sender<()>,
    empty: Receiver<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// The receiving end, for the thread that writes the lines.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// Buffers of whole lines, in the order they were handed over. Disconnected once the last batch and
    /// the last intake are gone.
    pub filled: Receiver<Vec<u8>>,
    /// Signalled when the writer should not linger.
    pub wake: Receiver<()>,
    empty: Sender<Vec<u8>>,
}

/// An intake and its outlet. Lines that do not fit into the channel are counted in `dropped`. Ordering:
/// Relaxed, since nothing else depends on it.
pub fn channel(dropped: Arc<AtomicU64>) -> (Intake, Outlet) {
    let (filled, to_write) = bounded(LOG_BATCHES_MAX);
    let (give_back, empty) = bounded(LOG_BATCHES_MAX);
    let (wake, woken) = bounded(1);
    let intake = Intake { filled, wake, empty, dropped };
    (intake, Outlet { filled: to_write, wake: woken, empty: give_back })
}

/// Counts lines: each has exactly one line end, at its end.
pub fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

impl Intake {
    /// A batch for one worker.
    pub fn batch(&self, format: Format) -> Batch {
        Batch { format, lines: Vec::new(), intake: self.clone() }
    }

    /// Wakes the writer if it is lingering.
    pub fn wake(&self) {
        // If the channel is full, a wake-up is already pending.
        let _ = self.wake.try_send(());
    }
}

impl Batch {
    /// Appends the line of a request. Never blocks.
    pub fn append(&mut self, record: &Record<'_>) {
        if self.lines.capacity() == 0 {
            self.lines = self.intake.empty.try_recv().unwrap_or_default();
            self.lines.reserve_exact(LOG_BUFFER_BYTES);
        }
        self.format.write(record, &mut self.lines);
        if self.lines.len() > LOG_BATCH_BYTES {
            self.hand_over();
        }
    }

    /// Hands over the lines so far, before the worker sleeps. Never blocks.
    ///
    /// Half of the channel is reserved for large batches; otherwise many small ones would fill it as
    /// soon as the writer is slow. If only that half is left, the lines stay here and go with the next
    /// ones.
    pub fn flush(&mut self) {
        if !self.lines.is_empty() && self.intake.filled.len() < LOG_BATCHES_MAX / 2 {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        match self.intake.filled.try_send(std::mem::take(&mut self.lines)) {
            Ok(()) => {
                if self.intake.filled.len() >= LOG_BATCHES_HURRY {
                    self.intake.wake();
                }
            }
            Err(TrySendError::Full(lines) | TrySendError::Disconnected(lines)) => {
                self.intake.dropped.fetch_add(lines_in(&lines), Ordering::Relaxed);
                self.lines = lines;
                self.lines.clear();
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.lines.is_empty() {
            self.hand_over();
        }
    }
}

impl Outlet {
    /// Returns a buffer whose lines have been written.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // Unusually long names may have made it grow.
        buffer.shrink_to(LOG_BUFFER_BYTES);
        // If the channel is full, there are enough buffers.
        let _ = self.empty.try_send(buffer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn record(target: &str) -> Record<'_> {
        Record {
            time: SystemTime::UNIX_EPOCH,
            id: b"",
            client: "192.0.2.7".parse().unwrap(),
            peer: "192.0.2.7:1".parse().unwrap(),
            listener: "main",
            user: None,
            method: "GET",
            host: "",
            target,
            version: "HTTP/1.1",
            referer: b"",
            user_agent: b"",
            status: 200,
            bytes_in: 0,
            bytes_out: 0,
            route: None,
            pool: None,
            attempts: &[],
            queue: Duration::ZERO,
            total: Duration::ZERO,
            end: "completed",
            reason: None,
        }
    }

    fn targets(lines: &[u8]) -> Vec<String> {
        let lines = std::str::from_utf8(lines).unwrap().lines();
        lines.map(|line| line.split(' ').nth(6).unwrap().to_owned()).collect()
    }

    #[test]
    fn lines_are_handed_over_when_there_are_many_or_the_worker_sleeps() {
        let (intake, outlet) = channel(Arc::default());
        let mut batch = intake.batch(Format::Combined);
        batch.flush();
        assert!(outlet.filled.is_empty(), "there were no lines");

        batch.append(&record("/1"));
        batch.append(&record("/2"));
        assert!(outlet.filled.is_empty());
        batch.flush();
        assert_eq!(targets(&outlet.filled.try_recv().unwrap()), ["/1", "/2"]);

        let mut appended = 0;
        while outlet.filled.is_empty() {
            batch.append(&record("/many"));
            appended += 1;
        }
        let lines = outlet.filled.try_recv().unwrap();
        assert_eq!(lines_in(&lines), appended);
        assert!((LOG_BATCH_BYTES..LOG_BUFFER_BYTES).contains(&lines.len()));

        batch.append(&record("/last"));
        drop(batch);
        assert_eq!(targets(&outlet.filled.try_recv().unwrap()), ["/last"]);
    }

    #[test]
    fn buffers_come_back() {
        let (intake, outlet) = channel(Arc::default());
        let mut batch = intake.batch(Format::Json);
        let mut buffers = Vec::new();
        for _ in 0..3 {
            batch.append(&record("/"));
            batch.flush();
            let buffer = outlet.filled.try_recv().unwrap();
            assert_eq!(buffer.capacity(), LOG_BUFFER_BYTES);
            buffers.push(buffer.as_ptr());
            outlet.give_back(buffer);
        }
        assert!(buffers.iter().all(|buffer| *buffer == buffers[0]));
    }

    #[test]
    fn a_full_channel_drops_lines_and_never_blocks() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (intake, outlet) = channel(Arc::clone(&dropped));
        let mut batch = intake.batch(Format::Combined);
        let mut appended = 0;
        while dropped.load(Ordering::Relaxed) == 0 {
            batch.append(&record("/"));
            appended += 1;
            assert!(appended < 1_000_000, "nothing is ever dropped");
        }
        assert_eq!(outlet.filled.len(), LOG_BATCHES_MAX);
        batch.append(&record("/kept"));
        // There is room again.
        let mut written = lines_in(&outlet.filled.try_recv().unwrap());
        drop(batch);
        written += outlet.filled.try_iter().map(|lines| lines_in(&lines)).sum::<u64>();
        assert_eq!(written + dropped.load(Ordering::Relaxed), appended + 1);
    }

    #[test]
    fn small_batches_leave_room_for_large_ones() {
        let (intake, outlet) = channel(Arc::default());
        let mut batch = intake.batch(Format::Combined);
        for _ in 0..LOG_BATCHES_MAX {
            batch.append(&record("/"));
            batch.flush();
        }
        assert_eq!(outlet.filled.len(), LOG_BATCHES_MAX / 2);
        drop(batch);
        let lines = outlet.filled.try_iter().map(|lines| lines_in(&lines));
        assert_eq!(lines.sum::<u64>(), LOG_BATCHES_MAX as u64);
    }

    #[test]
    fn the_writer_is_woken_when_the_channel_fills() {
        let (intake, outlet) = channel(Arc::default());
        let mut batch = intake.batch(Format::Combined);
        for _ in 1..LOG_BATCHES_HURRY {
            batch.append(&record("/"));
            batch.flush();
        }
        assert!(outlet.wake.is_empty());
        batch.append(&record("/"));
        batch.flush();
        assert_eq!(outlet.wake.len(), 1);
    }

    #[test]
    fn lines_without_a_writer_are_counted_as_dropped() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (intake, outlet) = channel(Arc::clone(&dropped));
        let mut batch = intake.batch(Format::Combined);
        drop(outlet);
        batch.append(&record("/1"));
        batch.append(&record("/2"));
        drop(batch);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }
}
