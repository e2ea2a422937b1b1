//! Accepting connections, and what happens when there are too many.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::base::clock::Moment;
use crate::base::limits::{ACCEPT_BATCH, ACCEPT_PAUSE, DISPLACED_AT_ONCE_MAX, RETRY_AFTER_S};
use crate::net::listen::Accept;
use crate::net::stream::Stream;
use crate::proxy::connection::Connection;
use crate::proxy::context::ListenerInfo;
use crate::proxy::counted::{Counted, Counts};
use crate::server::clients::{Client, Clients};
use crate::server::displace::Idle;
use crate::server::state::ServerState;

pub use crate::server::listeners::{BoundListener, Change};

/// The listening sockets, owned by the poller.
pub struct Acceptor {
    /// A place stays that of its listener for as long as that is open, since events name it.
    listeners: Vec<Option<BoundListener>>,
    /// How many connections each client holds.
    clients: Clients,
    /// Connections that may be closed to make room.
    idle: Idle,
    /// Out of descriptors: nothing is accepted before this moment.
    paused_until: Option<Moment>,
    /// Connections could not be accepted last time; told once, not ten times a second.
    exhausted: bool,
}

impl Acceptor {
    /// An acceptor for bound sockets.
    pub fn new(listeners: Vec<BoundListener>) -> Self {
        Self {
            listeners: listeners.into_iter().map(Some).collect(),
            clients: Clients::new(),
            idle: Idle::new(),
            paused_until: None,
            exhausted: false,
        }
    }

    /// Starts to watch the sockets.
    ///
    /// # Errors
    /// The kernel is out of memory for watches.
    pub fn open(&self, state: &ServerState) -> std::io::Result<()> {
        for (number, bound) in self.listeners.iter().enumerate() {
            if let Some(BoundListener { listener, .. }) = bound {
                state.parking.watch(listener, number as u32)?;
            }
        }
        Ok(())
    }

    /// Opens and closes listeners. What has connected to those that are closed is still served.
    pub fn change(&mut self, state: &ServerState, change: Change, now: Moment) {
        for number in 0..self.listeners.len() {
            let Some(Some(bound)) = self.listeners.get_mut(number) else { continue };
            match change.keep.iter().find(|info| info.id == bound.info.id) {
                Some(info) => bound.info = Arc::clone(info),
                None => {
                    self.accept(number as u32, state, now);
                    if let Some(bound) = self.listeners.get_mut(number).and_then(Option::take) {
                        shut(bound, state);
                    }
                }
            }
        }
        for bound in change.add {
            let free = self.listeners.iter().position(Option::is_none);
            let number = free.unwrap_or(self.listeners.len());
            if self.paused_until.is_none()
                && let Err(error) = state.parking.watch(&bound.listener, number as u32)
            {
                log::error!("cannot watch listener {}: {error}", bound.info.address);
                continue;
            }
            match self.listeners.get_mut(number) {
                Some(place) => *place = Some(bound),
                None => self.listeners.push(Some(bound)),
            }
        }
    }

    /// Accepts a batch from one listener.
    pub fn accept(&mut self, number: u32, state: &ServerState, now: Moment) {
        for _ in 0..ACCEPT_BATCH {
            let Some(Some(BoundListener { listener, info })) = self.listeners.get(number as usize) else {
                return;
            };
            match listener.accept() {
                Accept::Connection(fd, peer) => {
                    self.exhausted = false;
                    // The change of its name may be on its way to us yet.
                    let info = state.shared.present(info);
                    self.admit(fd, peer, info, state, now);
                }
                Accept::Empty => return,
                Accept::Exhausted(error) => {
                    if !std::mem::replace(&mut self.exhausted, true) {
                        log::error!("cannot accept connections for the moment: {error}");
                    }
                    shed(state);
                    self.pause(state, now);
                    return;
                }
            }
        }
    }

