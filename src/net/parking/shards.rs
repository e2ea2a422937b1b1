//! The parked tasks, in shards, and the rule that hands each of them out once.
//!
//! Owns the slots, their generations and the deadlines. It makes no system call: a worker reserves
//! a slot with [`Shards::begin`], makes its calls, and reports with [`Shards::finish`]. Each worker
//! parks in a shard of its own, so a shard's lock is contended only by the poller and by another
//! worker now and then. `tests/loom/parking.rs` runs this file under every order of events.
//!
//! ```text
//!           begin                finish                  event, deadline, unpark
//!   Free ──────────► Arming ───────────────► Parked ───────────────────────────► Free, task out
//!                      │ ▲                                                          ▲
//!                      └─┘ event, deadline, unpark: only noted                      │
//!                      │                                                            │
//!                      └──────── finish, when something was noted ──────────────────┘
//! ```
//!
//! INVARIANT: a descriptor is armed only while the task that owns it cannot be closed. The kernel
//! knows sockets by number; arming a number that has been closed and given to another connection
//! would steal that connection's event. So nothing takes a task out of an `Arming` slot: what
//! happens meanwhile is noted, and the worker takes the task back itself.

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::base::clock::Moment;
use crate::base::limits::SURVEY_BATCH;
use crate::base::sync::{AtomicU64, Mutex, Ordering};
use crate::net::parking::token::{ParkToken, SLOT_MASK, StreamIndex, Token};
use crate::net::wheel::Wheel;

/// An event of one of a task's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Which of them.
    pub stream: StreamIndex,
    /// What has happened.
    pub flags: EventFlags,
}

/// Parked tasks of type `T`.
pub struct Shards<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    /// When the poller will look at the wheels again, so that a worker with a sooner deadline wakes
    /// it. Ordering: each shard's lock orders it. If the poller looked at the shard's wheel before
    /// the worker parked, the worker sees what the poller stored before it looked, or later.
    wakes_at: AtomicU64,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// A worker is making its system calls; whether it has to take the task back after them.
    Arming {
        fired: Option<Fired>,
        due: bool,
    },
    Parked,
}

impl<T> Shards<T> {
    /// No tasks, in `shards` shards.
    pub fn new(shards: usize, now: Moment) -> Self {
        let shards = (0..shards).map(|_| Mutex::new(Shard::new(now))).collect();
        Self { shards, wakes_at: AtomicU64::new(0) }
    }

    /// Reserves a slot for a task whose sockets are about to be armed. `told` tells the task its
    /// token, and returns whether what it waits for has happened already. Gives the task back if
    /// there is no such shard.
    pub fn begin(
        &self,
        shard: usize,
        task: Box<T>,
        deadline: Moment,
        told: impl FnOnce(&mut T, ParkToken) -> bool,
    ) -> Result<Token, Box<T>> {
        match (self.shards.get(shard), u8::try_from(shard)) {
            (Some(lock), Ok(number)) => Ok(lock.lock().begin(task, deadline, number, told)),
            _ => Err(task),
        }
    }

    /// The sockets of a task are armed, or could not be: from now on others may take it out. Gives
    /// it back if it is to go on at once, with the event that came meanwhile.
    pub fn finish(&self, token: Token, armed: Result<(), Errno>) -> Option<(Box<T>, Option<Fired>)> {
        self.shards.get(usize::from(token.shard))?.lock().finish(token, armed)
    }

    /// Whether the poller would sleep past this deadline of a task that was just parked, and so has
    /// to be woken.
    pub fn is_overslept(&self, deadline: Moment) -> bool {
        deadline.as_nanos() < self.wakes_at.load(Ordering::Relaxed)
    }

    /// When the poller has to look again, and at `until` at the latest. It sleeps until then.
    pub fn next_look(&self, until: Moment) -> Moment {
        // Until the new time is known, every deadline wakes the poller.
        self.wakes_at.store(u64::MAX, Ordering::Relaxed);
        let next = self.shards.iter().map(|shard| shard.lock().wheel.next()).min();
        let until = next.unwrap_or(Moment::NEVER).min(until);
        self.wakes_at.store(until.as_nanos(), Ordering::Relaxed);
        until
    }

    /// Takes out the task that an event is for, unless it has left. If its worker is still making
    /// its calls, the event is noted for that worker.
    pub fn fired(&self, token: Token, event: Fired) -> Option<Box<T>> {
        self.shards.get(usize::from(token.shard))?.lock().fired(token, event)
    }

