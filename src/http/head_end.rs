//! What can be said about a head before it is parsed: where it ends, and whether the bytes received so
//! far can still become one.
//!
//! Both questions are asked again each time bytes arrive, so the cost must stay proportional to the new
//! bytes: a client that sends its head one byte at a time must not buy quadratic work with it.

use super::error::HeadError;
use super::head_limits::HeadLimits;
use super::message::Method;
use super::octets::is_token_byte;
use super::target::Target;
use super::tokenise::request_line;
use crate::base::limits::METHOD_BYTES_MAX;

/// The index just past the empty line that ends a head, or `None` if it has not arrived yet.
///
/// `bytes` is everything received so far; `scanned` is how many of them an earlier call has seen. 0 is
/// always correct. Leading bytes are not skipped.
///
/// An empty line counts even if it, or the line before it, ends in a bare LF. The parser then refuses
/// the head immediately, and the peer need not wait for a deadline.
#[inline]
pub fn head_end(bytes: &[u8], scanned: usize) -> Option<usize> {
    let fresh = bytes.get(scanned..)?;
    for offset in memchr::memchr_iter(b'\n', fresh) {
        let line_end = scanned + offset;
        match bytes.get(..line_end)? {
            [.., b'\n'] | [.., b'\n', b'\r'] => return Some(line_end + 1),
            _ => {}
        }
    }
    None
}

/// Refuses an incomplete request head as soon as it can no longer become valid.
///
/// `bytes` is everything received so far and has no [`head_end`] yet; `scanned` is how many of them an
/// earlier call has seen. 0 is always correct.
pub fn check_partial_request(bytes: &[u8], scanned: usize, limits: HeadLimits) -> Result<(), HeadError> {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    match line {
        [] | [b'\r'] => {}
        [b'\r', b'\n', ..] => return Err(HeadError::EmptyLines),
        [b'\r' | b'\n', ..] => return Err(HeadError::BareLineEnd),
        [first, ..] if !is_token_byte(*first) => return Err(HeadError::NotHttp),
        _ => {}
    }
    // Runs once, when the line becomes complete: later calls find it already scanned.
    let scanned = scanned.saturating_sub(bytes.len() - line.len());
    if let Some(request_line) = first_line_since(line, scanned) {
        check_request_line(request_line, limits.target)?;
    }
    if method_is_too_long(line) {
        return Err(HeadError::MethodTooLong);
    }
    // A shorter line cannot contain an overlong target, so nothing is scanned until then.
    if line.len() > limits.target && target_is_too_long(line, limits.target) {
        return Err(HeadError::TargetTooLong);
    }
    // The head needs at least one more byte, so reaching the limit means exceeding it.
    if bytes.len() >= limits.bytes {
        return Err(HeadError::HeadTooLarge);
    }
    Ok(())
}

/// The first line, including its line end, if that end is not among the bytes already scanned.
fn first_line_since(bytes: &[u8], scanned: usize) -> Option<&[u8]> {
    let end = scanned + memchr::memchr(b'\n', bytes.get(scanned..)?)?;
    match memchr::memchr(b'\n', bytes.get(..scanned)?) {
        Some(_) => None,
        None => bytes.get(..=end),
    }
}

/// Checks that a head can start with this line. A peer that sends a bad one may never send the empty
/// line that ends a head, so it gets its answer immediately.
#[cold]
fn check_request_line(line: &[u8], target_max: usize) -> Result<(), HeadError> {
    match line.strip_suffix(b"\r\n") {
        Some(line) if !line.contains(&b'\r') => {
            let line = request_line(line)?;
            Target::parse(Method::from_token(line.method), line.target, target_max).map(|_| ())
        }
        _ => Err(HeadError::BareLineEnd),
    }
}

/// Whether the first word of a request line is a token longer than a method may be.
fn method_is_too_long(line: &[u8]) -> bool {
    line.get(..=METHOD_BYTES_MAX).is_some_and(|start| start.iter().copied().all(is_token_byte))
}

