//! What single octets mean in a head: which may be in a token, and which end a line.

/// Whether every CR is followed by an LF and every LF follows a CR.
///
/// The tokeniser accepts a bare LF as a line end; another implementation may not, and the difference
/// smuggles a field past one of them. The loop runs over two slices and never exits early, so that the
/// compiler vectorises it: a version with `skip(1)` was not vectorised, and a browser's head took twice
/// as long to parse.
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
#[expect(clippy::indexing_slicing, reason = "INVARIANT: the table has an entry for every byte")]
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[usize::from(byte)]
}

/// A table, because chunk extensions are checked byte by byte.
#[expect(
    clippy::indexing_slicing,
    reason = "INVARIANT: evaluated at compile time, where a wrong index is an error"
)]
const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let (marks, mut place) = (b"!#$%&'*+-.^_`|~", 0);
    while place < marks.len() {
        table[marks[place] as usize] = true;
        place += 1;
    }
    table
};

/// Whether these bytes are a token (RFC 9110, 5.6.2), as methods and field names are.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}
