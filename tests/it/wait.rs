//! Waiting for a condition, with a bound.
//!
//! A test that sleeps and then looks is slow when the machine is fast and wrong when it is slow.
//! Everything here looks first and gives up only at a stated bound, which is generous: it is the
//! difference between "slow" and "never".

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long any single thing may take before a test calls it "never". Two busy cores and a
/// debug build stay far below it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Tells the threads of a test how long to continue: until the test says stop, or has failed and cannot
/// say so any more. Without the latter, a failed test would never end.
pub struct Enough {
    said: AtomicBool,
    at_last: Instant,
}

impl Enough {
    /// Keep going.
    pub fn not_yet() -> Self {
        Self::not_yet_for(3 * PATIENCE)
    }

    /// The same for a test that takes as long as `bound`.
    pub fn not_yet_for(bound: Duration) -> Self {
        Self { said: AtomicBool::new(false), at_last: Instant::now() + bound }
    }

    /// Stop.
    pub fn say(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    pub fn is(&self) -> bool {
        self.said.load(Ordering::Relaxed) || Instant::now() >= self.at_last
    }
}

/// Says stop when dropped, for whatever reason.
pub struct Saying<'e>(pub &'e Enough);

impl Drop for Saying<'_> {
    fn drop(&mut self) {
        self.0.say();
    }
}

/// The time between two looks: short compared with everything waited for, long compared with one look.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Waits until `look` finds something and returns it; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, look) {
        Some(found) => found,
        None => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// Waits until `holds` returns true; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_some(what, || holds().then_some(()));
}

/// Waits until `look` finds something, for at most `bound`.
pub fn within<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let give_up = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= give_up {
            return None;
        }
        // PACE: the gap between two looks at a condition, not a wait for it.
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

#[test]
fn a_condition_that_never_holds_is_given_up_at_its_bound() {
    let start = Instant::now();
    assert_eq!(within(Duration::from_millis(20), || None::<()>), None);
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_condition_is_seen_as_soon_as_it_holds() {
    let mut looks = 0;
    until("the third look", || {
        looks += 1;
        looks == 3
    });
    assert_eq!(looks, 3);
}
