//! `max_connections` and the queue behind it: a backend never has more requests than its limit, and a
//! request that waits gets a slot in turn, or is refused in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, unbounded};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::balancer::Balancer;
use super::client::{Client, get_request};
use super::origin::{Next, Origin, reply};
use super::wait;
use super::wire::{Fault, Message};

/// An origin that answers one request for each permission.
struct Gate {
    origin: Origin,
    leave: Sender<()>,
    seen: Arc<Seen>,
}

/// What has reached an origin.
#[derive(Default)]
struct Seen {
    in_flight: AtomicUsize,
    most: AtomicUsize,
    /// LOCK: targets in order of arrival; held to add one or to look.
    targets: Mutex<Vec<String>>,
    ill: AtomicUsize,
}

impl Gate {
    fn new() -> Self {
        let (leave, word) = unbounded();
        let seen = Arc::new(Seen::default());
        let origin = Origin::serve({
            let seen = Arc::clone(&seen);
            move |head, wire| {
                if head.target() == "/health" {
                    return reply(wire, if seen.ill.load(Ordering::SeqCst) > 0 { 500 } else { 200 }, b"");
                }
                if wire.read_rest().is_err() {
                    return Next::Close;
                }
                let now = seen.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                seen.most.fetch_max(now, Ordering::SeqCst);
                seen.targets.lock().push(head.target().to_owned());
                let _ = word.recv_timeout(wait::PATIENCE);
                seen.in_flight.fetch_sub(1, Ordering::SeqCst);
                reply(wire, 200, head.target().as_bytes())
            }
        });
        Self { origin, leave, seen }
    }

    fn backend(&self, max_connections: u32) -> Value {
        json!({ "url": format!("http://{}", self.origin.address()), "max_connections": max_connections })
    }

    /// Lets this many requests be answered.
    fn answer(&self, count: usize) {
        for _ in 0..count {
            self.leave.send(()).expect("the origin is there");
        }
    }

    fn wait_for(&self, count: usize) {
        wait::until("the origin has its requests", || self.seen.targets.lock().len() == count);
    }
}

/// A client whose request the balancer has received by the time this returns.
fn ask(balancer: &mut Balancer, target: &str) -> Client {
    let mut client = Client::connect(balancer.address());
    client.send(get_request(target));
    balancer.process().wait_until_idle();
    client
}

#[track_caller]
fn assert_refused(answer: Result<Message, Fault>, error: &str) {
    let answer = answer.expect("an answer");
    assert_eq!(answer.head.status(), 503);
    assert_eq!(answer.head.field("proxy-status"), Some(format!("ropewalk; error={error}").as_str()));
    assert_eq!(answer.head.field("retry-after"), Some("5"));
}

#[test]
fn requests_over_max_connections_wait_and_are_served_in_order() {
    let gate = Gate::new();
    let mut balancer = Balancer::start(json!({ "backends": [gate.backend(1)], "health_check": "off" }));
    let targets: Vec<_> = (0..10).map(|number| format!("/{number}")).collect();
    let mut clients: Vec<_> = targets.iter().map(|target| ask(&mut balancer, target)).collect();
    assert_eq!(gate.seen.targets.lock().len(), 1);
    gate.answer(10);
    for (client, target) in clients.iter_mut().zip(&targets) {
        assert_eq!(&client.response().expect("an answer").text(), target);
    }
    assert_eq!(*gate.seen.targets.lock(), targets);
    assert_eq!(gate.seen.most.load(Ordering::SeqCst), 1);
    assert_eq!(gate.origin.connections(), 1, "a connection more than there may be");
}

#[test]
fn a_request_that_finds_the_queue_full_is_refused_at_once() {
    let gate = Gate::new();
    let mut balancer = Balancer::start(json!({
        "backends": [gate.backend(1)],
        "limits": { "queue": 1 },
        "timeouts": { "queue": "1h" },
        "health_check": "off",
    }));
    let mut served = ask(&mut balancer, "/served");
    let mut queued = ask(&mut balancer, "/queued");
    let mut refused = ask(&mut balancer, "/refused");
    assert_refused(refused.response(), "connection_limit_reached");
    gate.answer(3);
    assert_eq!(served.response().expect("an answer").text(), "/served");
    assert_eq!(queued.response().expect("an answer").text(), "/queued");
    // It has kept its connection.
    assert_eq!(refused.get("/again").text(), "/again");
}

#[test]
fn a_request_that_waits_too_long_is_refused() {
    let gate = Gate::new();
    let mut balancer = Balancer::start(json!({
        "backends": [gate.backend(1)],
        "timeouts": { "queue": "300ms" },
        "health_check": "off",
    }));
    let mut served = ask(&mut balancer, "/served");
    let start = Instant::now();
    let mut queued = ask(&mut balancer, "/queued");
    assert_refused(queued.response(), "connection_limit_reached");
    assert!(start.elapsed() >= Duration::from_millis(300));
    gate.answer(2);
    assert_eq!(served.response().expect("an answer").text(), "/served");
    assert_eq!(queued.get("/again").text(), "/again");
}

