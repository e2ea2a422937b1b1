//! The method and the version of a message.
//!
//! Closed enums, because the rest of the program branches on them. The method's own spelling travels
//! alongside, so an unknown method is forwarded byte for byte.

/// The supported versions; the parser refuses all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: connections close unless both sides ask to keep them, and nothing is chunked.
    Http10,
    /// HTTP/1.1: connections persist unless one side says close.
    Http11,
}

/// A request method, as far as the balancer treats methods differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: its response never has a body.
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// PATCH
    Patch,
    /// CONNECT: parsed only so that it can be refused by name.
    Connect,
    /// Any other token, such as `PROPFIND`, or `get`: methods are case-sensitive.
    Other,
}

impl Method {
    /// Looks up a method token, which is case-sensitive (RFC 9110, 9.1).
    pub fn from_token(token: &str) -> Method {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            "PATCH" => Method::Patch,
            "CONNECT" => Method::Connect,
            _ => Method::Other,
        }
    }

    /// Whether sending the request twice has the same effect as sending it once (RFC 9110, 9.2.2), and
    /// so whether it may be retried.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Options | Method::Trace | Method::Put | Method::Delete => {
                true
            }
            Method::Post | Method::Patch | Method::Connect | Method::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::from_token("GET"), Method::Get);
        assert_eq!(Method::from_token("get"), Method::Other);
        assert_eq!(Method::from_token("PROPFIND"), Method::Other);
    }

    #[test]
    fn unknown_methods_are_never_replayed() {
        assert!(Method::Delete.is_idempotent());
        assert!(!Method::Patch.is_idempotent());
        assert!(!Method::Other.is_idempotent());
    }
}
