//! Cuts a head into its parts with httparse, and says why it could not.
//!
//! httparse does what it does well, finding the ends of tokens at the speed of
//! memory; it is told to be strict, and its remaining leniencies (a bare LF,
//! any number of empty lines in front) are refused before it is asked. It gives
//! few reasons, so a failed head is looked at once more, off the hot path, to
//! find one that helps the person who has to fix it.

use std::mem::MaybeUninit;

use super::error::HeadError;
use super::head_end::{is_token_byte, lines_end_in_crlf};
use super::message::Version;
use super::target::bytes_are_allowed;
use crate::base::limits::HEAD_FIELDS_MAX;

/// Room for httparse's own view of the fields; gone once they are kept as ours.
pub(super) type Tokens<'b> = [MaybeUninit<httparse::Header<'b>>; HEAD_FIELDS_MAX];

/// Room for the tokens of one head, not yet written to.
#[inline]
pub(super) const fn no_tokens<'b>() -> Tokens<'b> {
    [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX]
}

/// A request line cut into its words, and the fields.
pub(super) struct RequestTokens<'b, 't> {
    pub(super) method: &'b str,
    pub(super) target: &'b str,
    pub(super) version: Version,
    pub(super) fields: &'t [httparse::Header<'b>],
}

/// Cuts a request head; `head` must be one head and nothing after it.
#[inline]
pub(super) fn request<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Tokens<'b>,
) -> Result<RequestTokens<'b, 't>, HeadError> {
    if !lines_end_in_crlf(head) {
        return Err(HeadError::BareLineEnd);
    }
    // RFC 9112, 2.2: old clients send an empty line after a POST body that they
    // did not count; one is forgiven.
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    if head.starts_with(b"\r") {
        return Err(HeadError::EmptyLines);
    }
    let mut request = httparse::Request::new(&mut []);
    let outcome = request.parse_with_uninit_headers(head, tokens);
    match (outcome, request.method, request.path, request.version) {
        (Ok(httparse::Status::Complete(end)), Some(method), Some(target), Some(minor))
            if end == head.len() =>
        {
            Ok(RequestTokens { method, target, version: version(minor), fields: request.headers })
        }
        (Err(error), ..) => Err(why_request_failed(head, error)),
        _ => Err(HeadError::NotOneHead),
    }
}

/// A status line cut into its words, and the fields.
pub(super) struct ResponseTokens<'b, 't> {
    pub(super) version: Version,
    pub(super) status: u16,
    pub(super) reason: &'b [u8],
    pub(super) fields: &'t [httparse::Header<'b>],
}

/// Cuts a response head; `head` must be one head and nothing after it.
#[inline]
pub(super) fn response<'b, 't>(
    head: &'b [u8],
    tokens: &'t mut Tokens<'b>,
) -> Result<ResponseTokens<'b, 't>, HeadError> {
    if !lines_end_in_crlf(head) {
        return Err(HeadError::BareLineEnd);
    }
    if head.starts_with(b"\r") {
        return Err(HeadError::EmptyLines);
    }
    let mut response = httparse::Response::new(&mut []);
    let outcome =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, tokens);
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
        (Err(error), ..) => Err(why_response_failed(head, error)),
        _ => Err(HeadError::NotOneHead),
    }
}

/// Why a field section could not be cut. `lines` are the lines from the first
/// field on, and may go on past the section.
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

/// httparse gives a minor version of 0 or 1 and refuses all others.
fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// The reason phrase. httparse withholds one with bytes outside ASCII, which
/// must go through all the same, so it is taken from the line itself.
fn reason(head: &[u8]) -> &[u8] {
    let line_bytes = memchr::memchr(b'\r', head).unwrap_or(head.len());
    head.get("HTTP/1.1 200 ".len()..line_bytes).unwrap_or_default()
}

#[cold]
fn why_request_failed(head: &[u8], error: httparse::Error) -> HeadError {
    let mut lines = lines(head);
    let request_line = lines.next().unwrap_or_default();
    match error {
        httparse::Error::Token
        | httparse::Error::Version
        | httparse::Error::NewLine
        | httparse::Error::Status => fault_of_request_line(request_line),
        fault_of_fields => why_fields_failed(lines, fault_of_fields),
    }
}

#[cold]
fn why_response_failed(head: &[u8], error: httparse::Error) -> HeadError {
    let mut lines = lines(head);
    let status_line = lines.next().unwrap_or_default();
    match error {
        httparse::Error::Version => {
            fault_of_version(status_line.split(|byte| *byte == b' ').next().unwrap_or_default())
        }
        httparse::Error::Token | httparse::Error::NewLine | httparse::Error::Status => HeadError::StatusLine,
        fault_of_fields => why_fields_failed(lines, fault_of_fields),
    }
}

fn fault_of_request_line(line: &[u8]) -> HeadError {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let version = words.next();
    if !method.first().copied().is_some_and(is_token_byte) {
        return HeadError::NotHttp;
    }
    match version {
        Some(version) if !target.is_empty() && words.next().is_none() => {
            if !method.iter().copied().all(is_token_byte) {
                HeadError::RequestLine
            } else if !bytes_are_allowed(target) {
                HeadError::TargetBytes
            } else {
                fault_of_version(version)
            }
        }
        _ => HeadError::RequestLine,
    }
}

fn fault_of_version(word: &[u8]) -> HeadError {
    match word {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HeadError::VersionUnsupported
        }
        _ => HeadError::VersionMalformed,
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
