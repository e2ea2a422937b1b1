//! Decodes chunked bodies (RFC 9112, 7.1) in place, without copying.
//!
//! [`ChunkDecoder`] is only a position in the grammar. It keeps no bytes, so the caller's buffer is the
//! only one: the caller drops the bytes that a call reported on and calls again with the rest, no
//! matter how the network split them. Chunk extensions are checked and skipped, since nothing uses
//! them. The trailer section is returned whole.

use std::fmt;

use super::head_end::head_end;
use super::octets::{is_token_byte, lines_end_in_crlf};
use crate::base::limits::{CHUNK_EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};

/// Finds the data in a chunked body.
#[derive(Clone, Debug)]
pub struct ChunkDecoder {
    state: State,
}

/// What comes next in the input of a [`ChunkDecoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPart {
    /// Framing, then data.
    Data {
        /// Bytes of framing at the start of the input.
        skip: usize,
        /// Bytes of data after them, at least one.
        len: usize,
    },
    /// Framing only, and more input is needed. Any bytes after `skip` are the start of an unfinished
    /// trailer section: pass them in again, with more.
    More {
        /// Bytes of framing at the start of the input.
        skip: usize,
    },
    /// The last chunk, then the whole trailer section.
    End {
        /// Bytes of framing at the start of the input.
        skip: usize,
        /// Bytes of the trailer section after them, including the empty line that ends it: 2 if there
        /// are no trailers.
        len: usize,
    },
}

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    /// A chunk size that is not hexadecimal digits.
    Size,
    /// A chunk size of more than 16 digits.
    SizeTooLong,
    /// A size line that ends in a lone CR or LF.
    SizeLineEnd,
    /// A chunk extension that is not `name`, `name=token` or `name="quoted"`.
    Extension,
    /// A control byte in a chunk extension.
    ExtensionByte,
    /// Chunk extensions over [`CHUNK_EXTENSION_BYTES_MAX`] on one line.
    ExtensionsTooLong,
    /// Something other than CRLF after a chunk's data.
    DataEnd,
    /// A line of the trailer section that ends in a lone CR or LF.
    TrailerLineEnd,
    /// A trailer section over [`TRAILER_BYTES_MAX`].
    TrailersTooLarge,
}

/// Digits of a chunk size that fit into 64 bits, leading zeros included.
const SIZE_DIGITS_MAX: u8 = 16;

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the digits of a size.
    Size { size: u64, digits: u8 },
    /// Between a size and the end of its line, `bytes` into the extensions.
    Extension { size: u64, bytes: u16, place: Place },
    /// After the CR that ends a size line.
    SizeLf { size: u64 },
    /// In data, with `left` bytes to go.
    Data { left: u64 },
    /// After data.
    DataCr,
    /// After the CR that follows data.
    DataLf,
    /// At the first byte of the trailer section. The first `scanned` bytes contain no end.
    Trailers { scanned: usize },
    /// After the trailer section: nothing is left to decode.
    Spent,
}

/// A place in the grammar of chunk extensions (RFC 9112, 7.1.1):
/// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the white space after a size.
    SizeEnd,
    /// After a `;`.
    NameStart,
    /// In a name.
    Name,
    /// In the white space after a name.
    NameEnd,
    /// After a `=`.
    ValueStart,
    /// In a token.
    Value,
    /// In a quoted string.
    Quoted,
    /// After a backslash in a quoted string.
    Escape,
    /// After the closing quote.
    QuotedEnd,
    /// In the white space after a value.
    ValueEnd,
}

impl ChunkDecoder {
    /// A decoder before the first chunk.
    pub const fn new() -> ChunkDecoder {
        ChunkDecoder { state: State::Size { size: 0, digits: 0 } }
    }

