//! What probes make of backends that misbehave, and what they never do to the others.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::balancer::Balancer;
use super::client::get;
use super::origin::{Next, Origin, Refusing, backend_at, reply};
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

/// Where packets are swallowed: a listener whose queue is full and whom nobody accepts from.
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
    process.wait_for_line(&[&refusing.address().to_string(), "is DOWN after 1 failed probe", "refused"]);
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

#[test]
fn backends_that_hang_do_not_delay_the_probes_of_the_others() {
    // Far more than there are threads for HTTP probes. All in one lane, each round of them would
    // take 24 * 200 ms / 8 = 600 ms, twice the interval, and fall further behind every time.
    let hanging: Vec<Origin> = (0..24).map(|_| hanging()).collect();
    let probes = Arc::new(AtomicUsize::new(0));
    let fine = Origin::serve({
        let probes = Arc::clone(&probes);
        move |_, wire| {
            probes.fetch_add(1, Ordering::SeqCst);
            reply(wire, 200, b"fine\n")
        }
    });
    let backends: Vec<Value> = hanging.iter().chain([&fine]).map(Origin::backend).collect();
    let mut balancer = Balancer::start(json!({ "health_check": http(), "backends": backends }));
    wait::until("all that hang are known to", || balancer.process().lines_with(&["is DOWN"]) == 24);

    // Both counts are of the same stretch of time, so a slow machine is slow for both.
    let (began, first) = (Instant::now(), probes.load(Ordering::SeqCst));
    wait::until("ten more probes", || probes.load(Ordering::SeqCst) >= first + 10);
    let rounds = began.elapsed().as_secs_f64() / 0.3;
    assert!(rounds < 15.0, "10 probes in the time of {rounds:.1}");
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
