//! The response to an HTTP probe, judged as the proxy judges a response.
//!
//! It is read by the same parser, with the same limits on heads and interim responses, and the framing
//! of its body is checked as for a relayed body. So a backend whose responses clients would get as 502,
//! or cut short, fails its probe for the same reason.
//!
//! A state machine over bytes. Knows neither sockets nor the clock: the caller reports that bytes have
//! arrived, that the backend has closed, or that time is up.

use std::ops::RangeInclusive;

use crate::base::limits::{PROBE_BODY_BYTES_MAX, TRAILER_BYTES_MAX};
use crate::http::{
    BodyLength, ChunkDecoder, ChunkPart, HeadError, HeadStorage, Method, head_end, parse_response,
};
use crate::upstream::health::Reason;

/// The response to one probe, as far as it has arrived.
#[derive(Debug)]
pub(super) struct Answer {
    limits: AnswerLimits,
    /// Bytes of interim responses so far.
    interim: u64,
    part: Part,
}

/// Limits on a response, from the configuration for responses to requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLimits {
    /// LIMIT: bytes of a head.
    pub(super) head: usize,
    /// LIMIT: bytes of all interim responses together.
    pub(super) interim: u64,
}

/// The part of the response that comes next.
#[derive(Debug)]
enum Part {
    /// A head; its first `scanned` bytes contain no end.
    Head { scanned: usize },
    /// A body of known length: how many bytes are missing, and how many will still be read.
    Fixed { left: u64, read_max: u64 },
    /// A chunked body: how many bytes will still be read.
    Chunked { decoder: ChunkDecoder, read_max: u64 },
}

/// The result of reading what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// More bytes are needed. This many at the front are no longer needed.
    More(usize),
    /// The verdict.
    Verdict(Result<(), Reason>),
}

/// The start of every response.
const START: &[u8] = b"HTTP/";

impl Answer {
    /// A response of which nothing has arrived.
    pub(super) fn new(limits: AnswerLimits) -> Self {
        Self { limits, interim: 0, part: Part::Head { scanned: 0 } }
    }

    /// Judges `bytes`: what has arrived and is still needed. `expected` lists the statuses that count
    /// as healthy.
    pub(super) fn read(&mut self, bytes: &[u8], expected: &[RangeInclusive<u16>]) -> Reading {
        let mut done = 0;
        loop {
            let rest = bytes.get(done..).unwrap_or_default();
            let outcome = match &mut self.part {
                Part::Head { scanned } => match head_end(rest, *scanned) {
                    Some(end) => self.head(rest.get(..end).unwrap_or_default(), expected),
                    None => {
                        *scanned = rest.len();
                        return match check_partial(rest, self.limits.head) {
                            Ok(()) => Reading::More(done),
                            Err(error) => Reading::Verdict(Err(Reason::BadHead(error))),
                        };
                    }
                },
                Part::Fixed { .. } | Part::Chunked { .. } => {
                    return match self.body(rest) {
                        Reading::More(count) => Reading::More(done + count),
                        verdict => verdict,
                    };
                }
            };
            match outcome {
                Ok(Some(count)) => done += count,
                Ok(None) => return Reading::Verdict(Ok(())),
                Err(reason) => return Reading::Verdict(Err(reason)),
            }
        }
    }

    /// The verdict when the backend has closed. `bytes` are those still needed.
    pub(super) fn ended(&self, bytes: &[u8]) -> Result<(), Reason> {
        match self.part {
            Part::Head { .. } if bytes.is_empty() => Err(Reason::Reset),
            _ => Err(Reason::Truncated),
        }
    }

    /// The verdict when time is up. A good head is enough: a body that takes longer, such as an event
    /// stream, is no fault.
    pub(super) fn late(&self) -> Result<(), Reason> {
        match self.part {
            Part::Head { .. } => Err(Reason::Timeout),
            Part::Fixed { .. } | Part::Chunked { .. } => Ok(()),
        }
    }

    /// Judges a complete head. Returns its length if more must be judged, or `None` if the response is
    /// good.
    fn head(&mut self, head: &[u8], expected: &[RangeInclusive<u16>]) -> Result<Option<usize>, Reason> {
        if head.len() > self.limits.head {
            return Err(Reason::BadHead(HeadError::HeadTooLarge));
        }
        let mut storage = HeadStorage::new();
        let parsed = parse_response(head, Method::Get, &mut storage).map_err(Reason::BadHead)?;
        match parsed.status {
            101 => return Err(Reason::UnaskedUpgrade),
            100..=199 => {
                self.interim += head.len() as u64;
                if self.interim > self.limits.interim {
                    return Err(Reason::EndlessInterim);
                }
                self.part = Part::Head { scanned: 0 };
                return Ok(Some(head.len()));
            }
            status if !expected.iter().any(|range| range.contains(&status)) => {
                return Err(Reason::Status(status));
            }
            _ => {}
        }
        self.part = match parsed.body {
            BodyLength::None | BodyLength::Fixed(0) | BodyLength::UntilClose => return Ok(None),
            BodyLength::Fixed(left) => Part::Fixed { left, read_max: PROBE_BODY_BYTES_MAX },
            BodyLength::Chunked => {
                Part::Chunked { decoder: ChunkDecoder::new(), read_max: PROBE_BODY_BYTES_MAX }
            }
        };
        Ok(Some(head.len()))
    }

