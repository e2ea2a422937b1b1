//! Splits a head into its parts with httparse, and explains failures.
//!
//! httparse finds the ends of tokens at memory speed. It runs in strict mode, and what it still
//! tolerates (a bare LF, any number of leading empty lines) is refused before it runs. Its errors are
//! coarse, so a head that fails is examined once more, off the hot path, for a reason that helps the
//! person who has to fix it.

use std::mem::MaybeUninit;

use super::error::HeadError;
use super::message::Version;
use super::octets::{is_token_byte, lines_end_in_crlf};
use super::target::bytes_are_allowed;
use crate::base::limits::{HEAD_FIELDS_DEFAULT, METHOD_BYTES_MAX};

/// Room for httparse's view of the fields, until they are stored as ours.
pub(super) struct Tokens<'b> {
    usual: [MaybeUninit<httparse::Header<'b>>; HEAD_FIELDS_DEFAULT],
    /// For the rare head that has a version unknown to httparse or more than the default number of
    /// fields; otherwise empty.
    rare: Vec<httparse::Header<'b>>,
}

/// Uninitialised room for the tokens of one head.
#[inline]
pub(super) const fn no_tokens<'b>() -> Tokens<'b> {
    Tokens { usual: [const { MaybeUninit::uninit() }; HEAD_FIELDS_DEFAULT], rare: Vec::new() }
}

/// A request line split into words, and the fields.
pub(super) struct RequestTokens<'b, 't> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) version: Version,
    pub(super) fields: &'t [httparse::Header<'b>],
}

/// Splits a request head; `head` must be exactly one head.
#[inline]
pub(super) fn request<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Tokens<'b>,
    fields_max: usize,
) -> Result<RequestTokens<'b, 't>, HeadError> {
    if !lines_end_in_crlf(head) {
        return Err(HeadError::BareLineEnd);
    }
    // RFC 9112, 2.2: old clients send an extra CRLF after a POST body. One is tolerated.
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    if head.starts_with(b"\r") {
        return Err(HeadError::EmptyLines);
    }
    let mut request = httparse::Request::new(&mut []);
    let outcome = request.parse_with_uninit_headers(head, &mut tokens.usual);
    match (outcome, request.method, request.path, request.version) {
        (Ok(httparse::Status::Complete(end)), Some(method), Some(target), Some(minor))
            if end == head.len() =>
        {
            if method.len() > METHOD_BYTES_MAX {
                return Err(HeadError::MethodTooLong);
            }
            Ok(RequestTokens { method, target, version: version(minor), fields: request.headers })
        }
        (Err(error), ..) if is_rare(error, fields_max) => rare_request(head, &mut tokens.rare, fields_max),
        (Err(error), ..) => Err(why_request_failed(head, error)),
        _ => Err(HeadError::NotOneHead),
    }
}

/// Whether a head that httparse refused may still be split part by part.
fn is_rare(error: httparse::Error, fields_max: usize) -> bool {
    match error {
        httparse::Error::Version => true,
        httparse::Error::TooManyHeaders => fields_max > HEAD_FIELDS_DEFAULT,
        _ => false,
    }
}

/// A request with a minor version above those httparse knows, which is served as HTTP/1.1 (RFC 9110,
/// 2.5), or with more than the default number of fields.
#[cold]
fn rare_request<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Vec<httparse::Header<'b>>,
    fields_max: usize,
) -> Result<RequestTokens<'b, 't>, HeadError> {
    let (line, section) = split_first_line(head);
    let RequestLine { method, target, version } = request_line(line)?;
    Ok(RequestTokens { method, target, version, fields: rare_fields(section, tokens, fields_max)? })
}

/// The fields of such a head.
#[cold]
fn rare_fields<'b, 't>(
    section: &'b [u8],
    tokens: &'t mut Vec<httparse::Header<'b>>,
    fields_max: usize,
) -> Result<&'t [httparse::Header<'b>], HeadError> {
    tokens.resize(fields_max, httparse::EMPTY_HEADER);
    match httparse::parse_headers(section, tokens) {
        Ok(httparse::Status::Complete((end, fields))) if end == section.len() => Ok(fields),
        Ok(_) => Err(HeadError::NotOneHead),
        Err(error) => Err(why_fields_failed(lines(section), error)),
    }
}

/// A head's first line without its line end, and the rest.
fn split_first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let line_bytes = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let (line, rest) = head.split_at(line_bytes);
    (line, rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

/// A status line split into words, and the fields.
pub(super) struct ResponseTokens<'b, 't> {
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) reason: &'b [u8],
    pub(super) fields: &'t [httparse::Header<'b>],
}

/// Splits a response head; `head` must be exactly one head.
#[inline]
pub(super) fn response<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Tokens<'b>,
    fields_max: usize,
) -> Result<ResponseTokens<'b, 't>, HeadError> {
    if !lines_end_in_crlf(head) {
        return Err(HeadError::BareLineEnd);
    }
    if head.starts_with(b"\r") {
        return Err(HeadError::EmptyLines);
    }
    let mut response = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        head,
        &mut tokens.usual,
    );
    match (outcome, response.version, response.code) {
        (Ok(httparse::Status::Complete(end)), Some(minor), Some(status)) if end == head.len() => {
            if status < 100 {
                return Err(HeadError::StatusLine);
            }
            Ok(ResponseTokens {
                version: version(minor),
                status,
                reason: reason(head),
                fields: response.headers,
            })
        }
        (Err(error), ..) if is_rare(error, fields_max) => rare_response(head, &mut tokens.rare, fields_max),
        (Err(error), ..) => Err(why_response_failed(head, error)),
        _ => Err(HeadError::NotOneHead),
    }
}

