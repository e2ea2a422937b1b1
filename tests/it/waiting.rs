//! The central idea: nothing that waits holds a thread. Thousands of waits of every kind go on while
//! two workers carry the requests of others as if they were alone.
//!
//! The bounds come from the design where it names one; both peers run on the same cores as the
//! balancer, so a debug build gets some slack.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::balancer::{Balancer, raise_descriptor_limit};
use super::client::{Client, Latencies, get_request};
use super::origin::{Next, Origin, reply};
use super::wait::{self, Enough, Saying};

/// The p99 of requests to a fast backend while thousands wait. An unoptimised balancer between
/// unoptimised peers gets four times as long.
const FAST_P99: Duration = Duration::from_millis(if cfg!(debug_assertions) { 80 } else { 20 });

/// The median of requests next to endless uploads that use up every processor. An unoptimised balancer
/// decodes chunks some twenty times as slowly; `cargo bench --bench fairness` is what measures this.
const BESIDE_UPLOADS: Duration = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 20 });

/// A thousand requests that take one second each must not take two.
const THOUSAND_SLOW: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1_900 } else { 1_500 });

/// LOCK: held during a measurement. Tests in this file take turns, because each of them loads the whole
/// machine and measures time.
static TURN: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

fn two_workers(origin: &Origin) -> Balancer {
    raise_descriptor_limit();
    Balancer::start(json!({ "workers": 2, "request_timeout": "0s", "backends": [origin.backend()] }))
}

fn assert_fast(what: &str, seen: &Latencies) {
    assert!(seen.p99() < FAST_P99, "{what}: p99 {:?} over {} requests", seen.p99(), seen.count());
}

#[test]
fn a_thousand_slow_requests_are_answered_together_and_delay_no_one() {
    let _turn = TURN.lock();
    let origin = Origin::named("origin");
    let balancer = two_workers(&origin);
    let mut slow: Vec<_> = (0..1_000).map(|_| Client::connect(balancer.address())).collect();
    let answered = Enough::not_yet();
    std::thread::scope(|scope| {
        let fast = scope
            .spawn(|| Latencies::of_gets(balancer.address(), "/fast", |count| count < 100 || !answered.is()));
        let start = Instant::now();
        for client in &mut slow {
            client.send(get_request("/slow/1000"));
        }
        for client in &mut slow {
            assert_eq!(client.response().expect("a response").head.status(), 200);
        }
        let taken = start.elapsed();
        answered.say();
        assert!(taken < THOUSAND_SLOW, "a thousand requests of 1 s took {taken:?}");
        assert_fast("beside a thousand slow ones", &fast.join().expect("the fast client"));
    });
}

#[test]
fn idle_connections_and_half_heads_cost_others_nothing() {
    let _turn = TURN.lock();
    let origin = Origin::named("origin");
    let mut balancer = two_workers(&origin);
    let address = balancer.address();
    let threads = balancer.process().threads();
    let idle: Vec<_> = (0..2_000)
        .map(|_| {
            let mut client = Client::connect(address);
            client.get("/");
            client
        })
        .collect();
    let mut half: Vec<_> = (0..2_000)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: test.");
            client
        })
        .collect();
    assert_fast("beside 4 000 silent connections", &Latencies::of_gets(address, "/", |count| count < 1_000));
    assert_eq!(balancer.process().threads(), threads, "connections cost threads");
    // They were waiting, not lost.
    for client in half.iter_mut().take(100) {
        client.send("example\r\n\r\n");
        assert_eq!(client.response().expect("a response").head.status(), 200);
    }
    drop(idle);
}

