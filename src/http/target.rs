//! The request target (RFC 9112, 3.2): which of the four forms it has, and which part of it goes to the
//! backend.
//!
//! The path is never normalised here: we forward what was sent.

use super::authority::Authority;
use super::error::HeadError;
use super::message::Method;

/// A checked target, in the form that is sent to a backend.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'b> {
    /// What goes before `text` when it is forwarded: `/` if the path was omitted.
    pub(super) prefix: &'static str,
    /// Origin-form, `*`, or the authority of a CONNECT.
    pub(super) text: &'b str,
    /// The authority that an absolute target or CONNECT names.
    pub(super) authority: Option<Authority<'b>>,
    /// The default port of the target's scheme.
    pub(super) default_port: u16,
}

impl<'b> Target<'b> {
    pub(super) fn parse(method: Method, raw: &'b str, bytes_max: usize) -> Result<Target<'b>, HeadError> {
        if raw.len() > bytes_max {
            return Err(HeadError::TargetTooLong);
        }
        if !bytes_are_allowed(raw.as_bytes()) {
            return Err(HeadError::TargetBytes);
        }
        if method == Method::Connect {
            return connect(raw);
        }
        if raw.starts_with('/') {
            return Ok(Target { prefix: "", text: raw, authority: None, default_port: 80 });
        }
        if raw == "*" && method == Method::Options {
            return Ok(Target { prefix: "", text: raw, authority: None, default_port: 80 });
        }
        absolute(method, raw)
    }
}

/// Allows visible ASCII only. `#` is refused as well: clients never send a fragment, and backends
/// disagree on whether it ends the path.
pub(super) fn bytes_are_allowed(target: &[u8]) -> bool {
    let mut allowed = true;
    for byte in target {
        allowed &= (b'!'..=b'~').contains(byte) & (*byte != b'#');
    }
    allowed
}

/// Authority-form: CONNECT has no default port.
fn connect(raw: &str) -> Result<Target<'_>, HeadError> {
    match Authority::parse(raw.as_bytes()) {
        Some(authority) if authority.has_port() => {
            Ok(Target { prefix: "", text: raw, authority: Some(authority), default_port: 80 })
        }
        _ => Err(HeadError::TargetForm),
    }
}

/// Absolute-form, reduced to the origin-form that goes to the backend.
fn absolute(method: Method, raw: &str) -> Result<Target<'_>, HeadError> {
    let (scheme, rest) = raw.split_once("://").ok_or(HeadError::TargetForm)?;
    let default_port = if scheme.eq_ignore_ascii_case("http") {
        80
    } else if scheme.eq_ignore_ascii_case("https") {
        443
    } else {
        return Err(HeadError::TargetForm);
    };
    let authority_bytes = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_bytes).ok_or(HeadError::TargetForm)?;
    let authority = Authority::parse(authority.as_bytes()).ok_or(HeadError::HostMalformed)?;
    let (prefix, text) = match path {
        // RFC 9112, 3.2.4: how a client asks a proxy for OPTIONS on the server as a whole.
        "" if method == Method::Options => ("", "*"),
        "" => ("", "/"),
        query if query.starts_with('?') => ("/", query),
        path => ("", path),
    };
    Ok(Target { prefix, text, authority: Some(authority), default_port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::TARGET_BYTES_DEFAULT;

    fn forwarded(method: Method, raw: &str) -> Result<String, HeadError> {
        Target::parse(method, raw, TARGET_BYTES_DEFAULT)
            .map(|target| format!("{}{}", target.prefix, target.text))
    }

    #[test]
    fn origin_form_goes_through_byte_for_byte() {
        for raw in ["/", "/a/../b//c?x=%2f&y", "//evil", "/a\\b|c\"<>^`{}"] {
            assert_eq!(forwarded(Method::Get, raw), Ok(raw.into()));
        }
    }

    #[test]
    fn absolute_form_is_reduced_to_origin_form() {
        assert_eq!(forwarded(Method::Get, "http://h/p?q"), Ok("/p?q".into()));
        assert_eq!(forwarded(Method::Get, "HTTP://h"), Ok("/".into()));
        assert_eq!(forwarded(Method::Get, "https://h:8443?q"), Ok("/?q".into()));
        assert_eq!(forwarded(Method::Options, "http://h"), Ok("*".into()));
        assert_eq!(forwarded(Method::Options, "http://h/"), Ok("/".into()));
    }

    #[test]
    fn forms_that_the_method_does_not_allow_are_refused() {
        for (method, raw) in [
            (Method::Get, "*"),
            (Method::Get, "p"),
            (Method::Get, "h:80"),
            (Method::Get, "ftp://h/"),
            (Method::Get, "://h/"),
            (Method::Options, "**"),
            (Method::Connect, "/"),
            (Method::Connect, "h"),
            (Method::Connect, "http://h/"),
        ] {
            assert_eq!(forwarded(method, raw), Err(HeadError::TargetForm), "{raw}");
        }
        assert_eq!(forwarded(Method::Connect, "h:443"), Ok("h:443".into()));
    }

    #[test]
    fn a_bad_authority_in_the_target_is_refused() {
        for raw in ["http:///p", "http://u@h/p", "http://h:x/p", "http://?q"] {
            assert_eq!(forwarded(Method::Get, raw), Err(HeadError::HostMalformed), "{raw}");
        }
    }

    #[test]
    fn bytes_that_backends_read_differently_are_refused() {
        for raw in ["/a#b", "/a b", "/a\tb", "/\u{7f}", "/é", "/\0"] {
            assert_eq!(forwarded(Method::Get, raw), Err(HeadError::TargetBytes), "{raw:?}");
        }
    }

    #[test]
    fn a_target_at_the_limit_passes_and_one_over_it_does_not() {
        let at_limit = "/".repeat(TARGET_BYTES_DEFAULT);
        assert_eq!(forwarded(Method::Get, &at_limit), Ok(at_limit.clone()));
        assert_eq!(forwarded(Method::Get, &format!("{at_limit}/")), Err(HeadError::TargetTooLong));
    }
}
