//! Operating a busy balancer: requests to the admin listener are answered at once, stuck requests are
//! shown, and changes take effect.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::{Client, get_request};
use super::operator::Operated;
use super::origin::{Next, Origin, reply};
use super::wait::{self, Enough, PATIENCE};
use super::wire::{Head, Wire};

/// How long the admin listener may take to answer while every worker is busy. A debug build takes
/// several times as long for everything.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

/// Responses of each kind, whose median is held to that: the others may have run into whatever else
/// this machine does.
const ASKED: usize = 15;

/// The connection limit, and how many of them download and send requests.
const CONNECTIONS: usize = 80;
const DOWNLOADS: usize = 16;
const SMALL: usize = 16;

/// Bytes of a download: it takes longer than the test.
const DOWNLOAD_BYTES: u64 = 1 << 40;

#[test]
fn operators_are_answered_while_every_worker_is_busy_and_no_client_is_let_in() {
    let origin = Origin::serve(serve);
    let front = free_address();
    let mut balancer = Operated::start(&json!({
        // Workers that would find no processor stay out of the crew.
        "listen": front.to_string(), "workers": 1,
        "limits": { "connections": CONNECTIONS, "requests_per_connection": 1_000_000_000 },
        "request_timeout": "40s",
        "backends": [{ "name": "a", "url": format!("http://{}", origin.address()) }],
    }));
    let enough = Enough::not_yet();
    thread::scope(|scope| {
        let _end = wait::Saying(&enough);
        let mut stuck = Client::connect(front);
        stuck.send(get_request("/stuck?why"));
        // Requests that a worker picks up in the same turn are equally old, and listed when that turn
        // is over.
        wait::until("the request is stuck", || balancer.get("/requests").text().contains("/stuck?why"));
        for _ in 0..DOWNLOADS {
            scope.spawn(|| download(front, &enough));
        }
        for _ in 0..SMALL {
            scope.spawn(|| ask(front, &enough));
        }
        let open = |balancer: &Operated| balancer.status()["connections"]["open"].as_u64().expect("a count");
        let mut idle = Vec::new();
        wait::until("the limit is reached", || {
            idle.push(Client::connect(front));
            open(&balancer) == CONNECTIONS as u64
        });
        // A newcomer displaces an idle connection, once one is parked, and the limit stays reached.
        wait::until("an idle one gives way", || {
            let mut newcomer = Client::connect(front);
            let status = newcomer.get("/").head.status();
            idle.push(newcomer);
            status == 200
        });
        assert_eq!(open(&balancer), CONNECTIONS as u64);

        // The last three make a change that no one would notice.
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/status"),
            ("GET", "/status?format=text"),
            ("GET", "/metrics"),
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("GET", "/requests"),
            ("GET", "/explain?url=http://a.example/x"),
            ("POST", "/backends/a/weight?value=2"),
            ("POST", "/backends/a/enable"),
            ("POST", "/reload"),
        ] {
            // A worker is asked between turns, so it may take several.
            wait::until("every worker is busy", || balancer.status()["workers"]["idle"] == 0);
            let mut times: Vec<_> = (0..ASKED)
                .map(|_| {
                    let began = Instant::now();
                    let answer = balancer.ask(method, path);
                    assert_eq!(answer.head.status(), 200, "{method} {path}: {}", answer.text());
                    began.elapsed()
                })
                .collect();
            times.sort_unstable();
            eprintln!(
                "{method} {path}: {:?} in the middle, {:?} at most",
                times[ASKED / 2],
                times[ASKED - 1]
            );
            assert!(times[ASKED / 2] < ANSWER_TIME_MAX, "{method} {path}: {times:?}");
            assert_eq!(open(&balancer), CONNECTIONS as u64, "the limit is not reached any more");
        }

        show_what_is_stuck(&mut balancer);
    });
}