#[test]
fn slow_readers_delay_no_one() {
    let _turn = TURN.lock();
    let origin = Origin::serve(|head, wire| {
        let body = if head.target() == "/large" { vec![b'x'; 4 << 20] } else { b"small".to_vec() };
        reply(wire, 200, &body)
    });
    let mut balancer = two_workers(&origin);
    let mut readers: Vec<_> = (0..50).map(|_| Client::connect(balancer.address())).collect();
    readers.iter_mut().for_each(|client| client.send(get_request("/large")));
    wait::until("all slow responses are under way", || origin.requests() == 50);
    // What fits into the sockets has been sent; the rest waits for the readers.
    balancer.process().wait_until_idle();
    assert_fast_beside(&balancer, || {
        // 1 KB each tenth of a second: 10 KB/s.
        readers.iter_mut().for_each(|client| drop(client.wire.stream().read(&mut [0; 1_000])));
    });
}

#[test]
fn slow_writers_delay_no_one() {
    let _turn = TURN.lock();
    let uploads = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&uploads);
    let origin = Origin::serve(move |head, wire| {
        if head.target() == "/upload" {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        match wire.read_rest() {
            Ok(_) => reply(wire, 200, b"small"),
            Err(_) => Next::Close,
        }
    });
    let mut balancer = two_workers(&origin);
    let mut writers: Vec<_> = (0..50).map(|_| Client::connect(balancer.address())).collect();
    let head = "PUT /upload HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10000000\r\n\r\n";
    writers.iter_mut().for_each(|client| client.send(head));
    wait::until("all slow uploads are under way", || uploads.load(Ordering::Relaxed) == 50);
    balancer.process().wait_until_idle();
    assert_fast_beside(&balancer, || writers.iter_mut().for_each(|client| client.send([b'x'; 1_000])));
}

/// What each endless client puts into its upload, as fast as it is read.
fn chunks_that_never_end(chunk: &str) -> Vec<u8> {
    chunk.repeat((1 << 20) / chunk.len()).into_bytes()
}

#[test]
fn no_upload_delays_others_whatever_its_framing() {
    let _turn = TURN.lock();
    for (what, chunk) in [
        ("one byte a chunk", "1\r\nx\r\n".to_owned()),
        ("extensions", format!("1;{}\r\nx\r\n", "e".repeat(253))),
        ("large chunks", format!("4000\r\n{}\r\n", "x".repeat(0x4000))),
    ] {
        let chunks = chunks_that_never_end(&chunk);
        let origin = Origin::serve(|head, wire| {
            if head.target() == "/upload" {
                let mut sink = vec![0; 256 << 10];
                while matches!(wire.stream().read(&mut sink), Ok(1..)) {}
                return Next::Close;
            }
            reply(wire, 200, b"small")
        });
        let balancer = two_workers(&origin);
        let enough = Enough::not_yet();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut client = Client::connect(balancer.address());
                    client.send(
                        "POST /upload HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n",
                    );
                    while !enough.is() {
                        client.send(&chunks);
                    }
                });
            }
            wait::until("all uploads are under way", || origin.requests() == 6);
            let end = Instant::now() + Duration::from_millis(500);
            let seen =
                Latencies::of_gets(balancer.address(), "/", |count| count < 30 || Instant::now() < end);
            enough.say();
            // Peers and balancer share the processors, so the slowest request means little.
            assert!(seen.median() < BESIDE_UPLOADS, "beside {what}: median {:?}", seen.median());
        });
    }
}

#[test]
fn wrong_passwords_from_many_addresses_do_not_delay_others() {
    let _turn = TURN.lock();
    raise_descriptor_limit();
    let origin = Origin::named("origin");
    // What `openssl passwd -6 -salt abcdefgh secret` prints; one hash takes milliseconds.
    let hash =
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    let balancer = Balancer::start(json!({
        "workers": 2,
        "pools": { "p": { "backends": [origin.backend()] } },
        "routes": [
            { "match": { "path_prefix": "/guarded" }, "pool": "p", "basic_auth": { "users": { "ann": hash } } },
            { "pool": "p" },
        ],
    }));
    let wrong = format!(
        "GET /guarded HTTP/1.1\r\nHost: test.example\r\nAuthorization: Basic {}\r\n\r\n",
        "YW5uOndyb25n"
    );
    let guesses: Vec<_> = (1..=24_u8)
        .map(|number| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from(([127, 9, 0, number], 0)).into()).expect("an address of its own");
            socket.connect(&balancer.address().into()).expect("a connection");
            let mut stream = TcpStream::from(socket);
            stream.write_all(wrong.as_bytes()).expect("a request");
            stream
        })
        .collect();
    let seen = Latencies::of_gets(balancer.address(), "/", |count| count < 200);
    assert!(seen.median() < FAST_P99, "beside wrong passwords: median {:?}", seen.median());
    for mut guess in guesses {
        let mut answer = [0; 12];
        guess.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
}

