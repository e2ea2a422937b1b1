//! Responses that come before the end of an upload, and clients that read nothing until they have sent
//! all of it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::balancer::Balancer;
use super::client::Client;
use super::origin::{Next, Origin};
use super::wait;

/// LIMIT: the balancer's peak resident memory while it discards uploads.
const RESIDENT_KIB_MAX: u64 = 16 * 1024;

const UPLOAD: usize = 64 * 1024 * 1024;

/// A route for each way in which a request is answered before its body is read, with the status.
const EARLY: [(&str, u16); 7] = [
    ("/large", 413),
    ("/secret", 401),
    ("/denied", 403),
    ("/moved", 301),
    ("/fixed", 503),
    ("/refused", 502),
    ("/nowhere", 404),
];

fn config(origin: &Value) -> Value {
    json!({
        "pools": {
            "up": { "backends": [origin] },
            "refused": { "backends": [{ "url": "http://127.0.0.1:1" }], "health_check": "off" },
        },
        "routes": [
            { "match": { "path": "/large" }, "pool": "up", "limits": { "body": "1KiB" } },
            { "match": { "path": "/secret" }, "pool": "up", "basic_auth": {
                "users": { "ann": "$5$rounds=1000$saltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } } },
            { "match": { "path": "/denied" }, "pool": "up", "deny": ["127.0.0.0/8"] },
            { "match": { "path": "/moved" }, "redirect": { "status": 301, "location": "/" } },
            { "match": { "path": "/fixed" }, "respond": { "status": 503, "body": "Back soon\n" } },
            { "match": { "path": "/refused" }, "pool": "refused", "retries": 0 },
            { "match": { "path": "/backend" }, "pool": "up" },
        ],
    })
}

/// An origin that answers 401 as soon as it has a head, and closes.
fn refusing_origin() -> Origin {
    Origin::serve(|_, wire| {
        let _ = wire.send(b"HTTP/1.1 401 Scripted\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        Next::Close
    })
}

fn head(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test.example\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_the_early_answer() {
    let origin = refusing_origin();
    let mut balancer = Balancer::start(config(&origin.backend()));
    let body = vec![b'x'; UPLOAD];
    for (path, status) in EARLY.into_iter().chain([("/backend", 401)]) {
        let mut client = Client::connect(balancer.address());
        client.send(head(path, body.len()));
        client.send(&body);
        let response = client.response().unwrap_or_else(|fault| panic!("{path}: {fault:?}"));
        assert_eq!(response.head.status(), status, "{path}");
        assert_eq!(client.wire.read_to_close(), Ok(Vec::new()), "{path}");
    }
    let resident = balancer.process().peak_resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB were resident");
}

#[test]
fn a_slow_client_that_sends_everything_before_it_reads_gets_the_early_answer() {
    let origin = refusing_origin();
    let balancer = Balancer::start(config(&origin.backend()));
    let piece = vec![b'x'; 64 * 1024];
    thread::scope(|scope| {
        for path in ["/large", "/backend"] {
            let address = balancer.address();
            let piece = &piece;
            scope.spawn(move || {
                let mut client = Client::connect(address);
                client.send(head(path, 40 * piece.len()));
                for _ in 0..40 {
                    client.send(piece);
                    // PACE: a slow line; 4 s for the whole upload.
                    thread::sleep(Duration::from_millis(100));
                }
                assert!([401, 413].contains(&client.response().expect("the answer").head.status()));
            });
        }
    });
}

#[test]
fn pythons_http_client_gets_the_early_answer() {
    const SCRIPT: &str = "
import http.client, sys
for path, status in [('/large', 413), ('/secret', 401), ('/backend', 401)]:
    connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]), timeout=20)
    connection.request('POST', path, body=b'x' * (64 << 20))
    seen = connection.getresponse().status
    assert seen == status, (path, seen)
";
    let python = Command::new("python3").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("there is no python3: the test above does the same without it");
        return;
    }
    let origin = refusing_origin();
    let balancer = Balancer::start(config(&origin.backend()));
    let port = balancer.address().port().to_string();
    let outcome = Command::new("python3").args(["-c", SCRIPT, &port]).output().expect("run python3");
    assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
}

#[test]
fn an_upload_that_the_backend_stops_taking_does_not_cost_the_response() {
    // It answers, then neither reads nor closes until the client has its answer.
    let done = Arc::new(wait::Enough::not_yet());
    let origin = Origin::serve({
        let done = Arc::clone(&done);
        move |_, wire| {
            let _ = wire.send(b"HTTP/1.1 401 Scripted\r\nContent-Length: 2\r\n\r\nno");
            wait::within(3 * wait::PATIENCE, || done.is().then_some(()));
            Next::Close
        }
    });
    let balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "timeouts": { "write_idle": "300ms" },
    }));
    let mut client = Client::connect(balancer.address());
    client.send(head("/", UPLOAD));
    client.send(vec![b'x'; UPLOAD]);
    let response = client.response().expect("the answer");
    done.say();
    assert_eq!((response.head.status(), response.text()), (401, "no".into()));
    assert_eq!(client.wire.read_to_close(), Ok(Vec::new()));
}

#[test]
fn clients_that_keep_sending_after_an_early_answer_hold_no_memory_and_are_closed() {
    const CLIENTS: usize = 400;
    let origin = refusing_origin();
    let mut balancer = Balancer::start(config(&origin.backend()));
    let before = balancer.process().descriptors();
    let piece = vec![b'x'; 256 * 1024];
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(balancer.address())).collect();
    for client in &mut clients {
        client.send(head("/large", UPLOAD));
        client.send(&piece);
        assert_eq!(client.response().expect("the answer").head.status(), 413);
    }
    let resident = balancer.process().peak_resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB were resident");
    assert!(balancer.process().descriptors() >= before + CLIENTS as u64, "they are waited for");
    // None of them sends anything more, or closes.
    wait::until("they are closed", || balancer.process().descriptors() < before + CLIENTS as u64 / 10);
}

#[test]
fn a_client_with_its_whole_response_may_close_its_side_first() {
    let origin = refusing_origin();
    let balancer = Balancer::start(config(&origin.backend()));
    let mut client = Client::connect(balancer.address());
    client.send(head("/large", UPLOAD));
    client.wire.stream().write_all(&[b'x'; 100_000]).expect("some of the body");
    client.wire.half_close().expect("half-close");
    assert_eq!(client.response().expect("the answer").head.status(), 413);
}
