//! Tests that hold for every line of the access log.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::line::{Format, write_combined, write_json};
use super::record::{Attempt, Record};
use crate::base::limits::{LOG_BATCH_BYTES, LOG_TARGET_BYTES_MAX};

/// 2026-11-21T06:40:51.123Z.
fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_243_251_123)
}

/// A GET that was answered on the second attempt.
fn served<'a>(attempts: &'a [Attempt<'a>]) -> Record<'a> {
    Record {
        time: time(),
        id: b"9f86d081884c7d65",
        client: "192.0.2.7".parse().unwrap(),
        peer: "192.0.2.7:40112".parse().unwrap(),
        listener: "main",
        user: Some("ann"),
        method: "GET",
        host: "shop.example.com",
        target: "/orders?page=2",
        version: "HTTP/1.1",
        referer: b"https://shop.example.com/",
        user_agent: b"curl/7.88.1",
        status: 200,
        bytes_in: 0,
        bytes_out: 5120,
        route: Some("orders"),
        pool: Some("shop"),
        attempts,
        queue: Duration::ZERO,
        total: Duration::from_nanos(12_345_678),
        end: "completed",
        reason: None,
    }
}

const ATTEMPTS: [Attempt<'static>; 2] = [
    Attempt {
        backend: "shop-1",
        reused: false,
        connect: None,
        first_byte: None,
        outcome: "connection_refused",
    },
    Attempt {
        backend: "shop-2",
        reused: true,
        connect: Some(Duration::from_micros(40)),
        first_byte: Some(Duration::from_millis(11)),
        outcome: "completed",
    },
];

/// A request whose head was malformed.
fn malformed() -> Record<'static> {
    Record {
        user: None,
        id: b"",
        client: "::ffff:192.0.2.7".parse().unwrap(),
        peer: "[::ffff:192.0.2.7]:1".parse().unwrap(),
        method: "",
        host: "",
        target: "",
        version: "",
        referer: b"",
        user_agent: b"",
        status: 400,
        bytes_out: 0,
        route: None,
        pool: None,
        total: Duration::ZERO,
        end: "bad_request",
        ..served(&[])
    }
}

fn line(format: Format, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    format.write(record, &mut out);
    String::from_utf8(out).unwrap()
}

fn parsed(record: &Record<'_>) -> Value {
    serde_json::from_str(&line(Format::Json, record)).unwrap()
}

#[test]
fn json_has_every_key_in_a_fixed_order() {
    let expected = concat!(
        r#"{"time":"2026-11-21T06:40:51.123Z","request_id":"9f86d081884c7d65","client":"192.0.2.7","#,
        r#""client_port":40112,"listener":"main","user":"ann","method":"GET","host":"shop.example.com","#,
        r#""target":"/orders?page=2","version":"HTTP/1.1","status":200,"bytes_in":0,"bytes_out":5120,"#,
        r#""route":"orders","pool":"shop","backend":"shop-2","#,
        r#""attempts":[{"backend":"shop-1","reused":false,"outcome":"connection_refused"},"#,
        r#"{"backend":"shop-2","reused":true,"connect_ms":0.040,"first_byte_ms":11.000,"outcome":"completed"}],"#,
        r#""queue_ms":0.000,"connect_ms":0.040,"first_byte_ms":11.000,"total_ms":12.345,"#,
        r#""referer":"https://shop.example.com/","user_agent":"curl/7.88.1","end":"completed"}"#,
        "\n"
    );
    assert_eq!(line(Format::Json, &served(&ATTEMPTS)), expected);
}

#[test]
fn json_omits_what_is_not_known() {
    let expected = json!({
        "time": "2026-11-21T06:40:51.123Z", "client": "192.0.2.7", "client_port": 1, "listener": "main",
        "status": 400, "bytes_in": 0, "bytes_out": 0, "attempts": [], "queue_ms": 0.0, "total_ms": 0.0,
        "end": "bad_request",
    });
    assert_eq!(parsed(&malformed()), expected);
}

#[test]
fn json_names_the_client_and_the_peer_if_they_differ() {
    let record = Record { client: "203.0.113.9".parse().unwrap(), ..served(&ATTEMPTS) };
    let written = line(Format::Json, &record);
    let expected = r#","client":"203.0.113.9","peer":"192.0.2.7","peer_port":40112,"listener":"#;
    assert!(written.contains(expected), "{written}");
    assert!(line(Format::Combined, &record).starts_with("203.0.113.9 - ann ["));
}

#[test]
fn json_has_the_reason_of_an_error() {
    let record = Record { reason: Some("the Host field is missing"), ..malformed() };
    assert_eq!(parsed(&record)["reason"], "the Host field is missing");
}

#[test]
fn json_escapes_what_is_not_plain() {
    let record = Record {
        user_agent: b"a\"b\\c\nd\x7f\x1b[2J \xc3\xa9 \xf0\x9f\xa6\x80 \xff\xc3",
        ..served(&ATTEMPTS)
    };
    let expected = r#""user_agent":"a\"b\\c\u000Ad\u007F\u001B[2J \u00E9 \uD83E\uDD80 \uFFFD\uFFFD","#;
    assert!(line(Format::Json, &record).contains(expected), "{}", line(Format::Json, &record));
}

