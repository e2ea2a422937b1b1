//! A backend dies, and clients do not see it.

use serde_json::json;

use super::balancer::Balancer;
use super::client::Client;
use super::origin::{Origin, Refusing, backend_at};
use super::wait::{self, Enough};

#[test]
fn a_refusing_backend_is_unseen_by_clients() {
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
fn a_backend_that_stops_under_load_is_unseen_by_clients() {
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
