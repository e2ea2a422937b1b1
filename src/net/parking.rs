//! Where tasks wait: parked with epoll, with their deadline on a timing wheel.
//!
//! A worker parks a task; a worker takes it out when one of its sockets is ready, and the poller
//! when its deadline has passed. Each worker parks in a shard of its own, so that nobody contends
//! for a shard's lock but now and then the poller or another worker.
//!
//! INVARIANT: a descriptor is armed only while the task that owns it cannot be closed. The
//! kernel knows sockets by number; arming a number that has been closed and given to another
//! connection would steal that connection's event. So a slot is `Arming` until the worker
//! has made its system calls, and whatever happens meanwhile is only noted: the worker
//! then takes the task back itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::base::clock::Moment;
use crate::base::limits::{EVENTS_BATCH, SURVEY_BATCH};
use crate::net::stream::Stream;
use crate::net::sys;
use crate::net::wait::{Interest, Sockets, Wait, Waiter};
use crate::net::wheel::Wheel;

/// Who an event is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Something that was [watched](Parking::watch), by the number it was given.
    Watched(u32),
    /// A parked task, now taken out.
    Task,
}

/// Where a task is parked, for whoever may have to wake it. It may have left meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct ParkToken(Token);

#[cfg(test)]
impl ParkToken {
    /// Where no task is.
    pub fn nowhere() -> Self {
        Self(Token { shard: 0, slot: 0, generation: 0 })
    }
}

/// Wakes tasks that wait for something else than a socket.
pub trait Unpark: Send + Sync {
    /// Lets the task that is parked there go on; nothing happens if it has left.
    fn unpark(&self, spot: ParkToken);
}

/// Parked tasks of type `T`.
pub struct Parking<T> {
    /// Of the tasks. Workers look at it, so that nobody else need be woken for a task.
    epoll: OwnedFd,
    /// Of everything else. The poller waits on it.
    listeners: OwnedFd,
    shards: Box<[Mutex<Shard<T>>]>,
    wake: OwnedFd,
    /// When the poller will look again, so that a sooner deadline knows to wake it.
    wakes_at: AtomicU64,
    /// A test wants to see what comes of a wait that fails.
    #[cfg(test)]
    pub is_broken: std::sync::atomic::AtomicBool,
}

