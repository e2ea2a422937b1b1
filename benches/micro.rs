//! What the pure parts cost, one at a time: `cargo bench --bench micro`.
//!
//! These explain a change in the whole; they do not prove one. The figures that
//! count are those of the comparison with other proxies.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ropewalk::internal::base::limits::{LOG_BUFFER_BYTES, TARGET_BYTES_MAX};
use ropewalk::internal::config::plan::{HostMatch, Matcher, PathMatch, RoutePlan, Timeouts};
use ropewalk::internal::http::{
    ChunkDecoder, ChunkPart, HeadStorage, Known, Method, chunk_size_line, head_end, parse_request,
    parse_response,
};
use ropewalk::internal::observe::line::Format;
use ropewalk::internal::observe::record::{Attempt, Record};
use ropewalk::internal::route::{Request, Routes};

/// What curl sends.
const SMALL: &[u8] =
    b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n";

/// What a browser sends with a page already open.
const BROWSER: &[u8] = b"GET /account/orders?page=2&sort=date HTTP/1.1\r\n\
Host: shop.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://shop.example.com/account\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=3f1c0b9e5a7d4e2f8c6b1a0d9e8f7c6b; theme=dark; consent=all; cart=8841\r\n\r\n";

/// What a small origin answers.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Tue, 04 Mar 2025 10:00:00 GMT\r\n\
Content-Type: text/plain\r\nContent-Length: 27\r\n\r\n";

