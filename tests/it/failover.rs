//! A backend dies, and clients do not notice.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::balancer::{Balancer, free_address};
use super::client::{Client, get, get_request};
use super::operator::Operated;
use super::origin::{Next, Origin, Refusing, backend_at, listener_at, reply};
use super::wait::{self, Enough};

#[test]
fn clients_do_not_notice_a_refusing_backend() {
    let (first, last, refusing) = (Origin::named("first"), Origin::named("last"), Refusing::new());
    let balancer = Balancer::start(json!({
        "health_check": "off",
        "backends": [first.backend(), backend_at(refusing.address()), last.backend()],
    }));
    let mut client = Client::connect(balancer.address());
    for _ in 0..30 {
        assert_eq!(client.get("/").head.status(), 200);
    }
    assert_eq!(first.requests() + last.requests(), 30);
}

#[test]
fn clients_do_not_notice_a_backend_that_stops_under_load() {
    let (staying, going) = (Origin::named("staying"), Origin::named("going"));
    let balancer = Balancer::over(&[staying.backend(), going.backend()]);
    let enough = Enough::not_yet();
    std::thread::scope(|scope| {
        let load: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(balancer.address());
                    for count in 1.. {
                        assert_eq!(client.get("/").head.status(), 200);
                        if enough.is() {
                            return;
                        }
                        if count % 500 == 0 {
                            client = Client::connect(balancer.address());
                        }
                    }
                })
            })
            .collect();
        wait::until("both backends serve", || going.requests() > 50 && staying.requests() > 50);
        drop(going);
        let before = staying.requests();
        wait::until("the other one serves alone", || staying.requests() > before + 200);
        enough.say();
        for client in load {
            client.join().expect("no client saw a failure");
        }
    });
}

#[test]
fn a_down_backend_leaves_the_rotation_of_the_others_as_it_was() {
    let origins = ["1", "2"].map(Origin::named);
    let refusing = Refusing::new();
    let mut balancer = Balancer::start(json!({
        "health_check": { "interval": "500ms", "timeout": "200ms" },
        "backends": [origins[0].backend(), backend_at(refusing.address()), origins[1].backend()],
    }));
    balancer.process().wait_for_line(&["is DOWN"]);
    let mut client = Client::connect(balancer.address());
    let seen: Vec<_> = (0..6).map(|_| client.get("/").text()).collect();
    for pair in seen.windows(2) {
        assert_ne!(pair[0], pair[1], "{seen:?}");
    }
}

/// How many requests the balancer has at a stage.
fn at_stage(operated: &Operated, stage: &str) -> usize {
    let requests = operated.get("/requests?format=text").text();
    requests.lines().filter(|line| line.contains(stage)).count()
}

#[test]
fn clients_do_not_notice_a_restart_of_a_lone_backend_and_one_request_redials_it() {
    const CLIENTS: usize = 12;
    let (listen, refusing) = (free_address(), Refusing::new());
    let address = refusing.address();
    let operated = Operated::start(&json!({
        "listen": listen.to_string(),
        "health_check": "off",
        "timeouts": { "connect": "20s", "queue": "20s" },
        "backends": [backend_at(address)],
    }));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut asked = Client::connect(listen);
                    // Nothing was sent, so the method does not matter.
                    match client % 2 {
                        0 => asked.send(get_request("/")),
                        _ => asked.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
                    }
                    asked.response().expect("a response").head.status()
                })
            })
            .collect();
        wait::until("one dials and the others wait", || {
            at_stage(&operated, "waiting to dial the backend again") == 1
                && at_stage(&operated, "waiting for a place at a backend") == CLIENTS - 1
        });
        drop(refusing);
        let _back = Origin::named_at(listener_at(address), "back");
        for client in clients {
            assert_eq!(client.join().expect("a client"), 200);
        }
    });
}