/// The same for a response; see [`rare_request`].
#[cold]
fn rare_response<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Vec<httparse::Header<'b>>,
    fields_max: usize,
) -> Result<ResponseTokens<'b, 't>, HeadError> {
    let (line, section) = split_first_line(head);
    let Some((word, rest)) = line.split_at_checked("HTTP/1.1".len()) else {
        return Err(HeadError::VersionMalformed);
    };
    let version = version_of(word)?;
    // Let httparse check the rest of the line as it does for all other responses.
    let known = [b"HTTP/1.1", rest, b"\r\n\r\n"].concat();
    let mut response = httparse::Response::new(&mut []);
    match (response.parse(&known), response.code) {
        (Ok(httparse::Status::Complete(_)), Some(status)) if status >= 100 => Ok(ResponseTokens {
            version,
            status,
            reason: reason(head),
            fields: rare_fields(section, tokens, fields_max)?,
        }),
        _ => Err(HeadError::StatusLine),
    }
}

/// Why a field section could not be split. `lines` starts at the first field and may run past the
/// section.
#[cold]
pub(super) fn why_fields_failed<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    error: httparse::Error,
) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderName => lines.filter_map(fault_of_name).next().unwrap_or(HeadError::FieldName),
        httparse::Error::HeaderValue => HeadError::FieldValue,
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => HeadError::NotOneHead,
    }
}

/// The lines of a head whose line ends have been checked.
pub(super) fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// httparse accepts minor versions 0 and 1 and leaves all others to [`version_of`].
fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// The reason phrase, taken from the line itself: httparse returns none that has bytes outside ASCII,
/// but those must be forwarded too.
fn reason(head: &[u8]) -> &[u8] {
    let line_bytes = memchr::memchr(b'\r', head).unwrap_or(head.len());
    head.get("HTTP/1.1 200 ".len()..line_bytes).unwrap_or_default()
}

#[cold]
fn why_request_failed(head: &[u8], error: httparse::Error) -> HeadError {
    let (line, section) = split_first_line(head);
    match error {
        httparse::Error::Token
        | httparse::Error::Version
        | httparse::Error::NewLine
        | httparse::Error::Status => request_line(line).err().unwrap_or(HeadError::RequestLine),
        fault_of_fields => why_fields_failed(lines(section), fault_of_fields),
    }
}

#[cold]
fn why_response_failed(head: &[u8], error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::Version
        | httparse::Error::Token
        | httparse::Error::NewLine
        | httparse::Error::Status => HeadError::StatusLine,
        fault_of_fields => why_fields_failed(lines(split_first_line(head).1), fault_of_fields),
    }
}

/// The three words of a request line.
pub(super) struct RequestLine<'b> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) version: Version,
}

/// Parses a request line without its line end, off the hot path: for versions that httparse does not
/// know, to explain why it refused a line, and for a line whose head is still incomplete. INVARIANT: a
/// line refused here is also refused in a complete head.
#[cold]
pub(super) fn request_line(line: &[u8]) -> Result<RequestLine<'_>, HeadError> {
    if !line.first().copied().is_some_and(is_token_byte) {
        return Err(HeadError::NotHttp);
    }
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(HeadError::RequestLine);
    };
    if target.is_empty() || !method.iter().copied().all(is_token_byte) {
        return Err(HeadError::RequestLine);
    }
    if method.len() > METHOD_BYTES_MAX {
        return Err(HeadError::MethodTooLong);
    }
    if !bytes_are_allowed(target) {
        return Err(HeadError::TargetBytes);
    }
    let version = version_of(version)?;
    match (str::from_utf8(method), str::from_utf8(target)) {
        (Ok(method), Ok(target)) => Ok(RequestLine { method, target, version }),
        _ => {
            // INVARIANT: both were checked to be ASCII.
            debug_assert!(false, "a request line in ASCII is not UTF-8");
            Err(HeadError::RequestLine)
        }
    }
}

/// Parses `HTTP/d.d`. A minor version above 1 is read as 1, the highest we support.
fn version_of(word: &[u8]) -> Result<Version, HeadError> {
    match word {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if *major == b'1' {
                Ok(Version::Http11)
            } else {
                Err(HeadError::VersionUnsupported)
            }
        }
        _ => Err(HeadError::VersionMalformed),
    }
}

fn fault_of_name(line: &[u8]) -> Option<HeadError> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Some(HeadError::LineFolding);
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return (!line.is_empty()).then_some(HeadError::FieldName);
    };
    match line.get(..colon)? {
        [name @ .., b' ' | b'\t'] if name.iter().copied().all(is_token_byte) => {
            Some(HeadError::SpaceBeforeColon)
        }
        name if name.is_empty() || !name.iter().copied().all(is_token_byte) => Some(HeadError::FieldName),
        _ => None,
    }
}
