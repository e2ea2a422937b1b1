//! The `rw-admin` thread: accepts admin clients, serves them, and samples the balancer.
//!
//! It waits in a single `poll` until the nearest deadline. Rendering a view takes time on this thread;
//! a slow client does not.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::base::buffer::BufferPool;
use crate::base::clock::{self, Moment};
use crate::base::limits::{ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, ADMIN_HELD_BYTES_MAX, ADMIN_SAMPLE_EVERY};
use crate::base::supervisor::Supervisor;
use crate::net::listen::{Accept, Listener};

use super::connection::{Connection, Progress};
use super::endpoint::Router;
use super::operations::Operations;
use super::pending::Answer;
use super::response::Response;

/// The running admin listener. Dropping it closes the listener and joins its thread.
pub struct AdminThread {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and its owner share.
struct Shared {
    stop: AtomicBool,
    wake: OwnedFd,
}

impl AdminThread {
    /// Binds `address` and starts to serve. If there is a token, every request except health and
    /// readiness probes must present it.
    ///
    /// # Errors
    /// The address cannot be bound, or the system cannot create a thread or a file descriptor.
    pub fn spawn(
        address: SocketAddr,
        token: Option<String>,
        operations: Arc<dyn Operations>,
        threads: &Supervisor,
    ) -> io::Result<Self> {
        let listener = Listener::bind(address)?;
        let address = listener.address();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        });
        let waker = Arc::clone(&shared);
        let wake = Arc::new(move || waker.wake());
        let server = Server {
            shared: Arc::clone(&shared),
            listener,
            resume_at: Moment::ZERO,
            connections: Vec::new(),
            buffers: BufferPool::new(),
            router: Router::new(token, operations, wake),
            sample_at: Moment::ZERO,
        };
        let thread = threads.spawn(Builder::new().name("rw-admin".to_owned()), move || server.run())?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// The bound address, with the actual port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the admin thread ended with a panic");
        }
    }
}

impl Shared {
    /// Wakes the thread to check everything.
    fn wake(&self) {
        // A full counter means that a wake-up is pending.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// The thread's own state.
struct Server {
    shared: Arc<Shared>,
    listener: Listener,
    /// Accepting is paused until this moment, after file descriptors ran out.
    resume_at: Moment,
    /// In the order they were accepted.
    connections: Vec<Connection>,
    buffers: BufferPool,
    router: Router,
    sample_at: Moment,
}

impl Server {
    fn run(mut self) -> Result<(), String> {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = clock::now();
            if now >= self.sample_at {
                self.sample_at = now + ADMIN_SAMPLE_EVERY;
                self.sample(now);
            }
            let has_client = match self.wait(now) {
                Ok(has_client) => has_client,
                Err(error) => return Err(format!("poll failed: {error}")),
            };
            let now = clock::now();
            self.serve(now);
            if has_client {
                self.accept(now);
            }
        }
        Ok(())
    }

    /// Takes a sample. A panic while collecting the status must not end the listener.
    fn sample(&mut self, now: Moment) {
        if catch_unwind(AssertUnwindSafe(|| self.router.sample(now))).is_err() {
            log::error!("the admin listener survived a panic while it took a sample");
        }
    }

    /// Waits until something is ready or due. Returns whether there is a client to accept.
    fn wait(&mut self, now: Moment) -> Result<bool, Errno> {
        let mut until = self.sample_at;
        let mut fds = Vec::with_capacity(self.connections.len() + 2);
        fds.push(PollFd::new(&self.shared.wake, PollFlags::IN));
        let accepts = now >= self.resume_at;
        if !accepts {
            until = until.min(self.resume_at);
        }
        fds.push(PollFd::new(&self.listener, if accepts { PollFlags::IN } else { PollFlags::empty() }));
        for connection in &self.connections {
            until = until.min(connection.deadline());
            fds.push(PollFd::from_borrowed_fd(connection.as_fd(), connection.interest()));
        }
        match poll(&mut fds, Some(&timespec(until.since(now)))) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(error),
        }
        if fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            // If this fails, nothing was written.
            let _ = rustix::io::read(&self.shared.wake, &mut [0_u8; 8]);
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (connection, ready) in self.connections.iter_mut().zip(ready.iter().skip(2)) {
            if *ready {
                connection.wake();
            }
        }
        Ok(ready.get(1).copied().unwrap_or(false))
    }

    /// Advances every connection and closes those that are finished or late.
    fn serve(&mut self, now: Moment) {
        let mut index = 0;
        while let Some(connection) = self.connections.get_mut(index) {
            let stays = advance(connection, now, &mut self.buffers, &mut self.router) == Progress::Waits
                && (now < connection.deadline() || connection.expire(now) == Progress::Waits);
            if stays {
                index += 1;
                index -= self.bound_answers(index - 1);
            } else {
                self.connections.remove(index);
            }
        }
    }

    /// Closes the oldest connections with unread responses until the rest are within the byte limit.
    /// The connection at `newest` is neither closed nor counted: it has just got its response. Returns
    /// how many connections before it were closed.
    fn bound_answers(&mut self, newest: usize) -> usize {
        let held = |connections: &[Connection]| connections.iter().map(Connection::held).sum::<usize>();
        let own = self.connections.get(newest).map_or(0, Connection::held);
        let mut closed = 0;
        while own > 0 && held(&self.connections) - own > ADMIN_HELD_BYTES_MAX {
            let holds =
                |(place, connection): (usize, &Connection)| place != newest - closed && connection.held() > 0;
            let Some(oldest) = self.connections.iter().enumerate().position(holds) else { break };
            self.connections.remove(oldest);
            closed += usize::from(oldest < newest - closed);
        }
        closed
    }

    /// Accepts waiting clients. Each is advanced immediately: most have already sent their request by
    /// then and never take up a slot.
    fn accept(&mut self, now: Moment) {
        for _ in 0..ADMIN_CONNECTIONS_MAX {
            match self.listener.accept() {
                Accept::Connection(fd, _) => {
                    let mut connection = Connection::new(fd, now);
                    if advance(&mut connection, now, &mut self.buffers, &mut self.router) == Progress::Waits {
                        self.make_room();
                        self.connections.push(connection);
                        self.bound_answers(self.connections.len() - 1);
                    }
                }
                Accept::Empty => return,
                Accept::Exhausted(error) => {
                    log::error!("the admin listener cannot accept for the moment: {error}");
                    self.resume_at = now + ACCEPT_PAUSE;
                    return;
                }
            }
        }
    }

    /// At the limit, closes a connection: the oldest that has been answered, or else the oldest.
    fn make_room(&mut self) {
        if self.connections.len() >= ADMIN_CONNECTIONS_MAX {
            let oldest = self.connections.iter().position(Connection::is_answered).unwrap_or(0);
            self.connections.remove(oldest);
        }
    }
}

/// Advances a connection. A panic in a view closes only the connection that asked for it.
fn advance(
    connection: &mut Connection,
    now: Moment,
    buffers: &mut BufferPool,
    router: &mut Router,
) -> Progress {
    connection.advance(now, buffers, &mut |request| {
        catch_unwind(AssertUnwindSafe(|| router.answer(request))).unwrap_or_else(|_| {
            log::error!("the admin listener survived a panic over /{}", request.path.join("/"));
            Answer::Now(Response::text(500, "500: a bug in ropewalk; see the panic in its log"))
        })
    })
}

fn timespec(duration: Duration) -> Timespec {
    // INVARIANT: no wait here is longer than a second, so the parts fit.
    debug_assert!(duration <= Duration::from_secs(1), "{duration:?}");
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}
