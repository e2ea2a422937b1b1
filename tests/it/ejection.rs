//! Backends with failing requests: which are ejected, and which never are.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::balancer::{Balancer, free_address};
use super::client::{Client, get, get_request};
use super::operator::Operated;
use super::origin::{Next, Origin, Refusing, backend_at, reply};
use super::wait;
use super::wire::Wire;

/// An origin that answers, but hangs up on `/close` and never answers `/hang`.
fn moody(name: &'static str) -> Origin {
    Origin::serve(move |head, wire| match head.target() {
        "/close" => Next::Reset,
        "/hang" => Next::Keep,
        "/fail" => reply(wire, 500, b"failed\n"),
        _ => reply(wire, 200, name.as_bytes()),
    })
}

/// An origin that accepts and reads, and never answers.
fn hung() -> Origin {
    Origin::serve(|_, _| Next::Keep)
}

fn backends(origins: &[&Origin]) -> Vec<Value> {
    origins.iter().map(|origin| origin.backend()).collect()
}

#[track_caller]
fn status_of(balancer: &Balancer, path: &str) -> u16 {
    get(balancer.address(), path).head.status()
}

#[test]
fn a_request_that_every_backend_hangs_up_on_ejects_none_of_them() {
    let origins = ["1", "2", "3"].map(moody);
    let mut balancer = Balancer::start(json!({ "backends": backends(&origins.each_ref()) }));
    for _ in 0..20 {
        assert_eq!(status_of(&balancer, "/close"), 502);
        assert_eq!(status_of(&balancer, "/"), 200);
    }
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
    assert_eq!(balancer.process().lines_with(&["DOWN"]), 0, "{}", balancer.process().log());
    // Each was tried: three attempts for each bad request, and more where a kept connection died.
    assert!(origins.iter().map(Origin::requests).sum::<usize>() >= 20 * 3 + 20);
}

#[test]
fn one_client_ejects_nothing_with_requests_that_only_one_backend_is_asked() {
    let origins = ["1", "2", "3"].map(moody);
    let mut balancer = Balancer::start(json!({ "retries": 0, "backends": backends(&origins.each_ref()) }));
    for _ in 0..30 {
        assert_eq!(status_of(&balancer, "/close"), 502);
    }
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
    // Five clients do, and it is only one of three.
    for client in 2..30 {
        let mut client = client_at(&balancer, Ipv4Addr::new(127, 0, 0, client));
        client.send(get_request("/close"));
        assert_eq!(client.response().expect("a response").head.status(), 502);
    }
    balancer.process().wait_for_line(&["is EJECTED for 5s", "connection closed before it answered"]);
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 1, "{}", balancer.process().log());
}

#[test]
fn clients_behind_a_trusted_proxy_count_separately() {
    let origins = ["1", "2", "3"].map(moody);
    let mut balancer = Balancer::start(json!({
        "retries": 0,
        "trusted_proxies": ["127.0.0.1"],
        "backends": backends(&origins.each_ref()),
    }));
    let address = balancer.address();
    let close = |client: u8| {
        let mut proxy = Client::connect(address);
        proxy.send(format!("GET /close HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.{client}\r\n\r\n"));
        assert_eq!(proxy.response().expect("a response").head.status(), 502);
    };
    (0..30).for_each(|_| close(1));
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
    (2..30).for_each(close);
    balancer.process().wait_for_line(&["is EJECTED for 5s", "connection closed before it answered"]);
}

/// A client that connects from this address.
fn client_at(balancer: &Balancer, address: Ipv4Addr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&std::net::SocketAddr::from((address, 0)).into()).expect("an address of 127.0.0.0/8");
    socket.connect(&balancer.address().into()).expect("connect");
    Client { wire: Wire::new(socket.into()) }
}

#[test]
fn a_lone_backend_gets_a_request_that_times_out_once_and_is_never_ejected() {
    let origin = moody("lone");
    let mut balancer = Balancer::start(json!({
        "timeouts": { "response_head": "100ms" },
        "backends": [origin.backend()],
    }));
    for request in 1..=12 {
        assert_eq!(status_of(&balancer, "/hang"), 504);
        assert_eq!(origin.requests(), 2 * request - 1, "each is run once");
        assert_eq!(status_of(&balancer, "/"), 200);
    }
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
}

#[test]
fn a_hung_backend_is_ejected_for_longer_each_time_and_clients_do_not_notice() {
    let (good, bad) = (Origin::named("good"), hung());
    let mut balancer = Balancer::start(json!({
        "health_check": { "interval": "200ms", "timeout": "150ms" },
        "timeouts": { "response_head": "100ms" },
        "ejection": { "for": "300ms" },
        "backends": [good.backend(), bad.backend()],
    }));
    // Two missing responses, of a backend that has answered nothing.
    wait::until("the hung backend is ejected", || {
        assert_eq!(status_of(&balancer, "/"), 200);
        balancer.process().lines_with(&["is EJECTED for 300ms"]) == 1
    });
    let before = bad.requests();
    assert!(before <= 4, "{before} requests waited for it");
    wait::until("it was tried twice", || {
        assert_eq!(status_of(&balancer, "/"), 200);
        balancer.process().lines_with(&["stays EJECTED for 1s 200ms"]) == 1
    });
    // The probes, which find that it accepts connections, have reported nothing.
    assert_eq!(balancer.process().lines_with(&["is UP"]), 0, "{}", balancer.process().log());
    assert_eq!(balancer.process().lines_with(&["is DOWN"]), 0, "{}", balancer.process().log());
}

