//! Every line of unsafe code in the project, each with the reason why it is sound.
//!
//! What is here is what rustix cannot express: watching sockets by number, because the
//! structures that watch them outlive any borrow of the task that owns them; and taking over
//! what a process is started with, descriptors known by number and an environment without locks.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// Runs `call` with the descriptor `fd` borrowed.
///
/// The number must be that of a socket that the caller keeps open during the call.
pub(super) fn with_fd<R>(fd: RawFd, call: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
    // SAFETY: descriptors of live streams are never negative. Were the socket closed after
    // all, epoll_ctl and poll report it (EBADF, POLLNVAL); they touch no memory through it.
    call(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Takes over a descriptor that this process was started with.
///
/// The number must be one that whoever started the process says is for us. Errors when it is
/// not open.
pub(super) fn own(fd: RawFd) -> io::Result<OwnedFd> {
    with_fd(fd, |fd| rustix::io::fcntl_getfd(fd))?;
    // SAFETY: it is open, as was just seen, and it has been since before this program ran, so
    // nothing in here opened it and owns it. It is passed once: what says so is removed first.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Removes variables from the environment. Errors when there are threads that could be reading it.
pub(super) fn remove_variables(names: &[&str]) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    for name in names {
        // SAFETY: the environment may be changed while no other thread reads or changes it, and
        // this is the only one: only it could start another, and it is here.
        unsafe { std::env::remove_var(name) };
    }
    Ok(())
}

/// Bytes that were written to a socket and that its peer has not acknowledged (SIOCOUTQ, tcp(7)).
pub(super) fn unacknowledged(socket: impl AsFd) -> Result<c_int, Errno> {
    // SAFETY: the kernel writes one int for this request, which is what the getter has room for.
    unsafe { ioctl(socket, Getter::<TIOCOUTQ, c_int>::new()) }
}

/// The request's number, which is one of the few that differ between machines.
const TIOCOUTQ: Opcode = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    0x7472
} else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64")) {
    0x4004_7473
} else {
    0x5411
};

/// A reusable list of descriptors for poll(2).
#[derive(Debug, Default)]
pub(super) struct PollList(Vec<PollFd<'static>>);

impl PollList {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn push(&mut self, fd: RawFd, events: PollFlags) {
        // SAFETY: as in `with_fd`; the list is rebuilt before every poll from sockets that
        // the warm set owns for as long as the poll lasts.
        let fd = unsafe { BorrowedFd::<'static>::borrow_raw(fd) };
        self.0.push(PollFd::from_borrowed_fd(fd, events));
    }

    /// Polls for up to `timeout`, which is shorter than a second; without one, until
    /// something happens.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Result<usize, Errno> {
        let timeout =
            timeout.map(|timeout| Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) });
        poll(&mut self.0, timeout.as_ref())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn events(&self, index: usize) -> PollFlags {
        self.0.get(index).map_or(PollFlags::empty(), PollFd::revents)
    }
}
