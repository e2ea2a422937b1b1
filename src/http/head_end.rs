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
/// not, and the difference smuggles a field past one of them. The loop has no
/// branch, so it runs over 16 or more bytes at a time.
#[inline]
pub(super) fn lines_end_in_crlf(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    let mut torn = (*first == b'\n') | (*last == b'\r');
    for (this, next) in bytes.iter().zip(bytes.iter().skip(1)) {
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