/// Whether the second word of a request line is longer than a target may be.
fn target_is_too_long(line: &[u8], target_max: usize) -> bool {
    let Some(space) = memchr::memchr(b' ', line) else { return false };
    let target = line.get(space + 1..).unwrap_or_default();
    match target.get(..=target_max) {
        Some(window) => memchr::memchr2(b' ', b'\n', window).is_none(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::TARGET_BYTES_DEFAULT;
    use crate::http::octets::lines_end_in_crlf;

    #[test]
    fn a_head_ends_just_past_its_empty_line() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n", 0), Some(24));
        assert_eq!(head_end(b"GET / HTTP/1.1\r\nA: b\r\n\r", 0), None);
        assert_eq!(head_end(b"", 0), None);
    }

    #[test]
    fn bare_line_ends_end_a_head_too() {
        assert_eq!(head_end(b"A\n\nx", 0), Some(3));
        assert_eq!(head_end(b"A\n\r\nx", 0), Some(4));
        assert_eq!(head_end(b"A\r\n\nx", 0), Some(4));
    }

    #[test]
    fn what_was_scanned_before_does_not_hide_an_end_across_the_seam() {
        let head = b"A: b\r\n\r\n";
        for scanned in 0..head.len() {
            assert_eq!(head_end(head, scanned), Some(head.len()), "{scanned}");
        }
        assert_eq!(head_end(head, head.len()), None);
        assert_eq!(head_end(head, head.len() + 1), None);
    }

    #[test]
    fn a_tls_handshake_is_refused_at_its_first_byte() {
        assert_eq!(
            check_partial_request(b"\x16\x03\x01", 0, HeadLimits::of_bytes(1000)),
            Err(HeadError::NotHttp)
        );
        assert_eq!(check_partial_request(b"\0", 0, HeadLimits::of_bytes(1000)), Err(HeadError::NotHttp));
        assert_eq!(check_partial_request(b" GET", 0, HeadLimits::of_bytes(1000)), Err(HeadError::NotHttp));
        assert_eq!(
            check_partial_request(b"\r\n\x16", 0, HeadLimits::of_bytes(1000)),
            Err(HeadError::NotHttp)
        );
    }

    #[test]
    fn one_empty_line_is_forgiven_and_no_more() {
        for fine in ["", "\r", "\r\n", "\r\nG", "\r\n\r", "G", "GET / HTTP/1.1\r\nHost"] {
            assert_eq!(
                check_partial_request(fine.as_bytes(), 0, HeadLimits::of_bytes(1000)),
                Ok(()),
                "{fine:?}"
            );
        }
        assert_eq!(
            check_partial_request(b"\r\n\r\n", 0, HeadLimits::of_bytes(1000)),
            Err(HeadError::EmptyLines)
        );
        assert_eq!(check_partial_request(b"\nG", 0, HeadLimits::of_bytes(1000)), Err(HeadError::BareLineEnd));
        assert_eq!(check_partial_request(b"\rG", 0, HeadLimits::of_bytes(1000)), Err(HeadError::BareLineEnd));
    }

    #[test]
    fn an_overlong_target_is_refused_before_the_line_ends() {
        let of = |bytes: usize| format!("GET /{}", "x".repeat(bytes - 1)).into_bytes();
        assert_eq!(check_partial_request(&of(TARGET_BYTES_DEFAULT), 0, HeadLimits::of_bytes(32_768)), Ok(()));
        assert_eq!(
            check_partial_request(&of(TARGET_BYTES_DEFAULT + 1), 0, HeadLimits::of_bytes(32_768)),
            Err(HeadError::TargetTooLong)
        );
        let long_field = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(TARGET_BYTES_DEFAULT + 1));
        assert_eq!(check_partial_request(long_field.as_bytes(), 0, HeadLimits::of_bytes(32_768)), Ok(()));
    }

    #[test]
    fn a_complete_first_line_that_is_wrong_is_refused_at_once() {
        let of = |line: &str| check_partial_request(line.as_bytes(), 0, HeadLimits::of_bytes(1000));
        for (line, fault) in [
            ("GARBAGE\r\n", HeadError::RequestLine),
            ("\r\nGARBAGE\r\n", HeadError::RequestLine),
            ("GARBAGE\r\nHost: h\r\n", HeadError::RequestLine),
            ("GET /\r\n", HeadError::RequestLine),
            ("GET / HTTP/1.1\n", HeadError::BareLineEnd),
            ("GET / HTTP/1.1\rHost: h\r\n", HeadError::BareLineEnd),
            ("GET / HTTP/2.0\r\n", HeadError::VersionUnsupported),
            ("GET / FTP/1.1\r\n", HeadError::VersionMalformed),
            ("GET x HTTP/1.1\r\n", HeadError::TargetForm),
            ("GET /# HTTP/1.1\r\n", HeadError::TargetBytes),
        ] {
            assert_eq!(of(line), Err(fault), "{line:?}");
        }
        for line in ["GARBAGE", "GARBAGE\r", "GET / HTTP/1.1\r\n", "GET / HTTP/1.9\r\n", "PURGE * HTTP"] {
            assert_eq!(of(line), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn a_first_line_is_looked_at_when_its_end_arrives_and_not_again() {
        let head = b"\r\nGARBAGE\r\nA: b\r\n";
        for scanned in 0..=10 {
            assert!(check_partial_request(head, scanned, HeadLimits::of_bytes(1000)).is_err(), "{scanned}");
        }
        for scanned in 11..=head.len() {
            assert_eq!(check_partial_request(head, scanned, HeadLimits::of_bytes(1000)), Ok(()), "{scanned}");
        }
    }

    #[test]
    fn an_overlong_method_is_refused_before_the_line_ends() {
        let of = |bytes: usize| {
            check_partial_request("M".repeat(bytes).as_bytes(), 0, HeadLimits::of_bytes(32_768))
        };
        assert_eq!(of(METHOD_BYTES_MAX), Ok(()));
        assert_eq!(of(METHOD_BYTES_MAX + 1), Err(HeadError::MethodTooLong));
        let line = format!("{} / HTTP/1.1\r\n", "M".repeat(METHOD_BYTES_MAX + 1));
        assert_eq!(
            check_partial_request(line.as_bytes(), 0, HeadLimits::of_bytes(32_768)),
            Err(HeadError::MethodTooLong)
        );
        // Too long for a method, but not a token in the first place.
        let noise = format!("{{{}", "x".repeat(METHOD_BYTES_MAX));
        assert_eq!(
            check_partial_request(noise.as_bytes(), 0, HeadLimits::of_bytes(32_768)),
            Err(HeadError::NotHttp)
        );
    }

    #[test]
    fn a_head_that_fills_its_limit_is_refused() {
        assert_eq!(check_partial_request(b"GET / HTT", 0, HeadLimits::of_bytes(10)), Ok(()));
        assert_eq!(
            check_partial_request(b"GET / HTTP", 0, HeadLimits::of_bytes(10)),
            Err(HeadError::HeadTooLarge)
        );
    }

    #[test]
    fn torn_line_ends_are_seen_wherever_they_are() {
        for good in ["", "a", "\r\n", "a\r\n\r\n", "a\r\nb\r\n"] {
            assert!(lines_end_in_crlf(good.as_bytes()), "{good:?}");
        }
        for bad in ["\n", "\r", "a\n", "a\r", "\na", "a\rb\r\n", "a\nb\r\n", "\r\r\n", "\r\n\n"] {
            assert!(!lines_end_in_crlf(bad.as_bytes()), "{bad:?}");
        }
    }
}
