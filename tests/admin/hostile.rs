//! Clients that are slow, greedy or malformed, and that no other client should notice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::fake::in_flight;
use crate::wire::{Admin, read_answer};

#[test]
fn clients_that_send_nothing_block_no_one() {
    let admin = Admin::start();
    let mut idle: Vec<TcpStream> = (0..100).map(|_| admin.connect()).collect();
    for stream in &mut idle {
        // The oldest have already been closed to make room.
        let _ = stream.write_all(b"GET /status HTTP/1.1\r\nHo");
    }
    for _ in 0..10 {
        assert_eq!(admin.get("/healthz").status, 200);
    }
    // The latest one was not closed.
    let last = idle.last_mut().unwrap();
    last.write_all(b"st: localhost\r\n\r\n").unwrap();
    assert_eq!(read_answer(last).status, 200);
}

#[test]
fn clients_that_read_nothing_block_no_one() {
    let admin = Admin::start();
    // Far more than the kernel buffers.
    admin.fake.has_in_flight((0..1_000).map(|age| in_flight(&"x".repeat(16 * 1024), age)).collect());
    let mut greedy: Vec<TcpStream> = (0..4).map(|_| admin.connect()).collect();
    for stream in &mut greedy {
        stream.write_all(b"GET /requests HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
    }
    assert_eq!(admin.get("/status").status, 200);
}

#[test]
fn unread_responses_are_bounded_in_total() {
    let admin = Admin::start();
    // Each is larger than the total limit, and than what the kernel buffers.
    admin.fake.has_in_flight((0..1_000).map(|age| in_flight(&"x".repeat(8 * 1024), age)).collect());
    let mut greedy: Vec<TcpStream> = (0..8).map(|_| admin.connect()).collect();
    for stream in &mut greedy {
        stream.write_all(b"GET /requests HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 1);
    }
    // The newest gets all of it; none of the others has been kept.
    let whole = |stream: &mut TcpStream| {
        let mut bytes = Vec::new();
        // A closed one ends early, with or without a reset.
        let _ = stream.read_to_end(&mut bytes);
        bytes.ends_with(b"}\n")
    };
    assert!(whole(greedy.last_mut().unwrap()));
    greedy.pop();
    assert!(!greedy.iter_mut().any(whole));
}

#[test]
fn a_request_that_does_not_arrive_is_given_up() {
    let admin = Admin::start();
    let began = Instant::now();
    let mut head = admin.connect();
    head.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    let mut body = admin.connect();
    body.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc").unwrap();
    for stream in [&mut head, &mut body] {
        let answer = read_answer(stream);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (408, "408: the request did not arrive within 5 s\n")
        );
    }
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(admin.fake.calls().is_empty(), "a request that never was whole was acted on");
}

#[test]
fn malformed_requests_are_refused_at_once() {
    let admin = Admin::start();
    let local = "Host: localhost\r\n";
    let long_field = format!("GET / HTTP/1.1\r\n{local}X: {}\r\n\r\n", "x".repeat(17 * 1024));
    let long_target = format!("GET /{} HTTP/1.1\r\n{local}\r\n", "x".repeat(9 * 1024));
    for (request, status) in [
        ("\x16\x03\x01\x02\0\x01", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\n\n", 400),
        ("GET /%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4097\r\n\r\n", 413),
        ("POST /reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (&long_field, 431),
        (&long_target, 414),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 421),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ] {
        let began = Instant::now();
        assert_eq!(admin.send(request).status, status, "{:.60}", request);
        assert!(began.elapsed() < Duration::from_secs(5), "{:.60}", request);
    }
    assert!(admin.fake.calls().is_empty());
}

#[test]
fn a_body_is_taken_in_whole_and_ignored() {
    let admin = Admin::start();
    let body = "x".repeat(4096);
    let request = format!("POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4096\r\n\r\n{body}");
    assert_eq!(admin.send(&request).status, 200);
    let mut stream = admin.connect();
    stream
        .write_all(
            b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ab").unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let admin = Admin::start();
    let mut stream = admin.connect();
    stream.set_nodelay(true).unwrap();
    for byte in b"\r\nGET /healthz HTTP/1.0\r\nAccept: */*\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(read_answer(&mut stream).status, 200);
}

#[test]
fn an_answer_is_not_destroyed_by_what_came_after_the_request() {
    let admin = Admin::start();
    let pipelined = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    for _ in 0..20 {
        assert_eq!(admin.send(&pipelined).status, 200);
    }
}

#[test]
fn dropping_the_listener_closes_everything() {
    let admin = Admin::start();
    let address = admin.address();
    let mut idle = admin.connect();
    assert_eq!(admin.get("/healthz").status, 200);
    let began = Instant::now();
    drop(admin);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A reset is as good as a clean end.
    assert!(matches!(idle.read(&mut [0; 1]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).is_err());
}