/// What `/requests`, SIGQUIT and the command report about the one request that gets no response.
fn show_what_is_stuck(balancer: &mut Operated) {
    let list: Value = serde_json::from_slice(&balancer.get("/requests").body).expect("a JSON document");
    let requests = list["requests"].as_array().expect("a list");
    let stuck = requests.iter().find(|request| request["target"] == "/stuck?why");
    let stuck = stuck.unwrap_or_else(|| panic!("it is not in {list}"));
    assert_eq!(stuck["stage"], "waiting for the response head");
    assert_eq!((&stuck["method"], &stuck["backend"]), (&json!("GET"), &json!("a")));
    assert_eq!(stuck["attempts"], 1);
    assert!(stuck["age_ms"].as_u64().is_some_and(|age| age > 0), "{stuck}");
    assert!(stuck["deadline_ms"].as_i64().is_some_and(|left| (1..=40_000).contains(&left)), "{stuck}");
    // It is the oldest, so it is listed first.
    assert_eq!(requests[0]["target"], "/stuck?why");

    let process = balancer.process();
    process.signal(Signal::QUIT);
    process.wait_for_line(&["AGE", "TIMES OUT IN", "STAGE", "BACKEND"]);
    process.wait_for_line(&["waiting for the response head", " a ", "GET /stuck?why"]);
    let said = balancer.command(&["requests"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("/stuck?why") && said.contains("waiting for the response head"), "{said}");
}

fn serve(head: &Head, wire: &mut Wire) -> Next {
    match head.target() {
        "/stuck?why" => {
            // Until the balancer gives up.
            let _ = wire.read_raw(1);
            Next::Close
        }
        "/large" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD_BYTES}\r\n\r\n");
            let piece = vec![b'x'; 256 * 1024];
            let mut sent = wire.send(head.as_bytes());
            while sent.is_ok() {
                sent = wire.send(&piece);
            }
            Next::Close
        }
        _ => reply(wire, 200, b"ok\n"),
    }
}

fn download(address: SocketAddr, enough: &Enough) {
    let mut client = Client::connect(address);
    client.send(get_request("/large"));
    client.wire.read_head(super::wire::Role::Response).expect("a head");
    while !enough.is() {
        client.wire.read_piece(usize::MAX).expect("more of it");
    }
}

fn ask(address: SocketAddr, enough: &Enough) {
    let mut client = Client::connect(address);
    while !enough.is() {
        assert_eq!(client.get("/").head.status(), 200);
    }
}

#[test]
fn readiness_reports_a_stop_while_requests_finish() {
    let (origin, front) = (Origin::named("slow"), free_address());
    let mut balancer = Operated::start(&one_pool(front, "round-robin", &[("a", &origin)]));
    assert_eq!((balancer.get("/readyz").head.status(), balancer.get("/healthz").head.status()), (200, 200));
    let mut client = Client::connect(front);
    client.send(get_request("/slow/1500"));
    wait::until("it is at the backend", || balancer.backend("a")["active"] == 1);
    balancer.process().terminate();
    wait::until("it is not ready any more", || balancer.get("/readyz").head.status() == 503);
    assert!(balancer.get("/readyz").text().contains("stopping"));
    assert_eq!(balancer.get("/healthz").head.status(), 200);
    assert_eq!(balancer.status()["draining"], true);
    // Nor can anything be changed any more.
    assert_eq!(balancer.post("/reload").head.status(), 422);
    assert_eq!(client.response().expect("an answer").head.status(), 200);
    assert!(balancer.process().wait_exit(PATIENCE).success());
}

