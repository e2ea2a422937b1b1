//! How large the crew is: how many workers share the work.
//!
//! More workers share the work when those at work never get to sleep. That pays where a processor
//! is free. Where backends, clients or other programs keep all processors busy, two workers only
//! take turns on one of them, and a ready task waits for a worker that is not running: at 64
//! connections on two cores, shared with origin and clients, the slowest hundredth of requests took
//! three times as long as with one worker, and no more got done.
//!
//! No system call says whether a processor is free, so the sizer tries: it keeps one worker more if
//! more gets done, and one fewer if not much less does. It undoes what did not pay, and does not
//! try it again for a while, longer each time.
//!
//! Pure arithmetic: no locks, no clock, no threads.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::{CREW_PAUSE_MAX, CREW_PAUSE_MIN, CREW_WINDOW};

/// What one worker did in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSample {
    /// When it began.
    pub from: Moment,
    /// When it ended.
    pub until: Moment,
    /// For how long it ran.
    pub ran: Duration,
    /// For how long it slept because there was nothing to do.
    pub slept: Duration,
    /// Tasks waited while it moved a body.
    pub crowded: bool,
    /// Turns of tasks, and pieces of bodies.
    pub work: u64,
}

/// Parts of a processor, in thousandths.
type Permille = u64;

impl WorkerSample {
    /// One that has just begun.
    pub fn new(now: Moment) -> Self {
        Self { from: now, until: now, ran: Duration::ZERO, slept: Duration::ZERO, crowded: false, work: 0 }
    }

    /// Work in a second.
    fn pace(&self) -> u64 {
        let whole = self.until.since(self.from).as_micros().max(1);
        u64::try_from(u128::from(self.work) * 1_000_000 / whole).unwrap_or(u64::MAX)
    }

    fn share_of(&self, part: Duration) -> Permille {
        let whole = self.until.since(self.from).as_micros().max(1);
        u64::try_from(part.as_micros() * 1000 / whole).unwrap_or(1000)
    }

    /// For how much of the time it could have run and had no processor.
    fn withheld(&self) -> Permille {
        let whole = self.until.since(self.from);
        self.share_of(whole.saturating_sub(self.ran).saturating_sub(self.slept))
    }

    fn is_saturated(&self) -> bool {
        self.slept.is_zero() || self.crowded
    }
}

/// Decides on the size, from reports alone.
#[derive(Debug)]
pub struct Sizer {
    size: usize,
    /// The last report of each worker.
    samples: Box<[Option<WorkerSample>]>,
    changed: Moment,
    /// The change whose outcome is awaited.
    trial: Option<Trial>,
    larger: Pause,
    smaller: Pause,
}

/// A change of the crew, and the pace of all of it before.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    pace: u64,
}

/// When something may be tried again.
#[derive(Debug)]
struct Pause {
    until: Moment,
    next: Duration,
}

impl Pause {
    const NONE: Self = Self { until: Moment::ZERO, next: CREW_PAUSE_MIN };

    fn was_wrong(&mut self, now: Moment) {
        self.until = now + self.next;
        self.next = (self.next * 4).min(CREW_PAUSE_MAX);
    }
}

/// Windows after a change in which the crew gets used to it, and in which it is then judged.
const WINDOWS: u32 = 3;

/// How much more must get done, in percent, for a worker more to be worth it.
const GAIN: u64 = 8;

/// How much less may get done, in percent, for one worker fewer to be right.
const LOSS: u64 = 6;

/// Time without a processor, of the whole crew, from which on it may be too large.
const CONTENDED: Permille = 200;

impl Sizer {
    /// A crew of one, out of `workers`.
    pub fn new(workers: usize) -> Self {
        Self {
            size: 1,
            samples: vec![None; workers].into(),
            changed: Moment::ZERO,
            trial: None,
            larger: Pause::NONE,
            smaller: Pause::NONE,
        }
    }