    /// Returns what `input` starts with, and moves past it.
    ///
    /// `input` is what follows the bytes that earlier calls returned (`skip` and `len`). After
    /// [`ChunkPart::End`] the decoder is spent and keeps returning an empty `End`.
    ///
    /// # Errors
    ///
    /// Any violation of the grammar. The decoder is unusable afterwards.
    pub fn next(&mut self, input: &[u8]) -> Result<ChunkPart, ChunkError> {
        let mut skip = 0;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Data { left } => return Ok(self.data(skip, left, rest.len())),
                State::Trailers { scanned } => return self.trailers(skip, scanned, rest),
                State::Spent => return Ok(ChunkPart::End { skip, len: 0 }),
                framing => match rest.first() {
                    Some(byte) => self.state = framing.after(*byte)?,
                    None => return Ok(ChunkPart::More { skip }),
                },
            }
            skip += 1;
        }
    }

    fn data(&mut self, skip: usize, left: u64, available: usize) -> ChunkPart {
        if available == 0 {
            return ChunkPart::More { skip };
        }
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        self.state = match left - len as u64 {
            0 => State::DataCr,
            left => State::Data { left },
        };
        ChunkPart::Data { skip, len }
    }

    fn trailers(&mut self, skip: usize, scanned: usize, section: &[u8]) -> Result<ChunkPart, ChunkError> {
        if section.starts_with(b"\n") {
            return Err(ChunkError::TrailerLineEnd);
        }
        let end = if section.starts_with(b"\r\n") { Some(2) } else { head_end(section, scanned) };
        if end.unwrap_or(section.len() + 1) > TRAILER_BYTES_MAX {
            return Err(ChunkError::TrailersTooLarge);
        }
        match end {
            Some(len) if section.get(..len).is_some_and(lines_end_in_crlf) => {
                self.state = State::Spent;
                Ok(ChunkPart::End { skip, len })
            }
            Some(_) => Err(ChunkError::TrailerLineEnd),
            None => {
                self.state = State::Trailers { scanned: section.len() };
                Ok(ChunkPart::More { skip })
            }
        }
    }
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        ChunkDecoder::new()
    }
}

impl State {
    /// The state after one byte of framing.
    #[inline]
    fn after(self, byte: u8) -> Result<State, ChunkError> {
        match (self, byte) {
            (State::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == SIZE_DIGITS_MAX {
                    return Err(ChunkError::SizeTooLong);
                }
                let digit = if byte.is_ascii_digit() { byte - b'0' } else { (byte | 0x20) - b'a' + 10 };
                Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
            }
            (State::Size { digits: 0, .. }, _) => Err(ChunkError::Size),
            (State::Size { size, .. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { size, .. }, b';') => {
                Ok(State::Extension { size, bytes: 1, place: Place::NameStart })
            }
            // White space is allowed only before `;`. Parsers that accept it elsewhere have been used
            // for smuggling.
            (State::Size { size, .. }, b' ' | b'\t') => {
                Ok(State::Extension { size, bytes: 1, place: Place::SizeEnd })
            }
            (State::Size { .. }, b'\n') => Err(ChunkError::SizeLineEnd),
            (State::Size { .. }, _) => Err(ChunkError::Size),

            (State::Extension { .. }, b'\n') => Err(ChunkError::SizeLineEnd),
            (State::Extension { size, place, .. }, b'\r') => match place {
                Place::Name | Place::Value | Place::QuotedEnd => Ok(State::SizeLf { size }),
                Place::SizeEnd => Err(ChunkError::Size),
                _ => Err(ChunkError::Extension),
            },
            (State::Extension { size, bytes, place }, _) => {
                if usize::from(bytes) >= CHUNK_EXTENSION_BYTES_MAX {
                    return Err(ChunkError::ExtensionsTooLong);
                }
                Ok(State::Extension { size, bytes: bytes + 1, place: place.after(byte)? })
            }

            (State::SizeLf { size: 0 }, b'\n') => Ok(State::Trailers { scanned: 0 }),
            (State::SizeLf { size }, b'\n') => Ok(State::Data { left: size }),
            (State::SizeLf { .. }, _) => Err(ChunkError::SizeLineEnd),

            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::DataCr | State::DataLf, _) => Err(ChunkError::DataEnd),

            (State::Data { .. } | State::Trailers { .. } | State::Spent, _) => Ok(self),
        }
    }
}

