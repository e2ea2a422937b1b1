//! What probes report about misbehaving backends, and what they never do to the others.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::balancer::{Balancer, free_address};
use super::client::{Client, get};
use super::operator::Operated;
use super::origin::{Next, Origin, Refusing, backend_at, free_listener, listener_at, reply};
use super::wait;
use super::wire::{Head, Wire};

/// A TCP check, often enough for a test.
fn tcp() -> Value {
    json!({ "interval": "300ms", "timeout": "200ms" })
}

/// An HTTP check, often enough for a test.
fn http() -> Value {
    json!({ "type": "http", "interval": "300ms", "timeout": "200ms" })
}

/// An origin that takes the request of a probe and never answers.
fn hanging() -> Origin {
    Origin::serve(|_, wire| {
        // Ends when the probe gives up and closes.
        let _ = wire.read_to_close();
        Next::Close
    })
}

/// An address that swallows packets: a listener with a full queue that is never accepted from.
struct Blackhole {
    listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Blackhole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("local address").as_socket().expect("an IP address");
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue of {address} has no end");
        }
        Self { listener, _queued: queued }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("local address").as_socket().expect("an IP address")
    }
}

#[test]
fn the_reason_is_named_when_nobody_listens_and_when_packets_are_swallowed() {
    let (refusing, blackhole, fine) = (Refusing::new(), Blackhole::new(), Origin::named("fine"));
    let mut balancer = Balancer::start(json!({
        "health_check": tcp(),
        "backends": [backend_at(refusing.address()), backend_at(blackhole.address()), fine.backend()],
    }));
    let process = balancer.process();
    let refused = format!("({}) of pool default is DOWN after 1 failed probe: ", refusing.address());
    process.wait_for_line(&[&refused, "refused"]);
    process.wait_for_line(&[&blackhole.address().to_string(), "is DOWN after 1 failed probe", "timeout"]);
    assert_eq!(get(balancer.address(), "/").text(), "fine\n");
}

#[test]
fn a_name_that_does_not_resolve_takes_down_its_backend_and_not_the_start() {
    let fine = Origin::named("fine");
    let mut balancer = Balancer::start(json!({
        "health_check": tcp(),
        "backends": [{ "name": "nameless", "url": "http://no-such-name.invalid:80" }, fine.backend()],
    }));
    balancer.process().wait_for_line(&["nameless", "is DOWN", "does not resolve"]);
    for _ in 0..4 {
        assert_eq!(get(balancer.address(), "/").text(), "fine\n");
    }
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let origin = Origin::serve({
        let seen = Arc::clone(&seen);
        move |head: &Head, wire: &mut Wire| {
            seen.lock().push(head.target().to_owned());
            if head.target() != "/health" {
                return reply(wire, 200, b"fine\n");
            }
            let moved = b"HTTP/1.1 302 Found\r\nLocation: /fine\r\nContent-Length: 0\r\n\r\n";
            wire.send(moved).map_or(Next::Close, |()| Next::Keep)
        }
    });
    let mut balancer = Balancer::start(json!({ "health_check": http(), "backends": [origin.backend()] }));
    balancer.process().wait_for_line(&["is DOWN", "status 302"]);
    wait::until("it was probed again", || seen.lock().len() > 2);
    assert!(seen.lock().iter().all(|target| target == "/health"), "{:?}", seen.lock());
}

#[test]
fn a_probe_says_who_it_is_and_leaves() {
    let heads: Arc<Mutex<Vec<[Option<String>; 3]>>> = Arc::default();
    let origin = Origin::serve({
        let heads = Arc::clone(&heads);
        move |head: &Head, wire: &mut Wire| {
            let field = |name| head.field(name).map(str::to_owned);
            heads.lock().push([field("Host"), field("User-Agent"), field("Connection")]);
            reply(wire, 200, b"fine\n")
        }
    });
    let _balancer = Balancer::start(json!({ "health_check": http(), "backends": [origin.backend()] }));
    let [host, agent, connection] = wait::until_some("a probe", || heads.lock().first().cloned());
    assert_eq!(host, Some(origin.address().to_string()));
    assert_eq!(agent, Some(format!("ropewalk/{} health", env!("CARGO_PKG_VERSION"))));
    assert_eq!(connection.as_deref(), Some("close"));
}

/// A port whose connections only the kernel accepts: nothing ever answers.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        Self(free_listener())
    }

    fn backend(&self) -> Value {
        backend_at(self.0.local_addr().expect("local address"))
    }
}