impl<T: Waiter> Parking<T> {
    /// An empty car park with `shards` shards.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(shards: usize, now: Moment) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let listeners = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&listeners, &wake, EventData::new_u64(Token::WAKE), EventFlags::IN)?;
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(now))).collect();
        Ok(Self {
            epoll,
            listeners,
            shards,
            wake,
            wakes_at: AtomicU64::new(0),
            #[cfg(test)]
            is_broken: std::sync::atomic::AtomicBool::default(),
        })
    }

    /// Watches something that is not a task for something to read, until it is
    /// [unwatched](Parking::unwatch).
    ///
    /// # Errors
    /// The kernel is out of memory for watches.
    pub fn watch(&self, socket: impl AsFd, number: u32) -> io::Result<()> {
        Ok(epoll::add(&self.listeners, socket, EventData::new_u64(Token::watched(number)), EventFlags::IN)?)
    }

    /// Stops watching something.
    pub fn unwatch(&self, socket: impl AsFd) {
        // It may have been unwatched before.
        let _ = epoll::delete(&self.listeners, socket);
    }

    /// Parks a task. Gives it back if what it waits for has happened meanwhile, or if the
    /// kernel cannot watch its sockets (then with the error).
    pub fn park(&self, shard: usize, mut task: Box<T>, wait: &Wait) -> Result<(), (Box<T>, Option<Errno>)> {
        let Sockets { client, upstream } = task.sockets();
        let client = Armed::new(client, wait.client);
        // One that is not watched must not be noted as known to epoll.
        let upstream =
            upstream.filter(|_| wait.upstream.is_urgent()).map(|stream| Armed::new(stream, wait.upstream));
        let Some(shard_lock) = self.shards.get(shard) else { return Err((task, Some(Errno::INVAL))) };

        let token = shard_lock.lock().insert(task, wait.deadline, shard as u8);
        let slot = token.slot;
        let mut outcome = client.arm(&self.epoll, token.of_client());
        if let (Ok(()), Some(upstream)) = (outcome, upstream) {
            outcome = upstream.arm(&self.epoll, token.of_upstream());
        }

        if let Some(task) = shard_lock.lock().armed(slot, outcome.is_ok()) {
            return Err((task, outcome.err()));
        }
        // SeqCst: either the poller's look at the wheels saw this deadline, or this load
        // sees when the poller means to wake.
        if wait.deadline.as_nanos() < self.wakes_at.load(Ordering::SeqCst) {
            self.wake();
        }
        Ok(())
    }

    /// Makes the poller's [`Parking::wait`] return.
    pub fn wake(&self) {
        // A full counter means that a wake-up is pending.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Waits until something that is watched is ready, a task is due, or until `until`. Tells
    /// `watched` the numbers of what is ready. Only the poller calls this.
    ///
    /// # Errors
    /// epoll itself is broken.
    pub fn wait(&self, events: &mut Events, until: Moment, mut watched: impl FnMut(u32)) -> io::Result<()> {
        #[cfg(test)]
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(Errno::BADF.into());
        }
        // Until the new time is known, every parked deadline wakes us.
        self.wakes_at.store(u64::MAX, Ordering::SeqCst);
        let next = self.shards.iter().map(|shard| shard.lock().wheel.next()).min();
        let until = next.unwrap_or(Moment::NEVER).min(until);
        self.wakes_at.store(until.as_nanos(), Ordering::SeqCst);

        let timeout = (until != Moment::NEVER).then(|| timespec(until, crate::base::clock::now()));
        events.list.clear();
        match epoll::wait(&self.listeners, spare_capacity(&mut events.list), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events.list {
            match Token::read(event.data.u64()) {
                Read::Wake => drop(rustix::io::read(&self.wake, &mut [0_u8; 8])),
                Read::Watched(number) => watched(number),
                Read::Task { .. } => {}
            }
        }
        Ok(())
    }

    /// Takes out tasks whose sockets are ready, a batch of them, and hands them to `take`. Never waits.
    pub fn collect(&self, events: &mut Events, mut take: impl FnMut(Box<T>)) {
        events.list.clear();
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An error here is one of the program's own making; there are no tasks then.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events.list), Some(&none));
        for event in &events.list {
            let Read::Task { token, of_client } = Token::read(event.data.u64()) else { continue };
            let Some(shard) = self.shards.get(usize::from(token.shard)) else { continue };
            let Some(mut task) = shard.lock().fired(token, of_client, event.flags) else { continue };
            note(&mut *task, of_client, event.flags);
            take(task);
        }
    }

    /// Takes out the task that is parked there, unless it has left. One whose worker is still
    /// making its system calls is taken back by that worker.
    pub fn unpark(&self, spot: ParkToken) -> Option<Box<T>> {
        let shard = self.shards.get(usize::from(spot.0.shard))?;
        shard.lock().unpark(spot.0)
    }

    /// Takes out every task whose deadline has passed.
    pub fn expire(&self, now: Moment, events: &mut Events, tasks: &mut Vec<Box<T>>) {
        for shard in &self.shards {
            shard.lock().expire(now, &mut events.due, tasks);
        }
    }

    /// Shows every parked task to `see`, one shard at a time, while its lock is held.
    pub fn look(&self, mut see: impl FnMut(&T)) {
        for shard in &self.shards {
            shard.lock().slots.iter().filter_map(|slot| slot.task.as_deref()).for_each(&mut see);
        }
    }

    /// Shows every parked task to `see`, with the place where it can be taken out. The lock of a shard
    /// is held for a batch of them at a time, so tasks that come or go meanwhile may be missed.
    pub fn survey(&self, mut see: impl FnMut(&T, ParkToken)) {
        for (number, shard) in self.shards.iter().enumerate() {
            let mut next = 0;
            loop {
                let shard = shard.lock();
                let Some(slots @ [_, ..]) = shard.slots.get(next..) else { break };
                for (place, slot) in (next..).zip(slots.iter().take(SURVEY_BATCH)) {
                    if let (State::Parked, Some(task)) = (slot.state, &slot.task) {
                        let (shard, slot, generation) = (number as u8, place as u32, slot.generation);
                        see(task, ParkToken(Token { shard, slot, generation }));
                    }
                }
                next += SURVEY_BATCH;
            }
        }
    }

    /// How many tasks are parked.
    pub fn len(&self) -> usize {
        let of_shard = |shard: &Mutex<Shard<T>>| {
            let shard = shard.lock();
            shard.slots.len() - shard.free.len()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out every task that `which` says.
    pub fn take(&self, mut which: impl FnMut(&T) -> bool, tasks: &mut Vec<Box<T>>) {
        for shard in &self.shards {
            shard.lock().take(&mut which, tasks);
        }
    }
}

/// Readable while there are tasks to [collect](Parking::collect).
impl<T> AsFd for Parking<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Notes on a task's sockets what an event said.
fn note<T: Waiter>(task: &mut T, of_client: bool, flags: EventFlags) {
    let readable = flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    let Sockets { client, upstream } = task.sockets();
    if of_client && flags.contains(EventFlags::HUP) {
        client.hang_up();
    }
    match (of_client, upstream) {
        (true, _) if readable => client.mark_readable(),
        (false, Some(upstream)) if readable => upstream.mark_readable(),
        _ => {}
    }
    if of_client && flags.contains(EventFlags::ERR) {
        task.client_broke();
    } else if of_client && flags.contains(EventFlags::RDHUP) {
        task.client_ended();
    }
}

/// The poller's own lists, kept from one wait to the next.
pub struct Events {
    list: Vec<Event>,
    due: Vec<u32>,
}

impl Events {
    /// Empty lists.
    pub fn new() -> Self {
        Self { list: Vec::with_capacity(EVENTS_BATCH), due: Vec::new() }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket about to be armed, known by its number while the shard owns the task.
struct Armed {
    fd: RawFd,
    flags: EventFlags,
    registered: bool,
    hung_up: bool,
}

impl Armed {
    fn new(stream: &mut Stream, interest: Interest) -> Self {
        let mut flags = EventFlags::ONESHOT;
        flags.set(EventFlags::IN, interest.read);
        flags.set(EventFlags::RDHUP, interest.read || interest.end);
        flags.set(EventFlags::OUT, interest.write);
        let (registered, hung_up) = (stream.register(), stream.is_hung_up());
        Self { fd: stream.raw_fd(), flags, registered, hung_up }
    }

    fn arm(&self, epoll: &OwnedFd, token: u64) -> Result<(), Errno> {
        if self.hung_up {
            return Ok(());
        }
        let data = EventData::new_u64(token);
        sys::with_fd(self.fd, |fd| {
            if self.registered {
                epoll::modify(epoll, fd, data, self.flags)
            } else {
                epoll::add(epoll, fd, data, self.flags)
            }
        })
    }
}

/// What the kernel carries for each armed socket.
#[derive(Clone, Copy, Debug)]
struct Token {
    shard: u8,
    slot: u32,
    generation: u32,
}

enum Read {
    Wake,
    Watched(u32),
    Task { token: Token, of_client: bool },
}

impl Token {
    const WAKE: u64 = u64::MAX;
    /// Bits 56..64 tell what it is; a task's shard stands in bits 48..56.
    const WATCHED: u64 = 0xF0 << 56;
    const CLIENT: u64 = 0x01 << 56;
    const SLOT_BITS: u32 = 24;

    fn watched(number: u32) -> u64 {
        Self::WATCHED | u64::from(number)
    }

    fn of_upstream(self) -> u64 {
        // The generation is cut to 24 bits: an event would have to be delayed by
        // 16 million parkings in the same slot to be mistaken for a newer one.
        u64::from(self.shard) << 48
            | u64::from(self.slot) << Self::SLOT_BITS
            | u64::from(self.generation & Shard::<()>::GENERATION_MASK)
    }

    fn of_client(self) -> u64 {
        Self::CLIENT | self.of_upstream()
    }

    fn read(data: u64) -> Read {
        match data >> 56 {
            0xFF => Read::Wake,
            0xF0 => Read::Watched(data as u32),
            kind => Read::Task {
                token: Self {
                    shard: (data >> 48) as u8,
                    slot: (data >> Self::SLOT_BITS) as u32 & Shard::<()>::GENERATION_MASK,
                    generation: data as u32 & Shard::<()>::GENERATION_MASK,
                },
                of_client: kind == 1,
            },
        }
    }
}

/// LOCK: guards a slab and its wheel, held for a few list operations, never across a call.
struct Shard<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    wheel: Wheel,
}

struct Slot<T> {
    generation: u32,
    state: State,
    task: Option<Box<T>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// A worker is making its system calls; whether it has to take the task back after them.
    Arming {
        fired: Option<(bool, EventFlags)>,
        due: bool,
    },
    Parked,
}

impl<T> Shard<T> {
    const GENERATION_MASK: u32 = (1 << Token::SLOT_BITS) - 1;

    fn new(now: Moment) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), wheel: Wheel::new(now) }
    }

    /// Empties a slot.
    fn remove(&mut self, slot: u32) -> Option<Box<T>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let task = entry.task.take()?;
        entry.state = State::Free;
        self.wheel.remove(slot);
        self.free.push(slot);
        Some(task)
    }

    fn expire(&mut self, now: Moment, due: &mut Vec<u32>, tasks: &mut Vec<Box<T>>) {
        due.clear();
        self.wheel.due(now, due);
        for &slot in due.iter() {
            match &mut self.slots[slot as usize].state {
                State::Arming { due, .. } => *due = true,
                _ => tasks.extend(self.remove(slot)),
            }
        }
    }

    fn take(&mut self, which: &mut impl FnMut(&T) -> bool, tasks: &mut Vec<Box<T>>) {
        for slot in 0..self.slots.len() as u32 {
            let Slot { state, task: Some(task), .. } = &mut self.slots[slot as usize] else { continue };
            if !which(task) {
                continue;
            }
            match state {
                State::Arming { due, .. } => *due = true,
                _ => tasks.extend(self.remove(slot)),
            }
        }
    }
}