impl Place {
    /// The place after one byte that does not end the line.
    fn after(self, byte: u8) -> Result<Place, ChunkError> {
        if byte.is_ascii_control() && byte != b'\t' {
            return Err(ChunkError::ExtensionByte);
        }
        match (self, byte) {
            (Place::Quoted, b'"') => Ok(Place::QuotedEnd),
            (Place::Quoted, b'\\') => Ok(Place::Escape),
            (Place::Quoted | Place::Escape, _) => Ok(Place::Quoted),

            (Place::SizeEnd, b';') => Ok(Place::NameStart),
            (Place::SizeEnd, b' ' | b'\t') => Ok(self),
            (Place::SizeEnd, _) => Err(ChunkError::Size),

            (Place::NameStart | Place::ValueStart | Place::NameEnd | Place::ValueEnd, b' ' | b'\t') => {
                Ok(self)
            }
            (Place::Name, b' ' | b'\t') => Ok(Place::NameEnd),
            (Place::Value | Place::QuotedEnd, b' ' | b'\t') => Ok(Place::ValueEnd),

            (Place::Name | Place::NameEnd, b'=') => Ok(Place::ValueStart),
            (Place::Name | Place::NameEnd | Place::Value | Place::QuotedEnd | Place::ValueEnd, b';') => {
                Ok(Place::NameStart)
            }

            (Place::ValueStart, b'"') => Ok(Place::Quoted),
            (Place::NameStart | Place::Name, byte) if is_token_byte(byte) => Ok(Place::Name),
            (Place::ValueStart | Place::Value, byte) if is_token_byte(byte) => Ok(Place::Value),
            _ => Err(ChunkError::Extension),
        }
    }
}

impl ChunkError {
    /// One sentence for debugging, without a full stop.
    pub fn explain(self) -> &'static str {
        match self {
            ChunkError::Size => "a chunk size is not hexadecimal digits",
            ChunkError::SizeTooLong => "a chunk size has more than 16 digits",
            ChunkError::SizeLineEnd => "a chunk size line ends in a lone CR or LF instead of CRLF",
            ChunkError::Extension => "a chunk extension is not of the form name, name=token or name=\"text\"",
            ChunkError::ExtensionByte => "a chunk extension has a control byte",
            ChunkError::ExtensionsTooLong => "the extensions of a chunk are longer than 256 bytes",
            ChunkError::DataEnd => "the data of a chunk is not followed by CRLF",
            ChunkError::TrailerLineEnd => "a trailer line ends in a lone CR or LF instead of CRLF",
            ChunkError::TrailersTooLarge => "the trailer section is larger than 4 KiB",
        }
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.explain())
    }
}

impl std::error::Error for ChunkError {}

/// The size line of a chunk of `len` bytes: the size in hexadecimal, then CRLF.
///
/// `len` must not be 0: an empty chunk ends the body.
#[expect(
    clippy::indexing_slicing,
    reason = "INVARIANT: a usize has at most 16 hexadecimal digits, for which there is room before the CRLF"
)]
pub fn chunk_size_line(len: usize) -> ChunkSizeLine {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = ChunkSizeLine { bytes: [0; 18], start: 16 };
    line.bytes[16..].copy_from_slice(b"\r\n");
    let mut left = len;
    loop {
        line.start -= 1;
        line.bytes[line.start] = DIGITS[left & 15];
        left >>= 4;
        if left == 0 {
            return line;
        }
    }
}

/// A chunk size line, on the stack; see [`chunk_size_line`].
#[derive(Clone, Copy, Debug)]
pub struct ChunkSizeLine {
    bytes: [u8; 18],
    start: usize,
}