#[test]
fn a_backend_is_ejected_without_probes_and_serves_again_when_a_trial_is_answered() {
    let (good, bad) = (Origin::named("good"), Refusing::new());
    let address = bad.address();
    let mut balancer = Balancer::start(json!({
        "health_check": "off",
        "ejection": { "for": "200ms" },
        "backends": [good.backend(), backend_at(address)],
    }));
    wait::until("it is ejected", || {
        assert_eq!(status_of(&balancer, "/"), 200);
        balancer.process().lines_with(&["is EJECTED", "connection refused"]) > 0
    });
    drop(bad);
    let _back = Origin::named_at(super::origin::listener_at(address), "back");
    wait::until("it serves again", || get(balancer.address(), "/").text().contains("back"));
    balancer.process().wait_for_line(&["is no longer EJECTED: it answered a request"]);
}

#[test]
fn an_error_of_the_backend_counts_only_where_the_configuration_says_so() {
    for (on_status, ejected) in [(json!([]), 0), (json!([500, 502]), 1)] {
        let origins = ["1", "2"].map(moody);
        let mut balancer = Balancer::start(json!({
            "health_check": "off",
            "ejection": { "failures": 1, "ratio": 1, "on_status": on_status },
            "backends": backends(&origins.each_ref()),
        }));
        for _ in 0..4 {
            assert_eq!(status_of(&balancer, "/fail"), 500);
        }
        assert_eq!(balancer.process().lines_with(&["is EJECTED"]), ejected, "{}", balancer.process().log());
    }
}

#[test]
fn a_client_that_leaves_is_no_evidence() {
    let origins = ["1", "2"].map(moody);
    let mut balancer = Balancer::start(json!({
        "health_check": "off",
        "ejection": { "failures": 1, "ratio": 1 },
        "backends": backends(&origins.each_ref()),
    }));
    for asked in 1..=10 {
        let mut client = Client::connect(balancer.address());
        client.send(get_request("/hang"));
        let seen = || origins.iter().map(Origin::requests).sum::<usize>();
        wait::until("a backend has the request", || seen() == asked);
    }
    assert_eq!(status_of(&balancer, "/"), 200);
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
}

#[test]
fn an_unresolved_name_is_no_evidence() {
    let origin = Origin::named("good");
    let mut balancer = Balancer::start(json!({
        "health_check": "off",
        "ejection": { "failures": 1, "ratio": 1 },
        "backends": [{ "url": "http://nowhere.invalid:1" }, origin.backend()],
    }));
    for _ in 0..6 {
        assert_eq!(status_of(&balancer, "/"), 200);
    }
    assert_eq!(balancer.process().lines_with(&["EJECTED"]), 0, "{}", balancer.process().log());
}

#[test]
fn the_status_shows_what_is_ejected_and_for_how_long() {
    let (good, bad) = (Origin::named("good"), Refusing::new());
    let listen = free_address();
    let operated = Operated::start(&json!({
        "listen": listen.to_string(),
        "health_check": "off",
        "ejection": { "for": "30s" },
        "backends": [
            { "name": "good", "url": format!("http://{}", good.address()) },
            { "name": "bad", "url": format!("http://{}", bad.address()) },
        ],
    }));
    wait::until("it is ejected", || {
        assert_eq!(get(listen, "/").head.status(), 200);
        operated.backend("bad")["ejected"] == true
    });
    let backend = operated.backend("bad");
    assert_eq!((&backend["up"], &backend["reason"]), (&json!(true), &json!("connection refused")));
    assert!((1..=30).contains(&backend["ejected_left_s"].as_u64().expect("seconds")));
    assert_eq!(backend["ejections"], json!({ "connection_refused": 1 }));
    assert_eq!(operated.metric("ropewalk_backend_ejected{pool=\"default\",backend=\"bad\"}"), Some(1.0));
    let table = operated.get("/status?format=text").text();
    assert!(table.contains("EJECTED") && table.contains("1 of 2 up"), "{table}");
    let explained = operated.get("/explain?url=http://a/").text();
    assert!(explained.contains("not a candidate: ejected for"), "{explained}");
    // One backend is left, so the pool is ready.
    assert_eq!(operated.get("/readyz").head.status(), 200);
    // Draining that one leaves only the ejected one, which then serves again at once.
    operated.post("/backends/good/drain");
    assert_eq!(operated.backend("bad")["ejected"], false);
}
