//! Attacks that a script cannot say: many connections at once, and a process that is short of
//! what it needs.

use std::time::Duration;

use serde_json::json;

use super::balancer::Balancer;
use super::client::Client;
use super::origin::Origin;
use super::wait;

/// Clients that connect while there are descriptors for a few of them.
const CLIENTS: usize = 40;

/// Descriptors that are left when the clients come.
const SPARE: u64 = 10;

#[test]
fn a_shortage_of_descriptors_is_not_taken_for_a_fault_of_the_backends() {
    let origin = Origin::named("one");
    let mut balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "health_check": { "type": "tcp", "interval": "100ms", "timeout": "50ms", "unhealthy_after": 1 },
    }));
    let address = balancer.address();
    let process = balancer.process();
    process.limit_descriptors(process.descriptors() + SPARE);

    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    process.wait_for_line(&["cannot accept connections"]);
    for client in &mut clients {
        // One that waits in the kernel is not answered before another has gone.
        client.wire.set_patience(Duration::from_millis(100));
        if let Ok(answer) = client.try_get("/") {
            assert!(matches!(answer.head.status(), 200 | 503), "{}", answer.head.status());
        }
    }
    drop(clients);
    wait::until("the balancer has recovered", || {
        Client::connect(address).try_get("/").is_ok_and(|answer| answer.head.status() == 200)
    });
    assert_eq!(process.lines_with(&["is DOWN"]), 0, "{}", process.log());
}