#[test]
fn combined_is_what_nginx_writes() {
    assert_eq!(
        line(Format::Combined, &served(&ATTEMPTS)),
        "192.0.2.7 - ann [21/Nov/2026:06:40:51 +0000] \"GET /orders?page=2 HTTP/1.1\" 200 5120 \
         \"https://shop.example.com/\" \"curl/7.88.1\"\n"
    );
    assert_eq!(
        line(Format::Combined, &malformed()),
        "192.0.2.7 - - [21/Nov/2026:06:40:51 +0000] \"-\" 400 0 \"-\" \"-\"\n"
    );
    let record = Record { user: Some("a b"), user_agent: b"\"\\\n\xe9", ..malformed() };
    let line = line(Format::Combined, &record);
    assert!(line.starts_with("192.0.2.7 - a\\x20b ["), "{line}");
    assert!(line.ends_with("\"-\" \"\\x22\\x5C\\x0A\\xE9\"\n"), "{line}");
}

#[test]
fn ipv6_clients_and_clocks_that_were_never_set_are_written() {
    let client = "2001:db8::1".parse().unwrap();
    let at = |time: SystemTime| {
        let line = parsed(&Record { time, client, ..malformed() });
        assert_eq!(line["client"], "2001:db8::1");
        line["time"].as_str().unwrap().to_owned()
    };
    assert_eq!(at(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    assert_eq!(at(time() + Duration::from_secs(1 << 40)), "9999-12-31T23:59:59.000Z");
}

#[test]
fn the_longest_line_fits_into_a_buffer() {
    for byte in [b'x', b'"', 0xff] {
        let long = vec![byte; 64 * 1024];
        let target = "\"".repeat(LOG_TARGET_BYTES_MAX);
        let attempts = [ATTEMPTS[0]; 11];
        let text = String::from_utf8_lossy(&long);
        let record = Record {
            id: &long,
            method: &text,
            host: &text,
            target: &target,
            referer: &long,
            user_agent: &long,
            ..served(&attempts)
        };
        for format in [Format::Json, Format::Combined] {
            let line = line(format, &record);
            assert!(line.len() < LOG_BATCH_BYTES, "{} bytes", line.len());
            assert!(line.ends_with("...\",\"end\":\"completed\"}\n") || line.ends_with("...\"\n"), "{line}");
        }
        parsed(&record);
    }
}

/// Bytes of all kinds, including some that try to break a line.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..20),
        ".{0,16}".prop_map(String::into_bytes),
        Just(b"\"}\n{\"".to_vec()),
        Just(b"\\".to_vec()),
        Just("\u{2028}\u{202e}\u{9b}\u{10ffff}".into()),
        Just(b"\xf0\x9f\xa6".to_vec()),
        Just(b"plain text, longer than a block".to_vec()),
    ];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn text() -> impl Strategy<Value = String> {
    bytes().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

prop_compose! {
    /// Eight texts, in the order of [`with`].
    fn texts()(texts in vec(text(), 8)) -> Vec<String> { texts }
}

/// A record with the given values.
fn with<'a>(
    texts: &'a [String],
    bytes: &'a [Vec<u8>],
    peer: SocketAddr,
    attempts: &'a [Attempt<'a>],
) -> Record<'a> {
    Record {
        client: peer.ip().to_canonical(),
        peer,
        id: &bytes[0],
        referer: &bytes[1],
        user_agent: &bytes[2],
        method: &texts[0],
        host: &texts[1],
        target: &texts[2],
        version: &texts[3],
        listener: &texts[4],
        user: Some(&texts[5]),
        route: Some(&texts[6]),
        pool: Some(&texts[7]),
        ..served(attempts)
    }
}

proptest! {
    #[test]
    fn a_json_line_is_one_object_that_says_what_was_sent(
        texts in texts(),
        bytes in vec(bytes(), 3),
        client in any::<SocketAddr>(),
        total in any::<Duration>(),
    ) {
        let attempts = [Attempt { backend: &texts[0], ..ATTEMPTS[1] }];
        let record = Record { total, ..with(&texts, &bytes, client, &attempts) };
        let line = line(Format::Json, &record);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", line);
        let object: Value = serde_json::from_str(&line).unwrap();
        let sent = [("request_id", &bytes[0]), ("referer", &bytes[1]), ("user_agent", &bytes[2])];
        for (key, bytes) in sent {
            let expected = String::from_utf8_lossy(bytes);
            prop_assert_eq!(object.get(key).map_or("", |value| value.as_str().unwrap()), expected);
        }
        for (index, key) in
            ["method", "host", "target", "version", "listener", "user", "route", "pool"].iter().enumerate()
        {
            prop_assert_eq!(object.get(key).map_or("", |value| value.as_str().unwrap()), &texts[index]);
        }
        prop_assert_eq!(object["attempts"][0]["backend"].as_str(), Some(&*texts[0]));
        prop_assert_eq!(object["client"].as_str().unwrap(), client.ip().to_canonical().to_string());
    }

    #[test]
    fn a_combined_line_has_its_quotes_and_spaces_where_they_belong(
        texts in texts(),
        bytes in vec(bytes(), 3),
        client in any::<SocketAddr>(),
    ) {
        let line = line(Format::Combined, &with(&texts, &bytes, client, &[]));
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(line.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", line);
        let parts: Vec<&str> = line.split('"').collect();
        prop_assert_eq!(parts.len(), 7, "{}", line);
        prop_assert_eq!(parts[0].split(' ').count(), 6, "{}", line);
        prop_assert_eq!(parts[2], " 200 5120 ");
    }

    #[test]
    fn lines_follow_each_other(bytes in vec(bytes(), 3)) {
        let mut out = b"before\n".to_vec();
        let record = Record { referer: &bytes[0], user_agent: &bytes[1], ..served(&[]) };
        write_json(&record, &mut out);
        write_combined(&record, &mut out);
        let begun = out.starts_with(b"before\n{\"time\":");
        prop_assert!(begun);
        prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 3);
    }
}
