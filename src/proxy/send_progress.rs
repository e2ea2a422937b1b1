//! How fast a client takes what it is sent.
//!
//! A socket takes megabytes into the kernel's memory long before its peer has read the first of
//! them, and then takes nothing until a good part has left again: on a slow link that is minutes,
//! in which all is well. So what counts here is what the client's kernel has acknowledged. To ask
//! costs a system call, so it is asked only when a deadline has come.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::config::plan::{Limits, Timeouts};
use crate::net::stream::Stream;

/// What a client has taken, and how long it has kept us waiting.
#[derive(Debug)]
pub(super) struct SendProgress {
    /// Bytes that were written.
    written: u64,
    /// How many of them the client had taken when we looked last.
    seen: u64,
    /// The same at the start of the present stretch of waiting.
    base: u64,
    /// How long we have waited in this stretch, but for the wait under way.
    waited: Duration,
    /// Since when the socket has taken nothing.
    blocked: Option<Moment>,
    /// Since when the client has taken nothing, as far as we know.
    idle: Moment,
}

impl SendProgress {
    pub(super) fn new(now: Moment) -> Self {
        Self { written: 0, seen: 0, base: 0, waited: Duration::ZERO, blocked: None, idle: now }
    }

    /// The socket has taken bytes.
    pub(super) fn wrote(&mut self, count: usize, now: Moment) {
        self.written += count as u64;
        if let Some(since) = self.blocked.take() {
            self.waited += now.since(since);
        }
    }

    /// The socket takes no bytes now. Returns how long to wait for it to: `now`, or before, if the
    /// client has had its chance.
    pub(super) fn deadline(
        &mut self,
        stream: &Stream,
        timeouts: &Timeouts,
        limits: &Limits,
        now: Moment,
    ) -> Moment {
        if self.blocked.is_none() {
            self.blocked = Some(now);
            self.idle = now;
        }
        let due = self.due(timeouts, limits);
        if now < due {
            return due;
        }
        let unacknowledged = stream.unacknowledged().unwrap_or(u64::MAX);
        self.look(self.written.saturating_sub(unacknowledged), timeouts, limits, now);
        self.due(timeouts, limits)
    }

    /// When it will have been too long.
    fn due(&self, timeouts: &Timeouts, limits: &Limits) -> Moment {
        let idle = self.idle + timeouts.write_idle;
        match (limits.response_rate, self.blocked) {
            (Some(_), Some(since)) => idle.min(since + timeouts.body_grace.saturating_sub(self.waited)),
            _ => idle,
        }
    }

    /// Takes note that the client has taken `taken` bytes in all. What it had better have done
    /// and has, moves the deadlines on.
    fn look(&mut self, taken: u64, timeouts: &Timeouts, limits: &Limits, now: Moment) {
        if taken > self.seen {
            self.seen = taken;
            self.idle = now;
        }
        let waited = self.waited + now.since(self.blocked.unwrap_or(now));
        let Some(rate) = limits.response_rate.filter(|_| waited >= timeouts.body_grace) else { return };
        let due = u128::from(rate) * waited.as_nanos() / 1_000_000_000;
        if u128::from(taken.saturating_sub(self.base)) >= due {
            self.base = taken;
            self.waited = Duration::ZERO;
            self.blocked = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const START: Moment = Moment::from_nanos(1 << 40);

    fn at(seconds: u64) -> Moment {
        START + Duration::from_secs(seconds)
    }

    /// 500 B/s after 20 s, and 30 s without a byte.
    fn rules() -> (Timeouts, Limits) {
        let plan = Config::new().backend("http://a").check().unwrap().plan;
        (plan.timeouts.clone(), plan.limits.clone())
    }

    /// A client that was sent much and has kept us waiting since the start.
    fn waiting() -> SendProgress {
        let mut send_progress = SendProgress::new(START);
        send_progress.wrote(1 << 30, START);
        send_progress.blocked = Some(START);
        send_progress
    }

    #[test]
    fn a_client_at_the_rate_goes_on_for_ever() {
        let (timeouts, limits) = rules();
        let mut send_progress = waiting();
        for turn in 1..100 {
            let now = at(turn * 20);
            assert_eq!(send_progress.due(&timeouts, &limits), now);
            send_progress.look(turn * 10_000, &timeouts, &limits, now);
        }
    }

    #[test]
    fn a_client_below_the_rate_has_its_grace_and_no_more() {
        let (timeouts, limits) = rules();
        let mut send_progress = waiting();
        send_progress.look(10_000, &timeouts, &limits, at(20));
        send_progress.look(10_000 + 9_999, &timeouts, &limits, at(40));
        assert_eq!(send_progress.due(&timeouts, &limits), at(40));
    }

    #[test]
    fn time_in_which_nothing_waited_for_the_client_does_not_count() {
        let (timeouts, limits) = rules();
        let mut send_progress = waiting();
        send_progress.wrote(1, at(15));
        send_progress.blocked = Some(at(1000));
        send_progress.idle = at(1000);
        assert_eq!(send_progress.due(&timeouts, &limits), at(1005));
    }

    #[test]
    fn without_a_rate_a_single_byte_is_enough() {
        let (timeouts, mut limits) = rules();
        limits.response_rate = None;
        let mut send_progress = waiting();
        send_progress.look(1, &timeouts, &limits, at(30));
        assert_eq!(send_progress.due(&timeouts, &limits), at(60));
        send_progress.look(1, &timeouts, &limits, at(60));
        assert_eq!(send_progress.due(&timeouts, &limits), at(60));
    }
}
