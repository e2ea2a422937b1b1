//! The monotonic clock, which is read only here.
//!
//! Everything else is passed a [`Moment`], so that tests control time and a batch of tasks shares one
//! clock read.

use std::ops::Add;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// A point on the monotonic clock, in nanoseconds since an arbitrary start.
///
/// Smaller and cheaper to compare than [`std::time::Instant`], and fits into an atomic.
///
/// ```
/// use std::time::Duration;
/// use ropewalk::internal::base::clock::Moment;
///
/// let start = Moment::ZERO;
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later.since(start), Duration::from_millis(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock, before every moment that [`now`] returns.
    pub const ZERO: Self = Self(0);
    /// Later than every other moment; means "no deadline".
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the start of the clock.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of the clock.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is not before it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::NEVER`].
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// The wall-clock time at a moment, assuming the clock has not been set since.
pub fn wall_time(moment: Moment) -> SystemTime {
    let now = now();
    let present = SystemTime::now();
    if moment > now { present + moment.since(now) } else { present - now.since(moment) }
}

/// How long this thread has run on a processor. A system call, unlike [`now`].
pub fn ran() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // INVARIANT: it counts up from the thread's start, so neither part is negative.
    debug_assert!(time.tv_sec >= 0 && time.tv_nsec >= 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The present moment.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    // INVARIANT: CLOCK_MONOTONIC counts up from boot, so neither part is negative.
    debug_assert!(time.tv_sec >= 0 && time.tv_nsec >= 0);
    Moment((time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64)
}
