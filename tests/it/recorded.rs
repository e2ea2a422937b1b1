//! What the access log says about clients, and about requests that ropewalk itself refuses.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::{Client, get};
use super::operator::Operated;
use super::origin::Origin;
use super::wait;

/// The lines of the log, once there are this many.
#[track_caller]
fn lines(log: &Path, count: usize) -> Vec<Value> {
    let read = || fs::read_to_string(log).unwrap_or_default();
    wait::until("the log has its lines", || read().lines().count() >= count);
    read().lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[test]
fn the_client_is_named_with_the_proxy_in_front_beside_it() {
    let (origin, folder) = (Origin::named("a"), tempfile::tempdir().expect("scratch folder"));
    let (listen, log) = (free_address(), folder.path().join("access.log"));
    let _balancer = Operated::start(&json!({
        "listen": listen.to_string(), "health_check": "off", "backends": [origin.backend()],
        "trusted_proxies": "127.0.0.0/8", "log": { "access": log },
    }));
    let mut client = Client::connect(listen);
    client.send("GET /1 HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9:5123\r\n\r\n");
    client.response().expect("a response");
    client.get("/2");
    let lines = lines(&log, 2);
    let of = |line: &Value| [&line["client"], &line["peer"]].map(|value| value.as_str().map(str::to_owned));
    assert_eq!(of(&lines[0]), [Some("203.0.113.9".to_owned()), Some("127.0.0.1".to_owned())]);
    assert_eq!(of(&lines[1]), [Some("127.0.0.1".to_owned()), None]);
    assert!(lines[0]["peer_port"].is_u64() && lines[1]["client_port"].is_u64(), "{lines:?}");
}

#[test]
fn a_refused_request_is_recorded_with_the_rule_that_it_breaks() {
    let (origin, folder) = (Origin::named("a"), tempfile::tempdir().expect("scratch folder"));
    let (listen, log) = (free_address(), folder.path().join("access.log"));
    let _balancer = Operated::start(&json!({
        "listen": listen.to_string(), "health_check": "off", "backends": [origin.backend()],
        "log": { "access": log }, "limits": { "target": "1KiB" }, "timeouts": { "head": "300ms" },
    }));
    let long = format!("/{}", "a".repeat(1024));
    let cases = [
        (
            "GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".to_owned(),
            400,
            "GET",
            "/a",
            "there is more than one Host",
        ),
        (format!("GET {long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414, "GET", long.as_str(), "target is longer"),
        (format!("GET {long}"), 414, "GET", long.as_str(), "target is longer"),
        (
            format!("GET /b HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100)),
            431,
            "GET",
            "/b",
            "too many fields",
        ),
        (
            "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(),
            501,
            "POST",
            "/c",
            "coding",
        ),
        ("GET /d HTTP/2.0\r\nHost: h\r\n\r\n".to_owned(), 505, "GET", "/d", "HTTP/1"),
        ("GET /e HTTP/1.1\r\nHost".to_owned(), 408, "GET", "/e", "too long to arrive"),
        ("\x16\x03\x01\r\n\r\n".to_owned(), 400, "", "", "TLS"),
    ];
    for (request, status, ..) in &cases {
        let mut client = Client::connect(listen);
        client.send(request);
        assert_eq!(client.response().expect("an answer").head.status(), *status, "{request:?}");
    }
    for ((_, status, method, target, reason), line) in cases.iter().zip(lines(&log, cases.len())) {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (line["status"].as_u64(), text("method").as_str()),
            (Some((*status).into()), *method),
            "{line}"
        );
        assert_eq!(text("target"), *target, "{line}");
        assert!(text("reason").contains(reason), "{line}");
    }
    assert_eq!(get(listen, "/").head.status(), 200);
}
