//! Counting heads: what every task in flight is doing, asked for by an operator.
//!
//! A parked task can be looked at where it is. A warm one belongs to its worker, which alone
//! may look: so the workers are asked, each answers at the end of its turn, and whoever asked
//! waits for as many answers as come in time. A worker that asks nothing pays one relaxed load
//! for each turn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::proxy::connection::Connection;
use crate::proxy::inspection::Oldest;

/// Where the question is put and the answers are gathered.
#[derive(Debug, Default)]
pub struct TaskDump {
    /// How often it was asked. Ordering: Relaxed; the wake-up that follows orders it.
    asked: AtomicU64,
    /// LOCK: guards the answers for one worker's addition.
    answers: Mutex<Answers>,
    answered: Condvar,
    /// LOCK: held for a whole dump, so that there is one at a time; no worker asks for it.
    asking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Answers {
    /// Which time of asking they are for.
    number: u64,
    workers: usize,
    oldest: Oldest,
}

impl TaskDump {
    /// Asks `workers` workers, which `wake` makes look, and waits for their answers, but no
    /// longer than `patience`. Each look comes with the worker's number.
    pub fn take(&self, workers: usize, patience: Duration, wake: impl FnOnce()) -> Oldest {
        let _alone = self.asking.lock();
        let number = self.asked.load(Ordering::Relaxed) + 1;
        *self.answers.lock() = Answers { number, workers: 0, oldest: Oldest::default() };
        self.asked.store(number, Ordering::Relaxed);
        wake();
        let mut answers = self.answers.lock();
        self.answered.wait_while_for(&mut answers, |answers| answers.workers < workers, patience);
        std::mem::take(&mut answers.oldest)
    }

    /// Answers for a worker, if it was asked since it last `answered`.
    pub fn answer<'t>(&self, worker: usize, answered: &mut u64, tasks: impl Iterator<Item = &'t Connection>) {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked == *answered {
            return;
        }
        *answered = asked;
        let mut oldest = Oldest::default();
        tasks.filter_map(Connection::inspect).for_each(|look| oldest.add(worker, look));
        let mut answers = self.answers.lock();
        if answers.number == asked {
            answers.workers += 1;
            answers.oldest.merge(oldest);
            self.answered.notify_one();
        }
    }
}
