//! Response heads: what is accepted is read as [`super::strict`] reads it, and its body has
//! the one length that RFC 9112, 6.3 gives it.

use ropewalk::internal::http::{
    BodyLength, HeadStorage, Method, ResponseHead, Version, head_end, parse_response,
};

use super::strict::{self, Framing, Head};

/// Parses `data` as the answer to requests of several methods.
pub fn run(data: &[u8]) {
    let bytes = &data[..head_end(data, 0).unwrap_or(data.len())];
    let outcomes = [Method::Get, Method::Head, Method::Connect, Method::Other].map(|method| {
        let mut storage = HeadStorage::new();
        let parsed = parse_response(bytes, method, &mut storage);
        if let Ok(parsed) = &parsed {
            check(bytes, method, parsed);
        }
        parsed.map(|parsed| parsed.status)
    });
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "the method decided: {outcomes:?}");
}

fn check(bytes: &[u8], method: Method, parsed: &ResponseHead<'_, '_>) {
    let Some(mut head) = strict::head(bytes) else { panic!("accepted, but not well-formed") };
    let version = if parsed.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" };
    assert_eq!(strict::version(head.first.as_bytes()), Some(version));
    assert_eq!(head.second, format!("{:03}", parsed.status));
    assert!((100..=999).contains(&parsed.status));
    assert_eq!(head.third, parsed.reason);
    assert!(!parsed.reason.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)));
    let fields = parsed.fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
    assert_eq!(fields.collect::<Vec<_>>(), head.fields);

    merge_lengths(&mut head);
    let declared = head.framing().expect("accepted with two framings");
    let body = match declared {
        _ if method == Method::Head || matches!(parsed.status, 100..=199 | 204 | 304) => BodyLength::None,
        Framing::Unsaid => BodyLength::UntilClose,
        Framing::Length(length) => BodyLength::Fixed(length),
        Framing::Chunked => BodyLength::Chunked,
    };
    assert_eq!(parsed.body, body);
    assert!(!(parsed.keep_alive && body == BodyLength::UntilClose), "an endless body and a kept connection");
}

/// The one contradiction that is borne from a backend: Content-Length repeated as it was.
fn merge_lengths(head: &mut Head) {
    let mut first: Option<Vec<u8>> = None;
    head.fields.retain(|(name, value)| {
        if !name.eq_ignore_ascii_case("content-length") {
            return true;
        }
        match &first {
            Some(earlier) => {
                assert_eq!(earlier, value, "accepted with two lengths");
                false
            }
            None => {
                first = Some(value.clone());
                true
            }
        }
    });
}