    /// Judges what has arrived of a body.
    fn body(&mut self, bytes: &[u8]) -> Reading {
        match &mut self.part {
            Part::Head { .. } => Reading::More(0),
            Part::Fixed { left, read_max } => {
                let arrived = bytes.len() as u64;
                if arrived >= *left || arrived >= *read_max {
                    return Reading::Verdict(Ok(()));
                }
                *left -= arrived;
                *read_max -= arrived;
                Reading::More(bytes.len())
            }
            Part::Chunked { decoder, read_max } => {
                let reading = chunks(decoder, bytes);
                if let Reading::More(count) = reading {
                    *read_max = read_max.saturating_sub(count as u64);
                    if *read_max == 0 {
                        return Reading::Verdict(Ok(()));
                    }
                }
                reading
            }
        }
    }
}

/// Decodes chunks up to the end of the input or of the body.
fn chunks(decoder: &mut ChunkDecoder, bytes: &[u8]) -> Reading {
    let mut done = 0;
    loop {
        match decoder.next(bytes.get(done..).unwrap_or_default()) {
            Ok(ChunkPart::Data { skip, len }) => done += skip + len,
            Ok(ChunkPart::More { skip }) => return Reading::More(done + skip),
            Ok(ChunkPart::End { .. }) => return Reading::Verdict(Ok(())),
            Err(error) => return Reading::Verdict(Err(Reason::BadBody(error))),
        }
    }
}

/// Refuses an incomplete head as soon as it can no longer become valid.
fn check_partial(bytes: &[u8], head_max: usize) -> Result<(), HeadError> {
    let start = bytes.get(..START.len()).unwrap_or(bytes);
    match bytes {
        _ if START.starts_with(start) => {}
        [b'\r'] => {}
        [b'\r', b'\n', ..] => return Err(HeadError::EmptyLines),
        [b'\r' | b'\n', ..] => return Err(HeadError::BareLineEnd),
        [first, ..] if !first.is_ascii_graphic() => return Err(HeadError::NotHttp),
        _ => return Err(HeadError::VersionMalformed),
    }
    if bytes.len() > head_max { Err(HeadError::HeadTooLarge) } else { Ok(()) }
}

