//! Body length: the two fields that declare it, and every way they can lie.
//!
//! RFC 9112, 6.3 offers a way to resolve most contradictions. Two parsers that resolve one differently
//! see two different messages in the same bytes, and that is request smuggling. So nothing is resolved
//! here: every contradiction is refused.

use super::error::HeadError;
use super::message::Version;
use crate::base::limits::CONTENT_LENGTH_MAX;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// This many bytes; 0 if Content-Length said so.
    Fixed(u64),
    /// Chunked (RFC 9112, 7.1).
    Chunked,
    /// Everything until the peer closes the connection; only in responses.
    UntilClose,
}

/// Whether to accept a Content-Length that repeats an earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// RFC 9112, 6.3 allows merging identical values, but honest clients send one. A second one is
    /// probing how we treat it.
    Refuse,
    /// Some backends do repeat it, for instance because of a CGI script.
    BearIdentical,
}

/// The framing fields of one head, as read so far.
pub(super) struct Framing<'b> {
    length: Option<&'b [u8]>,
    codings: Codings,
}

/// The state of a list of transfer codings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Codings {
    Absent,
    Chunked,
    /// Registered codings, not yet followed by `chunked`.
    Unfinished,
    /// Registered codings, then `chunked`: legal, but not implemented.
    Unsupported,
    Malformed,
}

impl<'b> Framing<'b> {
    pub(super) fn new() -> Framing<'b> {
        Framing { length: None, codings: Codings::Absent }
    }

    /// Records a Content-Length field.
    pub(super) fn content_length(&mut self, value: &'b [u8], repeats: Repeats) -> Result<(), HeadError> {
        match self.length {
            Some(earlier) if repeats == Repeats::Refuse || earlier != value => {
                Err(HeadError::ContentLengthRepeated)
            }
            _ => {
                self.length = Some(value);
                Ok(())
            }
        }
    }

    /// Records a Transfer-Encoding field; several of them form one list.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',') {
            self.codings = self.codings.then(coding.trim_ascii());
        }
    }

    /// The length that the fields declare; [`BodyLength::None`] if there are none.
    pub(super) fn declared(&self, version: Version) -> Result<BodyLength, HeadError> {
        if self.codings == Codings::Absent {
            return match self.length {
                Some(digits) => {
                    let length = parse_decimal(digits).filter(|length| *length <= CONTENT_LENGTH_MAX);
                    length.map(BodyLength::Fixed).ok_or(HeadError::ContentLengthMalformed)
                }
                None => Ok(BodyLength::None),
            };
        }
        if self.length.is_some() {
            return Err(HeadError::TwoFramings);
        }
        if version == Version::Http10 {
            return Err(HeadError::TransferEncodingOnHttp10);
        }
        match self.codings {
            Codings::Chunked => Ok(BodyLength::Chunked),
            Codings::Unsupported => Err(HeadError::TransferEncodingUnsupported),
            Codings::Absent | Codings::Unfinished | Codings::Malformed => {
                Err(HeadError::TransferEncodingMalformed)
            }
        }
    }
}

impl Codings {
    /// The state after one more coding.
    fn then(self, coding: &[u8]) -> Codings {
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        match self {
            Codings::Absent if is_chunked => Codings::Chunked,
            Codings::Unfinished if is_chunked => Codings::Unsupported,
            Codings::Absent | Codings::Unfinished if is_registered(coding) => Codings::Unfinished,
            _ => Codings::Malformed,
        }
    }
}

/// Whether the name is a transfer coding registered with IANA, other than `chunked`.
fn is_registered(coding: &[u8]) -> bool {
    let registered: [&[u8]; 5] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"];
    registered.iter().any(|name| coding.eq_ignore_ascii_case(name))
}

/// A number in decimal digits only: no sign, no list, no white space, no overflow.
pub(super) fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codings(values: &[&str]) -> Result<BodyLength, HeadError> {
        let mut framing = Framing::new();
        for value in values {
            framing.transfer_encoding(value.as_bytes());
        }
        framing.declared(Version::Http11)
    }

    fn length(value: &str) -> Result<BodyLength, HeadError> {
        let mut framing = Framing::new();
        framing.content_length(value.as_bytes(), Repeats::Refuse)?;
        framing.declared(Version::Http11)
    }

    #[test]
    fn only_one_chunked_is_a_transfer_encoding() {
        assert_eq!(codings(&["chunked"]), Ok(BodyLength::Chunked));
        assert_eq!(codings(&["Chunked"]), Ok(BodyLength::Chunked));
        for bad in [
            "",
            ",",
            "chunked,",
            ",chunked",
            "chunked, chunked",
            "chunked, gzip",
            "gzip",
            "identity",
            "identity, chunked",
            "xchunked",
            "chunked;q=1",
            "\"chunked\"",
            "chunked chunked",
            "gzip, chunked, chunked",
            "\x0bchunked\x0b,",
        ] {
            assert_eq!(codings(&[bad]), Err(HeadError::TransferEncodingMalformed), "{bad:?}");
        }
    }

    #[test]
    fn several_transfer_encodings_are_one_list() {
        assert_eq!(codings(&["chunked", "chunked"]), Err(HeadError::TransferEncodingMalformed));
        assert_eq!(codings(&["gzip", "chunked"]), Err(HeadError::TransferEncodingUnsupported));
    }

    #[test]
    fn registered_codings_before_chunked_are_understood_but_not_implemented() {
        for list in ["gzip, chunked", "x-gzip,chunked", "deflate, compress, CHUNKED"] {
            assert_eq!(codings(&[list]), Err(HeadError::TransferEncodingUnsupported), "{list}");
        }
    }

    #[test]
    fn a_content_length_is_decimal_digits_and_nothing_else() {
        assert_eq!(length("0"), Ok(BodyLength::Fixed(0)));
        assert_eq!(length("0042"), Ok(BodyLength::Fixed(42)));
        assert_eq!(length("9223372036854775807"), Ok(BodyLength::Fixed(i64::MAX as u64)));
        for bad in [
            "",
            "+1",
            "-1",
            "1,1",
            "1, 1",
            "0x10",
            "1 1",
            "1.0",
            "1e3",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551620",
            "٣",
            "1;",
        ] {
            assert_eq!(length(bad), Err(HeadError::ContentLengthMalformed), "{bad:?}");
        }
    }
}