    /// Makes a task of a connection, or turns it away.
    fn admit(
        &mut self,
        fd: OwnedFd,
        peer: SocketAddr,
        info: Arc<ListenerInfo>,
        state: &ServerState,
        now: Moment,
    ) {
        let shared = &state.shared;
        let snapshot = shared.snapshot.load_full();
        let client = Client::at(peer.ip());
        let limits = &snapshot.plan.limits;
        if limits.connections_per_client.is_some_and(|max| self.clients.held_by(client) >= max) {
            shared.turned_away.of_client.fetch_add(1, Ordering::Relaxed);
            return turn_away(&fd, "this client holds as many connections as it may");
        }
        if !self.has_room(client, limits.connections, state) {
            shared.turned_away.of_all.fetch_add(1, Ordering::Relaxed);
            return turn_away(&fd, "the connection limit is reached");
        }
        let connections = Counted::new(&shared.connections);
        let counts = Counts { connections, of_client: self.clients.count(client) };
        state.ready.put(Box::new(Connection::new(Stream::accepted(fd), peer, info, snapshot, counts, now)));
    }

    /// Whether there is room for one more connection of a client, perhaps by closing idle ones.
    fn has_room(&mut self, newcomer: Client, limit: usize, state: &ServerState) -> bool {
        let open = || state.shared.connections.load(Ordering::Relaxed);
        for _ in 0..DISPLACED_AT_ONCE_MAX {
            if open() < limit {
                return true;
            }
            let busy = |task| state.ready.put(task);
            let Some(task) = self.idle.displace(&state.parking, &self.clients, newcomer, busy) else { break };
            state.shared.turned_away.idle.fetch_add(1, Ordering::Relaxed);
            drop(task);
        }
        open() < limit
    }

    /// When accepting goes on, if it is paused.
    pub fn resumes_at(&self) -> Moment {
        self.paused_until.unwrap_or(Moment::NEVER)
    }

    /// Goes on accepting if the pause is over.
    pub fn resume(&mut self, state: &ServerState, now: Moment) {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
            if let Err(error) = self.open(state) {
                log::error!("cannot watch the listeners for the moment: {error}");
                self.pause(state, now);
            }
        }
    }

    /// Takes in what has connected already, then closes the listeners.
    pub fn close(&mut self, state: &ServerState, now: Moment) {
        for number in 0..self.listeners.len() {
            self.accept(number as u32, state, now);
        }
        for bound in self.listeners.drain(..).flatten() {
            shut(bound, state);
        }
        self.paused_until = None;
    }

    fn pause(&mut self, state: &ServerState, now: Moment) {
        for BoundListener { listener, .. } in self.listeners.iter().flatten() {
            state.parking.unwatch(listener);
        }
        self.paused_until = Some(now + ACCEPT_PAUSE);
    }
}

/// Closes a listener. One that a service manager keeps open would go on being reported after ours
/// is closed, so it is unwatched first.
fn shut(BoundListener { listener, .. }: BoundListener, state: &ServerState) {
    state.parking.unwatch(&listener);
}

/// Makes room by closing what can be closed without harm: unused connections to backends,
/// and clients between requests.
fn shed(state: &ServerState) {
    state.shared.snapshot.load().close_unused();
    let (mut left, mut idle) = (ACCEPT_BATCH, Vec::new());
    state.parking.take(
        |task| {
            let take = left > 0 && task.is_idle();
            left -= usize::from(take);
            take
        },
        &mut idle,
    );
}

/// Answers a connection over the limit without troubling a worker.
fn turn_away(fd: &OwnedFd, why: &str) {
    let body = format!("503 Service Unavailable: {why}\n");
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nRetry-After: {RETRY_AFTER_S}\r\n\
         Proxy-Status: ropewalk; error=connection_limit_reached\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // A client that cannot take even this is closed like the others.
    let _ = send(fd, answer.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    let _ = shutdown(fd, Shutdown::Write);
    // Closing over a request that is there unread would reset the connection and destroy
    // the answer.
    let _ = recv(fd, &mut [0_u8; 4096], RecvFlags::DONTWAIT);
}
