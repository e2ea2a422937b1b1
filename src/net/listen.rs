//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::limits::{ACCEPT_BACKLOG, UNSENT_BYTES_MAX};

/// A socket that accepts connections without blocking.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: SocketAddr,
}

/// The result of an attempt to accept.
#[derive(Debug)]
pub enum Accept {
    /// A connection and the address of its peer.
    Connection(OwnedFd, SocketAddr),
    /// No connection is waiting.
    Empty,
    /// The process or the machine is out of descriptors or memory.
    Exhausted(Errno),
}

impl TryFrom<TcpListener> for Listener {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<Self> {
        Self::inherited(listener.into())
    }
}

impl Listener {
    /// Binds `address` and listens. Connections inherit their options from the listener,
    /// which saves a call on each.
    ///
    /// # Errors
    /// As for bind(2): the address is in use, not ours, or needs a privilege.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(ACCEPT_BACKLOG)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { fd: socket.into(), address })
    }

    /// Takes over a socket that listens already.
    ///
    /// # Errors
    /// It is not a TCP socket that listens.
    pub(super) fn inherited(fd: OwnedFd) -> io::Result<Self> {
        let refused = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let socket = Socket::from(fd);
        let Some(address) = socket.local_addr()?.as_socket() else {
            return Err(refused("it has no IP address"));
        };
        if socket.r#type()? != Type::STREAM || !socket_acceptconn(&socket)? {
            return Err(refused("it does not listen for TCP connections"));
        }
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        Ok(Self { fd: socket.into(), address })
    }

    /// The address that was bound, with the port that was given for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts one connection if there is one.
    pub fn accept(&self) -> Accept {
        loop {
            match acceptfrom_with(&self.fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((fd, peer)) => {
                    let peer = peer.and_then(|peer| peer.try_into().ok()).unwrap_or(self.address);
                    return Accept::Connection(fd, canonical(peer));
                }
                Err(Errno::AGAIN) => return Accept::Empty,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    return Accept::Exhausted(error);
                }
                // accept(2): errors of the connection itself (it was reset while it queued, the
                // network went away) are to be treated like "try again".
                Err(
                    Errno::INTR
                    | Errno::CONNABORTED
                    | Errno::NETDOWN
                    | Errno::PROTO
                    | Errno::NOPROTOOPT
                    | Errno::HOSTDOWN
                    | Errno::NONET
                    | Errno::HOSTUNREACH
                    | Errno::OPNOTSUPP
                    | Errno::NETUNREACH
                    | Errno::TIMEDOUT
                    | Errno::PERM,
                ) => {}
                Err(error) => return Accept::Exhausted(error),
            }
        }
    }
}

/// An inherited `[::]` may take IPv4 as well, and shows such a client as `::ffff:192.0.2.1`.
/// Networks that are trusted, and backends, know it as `192.0.2.1`.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
