//! The sample origin as its clients see it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Origin;
use crate::base::clock;

fn free() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn start(origin: Origin) -> SocketAddr {
    origin.start(free()).unwrap()
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "closed inside of a head: {head:?}");
        }
        head
    }

    /// The status and the body of the next response, which says how long it is.
    fn receive(&mut self) -> (u16, String) {
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (status(&head), String::from_utf8(body).unwrap())
    }

    fn exchange(&mut self, request: &str) -> (u16, String) {
        self.send(request);
        self.receive()
    }

    /// The status of the next response, unless the connection is reset first.
    fn status_if_any(&mut self) -> Option<u16> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        line.split(' ').nth(1)?.parse().ok()
    }

    /// Everything up to the origin's close.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn named() -> (u16, String) {
    (200, "Response from server-1\n".to_owned())
}

#[test]
fn one_connection_carries_requests_of_every_kind() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named());
    assert_eq!(client.exchange("GET /any/path?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), named());
    assert_eq!(client.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"), named());
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n";
    assert_eq!(client.exchange(chunked), named());
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().contains("\r\nContent-Length: 23\r\n"));
    let health = (200, "ok\n".to_owned());
    assert_eq!(client.exchange("GET /health HTTP/1.1\r\nHost: a\r\n\r\n"), health);
    // Two at once.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((client.receive(), client.receive()), (named(), health));
}

#[test]
fn as_many_fields_as_a_balancer_may_be_allowed_to_forward_are_taken() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    for fields in [16, 17, 40, 300] {
        let more: String = (1..fields).map(|index| format!("X-{index}: {}\r\n", "y".repeat(100))).collect();
        assert_eq!(client.exchange(&format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")), named());
    }
}

#[test]
fn large_bodies_are_read_and_thrown_away() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    let length = 20 << 20;
    client.send(&format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.0.get_mut().write_all(&vec![b'x'; length]).unwrap();
    assert_eq!(client.receive(), named());
    assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named());
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741825\r\n\r\n");
    assert_eq!(client.receive().0, 413);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.exchange("ok"), (200, "ok".to_owned()));
}

#[test]
fn uploads_come_back_framed_as_they_came() {
    let mut client = Client::connect(start(Origin::new("server-1")));
    let fixed = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(client.exchange(fixed), (200, "hello".to_owned()));
    assert_eq!(client.exchange("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"), (200, String::new()));
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    // The echo of the first chunk comes while the second has not been sent.
    client.send("5\r\nhello\r\n");
    assert!(client.head().contains("\r\nTransfer-Encoding: chunked\r\n"));
    let mut chunk = [0; 10];
    client.0.read_exact(&mut chunk).unwrap();
    assert_eq!(&chunk, b"5\r\nhello\r\n");
    client.send("0\r\n\r\n");
    assert_eq!(client.rest(), "0\r\n\r\n");
}

#[test]
fn http_1_0_is_closed_unless_it_asks_not_to_be() {
    let address = start(Origin::new("server-1"));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.head().contains("\r\nConnection: close\r\n"));
    assert_eq!(client.rest(), "Response from server-1\n");
    let mut client = Client::connect(address);
    for _ in 0..2 {
        assert_eq!(client.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), named());
    }
}

#[test]
fn lines_are_streamed_as_the_version_allows() {
    let address = start(Origin::new("server-1"));
    let (mut old, mut new) = (Client::connect(address), Client::connect(address));
    old.send("GET /stream HTTP/1.0\r\n\r\n");
    new.send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(!old.head().contains("Content-Length"));
    let lines = old.rest();
    assert!(lines.starts_with("Line 1 of 10 from server-1\nLine 2 of 10"), "{lines}");
    assert_eq!(lines.lines().count(), 10);
    assert!(new.head().contains("\r\nTransfer-Encoding: chunked\r\n"));
    let chunks = new.rest();
    assert!(chunks.starts_with("1b\r\nLine 1 of 10 from server-1\n\r\n1b\r\nLine 2"), "{chunks:?}");
    assert!(chunks.ends_with("\r\n0\r\n\r\n"), "{chunks:?}");
}