// INVARIANT: a trailer section, which the decoder needs in one piece, fits within the bytes read of a
// body.
const _: () = assert!(TRAILER_BYTES_MAX as u64 <= PROBE_BODY_BYTES_MAX);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::ChunkError;

    const HEAD_MAX: usize = 1024;
    const LIMITS: AnswerLimits = AnswerLimits { head: HEAD_MAX, interim: 4096 };

    /// Feeds the pieces as a socket would deliver them; `None` while there is no verdict.
    fn read(answer: &mut Answer, pieces: &[&[u8]]) -> Option<Result<(), Reason>> {
        let mut held = Vec::new();
        for piece in pieces {
            held.extend_from_slice(piece);
            match answer.read(&held, &[200..=299]) {
                Reading::More(done) => drop(held.drain(..done)),
                Reading::Verdict(verdict) => return Some(verdict),
            }
            assert!(held.len() <= HEAD_MAX.max(TRAILER_BYTES_MAX), "{} bytes are held", held.len());
        }
        None
    }

    fn verdict(bytes: &[u8]) -> Option<Result<(), Reason>> {
        read(&mut Answer::new(LIMITS), &[bytes])
    }

    fn fault(bytes: &[u8]) -> Reason {
        verdict(bytes).expect("a verdict").expect_err("a fault")
    }

    #[test]
    fn a_good_answer_is_a_success() {
        for good in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nwhatever follows",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert_eq!(verdict(good), Some(Ok(())), "{}", good.escape_ascii());
        }
    }

    #[test]
    fn an_unexpected_status_is_reported_without_waiting_for_the_body() {
        let head = b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n";
        assert_eq!(fault(head), Reason::Status(503));
        assert_eq!(fault(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), Reason::Status(302));
    }

    #[test]
    fn what_clients_would_get_as_502_is_a_failure_that_names_the_rule() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
        let chunked = "Transfer-Encoding: chunked\r\n";
        for (head, error) in [
            (format!("HTTP/1.0 200 OK\r\n{chunked}\r\n"), HeadError::TransferEncodingOnHttp10),
            ("HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_owned(), HeadError::BareLineEnd),
            (many, HeadError::TooManyFields),
            (format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{chunked}\r\n"), HeadError::TwoFramings),
            (format!("HTTP/1.1 200 OK\r\n{chunked}{chunked}\r\n"), HeadError::TransferEncodingMalformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n".to_owned(), HeadError::ContentLengthMalformed),
            ("HTTP/1.1 200 OK\r\nA: \x1b\r\n\r\n".to_owned(), HeadError::FieldValue),
            ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), HeadError::VersionUnsupported),
            ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), HeadError::StatusLine),
        ] {
            assert_eq!(fault(head.as_bytes()), Reason::BadHead(error), "{head:?}");
        }
    }

    #[test]
    fn bad_framing_of_a_body_is_a_failure() {
        let of = |body: &str| {
            fault(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes())
        };
        assert_eq!(of("zz\r\n"), Reason::BadBody(ChunkError::Size));
        assert_eq!(of("1\r\nabc"), Reason::BadBody(ChunkError::DataEnd));
    }

    #[test]
    fn an_endless_head_is_refused_at_the_limit() {
        let mut answer = Answer::new(LIMITS);
        let line = [b'a'; 100];
        let pieces: Vec<&[u8]> = std::iter::once(&b"HTTP/1.1 200 OK\r\nA: "[..])
            .chain(std::iter::repeat_n(&line[..], 20))
            .collect();
        assert_eq!(read(&mut answer, &pieces), Some(Err(Reason::BadHead(HeadError::HeadTooLarge))));
    }

    #[test]
    fn endless_interim_responses_are_refused() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        assert_eq!(fault(&interim), Reason::EndlessInterim);
    }

    #[test]
    fn bytes_that_are_not_http_are_refused_immediately() {
        let tls_alert = b"\x15\x03\x01\x00\x02\x02\x16";
        assert_eq!(fault(tls_alert), Reason::BadHead(HeadError::NotHttp));
        assert_eq!(fault(b"220 mail.example ESMTP"), Reason::BadHead(HeadError::VersionMalformed));
        assert_eq!(verdict(b"HTT"), None);
    }

    #[test]
    fn an_unrequested_upgrade_is_a_failure() {
        let head = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        assert_eq!(fault(head), Reason::UnaskedUpgrade);
    }

    #[test]
    fn the_reason_of_an_early_close_depends_on_how_much_has_arrived() {
        let ended = |bytes: &[u8]| {
            let mut answer = Answer::new(LIMITS);
            assert_eq!(read(&mut answer, &[bytes]), None);
            answer.ended(bytes)
        };
        assert_eq!(ended(b""), Err(Reason::Reset));
        assert_eq!(ended(b"HTTP/1.1 200 OK\r\n"), Err(Reason::Truncated));
        assert_eq!(ended(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), Err(Reason::Truncated));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        assert_eq!(ended(chunked), Err(Reason::Truncated));
    }

    #[test]
    fn silence_is_a_timeout_and_a_long_body_is_not() {
        let mut answer = Answer::new(LIMITS);
        assert_eq!(read(&mut answer, &[b"HTTP/1.1 200"]), None);
        assert_eq!(answer.late(), Err(Reason::Timeout));
        let events = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let mut answer = Answer::new(LIMITS);
        assert_eq!(read(&mut answer, &[events]), None);
        assert_eq!(answer.late(), Ok(()));
    }

    #[test]
    fn a_long_body_is_read_up_to_a_bound() {
        let part = [b'a'; 1000];
        for head in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        ] {
            let pieces: Vec<&[u8]> =
                std::iter::once(head).chain(std::iter::repeat_n(&part[..], 100)).collect();
            assert_eq!(read(&mut Answer::new(LIMITS), &pieces), Some(Ok(())));
        }
    }

    proptest! {
        /// The verdict is the same no matter how the network splits the bytes.
        #[test]
        fn splitting_the_bytes_elsewhere_changes_nothing(
            which in 0_usize..7,
            cuts in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let bytes = [
                &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"[..],
                b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
                b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
                b"HTTP/1.1 500 Broken\r\nContent-Length: 3\r\n\r\nabc",
                b"\x15\x03\x01\x00\x02\x02\x16",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ][which];
            let mut pieces = Vec::new();
            let mut rest = bytes;
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read(&mut Answer::new(LIMITS), &pieces), verdict(bytes));
        }

        /// Judging never panics and holds few bytes, for any input.
        #[test]
        fn no_answer_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let mut answer = Answer::new(LIMITS);
            if read(&mut answer, &pieces).is_none() {
                let _ = (answer.ended(b""), answer.late());
            }
        }
    }
}
