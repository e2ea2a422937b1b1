//! What can be told of a head before it is parsed: where it ends, and whether
//! what has arrived can still become one.
//!
//! Both are asked again whenever more bytes arrive, so neither may cost more
//! than the new bytes deserve: a client that sends its head byte by byte must
//! not buy quadratic time with it.

use super::error::HeadError;
use crate::base::limits::TARGET_BYTES_MAX;

/// The index just past the empty line that ends a head, or `None` while there is none.
///
/// `bytes` is what has arrived so far, `scanned` how many of them an earlier
/// call has looked at already; 0 is always right. Nothing is skipped.
///
/// An empty line counts even if it, or the line before it, ends in a bare LF:
/// parsing then refuses the head at once, instead of the peer waiting for a
/// deadline.
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

/// Refuses an unfinished request head as soon as it can no longer become a good one.
///
/// `bytes` is all that has arrived and holds no [`head_end`] yet. `head_max` is
/// the configured limit on the bytes of a head.
pub fn check_partial_request(bytes: &[u8], head_max: usize) -> Result<(), HeadError> {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    match line {
        [] | [b'\r'] => {}
        [b'\r', b'\n', ..] => return Err(HeadError::EmptyLines),
        [b'\r' | b'\n', ..] => return Err(HeadError::BareLineEnd),
        [first, ..] if !is_token_byte(*first) => return Err(HeadError::NotHttp),
        _ => {}
    }
    // A shorter line cannot hold an over-long target, so nothing is scanned
    // until that many bytes have come.
    if line.len() > TARGET_BYTES_MAX && target_is_too_long(line) {
        return Err(HeadError::TargetTooLong);
    }
    // The head needs at least one more byte, so one at the limit is over it.
    if bytes.len() >= head_max {
        return Err(HeadError::HeadTooLarge);
    }
    Ok(())
}

/// Whether each CR is followed by an LF and each LF follows a CR.
///
/// The tokeniser takes a bare LF for a line end; another implementation may
/// not, and the difference smuggles a field past one of them. The loop runs
/// over two slices and never leaves early, so the compiler turns it into vector
/// instructions: written with `skip(1)` it was not, and a browser's head took
/// twice as long to parse.
#[inline]
pub(super) fn lines_end_in_crlf(bytes: &[u8]) -> bool {
    let (Some((first, all_but_first)), Some((last, all_but_last))) =
        (bytes.split_first(), bytes.split_last())
    else {
        return true;
    };
    let mut torn = (*first == b'\n') | (*last == b'\r');
    for (this, next) in all_but_last.iter().zip(all_but_first) {
        torn |= (*this == b'\r') != (*next == b'\n');
    }
    !torn
}

/// Whether a byte may be in a token, such as a method or a field name (RFC 9110, 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether the second word of a request line has more bytes than a target may have.
fn target_is_too_long(line: &[u8]) -> bool {
    let Some(space) = memchr::memchr(b' ', line) else { return false };
    let target = line.get(space + 1..).unwrap_or_default();
    match target.get(..=TARGET_BYTES_MAX) {
        Some(window) => memchr::memchr2(b' ', b'\n', window).is_none(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(check_partial_request(b"\x16\x03\x01", 1000), Err(HeadError::NotHttp));
        assert_eq!(check_partial_request(b"\0", 1000), Err(HeadError::NotHttp));
        assert_eq!(check_partial_request(b" GET", 1000), Err(HeadError::NotHttp));
        assert_eq!(check_partial_request(b"\r\n\x16", 1000), Err(HeadError::NotHttp));
    }

    #[test]
    fn one_empty_line_is_forgiven_and_no_more() {
        for fine in ["", "\r", "\r\n", "\r\nG", "\r\n\r", "G", "GET / HTTP/1.1\r\nHost"] {
            assert_eq!(check_partial_request(fine.as_bytes(), 1000), Ok(()), "{fine:?}");
        }
        assert_eq!(check_partial_request(b"\r\n\r\n", 1000), Err(HeadError::EmptyLines));
        assert_eq!(check_partial_request(b"\nG", 1000), Err(HeadError::BareLineEnd));
        assert_eq!(check_partial_request(b"\rG", 1000), Err(HeadError::BareLineEnd));
    }

    #[test]
    fn an_overlong_target_is_refused_before_the_line_ends() {
        let of = |bytes: usize| format!("GET /{}", "x".repeat(bytes - 1)).into_bytes();
        assert_eq!(check_partial_request(&of(TARGET_BYTES_MAX), 32_768), Ok(()));
        assert_eq!(check_partial_request(&of(TARGET_BYTES_MAX + 1), 32_768), Err(HeadError::TargetTooLong));
        let long_field = format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(TARGET_BYTES_MAX + 1));
        assert_eq!(check_partial_request(long_field.as_bytes(), 32_768), Ok(()));
    }

    #[test]
    fn a_head_that_fills_its_limit_is_refused() {
        assert_eq!(check_partial_request(b"GET / HTT", 10), Ok(()));
        assert_eq!(check_partial_request(b"GET / HTTP", 10), Err(HeadError::HeadTooLarge));
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
