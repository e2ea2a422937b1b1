//! `host[:port]`, as found in a Host field or a request target.
//!
//! Decides whether two authorities name the same place. Knows neither DNS nor routes: a host here is
//! just a spelling.

use std::net::Ipv6Addr;

/// A checked authority (RFC 3986, 3.2) without user information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'b> {
    /// The whole authority, as sent.
    pub(super) text: &'b str,
    host: &'b str,
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Checks `host[:port]`; `None` if it is anything else.
    ///
    /// An empty port (`host:`) is legal and means the default.
    pub(super) fn parse(bytes: &'b [u8]) -> Option<Authority<'b>> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (host, after) = if let Some(inside) = text.strip_prefix('[') {
            let (address, after) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, after)
        } else {
            let host_bytes = text.bytes().position(|byte| byte == b':').unwrap_or(text.len());
            let (host, after) = text.split_at_checked(host_bytes)?;
            if !is_reg_name(host) {
                return None;
            }
            (host, after)
        };
        let port = match after.strip_prefix(':') {
            Some("") => None,
            Some(digits) => Some(parse_port(digits)?),
            None if after.is_empty() => None,
            None => return None,
        };
        Some(Authority { text, host, port })
    }

    /// Whether it has an explicit port.
    pub(super) fn has_port(&self) -> bool {
        self.port.is_some()
    }

    /// Whether both name the same host and port, given the scheme's default port.
    pub(super) fn agrees(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// An RFC 3986 reg-name, but never empty, without commas and without escapes. `a,b` is what two Host
/// fields look like after something in front has joined them. And some backends decode `%61dmin`, as
/// WHATWG does, while others treat it as a different host from `admin`; no name in DNS needs an escape.
fn is_reg_name(host: &str) -> bool {
    let bytes_allowed =
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte));
    !host.is_empty() && bytes_allowed
}

/// A port, in decimal digits only: `str::parse` alone would accept a plus sign.
fn parse_port(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_ports_are_read() {
        for good in [
            "example.com",
            "example.com:8080",
            "example.com:",
            "127.0.0.1:1",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b",
        ] {
            assert!(Authority::parse(good.as_bytes()).is_some(), "{good}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for bad in [
            "",
            ":80",
            "user@host",
            "a b",
            "a/b",
            "a,b",
            "a:b",
            "a:65536",
            "a:+80",
            "a:80:80",
            "[::1",
            "[]",
            "[::1]80",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "::1",
            "x%4",
            "x%zz",
            "x%41",
            "%61dmin.example",
            "a%2eb",
            "a\\b",
            "é.example",
            "a\"b",
            "a?b",
            "a#b",
        ] {
            assert_eq!(Authority::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Authority::parse(b"a\xff"), None);
    }

    #[test]
    fn case_and_the_default_port_make_no_difference() {
        let agree = |a: &str, b: &str| {
            let (a, b) = (Authority::parse(a.as_bytes()).unwrap(), Authority::parse(b.as_bytes()).unwrap());
            a.agrees(&b, 80)
        };
        assert!(agree("Example.com", "example.COM:80"));
        assert!(agree("a:", "a:080"));
        assert!(!agree("a", "a:81"));
        assert!(!agree("a", "b"));
    }
}
