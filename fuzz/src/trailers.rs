//! Trailers: what passes is well-formed, was sent, and changes nothing that was decided on
//! the head.

use ropewalk::internal::base::limits::TRAILER_FIELDS_MAX;
use ropewalk::internal::http::parse_trailers;

use super::strict;

/// Names that must never pass, whichever of `-` and `_` they are spelt with: gateways that
/// hand fields on as variables cannot tell the two apart.
const NEVER: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "authorization",
    "cookie",
    "x-forwarded-for",
    "x-real-ip",
    "proxy-authorization",
];

/// Parses `data` as a trailer section.
pub fn run(data: &[u8]) {
    let mut passed = Vec::new();
    let outcome = parse_trailers(data, |field| passed.push((field.name.to_owned(), field.value.to_vec())));
    if outcome.is_err() {
        assert!(passed.is_empty(), "fields of a refused section were passed on");
        return;
    }
    let sent = strict::fields(data).expect("an accepted section is well-formed");
    assert!(passed.len() <= TRAILER_FIELDS_MAX);
    let mut sent = sent.iter();
    for field in &passed {
        assert!(sent.any(|other| other == field), "{field:?} was not sent, or not in this place");
        let name = field.0.to_ascii_lowercase().replace('_', "-");
        assert!(!NEVER.contains(&name.as_str()), "{name} came through");
    }
}