    /// Takes out a task, unless it has left. If its worker is still making its calls, that worker
    /// takes it back.
    pub fn unpark(&self, spot: ParkToken) -> Option<Box<T>> {
        self.shards.get(usize::from(spot.0.shard))?.lock().unpark(spot.0)
    }

    /// Takes out every task whose deadline has passed. `due` is scratch space.
    pub fn expire(&self, now: Moment, due: &mut Vec<u32>, tasks: &mut Vec<Box<T>>) {
        for shard in &self.shards {
            shard.lock().expire(now, due, tasks);
        }
    }

    /// Takes out every task for which `which` is true.
    pub fn take(&self, mut which: impl FnMut(&T) -> bool, tasks: &mut Vec<Box<T>>) {
        for shard in &self.shards {
            shard.lock().take(&mut which, tasks);
        }
    }

    /// Shows every parked task to `see`, one shard at a time, while its lock is held.
    pub fn look(&self, mut see: impl FnMut(&T)) {
        for shard in &self.shards {
            shard.lock().slots.iter().filter_map(|slot| slot.task.as_deref()).for_each(&mut see);
        }
    }

    /// Shows every parked task to `see`, with the token that takes it out. The lock of a shard is
    /// held for a batch of tasks at a time, so tasks that come or go meanwhile may be missed.
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
}

impl<T> Shard<T> {
    fn new(now: Moment) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), wheel: Wheel::new(now) }
    }

    #[expect(clippy::indexing_slicing, reason = "INVARIANT: a slot that is free, or was just made, is there")]
    fn begin(
        &mut self,
        mut task: Box<T>,
        deadline: Moment,
        shard: u8,
        told: impl FnOnce(&mut T, ParkToken) -> bool,
    ) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: State::Free, task: None });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        debug_assert!(entry.state == State::Free && entry.task.is_none(), "slot {slot} is in use");
        entry.generation = entry.generation.wrapping_add(1) & SLOT_MASK;
        let token = Token { shard, slot, generation: entry.generation };
        // Told before anyone can take it out. What it waits for may have happened already.
        entry.state = State::Arming { fired: None, due: told(&mut task, ParkToken(token)) };
        entry.task = Some(task);
        self.wheel.insert(slot, deadline);
        token
    }

    fn finish(&mut self, token: Token, armed: Result<(), Errno>) -> Option<(Box<T>, Option<Fired>)> {
        let entry = self.slots.get_mut(token.slot as usize)?;
        // INVARIANT: nothing takes a task out while it is being armed.
        debug_assert!(entry.generation == token.generation, "{token:?} left while it was armed");
        debug_assert!(matches!(entry.state, State::Arming { .. }), "{token:?} is {:?}", entry.state);
        let State::Arming { fired, due } = entry.state else { return None };
        entry.state = State::Parked;
        if armed.is_ok() && fired.is_none() && !due {
            return None;
        }
        Some((self.remove(token.slot)?, fired))
    }

    fn fired(&mut self, token: Token, event: Fired) -> Option<Box<T>> {
        match self.state(token)? {
            State::Free => None,
            State::Arming { fired, .. } => {
                *fired = Some(event);
                None
            }
            State::Parked => self.remove(token.slot),
        }
    }

    fn unpark(&mut self, token: Token) -> Option<Box<T>> {
        match self.state(token)? {
            State::Free => None,
            State::Arming { due, .. } => {
                *due = true;
                None
            }
            State::Parked => self.remove(token.slot),
        }
    }

    /// The state of a slot, if it still holds the parking that the token names.
    fn state(&mut self, token: Token) -> Option<&mut State> {
        let entry = self.slots.get_mut(token.slot as usize)?;
        (entry.generation == token.generation).then_some(&mut entry.state)
    }

    #[expect(clippy::indexing_slicing, reason = "INVARIANT: the wheel holds slots that are there")]
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

    #[expect(clippy::indexing_slicing, reason = "INVARIANT: no slot is ever taken away")]
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

    /// Empties a slot.
    fn remove(&mut self, slot: u32) -> Option<Box<T>> {
        let entry = self.slots.get_mut(slot as usize)?;
        // INVARIANT: only a task that is fully parked is taken out; see the head of the file.
        debug_assert!(entry.state == State::Parked, "slot {slot} is {:?}", entry.state);
        let task = entry.task.take()?;
        entry.state = State::Free;
        self.wheel.remove(slot);
        self.free.push(slot);
        Some(task)
    }
}
