//! Parking: a task is handed out once, whatever happens while it is armed; a stale token does
//! nothing; the poller never sleeps past a deadline.

use std::time::Duration;

use loom::sync::{Arc, Mutex};
use loom::thread;
use rustix::event::epoll::EventFlags;

use crate::base::bell::Bell;
use crate::base::clock::Moment;
use crate::base::sync::{AtomicUsize, Ordering};
use crate::explore;
use crate::net::parking::ParkToken;
use crate::net::parking::shards::{Fired, Shards};
use crate::net::parking::token::{StreamIndex, Token};

const READABLE: Fired = Fired { stream: StreamIndex::CLIENT, flags: EventFlags::IN };

/// When the models begin, and the deadline of their tasks.
const START: Moment = Moment::from_nanos(1 << 40);
const DEADLINE: Moment = Moment::from_nanos((1 << 40) + 1);

/// A socket, as the kernel sees it.
struct Socket {
    /// Closed with its task; the number may then belong to another connection.
    is_open: bool,
    /// Armed once, for this parking. It is readable all the time.
    armed: Option<Token>,
}

/// A task that owns a socket.
struct Task(Arc<Mutex<Socket>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.lock().unwrap().is_open = false;
    }
}

struct World {
    shards: Shards<Task>,
    socket: Arc<Mutex<Socket>>,
    /// Where the task said that it can be woken.
    spot: Mutex<Option<ParkToken>>,
    handed_out: AtomicUsize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: Shards::new(1, START),
            socket: Arc::new(Mutex::new(Socket { is_open: true, armed: None })),
            spot: Mutex::new(None),
            handed_out: AtomicUsize::new(0),
        })
    }

    /// Whoever is handed the task closes it.
    fn hand_out(&self, task: Box<Task>) {
        self.handed_out.fetch_add(1, Ordering::Relaxed);
        drop(task);
    }

    /// What a worker does.
    fn park(&self) {
        let told = |_: &mut Task, spot| {
            *self.spot.lock().unwrap() = Some(spot);
            false
        };
        let task = Box::new(Task(Arc::clone(&self.socket)));
        let Ok(token) = self.shards.begin(0, task, DEADLINE, told) else { panic!("there is a shard") };
        {
            let mut socket = self.socket.lock().unwrap();
            assert!(socket.is_open, "a descriptor was armed whose task is closed");
            socket.armed = Some(token);
        }
        if let Some((task, _)) = self.shards.finish(token, Ok(())) {
            self.hand_out(task);
        }
    }

    /// Delivers the event, if the socket is armed. Returns whether it did; it comes once.
    fn deliver(&self) -> bool {
        let armed = self.socket.lock().unwrap().armed.take();
        if let Some(task) = armed.and_then(|token| self.shards.fired(token, READABLE)) {
            self.hand_out(task);
        }
        armed.is_some()
    }

    /// Wakes the task, if it has said where. Returns whether it had.
    fn wake(&self) -> bool {
        let spot = *self.spot.lock().unwrap();
        if let Some(task) = spot.and_then(|spot| self.shards.unpark(spot)) {
            self.hand_out(task);
        }
        spot.is_some()
    }

    fn expire(&self) {
        let mut tasks = Vec::new();
        self.shards.expire(DEADLINE, &mut Vec::new(), &mut tasks);
        tasks.into_iter().for_each(|task| self.hand_out(task));
    }

    fn spawn<R: 'static>(
        world: &Arc<Self>,
        what: impl FnOnce(&Self) -> R + 'static,
    ) -> thread::JoinHandle<R> {
        let world = Arc::clone(world);
        thread::spawn(move || what(&world))
    }
}

#[test]
fn a_task_is_handed_out_once_and_no_event_of_it_is_lost() {
    explore(|| {
        let world = World::new();
        let kernel = World::spawn(&world, World::deliver);
        let waker = World::spawn(&world, World::wake);
        world.park();
        let [delivered, woken] = [kernel, waker].map(|thread| thread.join().unwrap());
        if delivered || woken {
            assert_eq!(world.handed_out.load(Ordering::Relaxed), 1, "an event or a wake-up was lost");
        }
        world.deliver();
        assert_eq!(world.handed_out.load(Ordering::Relaxed), 1);
        assert!(world.shards.is_empty());
    });
}

#[test]
fn a_deadline_and_an_event_at_once_hand_a_task_out_once() {
    explore(|| {
        let world = World::new();
        let kernel = World::spawn(&world, World::deliver);
        let poller = World::spawn(&world, World::expire);
        world.park();
        kernel.join().unwrap();
        poller.join().unwrap();
        world.expire();
        assert_eq!(world.handed_out.load(Ordering::Relaxed), 1);
        assert!(world.shards.is_empty());
    });
}

#[test]
fn a_token_of_an_earlier_parking_does_nothing_to_a_later_one() {
    explore(|| {
        let world = World::new();
        world.park();
        let token = world.socket.lock().unwrap().armed.expect("it is parked");
        // An event that epoll has already handed to a worker, which is slow to look.
        let slow = World::spawn(&world, move |world| {
            if let Some(task) = world.shards.fired(token, READABLE) {
                world.hand_out(task);
            }
        });
        world.wake();
        let later = Box::new(Task(Arc::new(Mutex::new(Socket { is_open: true, armed: None }))));
        let mut spot = None;
        let told = |_: &mut Task, of_later| {
            spot = Some(of_later);
            false
        };
        let Ok(of_later) = world.shards.begin(0, later, DEADLINE, told) else { panic!("there is a shard") };
        assert!(world.shards.finish(of_later, Ok(())).is_none(), "the stale event came to the later task");
        slow.join().unwrap();
        assert_eq!(world.handed_out.load(Ordering::Relaxed), 1);
        assert!(world.shards.unpark(spot.expect("it was told")).is_some(), "the later task is gone");
    });
}

#[test]
fn the_poller_does_not_sleep_past_a_deadline() {
    explore(|| {
        let world = World::new();
        let bell = Arc::new(Bell::new());
        let rings = Arc::clone(&bell);
        let worker = World::spawn(&world, move |world| {
            world.park();
            if world.shards.is_overslept(DEADLINE) {
                rings.ring();
            }
        });
        // Without a deadline, the poller sleeps until it is rung.
        while world.shards.next_look(Moment::NEVER) == Moment::NEVER {
            bell.await_ring();
        }
        worker.join().unwrap();
        assert!(world.shards.next_look(Moment::NEVER) <= DEADLINE + Duration::from_millis(17));
    });
}