#[test]
fn a_drain_is_over_when_the_last_request_is() {
    let (first, second, front) = (Origin::named("first"), Origin::named("second"), free_address());
    let balancer = Operated::start(&one_pool(front, "round-robin", &[("a", &first), ("b", &second)]));
    let mut clients = [Client::connect(front), Client::connect(front)];
    for client in &mut clients {
        client.send(get_request("/slow/1000"));
    }
    wait::until("each has one", || balancer.backend("a")["active"] == 1);
    let began = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| balancer.command(&["drain", "a", "--wait"]));
        wait::until("it is drained", || balancer.backend("a")["weight"] == 0);
        let mut client = Client::connect(front);
        for _ in 0..4 {
            assert_eq!(client.get("/").text(), "second\n");
        }
        let output = waiting.join().expect("a command");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(said.contains("a: 1 in flight") && said.ends_with("a: 0 in flight\n"), "{said}");
    });
    assert_eq!(balancer.backend("a")["active"], 0);
    for client in &mut clients {
        assert_eq!(client.response().expect("an answer").head.status(), 200);
    }
    assert!(began.elapsed() > Duration::from_millis(500), "the drain did not wait");

    assert!(balancer.command(&["enable", "a"]).status.success());
    assert_eq!(balancer.backend("a")["weight"], 1);
    // A limit that is too short is reported, and the backend stays drained.
    clients[0].send(get_request("/slow/1500"));
    clients[1].send(get_request("/slow/1500"));
    wait::until("each has one", || balancer.backend("a")["active"] == 1);
    let output = balancer.command(&["drain", "a", "--wait=100ms"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(balancer.backend("a")["weight"], 0);
}

/// Draining the last backend takes the pool out of service, and the answer says so.
#[test]
fn draining_the_last_backend_says_that_the_pool_answers_503() {
    let (first, second, front) = (Origin::named("first"), Origin::named("second"), free_address());
    let mut balancer = Operated::start(&one_pool(front, "round-robin", &[("a", &first), ("b", &second)]));
    let said = |output: std::process::Output| String::from_utf8(output.stdout).expect("text");
    assert!(!said(balancer.command(&["drain", "a"])).contains("503"));
    assert_eq!(balancer.command(&["status"]).status.code(), Some(0));
    let last = said(balancer.command(&["drain", "b"]));
    let warning = "pool default has no backend left that takes requests: it answers 503 now";
    assert_eq!(last, format!("backend b gets no new requests; 0 in flight\n{warning}\n"));
    balancer.process().wait_for_line(&["WARN", warning]);
    assert_eq!(Client::connect(front).get("/").head.status(), 503);
    let output = balancer.command(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains(", 0 of 2 up\n"), "{output:?}");
    assert_eq!(said(balancer.command(&["enable", "a"])), "backend a has its configured weight, 1\n");
    assert_eq!(balancer.command(&["status"]).status.code(), Some(0));
}

/// Clients do not notice them, so operators must be able to.
#[test]
fn retried_attempts_are_shown() {
    let (origin, front) = (Origin::named("well"), free_address());
    let refusing = free_address();
    let balancer = Operated::start(&json!({
        "listen": front.to_string(), "health_check": "off", "retries": 1,
        "backends": [
            { "name": "six", "url": format!("http://[::1]:{}", refusing.port()) },
            { "name": "well", "url": format!("http://{}", origin.address()) },
        ],
    }));
    let mut client = Client::connect(front);
    for _ in 0..4 {
        assert_eq!(client.get("/").text(), "well\n");
    }
    let six = balancer.backend("six");
    assert_eq!(six["address"], format!("[::1]:{}", refusing.port()));
    assert_eq!((&six["retried"], &six["responses"]), (&six["requests"], &json!([0, 0, 0, 0, 0, 0])));
    assert!(six["retried"].as_u64() >= Some(1), "{six}");
    assert_eq!(balancer.backend("well")["retried"], 0);
    let explained = balancer.get("/explain?url=http://a/").text();
    assert!(explained.contains(&format!("six ([::1]:{})", refusing.port())), "{explained}");
}

#[test]
fn temporary_weights_expire() {
    let (first, second, front) = (Origin::named("first"), Origin::named("second"), free_address());
    let mut balancer = Operated::start(&one_pool(front, "round-robin", &[("a", &first), ("b", &second)]));
    assert!(balancer.command(&["drain", "a", "--for", "2s"]).status.success());
    let drained = balancer.backend("a");
    assert_eq!((&drained["weight"], &drained["configured_weight"]), (&json!(0), &json!(1)));
    assert!(drained["override_left_s"].as_u64().is_some_and(|left| (1..=2).contains(&left)), "{drained}");
    assert_eq!(Client::connect(front).get("/").text(), "second\n");
    wait::until("it is back", || balancer.backend("a")["weight"] == 1);
    balancer.process().wait_for_line(&["backend a has its configured weight again, 1"]);
    wait::until("it is given requests", || Client::connect(front).get("/").text() == "first\n");
}

#[test]
fn weights_change_shares_at_once() {
    let (first, second, front) = (Origin::named("first"), Origin::named("second"), free_address());
    let balancer =
        Operated::start(&one_pool(front, "weighted-round-robin", &[("a", &first), ("b", &second)]));
    let mut client = Client::connect(front);
    let mut share = || (0..40).filter(|_| client.get("/").text() == "first\n").count();
    assert!((19..=21).contains(&share()));
    assert!(balancer.command(&["weight", "a", "3"]).status.success());
    assert!((29..=31).contains(&share()));
    assert_eq!(balancer.post("/backends/b/weight?value=7").head.status(), 200);
    assert!((11..=13).contains(&share()));
    assert_eq!(balancer.post("/backends/a/weight?value=0").head.status(), 200);
    assert_eq!(share(), 0);
    assert!(balancer.command(&["enable", "a"]).status.success());
    assert!(balancer.command(&["enable", "b"]).status.success());
    assert!((19..=21).contains(&share()));
    let unknown = balancer.command(&["weight", "c", "3"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: a, b"), "{unknown:?}");
}

fn one_pool(front: SocketAddr, strategy: &str, backends: &[(&str, &Origin)]) -> Value {
    let backends = backends
        .iter()
        .map(|(name, origin)| json!({ "name": name, "url": format!("http://{}", origin.address()) }));
    json!({
        "listen": front.to_string(), "strategy": strategy, "backends": backends.collect::<Vec<_>>(),
    })
}
