//! What must hold for all inputs, not just those we thought of.
//!
//! Three properties: nothing a peer sends causes a panic; how the network splits a message makes no
//! difference; and what was written is what is read back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bytes that are often close to a valid head, and sometimes are one.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"OPTIONS http://h?q HTTP/1.0\r\n".to_vec()),
        Just(b"GET / HTTP/1.2\r\n".to_vec()),
        Just(b"HTTP/1.7 200 OK\r\n".to_vec()),
        Just(b"Host: h\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: upgrade, x\r\nUpgrade: y\r\n".to_vec()),
        Just(b"Keep-Alive: timeout=\r\n".to_vec()),
        Just(b"Host: [::1]:\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b": ".to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    let opening = prop_oneof![
        Just(&b""[..]),
        Just(&b"GET / HTTP/1.1\r\nHost: h\r\n"[..]),
        Just(&b"\r\nPOST http://h:80?q HTTP/1.0\r\n"[..]),
        Just(&b"GET /x HTTP/1.3\r\nHost: h\r\n"[..]),
    ];
    let ending = prop_oneof![Just(&b""[..]), Just(&b"\r\n"[..])];
    (opening, vec(piece, 0..8), ending)
        .prop_map(|(opening, pieces, ending)| [opening, &pieces.concat(), ending].concat())
}

/// Bytes that are close to a chunked body.
fn nearly_chunked() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => vec(any::<u8>(), 1..20).prop_map(|data| {
            [chunk_size_line(data.len()).as_bytes(), &data, b"\r\n"].concat()
        }),
        1 => Just(b"3;ext=\"v\"\r\nabc\r\n".to_vec()),
        1 => "[;= \t\"\\\\a\\[]{0,6}".prop_map(|text| format!("3{text}\r\nabc\r\n").into_bytes()),
        1 => Just(b"0\r\n\r\n".to_vec()),
        1 => Just(b"0\r\nA: b\r\n\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The result of decoding a chunked body.
#[derive(Debug, PartialEq)]
struct Decoded {
    data: Vec<u8>,
    outcome: Result<Option<Vec<u8>>, ChunkError>,
}

/// Feeds a decoder pieces of these sizes in turn, as a connection would.
fn decode_in_pieces(body: &[u8], sizes: &[usize]) -> Decoded {
    let mut decoder = ChunkDecoder::new();
    let (mut data, mut start, mut arrived) = (Vec::new(), 0, 0);
    let mut sizes = sizes.iter().cycle();
    loop {
        let input = &body[start..arrived];
        match decoder.next(input) {
            Ok(ChunkPart::Data { skip, len }) => {
                assert!(len > 0);
                data.extend(&input[skip..skip + len]);
                start += skip + len;
            }
            Ok(ChunkPart::End { skip, len }) => {
                let trailers = input[skip..skip + len].to_vec();
                return Decoded { data, outcome: Ok(Some(trailers)) };
            }
            Ok(ChunkPart::More { skip }) => {
                start += skip;
                if arrived == body.len() {
                    return Decoded { data, outcome: Ok(None) };
                }
                arrived = body.len().min(arrived + sizes.next().copied().unwrap_or(1));
            }
            Err(error) => return Decoded { data, outcome: Err(error) },
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop_oneof![nearly_http(), vec(any::<u8>(), 0..200)]) {
        let _ = parse_request(&bytes, &mut HeadStorage::new());
        for method in [Method::Get, Method::Head, Method::Connect] {
            let _ = parse_response(&bytes, method, &mut HeadStorage::new());
        }
        let _ = check_partial_request(&bytes, 0, HeadLimits::of_bytes(100));
        let _ = parse_trailers(&bytes, |_| ());
    }

    #[test]
    fn an_accepted_request_is_one_unambiguous_message(bytes in nearly_http()) {
        let mut storage = HeadStorage::new();
        if let Ok(head) = parse_request(&bytes, &mut storage) {
            let count = |known| head.fields.iter().filter(|field| field.known == known).count();
            prop_assert_eq!(head_end(&bytes[2..], 0), Some(bytes.len() - 2));
            prop_assert!(count(Known::Host) <= 1);
            prop_assert!(count(Known::ContentLength) + count(Known::TransferEncoding) <= 1);
            prop_assert!(head.body != BodyLength::UntilClose);
            prop_assert!(head.host.is_some() || head.version == Version::Http10);
        }
    }

    #[test]
    fn a_head_that_arrives_in_pieces_ends_in_the_same_place(
        bytes in nearly_http(),
        sizes in vec(1usize..30, 1..8),
    ) {
        let (mut arrived, mut scanned, mut found) = (0, 0, None);
        let mut sizes = sizes.iter().cycle();
        while found.is_none() && arrived < bytes.len() {
            arrived = bytes.len().min(arrived + sizes.next().copied().unwrap_or(1));
            found = head_end(&bytes[..arrived], scanned);
            scanned = arrived;
        }
        prop_assert_eq!(found, head_end(&bytes, 0));
    }

    #[test]
    fn an_early_refusal_is_never_wrong(bytes in nearly_http()) {
        let refused = (0..bytes.len())
            .take_while(|arrived| head_end(&bytes[..*arrived], 0).is_none())
            .any(|arrived| check_partial_request(&bytes[..arrived], 0, HeadLimits::of_bytes(10_000)).is_err());
        if let (true, Some(end)) = (refused, head_end(&bytes, 0)) {
            prop_assert!(parse_request(&bytes[..end], &mut HeadStorage::new()).is_err());
        }
    }

    #[test]
    fn how_a_chunked_body_is_cut_makes_no_difference(
        body in nearly_chunked(),
        sizes in vec(1usize..30, 1..8),
    ) {
        let at_once = decode_in_pieces(&body, &[body.len().max(1)]);
        prop_assert_eq!(decode_in_pieces(&body, &sizes), at_once);
    }

    #[test]
    fn written_chunks_are_read_back(chunks in vec(vec(any::<u8>(), 1..300), 0..6)) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(chunk_size_line(chunk.len()).as_bytes());
            body.extend(chunk);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        let expected = Decoded { data: chunks.concat(), outcome: Ok(Some(b"\r\n".to_vec())) };
        prop_assert_eq!(decode_in_pieces(&body, &[7]), expected);
    }

    #[test]
    fn a_written_request_is_read_back(
        method in "[A-Z!#$%&'*+.^_`|~a-z-]{1,10}",
        target in "/[!-\"$-~]{0,40}",
        host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in vec(("x-[a-z0-9_-]{1,30}", "([!-~]([ -~\t]{0,30}[!-~])?)?"), 0..60),
        body in 0..=crate::base::limits::CONTENT_LENGTH_MAX,
    ) {
        prop_assume!(method != "CONNECT");
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {body}\r\n");
        for (name, value) in &fields {
            text += &format!("{name}: \t{value} \r\n");
        }
        text += "\r\n";
        let mut storage = HeadStorage::new();
        let head = match parse_request(text.as_bytes(), &mut storage) {
            Ok(head) => head,
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}: {text:?}"))),
        };
        prop_assert_eq!(head.method_token, method);
        prop_assert_eq!(head.target, target);
        prop_assert_eq!(head.host, Some(host.as_str()));
        prop_assert_eq!(head.body, BodyLength::Fixed(body));
        let read: Vec<_> = head.fields[2..].iter().map(|field| (field.name, field.value)).collect();
        let written: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        prop_assert_eq!(read, written);
    }
}
