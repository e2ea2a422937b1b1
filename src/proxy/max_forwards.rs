//! Max-Forwards of OPTIONS and TRACE (RFC 9110, section 7.6.2): how many proxies a request may
//! still pass. At 0 we are the final recipient and answer it.

use crate::http::{Known, Method, RequestHead};

/// What is left of a Max-Forwards when the request is forwarded. `None` if it is forwarded
/// unchanged: the field has no meaning for other methods, or if it is not a number.
pub(super) fn left(method: Method, value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if !matches!(method, Method::Options | Method::Trace) || !is_number {
        return None;
    }
    let number = value
        .iter()
        .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(number.saturating_sub(1))
}

/// Whether a request may pass no further proxy.
pub(super) fn is_spent(head: &RequestHead<'_, '_>) -> bool {
    let mut fields = head.fields.iter().filter(|field| field.known == Known::MaxForwards);
    fields.any(|field| {
        left(head.method, field.value) == Some(0) && field.value.iter().all(|digit| *digit == b'0')
    })
}

/// What TRACE returns to its sender (RFC 9110, section 9.3.8): the head without secrets.
pub(super) fn traced(head: &RequestHead<'_, '_>) -> Vec<u8> {
    const SECRETS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
    let mut message =
        [head.method_token, " ", head.target_prefix, head.target, " HTTP/1.1\r\n"].concat().into_bytes();
    for field in head.fields {
        if !SECRETS.iter().any(|secret| field.name.eq_ignore_ascii_case(secret)) {
            for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                message.extend_from_slice(part);
            }
        }
    }
    message.extend_from_slice(b"\r\n");
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_taken_off_for_the_methods_that_know_it() {
        let options = |value: &str| left(Method::Options, value.as_bytes());
        assert_eq!(options("5"), Some(4));
        assert_eq!(options("010"), Some(9));
        assert_eq!(options("0"), Some(0));
        assert_eq!(options("99999999999999999999999"), Some(u64::MAX - 1));
        for nothing in ["", "-1", "+1", "1.0", "5, 4", "x"] {
            assert_eq!(options(nothing), None, "{nothing}");
        }
        assert_eq!(left(Method::Trace, b"5"), Some(4));
        assert_eq!(left(Method::Get, b"5"), None);
    }
}
