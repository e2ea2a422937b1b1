//! A connected socket that never blocks and remembers whether it is worth reading.
//!
//! Reading a socket that has nothing costs a system call, and in the common case we know:
//! a short read emptied it, and a request that was just sent has not been answered yet. So
//! a stream carries a hint, set by whoever watched the socket and cleared when it ran dry.
//! The hint saves calls and never decides anything: every wait is level-triggered.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::base::buffer::{Buffer, BufferPool, Size};
use crate::net::io::{Interest, Io};
#[cfg(test)]
use crate::net::memory::Memory;
use crate::net::pipe::Pipe;
use crate::net::transport::Transport;

/// The state of an idle connection, on which no response is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Open and silent, as it should be.
    Quiet,
    /// The peer has closed or reset it.
    Closed,
    /// The peer has sent bytes.
    Talking,
}

/// A connected (or connecting) stream of bytes.
#[derive(Debug)]
pub struct Stream {
    transport: Transport,
    readable: bool,
    registered: bool,
    hung_up: bool,
    wide: bool,
    /// What the last blocked calls need, and so what the socket is watched for.
    want: Interest,
}

impl Stream {
    /// Takes over a socket that was accepted without blocking. It is worth reading at once:
    /// most clients have sent their request by then.
    pub fn accepted(fd: OwnedFd) -> Self {
        Self {
            transport: Transport::Tcp(fd),
            readable: true,
            registered: false,
            hung_up: false,
            wide: false,
            want: Interest::NONE,
        }
    }

    /// Begins to connect. The first write tells whether it came to be: it is refused with
    /// [`Io::Blocked`] while the handshake is under way and fails with its error after that.
    ///
    /// # Errors
    /// The socket cannot be made, or the address cannot be reached at all.
    pub fn connect(address: SocketAddr) -> Result<Self, Errno> {
        let transport = Transport::connect(address)?;
        Ok(Self {
            transport,
            readable: false,
            registered: false,
            hung_up: false,
            wide: false,
            want: Interest::NONE,
        })
    }

