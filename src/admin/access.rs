//! Access control of the admin listener.
//!
//! With a token, a request must present it: as `Authorization: Bearer`, or as the password of
//! `Authorization: Basic` with any user name, because that is all a browser can ask people for.
//!
//! Without a token, anyone who can connect has access, and the configuration allows only loopback
//! addresses. That leaves one threat: a browser on this machine that shows a hostile page. The page can
//! make it send requests here (cross-site request forgery) and, through a host name that first resolves
//! to the attacker's server and then to 127.0.0.1, read the responses (DNS rebinding). So a Host that
//! is a name other than `localhost` is refused, and so is a POST whose Origin is not this listener.
//! With a token, any Host is fine: a browser does not present a token on its own, and it keeps typed
//! credentials for the origin they were typed for.

use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::request::Request;
use super::response::Response;

/// The access rules of a listener.
pub(super) struct Access {
    token: Option<String>,
}

impl Access {
    /// The rules for a listener with or without a token.
    pub(super) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// Checks whether the request may see or do anything.
    ///
    /// # Errors
    /// The error response.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Response> {
        match &self.token {
            Some(token) if !request.authorization.as_deref().is_some_and(|shown| shows(shown, token)) => {
                Err(Response::text(401, "401: this needs the admin token: Authorization: Bearer TOKEN")
                    .with("WWW-Authenticate", "Bearer realm=\"ropewalk\"")
                    .with("WWW-Authenticate", "Basic realm=\"ropewalk\", charset=\"UTF-8\""))
            }
            Some(_) => Ok(()),
            None => match &request.host {
                Some(host) if !is_local(host) => Err(Response::text(
                    421,
                    format!(
                        "421: {host:?} is not this listener; without a token, use an IP address or \
                         localhost as the host"
                    ),
                )),
                _ => Ok(()),
            },
        }
    }

    /// Checks whether the request may make changes. Requests from pages of other origins may not.
    ///
    /// # Errors
    /// The error response.
    pub(super) fn admit_change(request: &Request) -> Result<(), Response> {
        let Some(origin) = &request.origin else { return Ok(()) };
        let host = request.host.as_deref().unwrap_or_default();
        let is_ours = ["http://", "https://"].iter().any(|scheme| {
            let expected = [scheme.as_bytes(), host.as_bytes()].concat();
            !host.is_empty() && origin.eq_ignore_ascii_case(&expected)
        });
        if is_ours {
            Ok(())
        } else {
            Err(Response::text(403, "403: pages of other origins may not make changes here"))
        }
    }
}

/// Whether an Authorization field presents the token.
fn shows(field: &[u8], token: &str) -> bool {
    let Ok(field) = std::str::from_utf8(field) else { return false };
    let Some((scheme, shown)) = field.split_once(' ') else { return false };
    let shown = shown.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return are_equal(shown.as_bytes(), token.as_bytes());
    }
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(pair) = BASE64_STANDARD.decode(shown)
        && let Some(colon) = pair.iter().position(|byte| *byte == b':')
    {
        return are_equal(pair.get(colon + 1..).unwrap_or_default(), token.as_bytes());
    }
    false
}

/// Compares in a time that depends only on the lengths, not on where the two differ.
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0_u8, |seen, (a, b)| black_box(seen | (a ^ b)));
    a.len() == b.len() && differences == 0
}

/// Whether a Host is an IP address or `localhost`, with any port.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.split(']').next().is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok()),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadStorage, parse_request};

    fn request(fields: &str) -> Request {
        let head = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        Request::new(&parse_request(head.as_bytes(), &mut HeadStorage::new()).unwrap()).unwrap()
    }

    fn admitted(token: Option<&str>, fields: &str) -> Option<u16> {
        let access = Access::new(token.map(str::to_owned));
        access.admit(&request(fields)).err().map(|response| response.status)
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        for good in ["Bearer s3cret", "bearer  s3cret", "Basic eDpzM2NyZXQ=", "basic OnMzY3JldA=="] {
            assert_eq!(admitted(Some("s3cret"), &format!("Host: any.name\r\nAuthorization: {good}")), None);
        }
        for bad in [
            "Bearer s3cre",
            "Bearer s3cret2",
            "Bearer",
            "Bearer ",
            "s3cret",
            "Basic s3cret",
            "Basic czNjcmV0",
        ] {
            let field = format!("Host: h\r\nAuthorization: {bad}");
            assert_eq!(admitted(Some("s3cret"), &field), Some(401), "{bad}");
        }
        assert_eq!(admitted(Some("s3cret"), "Host: 127.0.0.1"), Some(401));
        let two = "Host: h\r\nAuthorization: Bearer s3cret\r\nAuthorization: Bearer other";
        assert_eq!(admitted(Some("s3cret"), two), Some(401));
    }

    #[test]
    fn a_host_name_that_resolves_to_this_machine_is_refused() {
        for good in ["127.0.0.1:9900", "localhost:9900", "LOCALHOST", "[::1]:9900", "192.0.2.1"] {
            assert_eq!(admitted(None, &format!("Host: {good}")), None, "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example:9900", "127.0.0.1.evil.example"] {
            assert_eq!(admitted(None, &format!("Host: {bad}")), Some(421), "{bad}");
        }
    }

    #[test]
    fn a_page_of_another_origin_cannot_make_changes() {
        let status =
            |fields: &str| Access::admit_change(&request(fields)).err().map(|response| response.status);
        assert_eq!(status("Host: localhost:9900"), None);
        assert_eq!(status("Host: localhost:9900\r\nOrigin: http://localhost:9900"), None);
        for bad in
            ["http://evil.example", "null", "http://localhost", "http://localhost:9901", "localhost:9900"]
        {
            assert_eq!(status(&format!("Host: localhost:9900\r\nOrigin: {bad}")), Some(403), "{bad}");
        }
        let two = "Host: localhost:9900\r\nOrigin: http://localhost:9900\r\nOrigin: http://evil.example";
        assert_eq!(status(two), Some(403));
    }
}
