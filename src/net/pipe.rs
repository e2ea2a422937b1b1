//! Pipes that carry bodies from one socket to another inside the kernel, with splice(2).
//!
//! Nothing is copied: the pages that a peer's segments arrived in go out again. It takes two
//! calls for each piece and two descriptors, so it is for large bodies, and pipes are few. A
//! worker keeps a few that are empty for whoever is next; one with bytes in it belongs to the
//! task whose bytes they are. Whoever gets none copies.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::base::limits::{PIPE_BYTES, PIPES_KEPT_MAX, PIPES_MAX};
use crate::net::io::Io;

/// A pipe and how many bytes are in it.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    len: usize,
    _permit: Permit,
}

impl Pipe {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes up to `room` bytes out of a socket. The pipe must be empty: then [`Io::Blocked`]
    /// says that the socket is, and not that the pipe is full.
    pub(super) fn fill(&mut self, socket: impl AsFd, room: usize) -> Result<Io, Errno> {
        match transfer(socket, &self.writer, room) {
            Ok(0) => Ok(Io::End),
            Ok(count) => {
                self.len += count;
                Ok(Io::Moved(count))
            }
            Err(Errno::AGAIN) => Ok(Io::Blocked),
            Err(error) => Err(error),
        }
    }

    /// Puts what is in it into a socket, as far as that takes it.
    pub(super) fn drain(&mut self, socket: impl AsFd) -> Result<Io, Errno> {
        match transfer(&self.reader, socket, self.len) {
            // Only an empty pipe gives nothing, and this one is not.
            Ok(0) => Err(Errno::IO),
            Ok(count) => {
                self.len = self.len.saturating_sub(count);
                Ok(Io::Moved(count))
            }
            Err(Errno::AGAIN) => Ok(Io::Blocked),
            Err(error) => Err(error),
        }
    }
}

fn transfer(from: impl AsFd, to: impl AsFd, count: usize) -> Result<usize, Errno> {
    // Without MORE: with it the kernel would hold a last, short segment back.
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        match splice(from.as_fd(), None, to.as_fd(), None, count, flags) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// How many more pipes one balancer may make.
#[derive(Clone, Debug)]
pub struct PipeAllowance(Arc<AtomicUsize>);

impl PipeAllowance {
    /// An allowance of this many pipes; or of none, if a peer that has gone would end the process: send(2)
    /// can be told not to raise SIGPIPE, splice(2) cannot. Rust's own start-up ignores the signal, but who
    /// embeds a balancer may have changed that.
    pub fn new(pipes: usize) -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let pipes = if ignores_sigpipe(&status) { pipes.min(PIPES_MAX) } else { 0 };
        Self(Arc::new(AtomicUsize::new(pipes)))
    }

    fn take(&self) -> Option<Permit> {
        // Relaxed: it is a count and publishes nothing.
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Permit(Arc::clone(&self.0)))
    }
}

/// Whether a `status` file of proc(5) says that SIGPIPE is ignored: bit n - 1 is signal n.
fn ignores_sigpipe(status: &str) -> bool {
    const SIGPIPE: u32 = 13;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (SIGPIPE - 1)) != 0)
}

/// Given back when the pipe is closed.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One worker's stock of empty pipes.
#[derive(Debug)]
pub struct PipePool {
    #[expect(clippy::vec_box, reason = "a task holds a box, and only the box moves")]
    stock: Vec<Box<Pipe>>,
    allowance: PipeAllowance,
}

impl PipePool {
    /// An empty stock.
    pub fn new(allowance: PipeAllowance) -> Self {
        Self { stock: Vec::new(), allowance }
    }

    /// An empty pipe, unless there are too many already.
    pub fn take(&mut self) -> Option<Box<Pipe>> {
        self.stock.pop().or_else(|| self.make())
    }

    /// Takes back a pipe. One that still has bytes in it is closed.
    pub fn put(&mut self, pipe: Box<Pipe>) {
        if pipe.is_empty() && self.stock.len() < PIPES_KEPT_MAX {
            self.stock.push(pipe);
        }
    }

    fn make(&self) -> Option<Box<Pipe>> {
        let permit = self.allowance.take()?;
        // Out of descriptors: copying needs none.
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        // The kernel's own size is 64 KiB. A user who has too much in pipes is refused more, and
        // the pieces are smaller then.
        let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
        Some(Box::new(Pipe { reader, writer, len: 0, _permit: permit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_pipes_than_allowed() {
        let allowance = PipeAllowance::new(PIPES_MAX);
        let (mut first, mut second) = (PipePool::new(allowance.clone()), PipePool::new(allowance));
        let mut taken: Vec<_> = std::iter::from_fn(|| first.take()).take(PIPES_MAX + 1).collect();
        assert_eq!(taken.len(), PIPES_MAX);
        assert!(second.take().is_none());
        // A kept one is still counted, one that was closed is not.
        for pipe in taken.drain(..) {
            first.put(pipe);
        }
        let others: Vec<_> = std::iter::from_fn(|| second.take()).take(PIPES_MAX + 1).collect();
        assert_eq!(others.len(), PIPES_MAX - PIPES_KEPT_MAX);
    }

    #[test]
    fn sigpipe_is_found_in_the_mask() {
        assert!(ignores_sigpipe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_sigpipe("SigIgn:\t0000000000002fff\nSigCgt:\t0000000000001000\n"));
        assert!(!ignores_sigpipe("Name:\tropewalk\n"));
    }
}
