//! The ready channel's wake-up: no task is left in the channel while every worker sleeps.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::base::bell::Bell;
use crate::base::sync::AtomicBool;
use crate::explore;
use crate::server::wakes::{Wake, Wakes};

impl Wake for Bell {
    fn ring(&self) {
        Self::ring(self);
    }
}

struct World {
    wakes: Wakes<Bell>,
    /// The channel: how many tasks are in it. Weaker than any channel: a reader may see an old
    /// length, and only a task that is taken orders anything.
    waiting: AtomicUsize,
    /// Tasks that are still to be taken before the workers stop.
    left: AtomicUsize,
    stop: AtomicBool,
}

impl World {
    fn new(workers: usize, tasks: usize) -> Arc<Self> {
        let wakes = Wakes::new((0..workers).map(|_| Bell::new()));
        let _ = wakes.set_crew(workers);
        let (waiting, left) = (AtomicUsize::new(0), AtomicUsize::new(tasks));
        Arc::new(Self { wakes, waiting, left, stop: AtomicBool::new(false) })
    }

    fn put(&self) {
        self.waiting.fetch_add(1, Ordering::Release);
        self.wakes.announce(|| self.waiting.load(Ordering::Acquire));
    }

    fn take(&self) -> bool {
        let taken =
            self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| waiting.checked_sub(1));
        if taken.is_ok() && self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop.store(true, Ordering::Relaxed);
            self.wakes.wake_all();
        }
        taken.is_ok()
    }

    /// What `Worker::run` does, as far as the channel goes.
    fn work(&self, worker: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.wakes.serves(worker) {
                while self.take() {}
            } else {
                self.wakes.announce(|| self.waiting.load(Ordering::Acquire));
            }
            let may_sleep = self.wakes.begin_poll(worker, || self.waiting.load(Ordering::Acquire) == 0);
            if may_sleep {
                self.wakes.watches(worker);
                self.wakes.waker(worker).await_ring();
            }
            self.wakes.end_poll(worker);
        }
    }

    fn spawn(world: &Arc<Self>, worker: usize) -> thread::JoinHandle<()> {
        let world = Arc::clone(world);
        thread::spawn(move || world.work(worker))
    }
}

#[test]
fn a_worker_that_falls_asleep_sees_the_task_or_is_woken_for_it() {
    explore(|| {
        let world = World::new(1, 1);
        let worker = World::spawn(&world, 0);
        world.put();
        worker.join().unwrap();
    });
}

#[test]
fn two_that_put_tasks_at_once_wake_the_worker_for_both() {
    explore(|| {
        let world = World::new(1, 2);
        let worker = World::spawn(&world, 0);
        let other = Arc::clone(&world);
        let other = thread::spawn(move || other.put());
        world.put();
        other.join().unwrap();
        worker.join().unwrap();
    });
}

#[test]
fn of_two_workers_one_takes_the_task() {
    explore(|| {
        let world = World::new(2, 1);
        let workers = [World::spawn(&world, 0), World::spawn(&world, 1)];
        world.put();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn a_task_put_while_the_crew_shrinks_is_taken_by_the_worker_that_stays() {
    explore(|| {
        let world = World::new(2, 1);
        let leaves = Arc::clone(&world);
        let leaves = thread::spawn(move || {
            // As a worker's report does.
            if leaves.wakes.set_crew(1) {
                leaves.wakes.wake_all();
            }
            leaves.work(1);
        });
        let puts = Arc::clone(&world);
        let puts = thread::spawn(move || puts.put());
        world.work(0);
        puts.join().unwrap();
        leaves.join().unwrap();
    });
}

#[test]
fn of_two_workers_that_fall_asleep_at_once_one_watches_parked_tasks() {
    explore(|| {
        let world = World::new(2, 0);
        let dozes = |worker: usize, before: usize| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                // One has slept before, so that what it said then may still be seen.
                for _ in 0..before {
                    world.wakes.begin_poll(worker, || true);
                    world.wakes.watches(worker);
                    world.wakes.end_poll(worker);
                }
                world.wakes.begin_poll(worker, || true);
                world.wakes.watches(worker)
            })
        };
        let [first, second] = [dozes(0, 1), dozes(1, 0)];
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(first || second, "both sleep, and neither would see a parked task");
    });
}
