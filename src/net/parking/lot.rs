//! The system calls of parking: epoll for the sockets of tasks, and what the poller waits for.
//!
//! A worker parks a task; a worker takes it out when one of its sockets is ready, and the poller
//! when its deadline has passed. Which of them gets it is decided in [`shards`](super::shards).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;

use crate::base::clock::Moment;
use crate::base::limits::{EVENTS_BATCH, STREAMS_PER_TASK_MAX};
use crate::net::parking::shards::{Fired, Shards};
use crate::net::parking::token::{ParkToken, StreamIndex, Target, Token};
use crate::net::stream::Stream;
use crate::net::sys;
use crate::net::wait::{Wait, Waiter};

/// Parked tasks of type `T`.
pub struct Parking<T> {
    /// Of the tasks. Workers poll it, so no other thread is woken for a task.
    epoll: OwnedFd,
    /// Of everything else. The poller waits on it.
    listeners: OwnedFd,
    shards: Shards<T>,
    wake: OwnedFd,
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
        Ok(Self {
            epoll,
            listeners,
            shards: Shards::new(shards, now),
            wake,
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
        let mut armed = [const { None }; STREAMS_PER_TASK_MAX];
        let mut places = armed.iter_mut();
        task.each_stream(|index, stream| {
            // A client is watched in any case, so that its leaving is noticed. A link that is not
            // watched must not be noted as known to epoll.
            if index == StreamIndex::CLIENT || stream.want().is_urgent() {
                let place = places.next();
                debug_assert!(place.is_some(), "a task has more streams than it may");
                if let Some(place) = place {
                    *place = Some((index, Armed::new(stream)));
                }
            }
        });
        let token = match self.shards.begin(shard, task, wait.deadline, |task, spot| task.parked(spot)) {
            Ok(token) => token,
            Err(task) => return Err((task, Some(Errno::INVAL))),
        };
        let mut armed = armed.iter().flatten();
        let outcome = armed.try_for_each(|(index, armed)| armed.arm(&self.epoll, token.of(*index)));
        if let Some((mut task, fired)) = self.shards.finish(token, outcome) {
            if let Some(fired) = fired {
                note(&mut *task, fired);
            }
            return Err((task, outcome.err()));
        }
        if self.shards.is_overslept(wait.deadline) {
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
        if self.is_broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Errno::BADF.into());
        }
        let until = self.shards.next_look(until);
        let timeout = (until != Moment::NEVER).then(|| timespec(until, crate::base::clock::now()));
        events.list.clear();
        match epoll::wait(&self.listeners, spare_capacity(&mut events.list), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events.list {
            match Token::read(event.data.u64()) {
                Target::Wake => drop(rustix::io::read(&self.wake, &mut [0_u8; 8])),
                Target::Watched(number) => watched(number),
                Target::Task { .. } => {}
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
            let Target::Task { token, stream } = Token::read(event.data.u64()) else { continue };
            let fired = Fired { stream, flags: event.flags };
            let Some(mut task) = self.shards.fired(token, fired) else { continue };
            note(&mut *task, fired);
            take(task);
        }
    }

    /// Takes out the task that is parked there, unless it has left. One whose worker is still
    /// making its system calls is taken back by that worker.
    pub fn unpark(&self, spot: ParkToken) -> Option<Box<T>> {
        self.shards.unpark(spot)
    }

    /// Takes out every task whose deadline has passed.
    pub fn expire(&self, now: Moment, events: &mut Events, tasks: &mut Vec<Box<T>>) {
        self.shards.expire(now, &mut events.due, tasks);
    }

    /// Shows every parked task to `see`, one shard at a time, while its lock is held.
    pub fn look(&self, see: impl FnMut(&T)) {
        self.shards.look(see);
    }

    /// Shows every parked task to `see`, with the token that takes it out. Tasks that come or go
    /// meanwhile may be missed.
    pub fn survey(&self, see: impl FnMut(&T, ParkToken)) {
        self.shards.survey(see);
    }

    /// How many tasks are parked.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Takes out every task for which `which` is true.
    pub fn take(&self, which: impl FnMut(&T) -> bool, tasks: &mut Vec<Box<T>>) {
        self.shards.take(which, tasks);
    }
}

/// Readable while there are tasks to [collect](Parking::collect).
impl<T> AsFd for Parking<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Notes on a task's sockets what an event said.
fn note<T: Waiter>(task: &mut T, Fired { stream: fired, flags }: Fired) {
    let readable = flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
    let of_client = fired == StreamIndex::CLIENT;
    task.each_stream(|index, stream| {
        if index != fired {
            return;
        }
        if of_client && flags.contains(EventFlags::HUP) {
            stream.hang_up();
        }
        if readable {
            stream.mark_readable();
        }
    });
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
    fn new(stream: &mut Stream) -> Self {
        let interest = stream.want();
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

fn timespec(until: Moment, now: Moment) -> Timespec {
    let ahead = until.since(now);
    Timespec { tv_sec: ahead.as_secs() as i64, tv_nsec: i64::from(ahead.subsec_nanos()) }
}
