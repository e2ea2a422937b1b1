//! The start time of this process, by which monitoring systems tell a restart from a reload.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970. The present time if /proc is not mounted.
pub(super) fn started_unix_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let since_boot = Duration::from_secs(clock_gettime(ClockId::Boottime).tv_sec as u64);
    let age = started_after_boot().map_or(Duration::ZERO, |started| since_boot.saturating_sub(started));
    now.saturating_sub(age).as_secs()
}

/// How long after boot the process started, from /proc/self/stat.
fn started_after_boot() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, which may contain spaces and brackets. The start time is
    // the 20th field after it (proc(5)).
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_secs(ticks / clock_ticks_per_second()))
}
