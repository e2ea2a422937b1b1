//! Which backend a request goes to.

use crossbeam::channel;
use serde_json::{Value, json};

use super::balancer::Balancer;
use super::client::{Client, get};
use super::origin::{Origin, reply};
use super::wait;

/// The names that answered this many requests over one connection, in order.
fn answers(balancer: &Balancer, count: usize) -> Vec<String> {
    let mut client = Client::connect(balancer.address());
    (0..count).map(|_| client.get("/").text().trim_end().to_owned()).collect()
}

fn balancer(strategy: &str, backends: &[Value]) -> Balancer {
    Balancer::start(json!({ "strategy": strategy, "health_check": "off", "backends": backends }))
}

fn weighted(origin: &Origin, weight: u32) -> Value {
    let mut backend = origin.backend();
    backend["weight"] = json!(weight);
    backend
}

#[test]
fn round_robin_goes_through_the_backends_in_their_order() {
    let origins = ["1", "2", "3"].map(Origin::named);
    let balancer = balancer("round-robin", &origins.each_ref().map(Origin::backend));
    assert_eq!(answers(&balancer, 9), ["1", "2", "3", "1", "2", "3", "1", "2", "3"]);
    // The rotation belongs to the pool, not to a connection.
    let over_connections: Vec<_> = (0..4).map(|_| get(balancer.address(), "/").text()).collect();
    assert_eq!(over_connections, ["1\n", "2\n", "3\n", "1\n"]);
}

#[test]
fn weighted_round_robin_is_exact_over_every_window() {
    let origins = ["a", "b", "c"].map(Origin::named);
    let [a, b, c] = &origins;
    let balancer = balancer("weighted-round-robin", &[weighted(a, 2), weighted(b, 1), weighted(c, 1)]);
    let seen = answers(&balancer, 40);
    for window in seen.windows(4) {
        let count = |name: &str| window.iter().filter(|answer| *answer == name).count();
        assert_eq!((count("a"), count("b"), count("c")), (2, 1, 1), "{window:?} in {seen:?}");
    }
}

#[test]
fn a_backend_of_weight_zero_gets_nothing() {
    let origins = ["a", "b"].map(Origin::named);
    let balancer = balancer("weighted-round-robin", &[weighted(&origins[0], 0), weighted(&origins[1], 1)]);
    assert_eq!(answers(&balancer, 6), ["b"; 6]);
    assert_eq!(origins[0].requests(), 0);
}

#[test]
fn least_connections_prefers_the_idle_backend() {
    let (release, held) = channel::bounded::<()>(0);
    let origins = ["a", "b"].map(|name| {
        let held = held.clone();
        Origin::serve(move |head, wire| {
            if head.target() == "/hold" {
                // The sender is dropped at the end of the test, which releases this.
                let _ = held.recv_timeout(wait::PATIENCE);
            }
            reply(wire, 200, name.as_bytes())
        })
    });
    let balancer = balancer("least-connections", &origins.each_ref().map(Origin::backend));
    let mut holding = Client::connect(balancer.address());
    holding.send("GET /hold HTTP/1.1\r\nHost: test.example\r\n\r\n");
    wait::until("one backend is busy", || origins.iter().any(|origin| origin.requests() == 1));
    let idle = if origins[0].requests() == 0 { "a" } else { "b" };
    assert_eq!(answers(&balancer, 8), [idle; 8]);
    drop(release);
    assert_eq!(holding.response().expect("the held response").head.status(), 200);
}

#[test]
fn random_reaches_every_backend() {
    let origins = ["a", "b", "c"].map(Origin::named);
    let balancer = balancer("random", &origins.each_ref().map(Origin::backend));
    let seen = answers(&balancer, 300);
    for name in ["a", "b", "c"] {
        // Fewer than 50 of 300 would be six standard deviations from the mean.
        assert!(seen.iter().filter(|answer| *answer == name).count() >= 50, "{name} in {seen:?}");
    }
}
