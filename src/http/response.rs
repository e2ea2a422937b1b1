//! A response head: parsed once, as strictly as a request.
//!
//! We trust a backend more than a client, but not to be consistent. A response that two parsers could
//! split differently poisons the keep-alive connection it came on, and with it the next client's
//! response.

use super::authentication;
use super::connection::{ConnectionOptions, UpgradeField, keep_alive_timeout_s};
use super::error::HeadError;
use super::field::{Field, Known};
use super::framing::{BodyLength, Framing, Repeats};
use super::message::{Method, Version};
use super::storage::HeadStorage;
use super::tokenise;

/// A response head that may be relayed.
///
/// `'b` is the buffer that holds the head, `'s` the [`HeadStorage`] with its fields.
#[derive(Clone, Debug)]
pub struct ResponseHead<'b, 's> {
    /// The backend's version.
    pub version: Version,
    /// 100 to 999. No RFC defines statuses over 599, but backends send them and we relay them.
    pub status: u16,
    /// The reason phrase as sent: it may be empty or contain bytes outside ASCII.
    pub reason: &'b [u8],
    /// All fields in the order sent. May contain the same Content-Length twice: forward only one.
    pub fields: &'s [Field<'b>],
    /// How long the body is. [`BodyLength::None`] for HEAD, 1xx, 204 and 304, regardless of the fields.
    pub body: BodyLength,
    /// Whether the connection can carry another request after this response.
    pub keep_alive: bool,
    /// The `timeout` of the Keep-Alive field, in seconds.
    pub keep_alive_timeout_s: Option<u64>,
    /// The Upgrade field, if Connection names it.
    pub upgrade: Option<&'b [u8]>,
    /// Whether it names a scheme that authenticates the connection: NTLM or Negotiate.
    pub binds_connection: bool,
    options: ConnectionOptions,
}

impl ResponseHead<'_, '_> {
    /// Whether a Connection field names this field, which must then not be relayed; see
    /// [`super::RequestHead::connection_names`].
    #[inline]
    pub fn connection_names(&self, field: &str) -> bool {
        self.options.name(field, self.fields)
    }
}

/// Parses a response head. `head` is exactly the bytes up to `super::head_end`; `request` is the
/// method of the request it answers.
///
/// # Errors
///
/// Refuses anything that could be read in two ways; see [`HeadError`].
pub fn parse_response<'b, 's>(
    head: &'b [u8],
    request: Method,
    storage: &'s mut HeadStorage<'b>,
) -> Result<ResponseHead<'b, 's>, HeadError> {
    let mut tokens = tokenise::no_tokens();
    let line = tokenise::response(head, &mut tokens, storage.limits.fields)?;
    if line.fields.len() > storage.limits.fields {
        return Err(HeadError::TooManyFields);
    }
    let fields: &'s [Field<'b>] = storage.keep(line.fields);

    let mut framing = Framing::new();
    let mut options = ConnectionOptions::default();
    let mut upgrade = UpgradeField::Absent;
    let mut keep_alive_timeout = None;
    let mut binds_connection = false;
    for field in fields {
        match field.known {
            Known::ContentLength => framing.content_length(field.value, Repeats::BearIdentical)?,
            Known::TransferEncoding => framing.transfer_encoding(field.value),
            Known::Connection => options.note(field.value)?,
            Known::Upgrade => upgrade = upgrade.and(field.value),
            Known::KeepAlive => keep_alive_timeout = keep_alive_timeout_s(field.value),
            Known::Authorization | Known::WwwAuthenticate | Known::ProxyAuthenticate => {
                binds_connection |= authentication::binds_connection(field);
            }
            _ => {}
        }
    }

    // Bad framing is refused even if there is no body: it shows that the backend's view of this
    // connection differs from ours.
    let body = match framing.declared(line.version)? {
        _ if has_no_body(request, line.status) => BodyLength::None,
        BodyLength::None => BodyLength::UntilClose,
        declared => declared,
    };
    Ok(ResponseHead {
        version: line.version,
        status: line.status,
        reason: line.reason,
        fields,
        body,
        keep_alive: options.persist(line.version) && body != BodyLength::UntilClose,
        keep_alive_timeout_s: keep_alive_timeout,
        upgrade: options.upgrade(line.version, upgrade),
        binds_connection,
        options,
    })
}