/// An origin that answers while `answers` is set and hangs otherwise.
fn answering_while(answers: &Arc<AtomicBool>) -> Origin {
    let answers = Arc::clone(answers);
    Origin::serve(move |_, wire| {
        if answers.load(Ordering::SeqCst) {
            return reply(wire, 200, b"fine\n");
        }
        // Ends when the prober gives up and closes.
        let _ = wire.read_to_close();
        Next::Close
    })
}

#[test]
fn eighty_backends_that_hang_delay_neither_a_verdict_nor_a_recovery() {
    const HANGING: usize = 80;
    let (interval, timeout) = (Duration::from_millis(500), Duration::from_millis(400));
    let check = json!({ "type": "http", "interval": "500ms", "timeout": "400ms" });
    let silent: Vec<Silent> = (0..HANGING).map(|_| Silent::new()).collect();
    let answers = Arc::new(AtomicBool::new(true));
    let (turning, fine) = (answering_while(&answers), Origin::named("fine"));
    let mut backends: Vec<Value> = silent.iter().map(Silent::backend).collect();
    backends.extend([turning.backend(), fine.backend()]);
    let mut balancer = Balancer::start(json!({ "health_check": check, "backends": backends }));
    wait::until("all that hang are known to", || balancer.process().lines_with(&["is DOWN"]) == HANGING);
    assert_eq!(balancer.process().threads_named("rw-probe"), 0);

    let address = turning.address().to_string();
    // For the scheduler of a machine that is busy with other tests.
    let slack = Duration::from_secs(1);
    let mut takes = |what: &str, serves: bool, bound: Duration| {
        answers.store(serves, Ordering::SeqCst);
        let began = Instant::now();
        balancer.process().wait_for_line(&[&address, what]);
        let took = began.elapsed();
        assert!(took < bound + slack, "{what} after {took:?}");
    };
    takes("is DOWN after 3 failed probes: timeout", false, 3 * (interval + timeout));
    takes("is UP after 2 successful probes", true, timeout + 2 * (interval + interval / 10));
}

#[test]
fn a_probe_judges_as_the_proxy_does() {
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(101));
    let cases = [
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad response: HTTP/1.0 has no Transfer-Encoding",
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad response: a line ends in a lone CR or LF"),
        (&many, "bad response: there are too many fields"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad response: there are both a Content-Length and a Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad response: the Transfer-Encoding is not exactly one chunked",
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad response body: a chunk size"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "connection closed within the response"),
    ];
    let origins = cases.map(|(bytes, _)| {
        let bytes = bytes.to_owned();
        Origin::serve(move |_, wire| {
            let _ = wire.send(bytes.as_bytes());
            Next::Close
        })
    });
    let backends = origins.each_ref().map(Origin::backend);
    let mut balancer = Balancer::start(json!({ "health_check": http(), "backends": backends }));
    for ((_, reason), origin) in cases.iter().zip(&origins) {
        let address = origin.address().to_string();
        balancer.process().wait_for_line(&[&address, "is DOWN after 1 failed probe: ", reason]);
    }
    assert_eq!(get(balancer.address(), "/").head.status(), 503);
}

#[test]
fn hostile_answers_do_not_delay_other_probes() {
    let endless = |start: &'static [u8], rest: &'static [u8]| {
        Origin::serve(move |_, wire| {
            let _ = wire.send(start);
            while wire.send(rest).is_ok() {}
            Next::Close
        })
    };
    let origins = [
        endless(b"HTTP/1.1 200 OK\r\nA: ", &[b'a'; 1024]),
        endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        endless(b"\x16\x03\x01", &[0; 1024]),
        endless(b"HTTP/1.1 503 Busy\r\n\r\n", &[b'a'; 1024]),
    ];
    let reasons = ["the head is larger", "interim responses", "cannot begin an HTTP/1", "status 503"];
    let fine = Origin::named("fine");
    let mut backends = origins.each_ref().map(Origin::backend).to_vec();
    backends.push(fine.backend());
    let mut balancer = Balancer::start(json!({ "health_check": http(), "backends": backends }));
    for (origin, reason) in origins.iter().zip(reasons) {
        balancer.process().wait_for_line(&[&origin.address().to_string(), "is DOWN", reason]);
    }
    for _ in 0..8 {
        assert_eq!(get(balancer.address(), "/").text(), "fine\n");
    }
}

