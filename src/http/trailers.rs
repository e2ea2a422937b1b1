//! Trailers: the fields after the last chunk, and which of them may arrive that late.
//!
//! A trailer arrives after the request was routed, authorised and framed. A parser that merges trailers
//! into the head would obey one that changes any of this; a parser that does not would miss it. So such
//! fields are dropped here (RFC 9110, 6.5.1), even if their name has `_` in place of `-`: gateways that
//! pass fields on as variables cannot tell the two apart.

use super::error::HeadError;
use super::field::{Field, Known};
use super::octets::lines_end_in_crlf;
use super::tokenise::{lines, why_fields_failed};
use crate::base::limits::TRAILER_FIELDS_MAX;

/// Calls `each` for every field that is allowed in a trailer section.
///
/// `section` is what [`super::ChunkPart::End`] returned: field lines, then an empty line.
///
/// # Errors
///
/// The section is malformed, even if only in a field that would be dropped. `each` has not been called
/// then.
pub fn parse_trailers(section: &[u8], mut each: impl FnMut(&Field<'_>)) -> Result<(), HeadError> {
    if section == b"\r\n" {
        return Ok(());
    }
    if !lines_end_in_crlf(section) {
        return Err(HeadError::BareLineEnd);
    }
    let mut tokens = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    match httparse::parse_headers(section, &mut tokens) {
        Ok(httparse::Status::Complete((end, fields))) if end == section.len() => {
            for token in fields {
                if may_be_trailer(token.name) {
                    each(&Field { name: token.name, value: token.value, known: Known::of(token.name) });
                }
            }
            Ok(())
        }
        Ok(_) => Err(HeadError::NotOneHead),
        Err(error) => Err(why_fields_failed(lines(section), error)),
    }
}

/// Whether a field may be sent after the body.
fn may_be_trailer(name: &str) -> bool {
    /// Fields that RFC 9110 and related RFCs require before the body, grouped by purpose.
    const FORBIDDEN: [&str; 39] = [
        // Authentication and cookies.
        "authorization",
        "authentication-info",
        "proxy-authentication-info",
        "www-authenticate",
        "cookie",
        "set-cookie",
        // Request controls.
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "expect",
        "max-forwards",
        "origin",
        "pragma",
        "range",
        "te",
        // Conditions.
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        // Response controls.
        "age",
        "cache-control",
        "date",
        "expires",
        "location",
        "retry-after",
        "vary",
        "warning",
        // Connection, message and routing.
        "connection",
        "forwarded",
        "host",
        "keep-alive",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    // Of the content fields, only the digest cannot be known before the end of the body.
    let is_content = begins(name, "content-") && !name.eq_ignore_ascii_case("content-digest");
    !is_content
        && !begins(name, "x-forwarded")
        && !begins(name, "proxy-")
        && !FORBIDDEN.iter().any(|forbidden| forbidden.len() == name.len() && begins(name, forbidden))
}

/// Whether a name starts with `start`, which is in lower case. Ignores case and treats `_` as `-`.
fn begins(name: &str, start: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() >= start.len() && name.bytes().zip(start.bytes()).all(|(byte, wanted)| plain(byte) == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(section: &str) -> Result<Vec<String>, HeadError> {
        let mut names = Vec::new();
        parse_trailers(section.as_bytes(), |field| names.push(field.name.to_owned())).map(|()| names)
    }

    #[test]
    fn no_trailers_are_fine() {
        assert_eq!(names("\r\n"), Ok(vec![]));
    }

    #[test]
    fn fields_that_may_come_late_come_through_in_order() {
        let section =
            "Server-Timing: a\r\ngrpc-status: 0\r\nETag: x\r\nmy_sum: 1\r\nContent-Digest: y\r\n\r\n";
        let expected = ["Server-Timing", "grpc-status", "ETag", "my_sum", "Content-Digest"];
        assert_eq!(names(section), Ok(expected.map(String::from).to_vec()));
    }

    #[test]
    fn fields_that_frame_route_or_authorise_are_dropped() {
        for name in [
            "Host",
            "Content-Length",
            "content-type",
            "Transfer-Encoding",
            "Connection",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Authorization",
            "Set-Cookie",
            "X-Forwarded-For",
            "X-Forwarded-Anything",
            "X-Real-IP",
            "X-Request-ID",
            "If-Match",
            "Content_Length",
            "X_Forwarded_For",
            "x_real-ip",
            "Trailer",
            "Upgrade",
            "Transfer_Encoding",
            "x_forwarded-for",
            "Content_Length",
        ] {
            assert_eq!(names(&format!("{name}: x\r\nA: b\r\n\r\n")), Ok(vec!["A".into()]), "{name}");
        }
    }

    #[test]
    fn malformed_trailers_are_refused_before_any_is_passed_on() {
        for (section, fault) in [
            ("A: b\r\n", HeadError::NotOneHead),
            ("", HeadError::NotOneHead),
            ("A: b\r\n\r\nC: d\r\n\r\n", HeadError::NotOneHead),
            ("A: b\n\n", HeadError::BareLineEnd),
            ("A: b\r\nC : d\r\n\r\n", HeadError::SpaceBeforeColon),
            ("A: b\r\n c\r\n\r\n", HeadError::LineFolding),
            ("A: b\r\nHost: \0\r\n\r\n", HeadError::FieldValue),
        ] {
            let mut calls = 0;
            assert_eq!(parse_trailers(section.as_bytes(), |_| calls += 1), Err(fault), "{section:?}");
            assert_eq!(calls, 0, "{section:?}");
        }
    }

    #[test]
    fn the_limit_on_trailer_fields_is_exact() {
        let section = |count: usize| format!("{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(names(&section(TRAILER_FIELDS_MAX)).map(|names| names.len()), Ok(TRAILER_FIELDS_MAX));
        assert_eq!(names(&section(TRAILER_FIELDS_MAX + 1)), Err(HeadError::TooManyFields));
    }
}