    /// A connection in memory, which a client has opened.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: Memory) -> Self {
        Self {
            transport: Transport::Memory(memory),
            readable: true,
            registered: false,
            hung_up: false,
            wide: false,
            want: Interest::NONE,
        }
    }

    /// Reads what has arrived into `buffer`. Reads once; a full buffer leaves the hint set.
    ///
    /// # Errors
    /// The connection was reset or is otherwise broken; or `buffer` is full, and there may be no
    /// more memory for it (`NOBUFS`).
    pub fn read(&mut self, buffer: &mut Buffer, pool: &mut BufferPool, size: Size) -> Result<Io, Errno> {
        if !self.readable {
            self.want.read = true;
            return Ok(Io::Blocked);
        }
        let Some(space) = buffer.space(pool, size) else { return Err(Errno::NOBUFS) };
        let room = space.capacity() - space.len();
        match self.transport.recv(space) {
            Ok(0) => Ok(Io::End),
            Ok(count) => {
                // Once both directions have ended no event will say that there is more.
                self.readable = count == room || self.hung_up;
                Ok(Io::Moved(count))
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                self.want.read = true;
                Ok(Io::Blocked)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes as much of `bytes` as the socket takes.
    ///
    /// # Errors
    /// The connection was refused, was reset or is otherwise broken.
    pub fn write(&mut self, bytes: &[u8]) -> Result<Io, Errno> {
        let outcome = self.offer(bytes);
        self.note_write(outcome)
    }

    /// Writes as much of `bytes` as the socket takes now, and does not wait for it to take more.
    ///
    /// # Errors
    /// As for [`Stream::write`].
    pub fn offer(&mut self, bytes: &[u8]) -> Result<Io, Errno> {
        moved(self.transport.send(bytes))
    }

    /// Writes as much of `first` and then `second` as the socket takes, in one call.
    ///
    /// # Errors
    /// As for [`Stream::write`].
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> Result<Io, Errno> {
        if second.is_empty() {
            return self.write(first);
        }
        if first.is_empty() {
            return self.write(second);
        }
        let outcome = moved(self.transport.send_both(first, second));
        self.note_write(outcome)
    }

    /// Bytes that were written and that the peer has not acknowledged; `None` if the kernel does
    /// not say.
    pub fn unacknowledged(&self) -> Option<u64> {
        self.transport.unacknowledged()
    }

    /// Moves up to `room` bytes of what has arrived into an empty pipe.
    ///
    /// # Errors
    /// As for [`Stream::read`].
    pub fn read_into(&mut self, pipe: &mut Pipe, room: usize) -> Result<Io, Errno> {
        if !self.readable {
            self.want.read = true;
            return Ok(Io::Blocked);
        }
        let outcome = self.transport.fill(pipe, room);
        // A pipe may be full before it holds `room` bytes; then the next poll finds more.
        self.readable = match outcome {
            Ok(Io::Moved(count)) => count == room || self.hung_up,
            Ok(Io::Blocked) => false,
            Ok(Io::End) | Err(_) => true,
        };
        self.want.read |= outcome == Ok(Io::Blocked);
        outcome
    }

    /// Moves as much of what is in a pipe as the socket takes.
    ///
    /// # Errors
    /// As for [`Stream::write`].
    pub fn write_from(&mut self, pipe: &mut Pipe) -> Result<Io, Errno> {
        let outcome = self.transport.drain(pipe);
        self.note_write(outcome)
    }

    /// Lets the kernel take more for this peer before it has left.
    pub fn widen(&mut self) {
        if !std::mem::replace(&mut self.wide, true) {
            self.transport.widen();
        }
    }

    /// Tells the peer that nothing more will come.
    pub fn finish_writing(&mut self) {
        self.transport.finish_writing();
    }

    /// Makes closing this stream a reset, for a response that must not look complete.
    pub fn reset_on_close(&mut self) {
        self.transport.reset_on_close();
    }

    /// The state of an idle connection. Unsolicited bytes would be taken for the answer to the next
    /// request.
    pub fn at_rest(&self) -> Rest {
        match self.transport.peek() {
            Err(Errno::AGAIN) => Rest::Quiet,
            Ok(1..) => Rest::Talking,
            Ok(_) | Err(_) => Rest::Closed,
        }
    }

    /// Notes that whoever watched the socket saw something to read (an end and an error
    /// count: reading is how they are found out).
    pub fn mark_readable(&mut self) {
        self.readable = true;
    }

    /// What the socket is watched for while its task waits.
    pub fn want(&self) -> Interest {
        self.want
    }

    /// Forgets what earlier calls needed. The caller is about to make new ones.
    pub fn want_nothing(&mut self) {
        self.want = Interest::NONE;
    }

    /// Watches for the peer's end, whether or not there is something to read before it.
    pub fn want_end(&mut self) {
        self.want.end = true;
    }

    fn note_write(&mut self, outcome: Result<Io, Errno>) -> Result<Io, Errno> {
        self.want.write |= outcome == Ok(Io::Blocked);
        outcome
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        self.transport.as_fd().as_raw_fd()
    }

    /// Notes that both directions have ended. What has arrived can still be read; no event is
    /// left to come, but epoll would report this one for ever.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
    }

    /// Whether both directions have ended, so that there is nothing left to watch for.
    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Notes that the epoll instance knows this socket; returns whether it did before.
    pub(super) fn register(&mut self) -> bool {
        std::mem::replace(&mut self.registered, true)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

/// Whether a connection could not be made because this machine is out of descriptors, memory or
/// ports. That says nothing about whoever was to be connected to.
///
/// Ports run out when every one in `net.ipv4.ip_local_port_range` is connected to the same
/// address, or waits there for its time after a close.
pub fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRNOTAVAIL)
}

fn moved(outcome: Result<usize, Errno>) -> Result<Io, Errno> {
    match outcome {
        Ok(count) => Ok(Io::Moved(count)),
        Err(Errno::AGAIN) => Ok(Io::Blocked),
        Err(error) => Err(error),
    }
}