/// RFC 9112, 6.3, rules 1 and 2.
fn has_no_body(request: Method, status: u16) -> bool {
    request == Method::Head || matches!(status, 100..=199 | 204 | 304)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T>(
        request: Method,
        lines: &[&str],
        read: impl Fn(&ResponseHead<'_, '_>) -> T,
    ) -> Result<T, HeadError> {
        let head = format!("{}\r\n\r\n", lines.join("\r\n"));
        parse_response(head.as_bytes(), request, &mut HeadStorage::new()).map(|head| read(&head))
    }

    fn fault(lines: &[&str]) -> Option<HeadError> {
        parse(Method::Get, lines, |_| ()).err()
    }

    fn body(request: Method, lines: &[&str]) -> Result<BodyLength, HeadError> {
        parse(request, lines, |head| head.body)
    }

    #[test]
    fn a_status_line_is_read_with_or_without_a_reason() {
        let of = |line: &str| {
            parse(Method::Get, &[line], |head| {
                (head.status, String::from_utf8_lossy(head.reason).into_owned())
            })
        };
        assert_eq!(of("HTTP/1.1 404 Not Found"), Ok((404, "Not Found".into())));
        assert_eq!(of("HTTP/1.0 200 "), Ok((200, String::new())));
        assert_eq!(of("HTTP/1.1 200"), Ok((200, String::new())));
        assert_eq!(of("HTTP/1.1 999 Any"), Ok((999, "Any".into())));
    }

    #[test]
    fn a_reason_outside_ascii_survives() {
        let head = b"HTTP/1.1 200 tr\xe8s bien\r\n\r\n";
        let mut storage = HeadStorage::new();
        let head = parse_response(head, Method::Get, &mut storage).unwrap();
        assert_eq!(head.reason, b"tr\xe8s bien");
    }

    #[test]
    fn a_minor_version_above_1_is_read_as_1_1() {
        let lines = ["HTTP/1.2 404 tr\u{e8}s loin", "Content-Length: 3", "Connection: close"];
        let read = |head: &ResponseHead<'_, '_>| {
            (head.version, head.status, head.reason.to_vec(), head.body, head.keep_alive)
        };
        let expected =
            (Version::Http11, 404, "tr\u{e8}s loin".as_bytes().to_vec(), BodyLength::Fixed(3), false);
        assert_eq!(parse(Method::Get, &lines, read), Ok(expected));
        let chunked = ["HTTP/1.9 200", "Transfer-Encoding: chunked"];
        assert_eq!(body(Method::Get, &chunked), Ok(BodyLength::Chunked));
    }

    #[test]
    fn a_malformed_status_line_is_refused() {
        for line in [
            "HTTP/1.1 099 x",
            "HTTP/1.1 20 x",
            "HTTP/1.1 2000 x",
            "HTTP/1.1 2x0 x",
            "HTTP/1.1  200 x",
            "HTTP/1.1 200 a\0b",
        ] {
            assert_eq!(fault(&[line]), Some(HeadError::StatusLine), "{line:?}");
        }
        assert_eq!(fault(&["HTTP/2.0 200 OK"]), Some(HeadError::VersionUnsupported));
        assert_eq!(fault(&["HTTP/1.2 2x0 OK"]), Some(HeadError::StatusLine));
        assert_eq!(fault(&["HTTP/1.2 099 OK"]), Some(HeadError::StatusLine));
        assert_eq!(fault(&["HTTP/1.2"]), Some(HeadError::StatusLine));
        assert_eq!(fault(&["ICY 200 OK"]), Some(HeadError::VersionMalformed));
        assert_eq!(fault(&["", "HTTP/1.1 200 OK"]), Some(HeadError::EmptyLines));
    }

    #[test]
    fn responses_are_as_strict_about_fields_as_requests() {
        for (field, expected) in [
            ("A : b", HeadError::SpaceBeforeColon),
            (" folded", HeadError::LineFolding),
            (": b", HeadError::FieldName),
            ("A: b\0", HeadError::FieldValue),
            ("A: b\nB: c", HeadError::BareLineEnd),
            ("A: b\rB: c", HeadError::BareLineEnd),
        ] {
            assert_eq!(fault(&["HTTP/1.1 200 OK", "Z: z", field]), Some(expected), "{field:?}");
        }
    }

    #[test]
    fn statuses_and_methods_without_a_body_have_none_whatever_the_fields_say() {
        for status in ["100 x", "101 x", "103 x", "204 x", "304 x"] {
            let line = format!("HTTP/1.1 {status}");
            assert_eq!(body(Method::Get, &[&line, "Content-Length: 5"]), Ok(BodyLength::None), "{status}");
            assert_eq!(body(Method::Get, &[&line]), Ok(BodyLength::None), "{status}");
        }
        let head = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"];
        assert_eq!(body(Method::Head, &head), Ok(BodyLength::None));
        assert_eq!(body(Method::Get, &head), Ok(BodyLength::Chunked));
    }

    #[test]
    fn bad_framing_is_refused_even_without_a_body() {
        let both = ["HTTP/1.1 304 x", "Content-Length: 5", "Transfer-Encoding: chunked"];
        assert_eq!(fault(&both), Some(HeadError::TwoFramings));
        let head = ["HTTP/1.1 200 OK", "Content-Length: x"];
        assert_eq!(body(Method::Head, &head), Err(HeadError::ContentLengthMalformed));
    }

    #[test]
    fn only_identical_content_lengths_may_repeat() {
        let of = |first: &str, second: &str| body(Method::Get, &["HTTP/1.1 200 OK", first, second]);
        assert_eq!(of("Content-Length: 5", "content-length: 5"), Ok(BodyLength::Fixed(5)));
        assert_eq!(of("Content-Length: 5", "Content-Length: 6"), Err(HeadError::ContentLengthRepeated));
        assert_eq!(of("Content-Length: 5, 5", "A: b"), Err(HeadError::ContentLengthMalformed));
    }

    #[test]
    fn a_body_that_ends_with_the_connection_ends_the_connection() {
        let read = |head: &ResponseHead<'_, '_>| (head.body, head.keep_alive);
        assert_eq!(parse(Method::Get, &["HTTP/1.1 200 OK"], read), Ok((BodyLength::UntilClose, false)));
        let fixed = ["HTTP/1.1 200 OK", "Content-Length: 0"];
        assert_eq!(parse(Method::Get, &fixed, read), Ok((BodyLength::Fixed(0), true)));
        let old = ["HTTP/1.0 200 OK", "Content-Length: 0"];
        assert_eq!(parse(Method::Get, &old, read), Ok((BodyLength::Fixed(0), false)));
    }

    #[test]
    fn transfer_encoding_is_refused_where_it_does_not_exist() {
        let old = ["HTTP/1.0 200 OK", "Transfer-Encoding: chunked"];
        assert_eq!(fault(&old), Some(HeadError::TransferEncodingOnHttp10));
        let gzip = ["HTTP/1.1 200 OK", "Transfer-Encoding: gzip"];
        assert_eq!(fault(&gzip), Some(HeadError::TransferEncodingMalformed));
    }

    #[test]
    fn what_the_backend_says_of_its_connection_is_read() {
        let lines =
            ["HTTP/1.1 101 x", "Connection: Upgrade, X-A", "Upgrade: websocket", "Keep-Alive: timeout=5"];
        let read = |head: &ResponseHead<'_, '_>| {
            (head.upgrade.map(<[u8]>::to_vec), head.keep_alive_timeout_s, head.connection_names("x-a"))
        };
        assert_eq!(parse(Method::Get, &lines, read), Ok((Some(b"websocket".to_vec()), Some(5), true)));
    }
}
