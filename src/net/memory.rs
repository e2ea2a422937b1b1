//! Connections in memory, so that tests can play both peers without sockets, and can break any call.
//!
//! A test that makes a [`Network`] gets every connection that its thread opens.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

/// Our side of a connection.
#[derive(Debug)]
pub(crate) struct Memory(Arc<Mutex<Wire>>);

/// The other side, which a test holds.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Mutex<Wire>>);

#[derive(Debug)]
struct Wire {
    /// What the peer has sent and we have not read.
    to_us: VecDeque<u8>,
    /// The peer has finished sending.
    peer_ended: bool,
    /// What we have written.
    from_us: Vec<u8>,
    /// How much more we can write.
    room: usize,
    we_ended: bool,
    resets: bool,
    closed: bool,
    read_fault: Option<Errno>,
    write_fault: Option<Errno>,
    /// Calls count towards the fault that the network has planned.
    is_dialled: bool,
}

/// A new connection.
pub(crate) fn pair() -> (Memory, Peer) {
    let wire = Arc::new(Mutex::new(Wire {
        to_us: VecDeque::new(),
        peer_ended: false,
        from_us: Vec::new(),
        room: usize::MAX,
        we_ended: false,
        resets: false,
        closed: false,
        read_fault: None,
        write_fault: None,
        is_dialled: false,
    }));
    (Memory(Arc::clone(&wire)), Peer(wire))
}

impl Memory {
    pub(super) fn recv(&self, space: &mut Vec<u8>) -> Result<usize, Errno> {
        let mut wire = self.0.lock();
        planned_fault(&wire)?;
        if let Some(error) = wire.read_fault {
            return Err(error);
        }
        let count = (space.capacity() - space.len()).min(wire.to_us.len());
        if count == 0 && !wire.peer_ended {
            return Err(Errno::AGAIN);
        }
        space.extend(wire.to_us.drain(..count));
        Ok(count)
    }

    pub(super) fn peek(&self, _: &mut [u8; 1]) -> Result<usize, Errno> {
        let wire = self.0.lock();
        match (wire.read_fault, wire.to_us.is_empty(), wire.peer_ended) {
            (Some(error), ..) => Err(error),
            (None, false, _) => Ok(1),
            (None, true, true) => Ok(0),
            (None, true, false) => Err(Errno::AGAIN),
        }
    }

    pub(super) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut wire = self.0.lock();
        planned_fault(&wire)?;
        if let Some(error) = wire.write_fault {
            return Err(error);
        }
        let count = bytes.len().min(wire.room);
        if count == 0 {
            return Err(Errno::AGAIN);
        }
        wire.room -= count;
        wire.from_us.extend(bytes.iter().take(count));
        Ok(count)
    }

    pub(super) fn finish_writing(&self) {
        self.0.lock().we_ended = true;
    }

    pub(super) fn reset_on_close(&self) {
        self.0.lock().resets = true;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.lock().closed = true;
    }
}

impl Peer {
    /// Sends bytes.
    pub(crate) fn send(&self, bytes: &str) {
        self.0.lock().to_us.extend(bytes.as_bytes());
    }

    /// Finishes sending.
    pub(crate) fn finish(&self) {
        self.0.lock().peer_ended = true;
    }

    /// Makes our reads fail.
    pub(crate) fn break_reads(&self, error: Errno) {
        self.0.lock().read_fault = Some(error);
    }

    /// Makes our writes fail.
    pub(crate) fn break_writes(&self, error: Errno) {
        self.0.lock().write_fault = Some(error);
    }

    /// Allows this many more bytes to be written, then none.
    pub(crate) fn give_room(&self, room: usize) {
        self.0.lock().room = room;
    }

    /// All that we have written.
    pub(crate) fn received(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().from_us).into_owned()
    }

    /// Whether we have finished writing, or closed.
    pub(crate) fn is_ended(&self) -> bool {
        let wire = self.0.lock();
        wire.we_ended || wire.closed
    }

    /// Whether our close was a reset.
    pub(crate) fn is_reset(&self) -> bool {
        let wire = self.0.lock();
        wire.closed && wire.resets
    }
}

thread_local! {
    static NETWORK: RefCell<Option<State>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct State {
    dialled: VecDeque<(SocketAddr, Peer)>,
    /// With which errors the next connections fail, when they are first written to.
    failing: VecDeque<Errno>,
    /// Calls on connections to backends so far.
    calls: usize,
    /// Which of them fails, and how.
    fault: Option<(usize, Errno)>,
}

/// Where this thread's connections lead to while the value lives.
#[derive(Debug)]
pub(crate) struct Network(());

impl Network {
    pub(crate) fn new() -> Self {
        NETWORK.set(Some(State::default()));
        Self(())
    }

    /// Makes the next connection fail when it is first written to.
    pub(crate) fn fail_next(&self, error: Errno) {
        NETWORK.with_borrow_mut(|state| state.get_or_insert_default().failing.push_back(error));
    }

    /// Makes one of the calls on connections to backends fail, counted from 0.
    pub(crate) fn fail_call(&self, number: usize, error: Errno) {
        NETWORK.with_borrow_mut(|state| state.get_or_insert_default().fault = Some((number, error)));
    }

    /// How many of these calls there were.
    pub(crate) fn calls(&self) -> usize {
        NETWORK.with_borrow(|state| state.as_ref().map_or(0, |state| state.calls))
    }

    /// The next connection that was opened, and where to.
    pub(crate) fn accept(&self) -> Option<(SocketAddr, Peer)> {
        NETWORK.with_borrow_mut(|state| state.as_mut()?.dialled.pop_front())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        NETWORK.set(None);
    }
}

/// Opens a connection in this thread's network, if it has one.
pub(super) fn dial(address: SocketAddr) -> Option<Result<Memory, Errno>> {
    NETWORK.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        let (ours, peer) = pair();
        ours.0.lock().is_dialled = true;
        ours.0.lock().write_fault = state.failing.pop_front();
        state.dialled.push_back((address, peer));
        Some(Ok(ours))
    })
}

/// Fails if this is the call that is to fail.
fn planned_fault(wire: &Wire) -> Result<(), Errno> {
    if !wire.is_dialled {
        return Ok(());
    }
    NETWORK.with_borrow_mut(|state| {
        let Some(state) = state else { return Ok(()) };
        let number = state.calls;
        state.calls += 1;
        match state.fault {
            Some((failing, error)) if failing == number => Err(error),
            _ => Ok(()),
        }
    })
}
