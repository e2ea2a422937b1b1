//! What carries a stream's bytes: a TCP socket, or memory in tests. Each call is one system call, is
//! made again when a signal interrupts it, and never blocks. When to call is `stream.rs`'s concern.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType,
    ipproto, sockopt,
};
use socket2::SockRef;

use crate::base::limits::UNSENT_BYTES_WIDE_MAX;
use crate::net::io::Io;
#[cfg(test)]
use crate::net::memory::{self, Memory};
use crate::net::pipe::Pipe;
use crate::net::sys;

/// What carries a stream's bytes.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(OwnedFd),
    #[cfg(test)]
    Memory(Memory),
}

impl Transport {
    pub(super) fn connect(address: SocketAddr) -> Result<Self, Errno> {
        #[cfg(test)]
        if let Some(dialled) = memory::dial(address) {
            return dialled.map(Self::Memory);
        }
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&fd, true)?;
        match net::connect(&fd, &address) {
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(Self::Tcp(fd)),
            // The kernel says the same of an address that nothing here can reach and of ports
            // that are used up. The first is the backend's trouble, the second is ours.
            Err(Errno::ADDRNOTAVAIL) if !has_source(address) => Err(Errno::NETUNREACH),
            Err(error) => Err(error),
        }
    }

    /// Appends what has arrived, as far as the buffer has room; 0 is the peer's end.
    pub(super) fn recv(&self, space: &mut Vec<u8>) -> Result<usize, Errno> {
        match self {
            Self::Tcp(fd) => loop {
                match net::recv(fd, spare_capacity(space), RecvFlags::empty()) {
                    Err(Errno::INTR) => {}
                    outcome => break outcome.map(|(count, _)| count),
                }
            },
            #[cfg(test)]
            Self::Memory(memory) => memory.recv(space),
        }
    }

    /// How many bytes could be read, 1 standing for any number of them.
    pub(super) fn peek(&self) -> Result<usize, Errno> {
        let mut byte = [0_u8; 1];
        match self {
            Self::Tcp(fd) => {
                net::recv(fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT).map(|(count, _)| count)
            }
            #[cfg(test)]
            Self::Memory(memory) => memory.peek(&mut byte),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Tcp(fd) => retry(|| net::send(fd, bytes, SendFlags::NOSIGNAL)),
            #[cfg(test)]
            Self::Memory(memory) => memory.send(bytes),
        }
    }

    pub(super) fn send_both(&self, first: &[u8], second: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Tcp(fd) => {
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                retry(|| net::sendmsg(fd, &slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL))
            }
            #[cfg(test)]
            Self::Memory(memory) => memory.send(&[first, second].concat()),
        }
    }

    pub(super) fn unacknowledged(&self) -> Option<u64> {
        match self {
            Self::Tcp(fd) => sys::unacknowledged(fd).ok().and_then(|count| u64::try_from(count).ok()),
            #[cfg(test)]
            Self::Memory(_) => Some(0),
        }
    }

    pub(super) fn fill(&self, pipe: &mut Pipe, room: usize) -> Result<Io, Errno> {
        match self {
            Self::Tcp(fd) => pipe.fill(fd, room),
            #[cfg(test)]
            Self::Memory(_) => Err(Errno::INVAL),
        }
    }

    pub(super) fn drain(&self, pipe: &mut Pipe) -> Result<Io, Errno> {
        match self {
            Self::Tcp(fd) => pipe.drain(fd),
            #[cfg(test)]
            Self::Memory(_) => Err(Errno::INVAL),
        }
    }

    pub(super) fn widen(&self) {
        match self {
            // Should this fail, bodies go in smaller pieces.
            Self::Tcp(fd) => drop(SockRef::from(fd).set_tcp_notsent_lowat(UNSENT_BYTES_WIDE_MAX)),
            #[cfg(test)]
            Self::Memory(_) => {}
        }
    }

    pub(super) fn finish_writing(&self) {
        match self {
            // A peer that has gone already needs no telling.
            Self::Tcp(fd) => drop(net::shutdown(fd, Shutdown::Write)),
            #[cfg(test)]
            Self::Memory(memory) => memory.finish_writing(),
        }
    }

    pub(super) fn reset_on_close(&self) {
        match self {
            // Should this fail, the peer still sees the connection end early.
            Self::Tcp(fd) => drop(sockopt::set_socket_linger(fd, Some(Duration::ZERO))),
            #[cfg(test)]
            Self::Memory(memory) => memory.reset_on_close(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(fd) => fd.as_fd(),
            #[cfg(test)]
            // INVARIANT: only tests make a stream in memory, and none waits for one with the kernel.
            Self::Memory(_) => panic!("memory has no descriptor"),
        }
    }
}

/// Whether this machine has an address of its own to reach `address` from. Connecting a datagram
/// socket chooses one and sends nothing; its ports are not those that TCP has run out of.
fn has_source(address: SocketAddr) -> bool {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    socket.is_ok_and(|socket| net::connect(&socket, &address).is_ok())
}

fn retry(mut call: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::stream::is_shortage;

    #[test]
    fn an_address_that_cannot_be_reached_is_told_from_ports_that_are_used_up() {
        assert!(has_source(SocketAddr::from(([127, 0, 0, 1], 9))));
        // Of the kernel's own network, link-local addresses are unreachable without an interface.
        assert!(!has_source("[fe80::1]:9".parse().unwrap()));
        assert!(is_shortage(Errno::ADDRNOTAVAIL));
        assert!(!is_shortage(Errno::NETUNREACH));
    }
}