impl ChunkSizeLine {
    /// The line, with its CRLF.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: a usize has at most 16 hexadecimal digits, so 0 <= start <= 15"
    )]
    pub fn as_bytes(&self) -> &[u8] {
        debug_assert!(self.start <= 15);
        &self.bytes[self.start..]
    }
}

impl AsRef<[u8]> for ChunkSizeLine {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and the trailer section of a body that arrives in one piece.
    fn decode(body: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), ChunkError> {
        let (mut decoder, mut data, mut rest) = (ChunkDecoder::new(), Vec::new(), body);
        loop {
            match decoder.next(rest)? {
                ChunkPart::Data { skip, len } => {
                    data.extend(&rest[skip..skip + len]);
                    rest = &rest[skip + len..];
                }
                ChunkPart::More { .. } => return Ok((data, None)),
                ChunkPart::End { skip, len } => return Ok((data, Some(rest[skip..skip + len].to_vec()))),
            }
        }
    }

    #[test]
    fn a_decoder_is_small_enough_to_live_in_a_task() {
        assert!(size_of::<ChunkDecoder>() <= 32);
    }

    #[test]
    fn chunks_are_told_apart_from_their_framing() {
        let body = b"4\r\nrope\r\n0005;a=\"b;c\"\r\n walk\r\n00\r\n\r\nnext";
        assert_eq!(decode(body), Ok((b"rope walk".to_vec(), Some(b"\r\n".to_vec()))));
    }

    #[test]
    fn trailers_are_handed_over_whole() {
        let body = b"0\r\nA: b\r\nC: d\r\n\r\nnext";
        assert_eq!(decode(body), Ok((vec![], Some(b"A: b\r\nC: d\r\n\r\n".to_vec()))));
        let mut decoder = ChunkDecoder::new();
        assert_eq!(decoder.next(b"0\r\nA: b\r\n"), Ok(ChunkPart::More { skip: 3 }));
        assert_eq!(decoder.next(b"A: b\r\n\r"), Ok(ChunkPart::More { skip: 0 }));
        assert_eq!(decoder.next(b"A: b\r\n\r\nnext"), Ok(ChunkPart::End { skip: 0, len: 8 }));
        assert_eq!(decoder.next(b"next"), Ok(ChunkPart::End { skip: 0, len: 0 }));
    }

    #[test]
    fn a_chunk_larger_than_the_input_is_handed_over_as_it_comes() {
        let mut decoder = ChunkDecoder::new();
        assert_eq!(decoder.next(b"ffffffffffffffff\r\nab"), Ok(ChunkPart::Data { skip: 18, len: 2 }));
        assert_eq!(decoder.next(b""), Ok(ChunkPart::More { skip: 0 }));
        assert_eq!(decoder.next(b"cde"), Ok(ChunkPart::Data { skip: 0, len: 3 }));
    }

    #[test]
    fn extensions_of_every_form_are_skipped() {
        for extensions in [
            ";a",
            ";a;b",
            ";a=b",
            " ;\ta = b \t; c",
            ";a=\"\"",
            ";a=\"b;c=[]\\\"\\\\\t\u{e9}\" ; d=\"e\"",
            ";!#$%&'*+-.^_`|~=0",
        ] {
            let body = format!("4{extensions}\r\nrope\r\n0{extensions}\r\n\r\n");
            assert_eq!(decode(body.as_bytes()), Ok((b"rope".to_vec(), Some(b"\r\n".to_vec()))), "{body:?}");
        }
    }

    #[test]
    fn malformed_extensions_are_refused() {
        for extensions in [
            ";",
            "; ",
            ";;a",
            ";a;",
            ";=b",
            ";a=",
            ";a= ",
            ";a ",
            ";a=b ",
            ";a=\"b\" ",
            ";a=\"b",
            ";a=\"b\\",
            ";a=\"b\"c",
            ";a=b\"c\"",
            ";a b",
            ";a=b c",
            ";a==b",
            ";bad[=x",
            ";a=b]",
            ";a,b",
            ";\u{e9}",
            ";a=\u{e9}",
        ] {
            let body = format!("4{extensions}\r\nrope\r\n0\r\n\r\n");
            assert_eq!(decode(body.as_bytes()), Err(ChunkError::Extension), "{body:?}");
        }
    }

