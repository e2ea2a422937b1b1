//! The `Date` of the present second (RFC 9110, section 6.6.1).
//!
//! A worker formats it at most once a second and keeps the text, so a response costs a comparison
//! and a copy.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

use crate::base::clock::Moment;
use crate::base::limits::CLOCK_SET_SINCE;

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_BYTES: usize = 29;

/// A worker's text of the present second.
pub struct Date {
    text: [u8; DATE_BYTES],
    /// The wall clock appears to be set.
    known: bool,
    /// The text is right until then.
    until: Moment,
}

impl Date {
    /// With no text yet.
    pub fn new() -> Self {
        Self { text: [0; DATE_BYTES], known: false, until: Moment::ZERO }
    }

    /// The date at this moment. `None` while the clock is earlier than this program was written: it
    /// was never set, and a server without a clock must not send Date.
    pub(super) fn at(&mut self, now: Moment) -> Option<&[u8]> {
        if now >= self.until {
            self.tell(now, SystemTime::now());
        }
        self.known.then_some(&self.text[..])
    }

    fn tell(&mut self, now: Moment, wall: SystemTime) {
        let since_1970 = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let rest_of_second = Duration::from_secs(1) - Duration::from_nanos(since_1970.subsec_nanos().into());
        self.until = now + rest_of_second;
        self.known = (CLOCK_SET_SINCE..END_OF_9999).contains(&since_1970)
            && write!(&mut self.text[..], "{}", HttpDate::from(wall)).is_ok();
    }
}

impl Default for Date {
    fn default() -> Self {
        Self::new()
    }
}

/// The first second of the year 10000, counted from 1970, which the format cannot say.
const END_OF_9999: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, nanos: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }

    #[test]
    fn the_text_is_renewed_when_its_second_is_over() {
        let (mut date, start) = (Date::new(), Moment::from_nanos(5_000_000_000));
        date.tell(start, at(1_795_243_251, 250_000_000));
        assert_eq!(date.at(start), Some(&b"Sat, 21 Nov 2026 06:40:51 GMT"[..]));
        assert_eq!(date.until, start + Duration::from_millis(750));
        let next = date.until;
        date.tell(next, at(1_795_243_252, 0));
        assert_eq!(date.at(next), Some(&b"Sat, 21 Nov 2026 06:40:52 GMT"[..]));
    }

    #[test]
    fn a_clock_that_was_never_set_gives_no_date() {
        for wall in [SystemTime::UNIX_EPOCH, at(1_000_000_000, 0), at(253_402_300_800, 0)] {
            let mut date = Date::new();
            date.tell(Moment::ZERO, wall);
            assert_eq!(date.at(Moment::ZERO), None, "{wall:?}");
        }
    }
}