#[test]
fn a_lone_backend_that_keeps_refusing_is_502_for_all_waiting_requests() {
    let (listen, refusing) = (free_address(), Refusing::new());
    let mut config = json!({
        "listen": listen.to_string(),
        "health_check": "off",
        "timeouts": { "connect": "700ms" },
        "backends": [backend_at(refusing.address())],
    });
    let _operated = Operated::start(&config);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(move || get(listen, "/").head)).collect();
        for client in clients {
            let head = client.join().expect("a client");
            assert_eq!(head.status(), 502);
            assert_eq!(head.field("proxy-status"), Some("ropewalk; error=connection_refused"));
        }
    });
    // Without retries it gets the error at once.
    config["listen"] = json!(free_address().to_string());
    config["retries"] = json!(0);
    config["timeouts"]["connect"] = json!("20s");
    let listen: SocketAddr = config["listen"].as_str().expect("text").parse().expect("an address");
    let _operated = Operated::start(&config);
    let start = Instant::now();
    assert_eq!(get(listen, "/").head.status(), 502);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_request_that_waits_for_a_backend_that_goes_down_moves_to_another() {
    let (asked, ill) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let bad = Origin::serve({
        let (asked, ill) = (Arc::clone(&asked), Arc::clone(&ill));
        move |head, wire| match head.target() {
            "/health" if ill.load(Ordering::SeqCst) => reply(wire, 503, b""),
            "/health" => reply(wire, 200, b""),
            _ => {
                asked.fetch_add(1, Ordering::SeqCst);
                Next::Keep
            }
        }
    });
    let good = Origin::named("good");
    let mut balancer = Balancer::start(json!({
        "health_check": { "interval": "200ms", "timeout": "100ms", "unhealthy_after": 1, "path": "/health" },
        "backends": [bad.backend(), good.backend()],
    }));
    let mut idempotent = Client::connect(balancer.address());
    idempotent.send(get_request("/"));
    wait::until("the backend has the request", || asked.load(Ordering::SeqCst) == 1);
    let mut other = Client::connect(balancer.address());
    assert_eq!(other.get("/").text(), "good\n");
    other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    wait::until("the backend has the other", || asked.load(Ordering::SeqCst) == 2);
    ill.store(true, Ordering::SeqCst);
    balancer.process().wait_for_line(&["is DOWN"]);
    // Far sooner than `timeouts.response_head` of 30 s.
    let start = Instant::now();
    assert_eq!(idempotent.response().expect("a response").text(), "good\n");
    assert!(start.elapsed() < Duration::from_secs(10), "it was moved after {:?}", start.elapsed());
    // A request that may have been acted on stays where it is.
    drop(bad);
    assert_eq!(other.response().expect("a response").head.status(), 502);
}

/// Set when a test runs with its own hosts file.
const OWN_HOSTS: &str = "ROPEWALK_OWN_HOSTS";

/// Runs the named test once more where `two.test` has two addresses, 127.0.0.2 and 127.0.0.3. If the
/// kernel does not allow that, there is nothing to run.
fn run_with_two_addresses(test: &str) {
    let folder = tempfile::tempdir().expect("scratch folder");
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n127.0.0.2 two.test\n127.0.0.3 two.test\n").expect("hosts");
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let unshare = |arguments: &[&std::ffi::OsStr]| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script, "sh"]).args(arguments).env(OWN_HOSTS, "1").output()
    };
    if !unshare(&["true".as_ref()]).is_ok_and(|output| output.status.success()) {
        eprintln!("no mount namespace to be had: {test} was not run");
        return;
    }
    let program = std::env::current_exe().expect("this test program");
    let output = unshare(&[program.as_ref(), "--exact".as_ref(), test.as_ref()]).expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_name_whose_first_address_refuses_is_served_at_its_second() {
    if std::env::var_os(OWN_HOSTS).is_none() {
        return run_with_two_addresses(
            "failover::a_name_whose_first_address_refuses_is_served_at_its_second",
        );
    }
    for (first, second) in [("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2")] {
        let at = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), free_address().port());
        let here = Origin::named_at(listener_at(at(first)), "first");
        let port = here.address().port();
        let balancer = Balancer::start(json!({
            "health_check": "off",
            // The address that refuses is not redialled: another one is tried at once.
            "retries": 0,
            "backends": [{ "url": format!("http://two.test:{port}") }],
        }));
        // The lookup has to finish first.
        wait::until("it is served", || get(balancer.address(), "/").head.status() == 200);
        let mut client = Client::connect(balancer.address());
        for _ in 0..10 {
            assert_eq!(client.get("/").text(), "first\n");
        }
        // The address that served stops, and the other one starts.
        let there = listener_at(SocketAddr::new(second.parse().expect("an address"), port));
        drop(here);
        let _there = Origin::named_at(there, "second");
        for _ in 0..10 {
            assert_eq!(client.get("/").text(), "second\n");
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
            assert_eq!(client.response().expect("a response").text(), "second\n");
        }
    }
}
