//! The URL of a backend: `http://host:port` and nothing more.
//!
//! A backend is a place to connect to. A path would silently not be used, a password
//! would end up in logs, so both are refused here rather than dropped. Pure text; names
//! are resolved elsewhere.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::suggest;

/// Where a backend listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BackendUrl {
    /// A name in lower case, or an IP address; IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl BackendUrl {
    /// Reads a URL. The error is the whole message, with what was typed in it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(format!("{text:?} is empty; a backend is a URL like \"http://127.0.0.1:9001\""));
        }
        let is_socket = ["unix:", "http://unix:", "unix+http:", "/"].iter().any(|it| trimmed.starts_with(it));
        if is_socket || trimmed.ends_with(".sock") {
            return Err(format!(
                "{}: unix sockets are not supported by this version; a backend is a host and a port, like \"http://127.0.0.1:9001\"",
                shown(trimmed)
            ));
        }
        if trimmed.starts_with("srv:") || trimmed.starts_with("srv+") || trimmed.starts_with("dns+srv") {
            return Err(format!(
                "{}: SRV records are not supported by this version; a name is looked up as a host, like \"http://app.internal:9001\"",
                shown(trimmed)
            ));
        }
        let Some((scheme, rest)) = trimmed.split_once("://") else {
            // A slip in the `://` itself ("http:/host") is not part of the host.
            let rest = ["https:", "http:", "https//", "http//"]
                .iter()
                .find_map(|scheme| trimmed.strip_prefix(scheme));
            let rest = rest.unwrap_or(trimmed).trim_start_matches('/');
            return Err(format!("{} has no scheme{}", shown(trimmed), meant(rest)));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => {
                return Err(format!(
                    "{}: TLS to backends is not supported by this version; use http://",
                    shown(trimmed)
                ));
            }
            "ws" => {
                return Err(format!(
                    "{}: WebSocket backends are written with http; upgrades are always passed on{}",
                    shown(trimmed),
                    meant(rest)
                ));
            }
            "h2c" | "grpc" | "h2" => {
                return Err(format!(
                    "{}: HTTP/2 to backends is not supported by this version; use http://",
                    shown(trimmed)
                ));
            }
            "wss" | "grpcs" => {
                return Err(format!(
                    "{}: TLS to backends is not supported by this version; use http://",
                    shown(trimmed)
                ));
            }
            "fastcgi" | "fcgi" | "uwsgi" | "scgi" | "ajp" => {
                return Err(format!(
                    "{}: backends speak HTTP; put an HTTP server in front of this one",
                    shown(trimmed)
                ));
            }
            other => {
                let why = match suggest::closest(other, &["http"]) {
                    Some(_) => format!("has the unknown scheme {other:?}"),
                    None => format!("has the scheme {other:?}, and backends speak http"),
                };
                return Err(format!("{} {why}{}", shown(trimmed), meant(rest)));
            }
        }
        Self::parse_authority(rest).map_err(|why| format!("{} {why}", shown(trimmed)))
    }

    /// What follows `http://`. The error says what is wrong, without repeating the URL.
    fn parse_authority(rest: &str) -> Result<Self, String> {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(format!(
                "contains a user name or password, which would not be sent to the backend{}",
                meant(rest)
            ));
        }
        match &rest[authority.len()..] {
            "" | "/" => {}
            tail if tail.starts_with('/') => {
                return Err(format!(
                    "has a path, and a backend is only a host and a port{}",
                    meant(authority)
                ));
            }
            _ => return Err(format!("has a query or a fragment{}", meant(authority))),
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => 80,
            Some("") => return Err("ends in a colon; write the port after it".to_owned()),
            // `parse` alone would let "+80" through.
            Some(port) => match port.parse::<u16>() {
                Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => number,
                // The port is not repeated: it may be half of a password that holds a slash.
                _ => return Err("has a bad port; a port is a number from 1 to 65535".to_owned()),
            },
        };
        Ok(Self { host: checked_host(host)?, port })
    }

    /// `host:port`, with brackets round an IPv6 address.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host:port`, taking the brackets off an IPv6 address.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']').ok_or_else(|| "has a [ without its ]".to_owned())?;
        address
            .parse::<Ipv6Addr>()
            .map_err(|_| "has brackets round something that is not an IPv6 address".to_owned())?;
        return match after {
            "" => Ok((address, None)),
            _ => after
                .strip_prefix(':')
                .map(|port| (address, Some(port)))
                .ok_or_else(|| "has text between the ] and the port".to_owned()),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, port)) if port.contains(':') => {
            Err(r#"has more than one colon; an IPv6 address goes in brackets, like "http://[::1]:9001""#
                .to_owned())
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn checked_host(host: &str) -> Result<String, String> {
    if host.contains(':') {
        return Ok(host.to_ascii_lowercase());
    }
    if host.is_empty() {
        return Err(r#"has no host; write it like "http://127.0.0.1:9001""#.to_owned());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if let Some(odd) = host.chars().find(|c| !allowed(*c)) {
        return Err(format!("has {odd:?} in its host; a host is letters, digits, dots and hyphens"));
    }
    // LIMIT: RFC 1035 section 2.3.4.
    if host.len() > 253 {
        return Err("has a host of more than 253 characters".to_owned());
    }
    // "127.0.0.256" would otherwise be looked up as a name.
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') && host.parse::<Ipv4Addr>().is_err() {
        return Err("is neither a host name nor an IPv4 address, which is four numbers up to 255".to_owned());
    }
    Ok(host.to_ascii_lowercase())
}

/// The suggestion, when what follows the scheme is good once user, path and query are gone.
fn meant(rest: &str) -> String {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match BackendUrl::parse_authority(host) {
        Ok(_) => format!("; did you mean \"http://{host}\"?"),
        Err(_) => r#"; write it like "http://127.0.0.1:9001""#.to_owned(),
    }
}

/// The URL in quotes, with a user name and password blotted out: messages end up in logs.
fn shown(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    // The last @ of all, although a path may hold one: a password with a slash in it counts too.
    match url[start..].rfind('@') {
        Some(at) => format!("\"{}***{}\"", &url[..start], &url[start + at..]),
        None => format!("{url:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16) -> BackendUrl {
        BackendUrl { host: host.to_owned(), port }
    }

    #[test]
    fn good_urls() {
        for (text, expected) in [
            ("http://127.0.0.1:9001", url("127.0.0.1", 9001)),
            ("http://127.0.0.1:9001/", url("127.0.0.1", 9001)),
            ("HTTP://API.example.com", url("api.example.com", 80)),
            ("http://[::1]:9001", url("::1", 9001)),
            ("http://my_service:8080", url("my_service", 8080)),
        ] {
            assert_eq!(BackendUrl::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bad_urls_say_what_to_write() {
        for (text, expected) in [
            ("localhost:9001", r#""localhost:9001" has no scheme; did you mean "http://localhost:9001"?"#),
            ("http:/a:1", r#""http:/a:1" has no scheme; did you mean "http://a:1"?"#),
            ("htp://a:1", r#""htp://a:1" has the unknown scheme "htp"; did you mean "http://a:1"?"#),
            ("https://a", r#""https://a": TLS to backends is not supported by this version; use http://"#),
            (
                "http://a:1/api?x",
                r#""http://a:1/api?x" has a path, and a backend is only a host and a port; did you mean "http://a:1"?"#,
            ),
            ("http://a:1?x", r#""http://a:1?x" has a query or a fragment; did you mean "http://a:1"?"#),
            ("http://a:0", r#""http://a:0" has a bad port; a port is a number from 1 to 65535"#),
            ("http://a:+8", r#""http://a:+8" has a bad port; a port is a number from 1 to 65535"#),
            ("http://:80", r#""http://:80" has no host; write it like "http://127.0.0.1:9001""#),
            (
                "http://127.0.0.256:1",
                r#""http://127.0.0.256:1" is neither a host name nor an IPv4 address, which is four numbers up to 255"#,
            ),
            (
                "http://::1:9001",
                r#""http://::1:9001" has more than one colon; an IPv6 address goes in brackets, like "http://[::1]:9001""#,
            ),
        ] {
            assert_eq!(BackendUrl::parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_repeated() {
        for text in
            ["http://me:secret@a:1", "me:secret@a:1", "https://me:secret@a:1/x", "http://me:/secret@a"]
        {
            let error = BackendUrl::parse(text).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(http://)?\\PC*") {
            let _ = BackendUrl::parse(&text);
        }

        #[test]
        fn what_is_shown_reads_back(host in "[a-z][a-z0-9.-]{0,20}", port in 1u16..) {
            let parsed = BackendUrl::parse(&format!("http://{host}:{port}")).unwrap();
            proptest::prop_assert_eq!(BackendUrl::parse(&format!("http://{}", parsed.authority())), Ok(parsed));
        }
    }
}