#[test]
fn a_backend_that_starts_late_is_served_within_half_a_second_of_answering() {
    let mut took: Vec<Duration> = [1, 3, 8].map(served_after_failed_probes).into();
    took.sort_unstable();
    // The promise is for an idle machine; other tests run in parallel.
    assert!(took[1] < Duration::from_millis(500) && took[2] < Duration::from_secs(2), "{took:?}");
}

/// Starts a backend after this many failed probes. Returns how long it took until it got requests.
fn served_after_failed_probes(failed: u64) -> Duration {
    let (front, late) = (free_address(), free_address());
    let config = json!({
        "listen": front.to_string(),
        "backends": [{ "name": "late", "url": format!("http://{late}") }],
    });
    let balancer = Operated::start(&config);
    wait::until("probes have failed", || {
        balancer.backend("late")["probes_failed"].as_u64().expect("a count") >= failed
    });
    let _origin = Origin::named_at(listener_at(late), "late");
    let began = Instant::now();
    wait::until("it is served", || get(front, "/").head.status() == 200);
    began.elapsed()
}

#[test]
fn one_backend_that_comes_back_ends_an_outage_of_its_pool_soon() {
    let origins = ["a", "b"].map(Origin::named);
    let backends = origins.each_ref().map(Origin::backend);
    let addresses = origins.each_ref().map(Origin::address);
    // With the interval alone it would take up to two minutes.
    let mut balancer = Balancer::start(json!({
        "health_check": { "interval": "60s", "timeout": "1s", "unhealthy_after": 1 },
        "backends": backends,
    }));
    assert_eq!(get(balancer.address(), "/").head.status(), 200);
    drop(origins);
    // A refused request asks for a probe at once.
    wait::until("both are down", || {
        get(balancer.address(), "/");
        balancer.process().lines_with(&["is DOWN"]) == 2
    });
    let _back = Origin::named_at(listener_at(addresses[0]), "back");
    wait::until("it is served", || get(balancer.address(), "/").head.status() == 200);
    balancer.process().wait_for_line(&["is UP after 1 successful probe"]);
}

#[test]
fn probes_in_flight_leave_descriptors_for_the_clients_that_were_promised_them() {
    const BACKENDS: usize = 60;
    const DESCRIPTORS: usize = 300;
    let silent: Vec<Silent> = (0..BACKENDS).map(|_| Silent::new()).collect();
    let mut backends: Vec<Value> = silent.iter().map(Silent::backend).collect();
    let fine = Origin::named("fine");
    backends.push(fine.backend());
    let front = free_address();
    let config = json!({
        "listen": front.to_string(),
        "workers": 2,
        "health_check": { "type": "http", "interval": "1s", "timeout": "900ms" },
        "backends": backends,
    });
    let mut balancer = Operated::start_with_descriptors(&config, DESCRIPTORS);
    wait::until("all that hang are known to", || balancer.process().lines_with(&["is DOWN"]) == BACKENDS);
    let promised = balancer.status()["connections"]["limit"].as_u64().expect("a number") as usize;
    assert!(promised > 80, "{promised}");
    let mut clients: Vec<Client> = (0..promised).map(|_| Client::connect(front)).collect();
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/").text(), "fine\n");
        }
    }
    // All hung probes are in flight most of the time, up to the limit.
    assert!(balancer.process().descriptors() < DESCRIPTORS as u64, "{}", balancer.process().descriptors());
    assert_eq!(balancer.process().lines_with(&["cannot accept"]), 0, "{}", balancer.process().log());
}

#[test]
fn a_stop_does_not_wait_for_probes_that_hang() {
    let origin = hanging();
    let mut balancer = Balancer::start(json!({
        "health_check": { "type": "http", "interval": "60s", "timeout": "50s" },
        "backends": [origin.backend()],
    }));
    wait::until("the probe has begun", || origin.requests() > 0);
    balancer.process().terminate();
    // The harness's own bound is far below the probe's timeout.
    assert!(balancer.process().wait_exit(wait::PATIENCE).success());
}

#[test]
fn running_out_of_descriptors_is_not_blamed_on_the_backends() {
    let origin = Origin::named("fine");
    let mut balancer = Balancer::start(json!({
        "log": { "level": "debug" },
        "health_check": tcp(),
        "backends": [origin.backend()],
    }));
    wait::until("it was probed", || origin.connections() > 0);
    balancer.process().forbid_new_descriptors();
    wait::until("more probes fell out than would take the backend down", || {
        balancer.process().lines_with(&["no probe of", "out of descriptors"]) > 4
    });
    assert_eq!(balancer.process().lines_with(&["is DOWN"]), 0, "{}", balancer.process().log());
}
