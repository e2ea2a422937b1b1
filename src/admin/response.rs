//! A response of the admin listener, and its bytes.
//!
//! Every response closes its connection: admin requests are rare, and a connection with one request
//! needs only simple deadlines. Every response also tells browsers not to cache it, not to guess its
//! type, and not to run anything.

use std::fmt::Write;

use super::request::Method;
use crate::http::reason_phrase;

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    kind: &'static str,
    fields: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// Plain text.
const TEXT: &str = "text/plain; charset=utf-8";

/// What a page may load: our stylesheet and the empty icon, but no scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";

impl Response {
    /// A response with this content type.
    pub(super) fn new(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, fields: Vec::new(), body }
    }

    /// Plain text; a newline is added if there is none.
    pub(super) fn text(status: u16, text: impl Into<String>) -> Self {
        let mut body = text.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        Self::new(status, TEXT, body)
    }

    /// JSON, on one line.
    pub(super) fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(mut body) => {
                body.push('\n');
                Self::new(200, "application/json", body)
            }
            Err(error) => Self::text(500, format!("cannot write this as JSON: {error}")),
        }
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The bytes to send in response to a request with this method.
    pub(super) fn into_bytes(self, method: Method) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status));
        let length = self.body.len();
        let fixed = [
            ("Server", concat!("ropewalk-admin/", env!("CARGO_PKG_VERSION"))),
            ("Content-Type", self.kind),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Connection", "close"),
        ];
        let own = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in fixed.into_iter().chain(own) {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {length}\r\n\r\n");
        let mut bytes = head.into_bytes();
        if method != Method::Head {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

/// The response to a malformed request.
pub(super) fn bad_request(why: impl std::fmt::Display) -> Response {
    Response::text(400, format!("400: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_to_head_is_that_to_get_without_its_body() {
        let get = Response::text(200, "alive").into_bytes(Method::Get);
        let head = Response::text(200, "alive").into_bytes(Method::Head);
        assert_eq!(get, [head.as_slice(), b"alive\n"].concat());
        let text = String::from_utf8(head).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("\r\nContent-Length: 6\r\n\r\n"), "{text}");
    }
}