fn heads(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("head");
    for (name, head) in [("curl", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(format!("head_end/{name}"), |timer| timer.iter(|| head_end(black_box(head), 0)));
        group.bench_function(format!("parse_request/{name}"), |timer| {
            timer.iter(|| {
                let mut storage = HeadStorage::new();
                let head = parse_request(black_box(head), &mut storage);
                black_box(head.is_ok_and(|head| head.keep_alive))
            });
        });
    }
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("parse_response/small", |timer| {
        timer.iter(|| {
            let mut storage = HeadStorage::new();
            let head = parse_response(black_box(RESPONSE), Method::Get, &mut storage);
            black_box(head.is_ok_and(|head| head.keep_alive))
        });
    });
    group.finish();
}

fn names(bench: &mut Criterion) {
    let names = [
        "Host",
        "User-Agent",
        "Accept-Encoding",
        "X-Forwarded-Port",
        "Content-Type",
        "Cookie",
        "Sec-Fetch-Mode",
    ];
    bench.bench_function("classify/7 names", |timer| {
        timer.iter(|| {
            for name in names {
                black_box(Known::of(black_box(name)));
            }
        });
    });
}

fn chunks(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("chunks");
    for chunk_bytes in [64, 4096, 65_536] {
        // Data is passed over, not touched, so bytes per second would mean nothing.
        group.throughput(Throughput::Elements(64 * 1024 / chunk_bytes as u64));
        let mut body = Vec::new();
        for _ in 0..64 * 1024 / chunk_bytes {
            body.extend(chunk_size_line(chunk_bytes).as_bytes());
            body.resize(body.len() + chunk_bytes, b'x');
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n\r\n");
        group.bench_function(format!("64 KiB in chunks of {chunk_bytes}"), |timer| {
            timer.iter(|| data_bytes(black_box(&body)));
        });
    }
    group.finish();
}

/// How many bytes of data are in a chunked body, which must be whole.
fn data_bytes(mut body: &[u8]) -> usize {
    let (mut decoder, mut total) = (ChunkDecoder::new(), 0);
    while let Ok(ChunkPart::Data { skip, len }) = decoder.next(body) {
        total += len;
        body = &body[skip + len..];
    }
    total
}

/// A line of the access log for a request like [`BROWSER`], which one backend has answered.
fn lines(bench: &mut Criterion) {
    let attempts = [Attempt {
        backend: "shop-1",
        reused: true,
        connect: Some(Duration::from_micros(21)),
        first_byte: Some(Duration::from_micros(5_731)),
        outcome: "completed",
    }];
    let record = Record {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_243_251_123),
        id: b"3f1c0b9e5a7d4e2f8c6b1a0d9e8f7c6b",
        client: IpAddr::from([192, 0, 2, 117]),
        peer: SocketAddr::from(([192, 0, 2, 117], 40_112)),
        listener: "main",
        user: None,
        method: "GET",
        host: "shop.example.com",
        target: "/account/orders?page=2&sort=date",
        version: "HTTP/1.1",
        referer: b"https://shop.example.com/account",
        user_agent: b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
        status: 200,
        bytes_in: 0,
        bytes_out: 18_211,
        route: Some("account"),
        pool: Some("shop"),
        attempts: &attempts,
        queue: Duration::ZERO,
        total: Duration::from_micros(6_204),
        end: "completed",
        reason: None,
    };
    let mut group = bench.benchmark_group("access log");
    for (name, format) in [("json", Format::Json), ("combined", Format::Combined)] {
        let mut line = Vec::with_capacity(LOG_BUFFER_BYTES);
        format.write(&record, &mut line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |timer| {
            timer.iter(|| {
                line.clear();
                format.write(black_box(&record), &mut line);
                line.len()
            });
        });
    }
    group.finish();
}

/// The route of a request among 10 000: by host, by path, and for paths that have many readings where
/// something is guarded.
fn routes(bench: &mut Criterion) {
    let plan = |matcher, guarded| {
        let deny = if guarded { vec!["192.0.2.0/24".parse().expect("a network")] } else { Vec::new() };
        RoutePlan { matcher, deny, ..RoutePlan::to_first_pool("r", Timeouts::default()) }
    };
    let of_host = |n: u32| Matcher {
        hosts: vec![HostMatch::Exact(format!("h{n}.example.com"))],
        path: Some(PathMatch::Prefix("/v1".to_owned())),
        ..Matcher::default()
    };
    let of_path = |n: u32| Matcher {
        path: Some(PathMatch::Prefix(format!("/api/service-{n}/v1"))),
        ..Matcher::default()
    };
    let hosts = Routes::new(&(0..10_000).map(|n| plan(of_host(n), false)).collect::<Vec<_>>(), None);
    let paths = Routes::new(&(0..10_000).map(|n| plan(of_path(n), false)).collect::<Vec<_>>(), None);
    let guarded = Routes::new(&(0..10_000).map(|n| plan(of_path(n), n % 2 == 0)).collect::<Vec<_>>(), None);
    // As long as a target may be.
    let full = |start: &str, piece: &str| {
        let mut target = format!("{start}{}", piece.repeat(TARGET_BYTES_MAX / piece.len() + 1));
        target.truncate(TARGET_BYTES_MAX);
        target
    };
    let (separators, slashes) = (full("//h;x%2F", "/a//b;c%2F\\"), full("//h;%2F\\", "/"));
    let (parameters, dots) = (full("//h\\%2F;", "%3B"), full("/", "a/../"));
    let mut group = bench.benchmark_group("route of 10 000");
    for (name, routes, host, target) in [
        ("first host", &hosts, "h0.example.com", "/v1/orders"),
        ("last host", &hosts, "h9999.example.com:8080", "/v1/orders"),
        ("first path", &paths, "example.com", "/api/service-0/v1/orders"),
        ("last path", &paths, "example.com", "/api/service-9999/v1/orders"),
        ("none", &paths, "example.com", "/api/service-10000/v1/orders"),
        ("last path, guards", &guarded, "example.com", "/api/service-9999/v1/orders"),
        ("space, guards", &guarded, "example.com", "/api/service-9998/v1/a%20b"),
        ("8 KiB of separators, guards", &guarded, "example.com", &separators),
        ("8 KiB of slashes, guards", &guarded, "example.com", &slashes),
        ("8 KiB of parameters, guards", &guarded, "example.com", &parameters),
        ("8 KiB of dots, guards", &guarded, "example.com", &dots),
    ] {
        let request = Request { listener: "l", host, method: "GET", target, fields: &[] };
        group.bench_function(name, |timer| {
            timer.iter(|| routes.find(black_box(&request)).map(|found| found.place));
        });
    }
    group.finish();
}

criterion_group!(benches, heads, names, chunks, lines, routes);
criterion_main!(benches);
