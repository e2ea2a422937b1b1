//! Request heads: what is accepted is one unambiguous request, and is read as
//! [`super::strict`] reads it.

use ropewalk::internal::http::{
    BodyLength, HeadLimits, HeadStorage, Method, RequestHead, Version, check_partial_request, head_end,
    parse_request,
};

use super::strict::{self, Framing, Head};

/// LIMIT: bytes of a head, as in the default configuration.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Parses `data` as a request head, whole and as it would arrive.
pub fn run(data: &[u8]) {
    let end = head_end(data, 0);
    if let Some(end) = end {
        // Wherever the network cuts, the head ends in the same place.
        let half = end / 2;
        let scanned = if head_end(&data[..half], 0).is_none() { half } else { 0 };
        assert_eq!(head_end(data, scanned), Some(end));
    }
    let head = &data[..end.unwrap_or(data.len())];
    let mut storage = HeadStorage::new();
    match parse_request(head, &mut storage) {
        Ok(parsed) => {
            check(head, &parsed);
            for arrived in (0..head.len()).take(512) {
                let early = check_partial_request(&head[..arrived], 0, HeadLimits::of_bytes(HEAD_BYTES_MAX));
                assert_eq!(early, Ok(()), "a good head was refused after {arrived} bytes");
            }
        }
        Err(error) => assert!((400..=505).contains(&error.status()) && !error.explain().is_empty()),
    }
}

fn check(bytes: &[u8], parsed: &RequestHead<'_, '_>) {
    let Some(head) = strict::head(bytes.strip_prefix(b"\r\n").unwrap_or(bytes)) else {
        panic!("accepted, but not well-formed");
    };
    assert_eq!(parsed.method_token, head.first);
    assert!(strict::is_token(head.first.as_bytes()));
    assert_eq!(Method::from_token(&head.first), parsed.method);
    let version = if parsed.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    assert_eq!(strict::version(&head.third), Some(version));
    assert_eq!(target_to_forward(&head), format!("{}{}", parsed.target_prefix, parsed.target));
    let fields = parsed.fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
    assert_eq!(fields.collect::<Vec<_>>(), head.fields);

    let hosts = head.all("host");
    assert!(hosts.len() <= 1 && (hosts.len() == 1 || parsed.version == Version::Http10));
    if let (Some(host), [field]) = (parsed.host, hosts.as_slice())
        && head.second.starts_with('/')
    {
        assert_eq!(host.as_bytes(), *field);
    }
    let body = match head.framing() {
        Some(Framing::Unsaid) => BodyLength::None,
        Some(Framing::Length(length)) => BodyLength::Fixed(length),
        Some(Framing::Chunked) if parsed.version == Version::Http11 => BodyLength::Chunked,
        other => panic!("accepted with {other:?}"),
    };
    assert_eq!(parsed.body, body);
}

/// RFC 9112, 3.2: what of a target is left when the authority has been taken off.
fn target_to_forward(head: &Head) -> String {
    let raw = &head.second;
    assert!(raw.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    if raw.starts_with('/') || raw == "*" || head.first == "CONNECT" {
        return raw.clone();
    }
    let (scheme, rest) = raw.split_once("://").expect("an absolute target");
    assert!(["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()));
    let path = &rest[rest.find(['/', '?']).unwrap_or(rest.len())..];
    match path {
        "" if head.first == "OPTIONS" => "*".into(),
        "" => "/".into(),
        query if query.starts_with('?') => format!("/{query}"),
        path => path.into(),
    }
}