#[test]
fn websocket_messages_come_back() {
    let address = start(Origin::new("server-1"));
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
    socket.send("hello".into()).unwrap();
    assert_eq!(socket.read().unwrap(), "hello".into());
    socket.close(None).unwrap();
    assert!(socket.read().unwrap().is_close());
    let mut client = Client::connect(address);
    assert_eq!(client.exchange("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n").0, 400);
}

#[test]
fn garbage_is_answered_and_does_not_stop_the_origin() {
    let address = start(Origin::new("server-1"));
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(70_000));
    for (garbage, expected) in [
        ("\x16\x03\x01", 400),
        ("GARBAGE\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense", 400),
        (&*long, 431),
    ] {
        let mut client = Client::connect(address);
        client.send(garbage);
        assert_eq!(client.receive().0, expected, "{garbage:?}");
        assert_eq!(client.rest(), "", "{garbage:?}");
    }
    assert_eq!(Client::connect(address).exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named());
}

#[test]
fn slow_clients_hold_up_nobody_and_are_ended() {
    let mut origin = Origin::new("server-1");
    origin.site.patience.head = Duration::from_millis(300);
    origin.site.patience.stall = Duration::from_millis(300);
    let address = start(origin);
    let begun = clock::now();
    let (mut head, mut body) = (Client::connect(address), Client::connect(address));
    head.send("GET / HTTP/1.1\r\nHo");
    body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    assert_eq!(Client::connect(address).exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named());
    assert_eq!((head.receive().0, body.receive().0), (408, 408));
    assert!(clock::now().since(begun) >= Duration::from_millis(300));
    assert_eq!((head.rest(), body.rest()), (String::new(), String::new()));
}

#[test]
fn idle_connections_are_closed_in_silence() {
    let mut origin = Origin::new("server-1");
    origin.site.patience.idle = Duration::from_millis(50);
    let mut client = Client::connect(start(origin));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_connection_too_many_is_told_so_until_another_ends() {
    let mut origin = Origin::new("server-1");
    origin.connections_max = 1;
    let address = start(origin);
    let mut first = Client::connect(address);
    assert_eq!(first.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), named());
    let mut second = Client::connect(address);
    assert_eq!(second.receive(), (503, "too many connections\n".to_owned()));
    assert_eq!(second.rest(), "");
    first.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(first.receive(), named());
    drop(first);
    let deadline = clock::now() + Duration::from_secs(10);
    loop {
        let mut third = Client::connect(address);
        // One that is turned away may be reset before it has sent anything.
        let _ = third.0.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        if third.status_if_any() == Some(200) {
            break;
        }
        assert!(clock::now() < deadline, "the place of the first connection stays taken");
    }
}

#[test]
fn the_status_and_the_health_are_two_things() {
    let mut client = Client::connect(start(Origin::new("x").status(503)));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.exchange(&get("/")), (503, "Response from x\n".to_owned()));
    assert_eq!(client.exchange(&get("/health?deep")), (200, "ok\n".to_owned()));
    let mut client = Client::connect(start(Origin::new("x").status(204)));
    for path in ["/", "/echo", "/stream"] {
        assert_eq!(client.exchange(&get(path)), (204, String::new()), "{path}");
    }
}

#[test]
fn many_slow_requests_wait_side_by_side() {
    let delay = Duration::from_millis(300);
    let address = start(Origin::new("slow").delay(delay));
    let begun = clock::now();
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    for client in &mut clients {
        assert_eq!(client.receive().1, "Response from slow\n");
    }
    let took = clock::now().since(begun);
    assert!(took >= delay, "the delay was not kept: {took:?}");
    // One after the other they would take a minute.
    assert!(took < Duration::from_secs(10), "they waited for each other: {took:?}");
}

#[test]
fn a_port_in_use_is_refused() {
    let address = start(Origin::new("first"));
    let error = Origin::new("second").start(address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
