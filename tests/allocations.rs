//! After warm-up, a request allocates nothing: every allocation that a worker thread makes is
//! counted while requests of several kinds go through it. Nor does a line of the access log.
//!
//! Its own test binary, because the counting allocator is that of the whole process.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use ropewalk::internal::observe::batch::channel;
use ropewalk::internal::observe::line::Format;
use ropewalk::internal::observe::record::{Attempt, Record};
use ropewalk::{Balancer, Config};

/// Counts allocations by thread.
struct Counting;

/// LIMIT: threads that can be told apart: by thread id, modulo this.
const SLOTS: usize = 4096;
static COUNTS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it is; counting touches a static only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    of_this_thread().fetch_add(1, Ordering::Relaxed);
}

fn of_this_thread() -> &'static AtomicU64 {
    let thread = rustix::thread::gettid().as_raw_nonzero().get() as usize;
    &COUNTS[thread % SLOTS]
}

/// What the workers have allocated so far.
fn allocations_of_workers() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
    let mut total = 0;
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with("rw-worker") || name.starts_with("rw-poller") {
            let id: usize = task.file_name().to_string_lossy().parse().expect("a thread id");
            total += COUNTS[id % SLOTS].load(Ordering::Relaxed);
        }
    }
    total
}

/// Answers every request on every connection: with a small body, a larger one in chunks, or
/// after reading one.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).expect("no delay");
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let body = if head.contains("Content-Length: 5000") { 5000 } else { 0 };
            if bytes.len() < end + 4 + body {
                break;
            }
            bytes.drain(..end + 4 + body);
            let response = if head.starts_with("GET /chunked") {
                format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
                    "x".repeat(5000)
                )
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned()
            };
            stream.write_all(response.as_bytes()).expect("answer");
        }
    }
}

/// One round of every kind of request over one connection.
fn round(client: &mut TcpStream) {
    let post = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{}", "y".repeat(5000));
    let requests = [
        ("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: test\r\n\r\n", "hello"),
        ("GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n0\r\n\r\n"),
        (post.as_str(), "hello"),
    ];
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    for (request, end) in requests {
        client.write_all(request.as_bytes()).expect("send");
        bytes.clear();
        while !bytes.ends_with(end.as_bytes()) {
            let count = client.read(&mut piece).expect("a response");
            assert_ne!(count, 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&piece[..count]);
        }
    }
}

#[test]
fn a_request_allocates_nothing_after_warm_up() {
    let mut config = Config::new().listen("127.0.0.1:0").workers(2);
    config =
        config.backend(&format!("http://{}", origin())).health_check(ropewalk::config::HealthCheck::off());
    let balancer = Balancer::start(config.check().expect("a good configuration").plan).expect("a start");
    let address = balancer.addresses()[0];
    let mut clients: Vec<_> = (0..8).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut rounds = |count: usize| {
        for _ in 0..count {
            clients.iter_mut().for_each(round);
        }
    };

    rounds(20);
    let before = allocations_of_workers();
    rounds(40);
    let made = allocations_of_workers() - before;
    // 960 requests. The scheduler decides how many tasks each worker has at once, so a list may still
    // grow to a new size; a request that allocated would show as 960 or more.
    assert!(made <= 16, "{made} allocations for 960 requests");
    assert!(before > 0, "the counter counts nothing");
}

#[test]
fn a_line_of_the_access_log_allocates_nothing_after_warm_up() {
    let attempts = [Attempt {
        backend: "b",
        reused: false,
        connect: Some(Duration::from_micros(40)),
        first_byte: None,
        outcome: "response_head_timeout",
    }];
    let record = Record {
        time: SystemTime::now(),
        id: b"1",
        client: "2001:db8::1".parse().expect("an address"),
        peer: "10.0.0.1:1".parse().expect("an address"),
        listener: "main",
        user: Some("ann"),
        method: "GET",
        host: "h",
        target: "/\"",
        version: "HTTP/1.1",
        referer: b"\xff",
        user_agent: b"\n",
        status: 504,
        bytes_in: 0,
        bytes_out: 0,
        route: Some("r"),
        pool: Some("p"),
        attempts: &attempts,
        queue: Duration::ZERO,
        total: Duration::from_secs(30),
        end: "response_head_timeout",
        reason: Some("the backend took too long to answer"),
    };
    let (intake, outlet) = channel(Default::default());
    let mut batches = [Format::Json, Format::Combined].map(|format| intake.batch(format));
    let mut bytes = 0;
    let mut rounds = |count: usize| {
        for number in 0..count {
            batches.iter_mut().for_each(|batch| batch.append(&record));
            if number % 3 == 0 {
                batches.iter_mut().for_each(|batch| batch.flush());
            }
            while let Ok(lines) = outlet.filled.try_recv() {
                bytes += lines.len();
                outlet.give_back(lines);
            }
        }
    };

    rounds(10);
    let before = of_this_thread().load(Ordering::Relaxed);
    rounds(1_000);
    assert_eq!(of_this_thread().load(Ordering::Relaxed) - before, 0, "allocations for 2000 lines");
    assert!(before > 0, "the counter counts nothing");
    assert!(bytes > 100_000, "the lines came out");
}