impl<T: Waiter> Shard<T> {
    fn insert(&mut self, mut task: Box<T>, deadline: Moment, shard: u8) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: State::Free, task: None });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1) & Self::GENERATION_MASK;
        let token = Token { shard, slot, generation: entry.generation };
        // Told before anybody can take it out. What it waits for may have happened already.
        entry.state = State::Arming { fired: None, due: task.parked(ParkToken(token)) };
        entry.task = Some(task);
        self.wheel.insert(slot, deadline);
        token
    }

    /// Takes out the task that was parked with this token; if its worker is still making its
    /// calls, that worker is told.
    fn unpark(&mut self, token: Token) -> Option<Box<T>> {
        let entry = self.slots.get_mut(token.slot as usize)?;
        if entry.generation != token.generation {
            return None;
        }
        match &mut entry.state {
            State::Free => None,
            State::Arming { due, .. } => {
                *due = true;
                None
            }
            State::Parked => self.remove(token.slot),
        }
    }

    /// The worker has made its calls: the task is parked, unless it is to be taken back.
    fn armed(&mut self, slot: u32, ok: bool) -> Option<Box<T>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let State::Arming { fired, due } = entry.state else { return None };
        entry.state = State::Parked;
        if ok && fired.is_none() && !due {
            return None;
        }
        let mut task = self.remove(slot)?;
        if let Some((of_client, flags)) = fired {
            note(&mut *task, of_client, flags);
        }
        Some(task)
    }

    /// An event came: the task, if it is this parking's event and the slot is not being armed.
    fn fired(&mut self, token: Token, of_client: bool, flags: EventFlags) -> Option<Box<T>> {
        let entry = self.slots.get_mut(token.slot as usize)?;
        if entry.generation != token.generation {
            return None;
        }
        match &mut entry.state {
            State::Free => None,
            State::Arming { fired, .. } => {
                *fired = Some((of_client, flags));
                None
            }
            State::Parked => self.remove(token.slot),
        }
    }
}

fn timespec(until: Moment, now: Moment) -> Timespec {
    let ahead = until.since(now);
    Timespec { tv_sec: ahead.as_secs() as i64, tv_nsec: i64::from(ahead.subsec_nanos()) }
}
