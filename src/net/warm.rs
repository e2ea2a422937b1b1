//! The tasks a worker touched last, watched together with one `poll`.
//!
//! A busy client speaks again within a fraction of a millisecond. To hand it to the poller
//! and back costs more than the request; to look at all of them in one call costs almost
//! nothing each. What stays quiet for too long is parked: when nothing at all has happened
//! for the patience, or after so many polls that looking at it has cost about as much as
//! parking it would have. Whatever the task does then, we have paid at most twice the least
//! (it is the ski-rental problem).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFlags, eventfd};

use crate::base::clock::{self, Moment};
use crate::base::limits::{PATIENCE, QUIET_POLLS_MAX};
use crate::net::io::Interest;
use crate::net::sys::PollList;
use crate::net::wait::{Wait, Waiter};

/// Lets another thread end a worker's `poll`.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A waker that has not been used.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Ends the `poll` under way, or the next one.
    pub fn ring(&self) {
        // A full counter means that it has been rung.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn silence(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

struct Warm<T> {
    task: Box<T>,
    wait: Wait,
    /// Where its sockets begin in the list of the poll under way.
    listed_from: usize,
    /// When it last did anything.
    touched: Moment,
    /// Polls that it has stayed quiet through.
    polls: u32,
}

/// What has become of a warm task.
pub enum Woken<T> {
    /// It can go on, or its deadline has passed.
    Ready(Box<T>),
    /// It has been quiet for too long.
    Quiet(Box<T>, Wait),
}

/// How long a poll may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    None,
    /// For [`PATIENCE`].
    Short,
    /// Until the waker is used.
    Endless,
}

/// What a poll came to, beside the tasks it woke.
#[derive(Clone, Copy, Debug)]
pub struct Polled {
    /// The time after it.
    pub now: Moment,
    /// For how long the thread slept, because nothing was ready at first.
    pub slept: Duration,
    /// There are parked tasks to collect.
    pub parked: bool,
}

/// Warm tasks of type `T`.
pub struct WarmSet<T> {
    tasks: Vec<Warm<T>>,
    list: PollList,
}

impl<T: Waiter> WarmSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { tasks: Vec::new(), list: PollList::default() }
    }

    /// How many tasks are in the set.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Keeps a task warm.
    pub fn insert(&mut self, task: Box<T>, wait: Wait, now: Moment) {
        self.tasks.push(Warm { task, wait, listed_from: 0, touched: now, polls: 0 });
    }

    /// Waits until a task is ready, the waker is used or the patience is over, and moves every
    /// task that is ready, due or too quiet to `woken`. With `parked`, a descriptor that is readable
    /// while parked tasks are ready, it waits for those too.
    pub fn poll(
        &mut self,
        bell: &Waker,
        parked: Option<&impl AsFd>,
        patience: Patience,
        woken: &mut Vec<Woken<T>>,
    ) -> Polled {
        self.list.clear();
        self.list.push(bell.0.as_fd().as_raw_fd(), PollFlags::IN);
        if let Some(parked) = parked {
            self.list.push(parked.as_fd().as_raw_fd(), PollFlags::IN);
        }
        let list = &mut self.list;
        for Warm { task, listed_from, .. } in &mut self.tasks {
            *listed_from = list.len();
            task.each_stream(|_, stream| {
                if stream.want().is_urgent() {
                    list.push(stream.raw_fd(), flags_of(stream.want()));
                }
            });
        }
        // A poll that may sleep queues itself at every socket first, which costs three times
        // the look. On a busy worker something is ready already, so looking comes first.
        let glances = patience == Patience::None || self.tasks.len() >= CROWD;
        let mut fired = glances && self.list.wait(Some(Duration::ZERO)).unwrap_or(0) > 0;
        let asleep_since = (!fired && patience != Patience::None).then(clock::now);
        if asleep_since.is_some() {
            let timeout = (patience == Patience::Short).then_some(PATIENCE);
            fired = self.list.wait(timeout).unwrap_or(0) > 0;
        }
        if fired && !self.list.events(0).is_empty() {
            bell.silence();
        }
        let parked = parked.is_some() && !self.list.events(1).is_empty();

        let now = clock::now();
        // Not zero, however short it was.
        let slept =
            asleep_since.map_or(Duration::ZERO, |since| now.since(since).max(Duration::from_nanos(1)));
        let price = if slept.is_zero() { 1 } else { SLEEP_PRICE };
        let list = &self.list;
        // Backwards, so that taking one out moves only one that has been looked at.
        for index in (0..self.tasks.len()).rev() {
            let Warm { task, wait, listed_from, touched, polls } = &mut self.tasks[index];
            *polls += price;
            let mut ready = now >= wait.deadline;
            let mut entry = *listed_from;
            task.each_stream(|_, stream| {
                if stream.want().is_urgent() {
                    let events = list.events(entry);
                    entry += 1;
                    ready |= !events.is_empty();
                    if events.intersects(!PollFlags::OUT) {
                        stream.mark_readable();
                    }
                }
            });
            if ready {
                woken.push(Woken::Ready(self.tasks.swap_remove(index).task));
            } else if *polls >= QUIET_POLLS_MAX || (!fired && now.since(*touched) >= PATIENCE) {
                let Warm { task, wait, .. } = self.tasks.swap_remove(index);
                woken.push(Woken::Quiet(task, wait));
            }
        }
        Polled { now, slept, parked }
    }

    /// The tasks in the set.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.tasks.iter().map(|warm| &*warm.task)
    }

    /// Empties the set.
    pub fn drain(&mut self) -> impl Iterator<Item = (Box<T>, Wait)> + '_ {
        self.tasks.drain(..).map(|warm| (warm.task, warm.wait))
    }
}

impl<T: Waiter> Default for WarmSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What looking at a socket costs before a sleep, in looks that do not sleep. Measured, not
/// counted: a worker that sleeps between requests pays for the look with every one of them.
const SLEEP_PRICE: u32 = 16;

/// Tasks from which on it pays to look before sleeping.
const CROWD: usize = 8;

fn flags_of(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN | PollFlags::RDHUP, interest.read);
    flags.set(PollFlags::OUT, interest.write);
    flags
}