#[test]
fn discarded_uploads_do_not_delay_others() {
    let _turn = TURN.lock();
    let origin = Origin::serve(|_, wire| reply(wire, 200, b"small"));
    let balancer = Balancer::start(json!({
        "workers": 2,
        "pools": { "up": { "backends": [origin.backend()] } },
        "routes": [
            { "match": { "path": "/upload" }, "respond": { "status": 403, "body": "no" } },
            { "pool": "up" },
        ],
    }));
    let piece = vec![b'x'; 1 << 20];
    let enough = Enough::not_yet();
    std::thread::scope(|scope| {
        let _enough = Saying(&enough);
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::connect(balancer.address());
                client.send(
                    "POST /upload HTTP/1.1\r\nHost: test.example\r\nContent-Length: 99999999999\r\n\r\n",
                );
                while !enough.is() {
                    client.send(&piece);
                }
                assert_eq!(client.response().expect("the early answer").head.status(), 403);
            });
        }
        let end = Instant::now() + Duration::from_millis(500);
        let seen = Latencies::of_gets(balancer.address(), "/", |count| count < 30 || Instant::now() < end);
        enough.say();
        assert!(seen.median() < BESIDE_UPLOADS, "beside thrown away uploads: median {:?}", seen.median());
    });
}

/// Measures fast requests for two seconds, in which `slowly` is called ten times a second.
fn assert_fast_beside(balancer: &Balancer, mut slowly: impl FnMut() + Send) {
    let enough = Enough::not_yet();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.is() {
                slowly();
                // PACE: what makes these clients slow.
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let end = Instant::now() + Duration::from_secs(2);
        let fast = Latencies::of_gets(balancer.address(), "/", |count| count < 200 || Instant::now() < end);
        enough.say();
        assert_fast("beside slow clients", &fast);
    });
}

#[test]
fn a_request_whose_password_is_not_hashed_in_time_is_answered_once() {
    let _turn = TURN.lock();
    raise_descriptor_limit();
    let origin = Origin::named("origin");
    // The maximum of rounds, so that a full queue takes longer than a request waits.
    let hash = "$6$rounds=100000$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    let balancer = Balancer::start(json!({
        "workers": 2,
        "pools": { "p": { "backends": [origin.backend()] } },
        "routes": [
            { "match": { "path_prefix": "/guarded" }, "pool": "p", "basic_auth": { "users": { "ann": hash } } },
            { "respond": { "status": 200, "body": "open" } },
        ],
    }));
    // `ann`, and a password as long as one may be.
    let credentials = format!("YW5uOnh4{}", "eHh4".repeat(42));
    let guarded = format!("GET /guarded HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {credentials}\r\n\r\n");
    let mut clients: Vec<_> = (1..=60_u8)
        .map(|number| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from(([127, 10, 0, number], 0)).into()).expect("an address of its own");
            socket.connect(&balancer.address().into()).expect("a connection");
            let mut stream = TcpStream::from(socket);
            // The second request is there when the first is answered.
            stream
                .write_all(
                    format!("{guarded}GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes(),
                )
                .expect("requests");
            stream
        })
        .collect();
    for client in &mut clients {
        let mut answers = String::new();
        client.read_to_string(&mut answers).expect("answers");
        let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert!(matches!(statuses[..], ["401" | "503", "200"]), "{statuses:?}");
    }
}