#[test]
fn a_client_that_leaves_the_queue_makes_room_and_is_never_served() {
    let gate = Gate::new();
    let mut balancer = Balancer::start(json!({
        "backends": [gate.backend(1)],
        "limits": { "queue": 1 },
        "timeouts": { "queue": "1h" },
        "health_check": "off",
    }));
    let mut served = ask(&mut balancer, "/served");
    let upload = "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nnot all of it";
    for request in [get_request("/gone"), upload.to_owned()] {
        let mut gone = Client::connect(balancer.address());
        gone.send(request);
        balancer.process().wait_until_idle();
        drop(gone);
        balancer.process().wait_until_idle();
        let mut next = ask(&mut balancer, "/next");
        gate.answer(2);
        assert_eq!(served.response().expect("an answer").text(), "/served");
        assert_eq!(next.response().expect("an answer").text(), "/next");
        gate.seen.targets.lock().clear();
        served = ask(&mut balancer, "/served");
        gate.wait_for(1);
    }
}

#[test]
fn requests_that_wait_for_backends_that_go_down_are_refused_at_once() {
    let gate = Gate::new();
    let mut balancer = Balancer::start(json!({
        "backends": [gate.backend(1)],
        "timeouts": { "queue": "1h" },
        "health_check": {
            "type": "http", "interval": "100ms", "timeout": "90ms", "unhealthy_after": 1, "healthy_after": 1,
        },
    }));
    let mut served = ask_when_ready(&mut balancer, &gate);
    let mut queued = Client::connect(balancer.address());
    queued.send(get_request("/queued"));
    queued.wire.set_patience(Duration::from_millis(50));
    assert_eq!(queued.response(), Err(Fault::Silence));
    queued.wire.set_patience(wait::PATIENCE);
    gate.seen.ill.store(1, Ordering::SeqCst);
    assert_refused(queued.response(), "destination_unavailable");

    // Requests in flight are not disturbed. The slot is free once the backend is up again.
    gate.answer(2);
    assert_eq!(served.response().expect("an answer").text(), "/served");
    gate.seen.ill.store(0, Ordering::SeqCst);
    wait::until("it is up", || queued.get("/again").head.status() == 200);
}

/// A client whose request has arrived at the origin: while probes come and go, the balancer is
/// never idle.
fn ask_when_ready(balancer: &mut Balancer, gate: &Gate) -> Client {
    let mut client = Client::connect(balancer.address());
    client.send(get_request("/served"));
    gate.wait_for(1);
    client
}

/// Whether clients wait for their responses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    All,
    /// Every third request is abandoned, while it waits or while it is served.
    Some,
}

/// Many clients at once, each with a connection for each of its requests.
fn crowd(address: std::net::SocketAddr, patience: Patience) {
    const CLIENTS: usize = 16;
    const TURNS: usize = 30;
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for turn in 0..TURNS {
                    let mut client = Client::connect(address);
                    if patience == Patience::Some && turn % 3 == 0 {
                        client.send(get_request("/"));
                        // PACE: leaves at a random moment of its request's life.
                        thread::sleep(Duration::from_micros(fastrand::u64(..8000)));
                    } else {
                        assert_eq!(client.get("/").head.status(), 200);
                    }
                }
            });
        }
    });
}

#[test]
fn no_slot_is_lost_or_given_twice_in_a_crowd() {
    let most = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
    let origins = most.clone().map(|most| {
        let in_flight = AtomicUsize::new(0);
        Origin::serve(move |_, wire| {
            most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // PACE: a slow origin, so that there is a queue.
            thread::sleep(Duration::from_millis(1));
            in_flight.fetch_sub(1, Ordering::SeqCst);
            reply(wire, 200, b"")
        })
    });
    let backend = |origin: &Origin, max: u32| json!({ "url": format!("http://{}", origin.address()), "max_connections": max });
    let balancer = Balancer::start(json!({
        "backends": [backend(&origins[0], 1), backend(&origins[1], 2)],
        "strategy": "least-connections",
        "health_check": "off",
        // Long enough that a lost wake-up fails the test.
        "timeouts": { "queue": "1h" },
        "request_timeout": "0s",
    }));
    crowd(balancer.address(), Patience::All);
    assert_eq!(most.map(|most| most.load(Ordering::SeqCst)), [1, 2]);
    // An origin continues a request whose client has left, so it may see more than its limit at times.
    // But every slot comes back.
    crowd(balancer.address(), Patience::Some);
    crowd(balancer.address(), Patience::All);
}