    /// How many workers share the work.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes a worker's report, and perhaps changes the size.
    pub fn report(&mut self, worker: usize, sample: WorkerSample) {
        let Some(last) = self.samples.get_mut(worker) else { return };
        *last = Some(sample);
        let now = sample.until;
        if now.since(self.changed) < CREW_WINDOW * WINDOWS {
            return;
        }
        // A worker without a recent report sleeps. A window that began before the last change does
        // not count.
        let fresh =
            |sample: &&WorkerSample| sample.from >= self.changed && now.since(sample.until) < CREW_WINDOW * 2;
        let samples = || self.samples.iter().take(self.size).flatten().filter(fresh);
        let ran = samples().map(|sample| sample.share_of(sample.ran)).sum::<Permille>();
        let withheld = samples().map(WorkerSample::withheld).sum::<Permille>();
        let pace = samples().map(WorkerSample::pace).sum::<u64>();
        let is_saturated = samples().any(WorkerSample::is_saturated);

        match self.trial.take() {
            Some(trial) if trial.from < self.size => {
                if pace < trial.pace + trial.pace * GAIN / 100 {
                    self.larger.was_wrong(now);
                    return self.change(trial.from, now);
                }
                self.larger = Pause::NONE;
            }
            Some(trial) => {
                if is_saturated && pace < trial.pace - trial.pace * LOSS / 100 {
                    self.smaller.was_wrong(now);
                    return self.change(trial.from, now);
                }
                // One more would be one too many again.
                self.larger.was_wrong(now);
                self.smaller = Pause::NONE;
            }
            None => {}
        }
        let trial = Trial { from: self.size, pace };
        // Bodies go faster through several workers even if these share a processor: bytes are passed
        // on before they fill the sockets' memory and leave the processor's caches.
        let is_crowded = samples().any(|sample| sample.crowded);
        let fits_fewer = ran <= (self.size as Permille - 1) * 1000 && !is_crowded;
        if self.size > 1 && fits_fewer && withheld >= CONTENDED && now >= self.smaller.until {
            self.change(self.size - 1, now);
            self.trial = Some(trial);
        } else if self.size < self.samples.len() && is_saturated && now >= self.larger.until {
            self.change(self.size + 1, now);
            self.trial = Some(trial);
        }
    }

    fn change(&mut self, size: usize, now: Moment) {
        self.size = size;
        self.changed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers on a simulated machine.
    struct Machine {
        sizer: Sizer,
        now: Moment,
        /// Whole windows that passed with each size of the crew.
        spent: Vec<usize>,
    }

    impl Machine {
        fn new(workers: usize) -> Self {
            Self { sizer: Sizer::new(workers), now: Moment::ZERO, spent: vec![0; workers + 1] }
        }

        /// Lets time pass. Each worker of the crew wants to run for `wanted` of the time, and all
        /// of them together get no more processors than `available` for a crew of that size.
        fn pass(&mut self, time: Duration, wanted: impl Fn(usize) -> f64, available: impl Fn(usize) -> f64) {
            let until = self.now + time;
            while self.now < until {
                let from = self.now;
                self.now = self.now + CREW_WINDOW;
                let size = self.sizer.size;
                self.spent[size] += 1;
                let wants = wanted(size).min(1.0);
                let runs = wants.min(available(size) / size as f64);
                // One that gets less than it wants never sleeps.
                let slept = if runs < wants || wants >= 1.0 { 0.0 } else { 1.0 - wants };
                let (ran, slept) = (CREW_WINDOW.mul_f64(runs), CREW_WINDOW.mul_f64(slept));
                let work = (1000.0 * runs) as u64;
                for worker in 0..size {
                    let sample = WorkerSample { from, until: self.now, ran, slept, crowded: false, work };
                    self.sizer.report(worker, sample);
                }
            }
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_idle_crew_stays_small() {
        let mut machine = Machine::new(4);
        machine.pass(SECOND, |_| 0.5, |_| 4.0);
        assert_eq!(machine.sizer.size, 1);
    }

    #[test]
    fn free_processors_are_used_at_once() {
        let mut machine = Machine::new(4);
        machine.pass(SECOND / 2, |_| 1.0, |_| 4.0);
        assert_eq!(machine.sizer.size, 4);
        machine.pass(SECOND * 10, |_| 1.0, |_| 4.0);
        assert!(machine.spent[4] > machine.spent[1] * 100, "{:?}", machine.spent);
    }

    #[test]
    fn the_crew_is_as_large_as_the_load_needs() {
        let mut machine = Machine::new(4);
        machine.pass(SECOND * 10, |size| 2.5 / size as f64, |_| 4.0);
        assert_eq!(machine.sizer.size, 3);
    }

    #[test]
    fn one_free_processor_is_not_shared() {
        // Two workers get no more than one does.
        let mut machine = Machine::new(2);
        machine.pass(SECOND * 20, |_| 1.0, |_| 1.0);
        assert!(machine.spent[1] > machine.spent[2] * 50, "{:?}", machine.spent);
    }

    #[test]
    fn a_share_of_each_processor_is_taken() {
        // Another program runs on every processor, so that each worker gets half of one.
        let mut machine = Machine::new(2);
        machine.pass(SECOND * 20, |_| 1.0, |size| 0.5 * size as f64);
        assert!(machine.spent[2] > machine.spent[1] * 20, "{:?}", machine.spent);
    }

    #[test]
    fn a_crew_shrinks_when_other_programs_run() {
        let mut machine = Machine::new(2);
        machine.pass(SECOND, |_| 1.0, |_| 2.0);
        assert_eq!(machine.sizer.size, 2);
        machine.spent = vec![0; 3];
        machine.pass(SECOND * 20, |_| 1.0, |_| 1.0);
        assert!(machine.spent[1] > machine.spent[2] * 50, "{:?}", machine.spent);
        // It grows again once they are gone.
        machine.pass(CREW_PAUSE_MAX + SECOND, |_| 1.0, |_| 2.0);
        assert_eq!(machine.sizer.size, 2);
    }
}
