//! Backends that go down and come back: what is logged, and what clients see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::balancer::Balancer;
use super::client::{Client, get};
use super::origin::{Origin, listener_at, reply};
use super::wait;

/// Probes often enough for a test.
fn quick(extra: &Value) -> Value {
    let mut check =
        json!({ "interval": "200ms", "timeout": "150ms", "unhealthy_after": 3, "healthy_after": 2 });
    for (key, value) in extra.as_object().into_iter().flatten() {
        check[key] = value.clone();
    }
    check
}

#[cfg(feature = "demo")]
#[test]
fn a_killed_backend_is_logged_once_unnoticed_by_clients_and_comes_back() {
    use super::balancer::{free_address, origin_process};
    use super::origin::backend_at;

    let addresses = [free_address(), free_address()];
    let mut going = origin_process(addresses[0], "going");
    let _staying = origin_process(addresses[1], "staying");
    let mut balancer =
        Balancer::start(json!({ "health_check": quick(&json!({})), "backends": addresses.map(backend_at) }));
    let mut client = Client::connect(balancer.address());
    let mut seen = Vec::new();
    let mut ask = |count: usize| {
        for _ in 0..count {
            let answer = client.get("/");
            assert_eq!(answer.head.status(), 200);
            seen.push(answer.text());
        }
        std::mem::take(&mut seen)
    };
    let from_going = |answers: &[String]| answers.iter().filter(|answer| answer.contains("going")).count();
    assert_eq!(from_going(&ask(10)), 5);

    going.kill();
    // Clients continue while the balancer does not know yet.
    wait::until("the balancer says that the backend is down", || {
        from_going(&ask(1));
        balancer.process().lines_with(&["is DOWN"]) > 0
    });
    assert_eq!(from_going(&ask(20)), 0);

    let _back = origin_process(addresses[0], "going");
    // Requests have ejected it as well, and probes do not end that. More requests may pass before then
    // than one connection carries.
    let serves_again = || get(balancer.address(), "/").text().contains("going");
    wait::until("the backend serves again", serves_again);
    balancer.process().wait_for_line(&["is UP"]);
    assert_eq!(balancer.process().lines_with(&["is DOWN"]), 1, "{}", balancer.process().log());
    assert_eq!(balancer.process().lines_with(&["is UP"]), 1, "{}", balancer.process().log());
}

#[test]
fn all_backends_down_is_503_at_once_and_ends_by_itself() {
    let origins = ["a", "b"].map(Origin::named);
    let backends = origins.each_ref().map(Origin::backend);
    let addresses = origins.each_ref().map(Origin::address);
    let mut balancer = Balancer::start(json!({ "health_check": quick(&json!({})), "backends": backends }));
    assert_eq!(get(balancer.address(), "/").head.status(), 200);
    drop(origins);
    wait::until("both backends are down", || balancer.process().lines_with(&["is DOWN"]) == 2);

    let start = Instant::now();
    let refused = get(balancer.address(), "/");
    assert_eq!(refused.head.status(), 503);
    assert!(refused.head.field("Retry-After").is_some(), "{:?}", refused.head);
    // Nothing is tried, so there is nothing to wait for; the connect timeout alone would be 2 s.
    assert!(start.elapsed() < Duration::from_secs(1), "503 took {:?}", start.elapsed());

    let _back = Origin::named_at(listener_at(addresses[0]), "back");
    wait::until("a backend that came back is used", || get(balancer.address(), "/").head.status() == 200);
}

#[test]
fn an_http_check_goes_by_the_status() {
    let ill = Arc::new(AtomicBool::new(true));
    let origin = Origin::serve({
        let ill = Arc::clone(&ill);
        move |head, wire| {
            let status = if head.target() == "/ready" && ill.load(Ordering::SeqCst) { 503 } else { 200 };
            reply(wire, status, b"probed\n")
        }
    });
    let mut balancer = Balancer::start(json!({
        "health_check": quick(&json!({ "type": "http", "path": "/ready" })),
        "backends": [origin.backend()],
    }));
    // The first probe decides on its own.
    balancer.process().wait_for_line(&["is DOWN", "503"]);
    assert_eq!(get(balancer.address(), "/").head.status(), 503);
    ill.store(false, Ordering::SeqCst);
    balancer.process().wait_for_line(&["is UP"]);
    assert_eq!(get(balancer.address(), "/").head.status(), 200);
}

#[test]
fn a_healthy_backend_is_not_logged() {
    let origin = Origin::named("fine");
    let mut balancer =
        Balancer::start(json!({ "health_check": quick(&json!({})), "backends": [origin.backend()] }));
    let mut client = Client::connect(balancer.address());
    wait::until("several probes were made", || {
        client.get("/");
        // The first connection carries the requests; every other one is a probe.
        origin.connections() > 4
    });
    assert_eq!(balancer.process().lines_with(&["is "]), 0, "{}", balancer.process().log());
}