    #[test]
    fn departures_from_the_grammar_are_refused() {
        for (body, error) in [
            ("\r\n", ChunkError::Size),
            (";a\r\n", ChunkError::Size),
            ("x\r\n", ChunkError::Size),
            ("+4\r\nrope", ChunkError::Size),
            ("0x4\r\nrope", ChunkError::Size),
            (" 4\r\nrope", ChunkError::Size),
            ("4 \r\nrope", ChunkError::Size),
            ("4 a\r\nrope", ChunkError::Size),
            ("4\t\r\nrope", ChunkError::Size),
            ("4\0\r\nrope", ChunkError::Size),
            ("00000000000000004\r\nrope", ChunkError::SizeTooLong),
            ("4\nrope", ChunkError::SizeLineEnd),
            ("4\rrope", ChunkError::SizeLineEnd),
            ("4;a\nrope", ChunkError::SizeLineEnd),
            ("4;a\rb\r\nrope", ChunkError::SizeLineEnd),
            ("4;a\0\r\nrope", ChunkError::ExtensionByte),
            ("4;\x7f\r\nrope", ChunkError::ExtensionByte),
            ("4\r\nropewalk\r\n", ChunkError::DataEnd),
            ("4\r\nrope\n0\r\n\r\n", ChunkError::DataEnd),
            ("4\r\nrope\r0\r\n\r\n", ChunkError::DataEnd),
            ("0\r\n\n", ChunkError::TrailerLineEnd),
            ("0\r\nA: b\n\n", ChunkError::TrailerLineEnd),
            ("0\r\nA: b\n\r\n", ChunkError::TrailerLineEnd),
            ("0\r\nA: b\rC: d\r\n\r\n", ChunkError::TrailerLineEnd),
        ] {
            assert_eq!(decode(body.as_bytes()), Err(error), "{body:?}");
        }
    }

    #[test]
    fn the_limit_on_extensions_is_exact() {
        let of = |bytes: usize| format!("1;{}\r\nx", "a".repeat(bytes - 1));
        assert_eq!(decode(of(CHUNK_EXTENSION_BYTES_MAX).as_bytes()), Ok((b"x".to_vec(), None)));
        let over = of(CHUNK_EXTENSION_BYTES_MAX + 1);
        assert_eq!(decode(over.as_bytes()), Err(ChunkError::ExtensionsTooLong));
    }

    #[test]
    fn the_limit_on_trailers_is_exact_whether_or_not_they_are_complete() {
        let section = |bytes: usize| format!("A: {}\r\n\r\n", "b".repeat(bytes - 7));
        let at_limit = section(TRAILER_BYTES_MAX);
        assert!(decode(format!("0\r\n{at_limit}").as_bytes()).is_ok());
        assert!(decode(format!("0\r\n{}", &at_limit[..TRAILER_BYTES_MAX - 1]).as_bytes()).is_ok());
        let over = section(TRAILER_BYTES_MAX + 1);
        assert_eq!(decode(format!("0\r\n{over}").as_bytes()), Err(ChunkError::TrailersTooLarge));
        let unfinished = &over[..TRAILER_BYTES_MAX];
        assert_eq!(decode(format!("0\r\n{unfinished}").as_bytes()), Err(ChunkError::TrailersTooLarge));
    }

    #[test]
    fn a_size_line_is_lower_case_hexadecimal() {
        assert_eq!(chunk_size_line(1).as_bytes(), b"1\r\n");
        assert_eq!(chunk_size_line(0xabc0).as_bytes(), b"abc0\r\n");
        assert_eq!(chunk_size_line(usize::MAX).as_bytes(), format!("{:x}\r\n", usize::MAX).as_bytes());
    }
}
