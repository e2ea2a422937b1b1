//! Authentication schemes that bind to a connection instead of a request.
//!
//! RFC 9110, section 11.6.1, forbids this, but NTLM and Negotiate do it (RFC 4559, section 6): once a
//! client has logged in over a connection, every later request on that connection counts as its own.

use super::field::{Field, Known};

/// Scheme names in lower case. The last two are aliases of Negotiate.
const SCHEMES: [&[u8]; 4] = [b"ntlm", b"negotiate", b"nego2", b"kerberos"];

/// Whether a field of a request or response names such a scheme.
///
/// Checks every word of a challenge, so neither a list of schemes nor a malformed one can hide any. A
/// false match inside a quoted string only costs a connection that could have been shared.
pub(super) fn binds_connection(field: &Field<'_>) -> bool {
    let mut words = field.value.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'"' | b'='));
    match field.known {
        // Credentials start with their scheme and may be long: check the first word only.
        Known::Authorization => words.find(|word| !word.is_empty()).is_some_and(is_scheme),
        Known::WwwAuthenticate | Known::ProxyAuthenticate => words.any(is_scheme),
        _ => false,
    }
}

fn is_scheme(word: &[u8]) -> bool {
    SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binds(name: &'static str, value: &'static str) -> bool {
        binds_connection(&Field { name, value: value.as_bytes(), known: Known::of(name) })
    }

    #[test]
    fn schemes_are_found_in_every_spelling_and_list() {
        for value in [
            "NTLM",
            "ntlm TlRMTVNTUAABAAAA",
            "Negotiate",
            "NEGOTIATE YII=",
            "Negotiate, NTLM",
            "Basic realm=\"x, y\", NTLM",
            "Basic realm=\"x\",NTLM",
            "Basic realm=\"x\" NTLM",
            "Bearer,\tNegotiate oYG1",
        ] {
            assert!(binds("WWW-Authenticate", value), "{value}");
        }
        assert!(binds("authorization", "NTLM TlRM"));
        assert!(binds("Proxy-Authenticate", "NTLM"));
    }

    #[test]
    fn other_schemes_and_fields_bind_nothing() {
        for value in ["", "Basic bnRsbQ==", "Bearer ntlmish", "Digest realm=x", "NTLMv2x"] {
            assert!(!binds("Authorization", value), "{value}");
        }
        assert!(!binds("X-Authorization", "NTLM"));
        // This one is meant for the proxy and never reaches a backend.
        assert!(!binds("Proxy-Authorization", "NTLM"));
    }
}
