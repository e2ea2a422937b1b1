//! Stopping: requests in flight finish, no new ones start, and a second signal stops at once.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::balancer::Balancer;
use super::client::{Client, get_request};
use super::origin::Origin;
use super::wait::{self, Enough, PATIENCE};
use super::wire::Fault;

#[test]
fn requests_in_flight_are_answered_with_connection_close() {
    for signal in [Signal::TERM, Signal::INT] {
        let origin = Origin::named("slow");
        let mut balancer = Balancer::over(&[origin.backend()]);
        let mut clients: Vec<_> = (0..50).map(|_| Client::connect(balancer.address())).collect();
        for client in &mut clients {
            client.send(get_request("/slow/500"));
        }
        wait::until("all requests are in flight", || origin.requests() == 50);
        balancer.process().signal(signal);
        for client in &mut clients {
            let answer = client.response().expect("a request in flight is answered");
            assert_eq!(answer.head.status(), 200);
            assert_eq!(answer.head.field("Connection"), Some("close"));
        }
        assert!(balancer.process().wait_exit(PATIENCE).success(), "{}", balancer.process().log());
    }
}

#[test]
fn no_request_fails_when_it_stops_under_load() {
    let origin = Origin::named("fast");
    let mut balancer = Balancer::over(&[origin.backend()]);
    let address = balancer.address();
    let (answered, enough) = (AtomicUsize::new(0), Enough::not_yet());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(client) = Client::connect_if_open(address) {
                    serve_until_closed(client, &answered);
                    assert!(!enough.is(), "the balancer goes on serving");
                }
            });
        }
        wait::until("the load is on", || answered.load(Ordering::Relaxed) > 500);
        balancer.process().terminate();
        assert!(balancer.process().wait_exit(PATIENCE).success(), "{}", balancer.process().log());
    });
}

/// GETs until the balancer ends the connection. It may end an idle one at any moment, and a client that
/// had just started to reuse it must be able to tell that its request was not processed: it gets not a
/// single byte of a response. Anything else is a failed request.
fn serve_until_closed(mut client: Client, answered: &AtomicUsize) {
    loop {
        match client.try_get("/") {
            Ok(answer) => {
                assert_eq!(answer.head.status(), 200);
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.head.field("Connection") == Some("close") {
                    return;
                }
            }
            Err(Fault::Closed | Fault::Cut) if !client.wire.has_unread() => return,
            Err(fault) => panic!("a request failed: {fault:?}"),
        }
    }
}

#[test]
fn idle_connections_are_closed_and_new_ones_refused() {
    let origin = Origin::named("calm");
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut busy = Client::connect(balancer.address());
    busy.send(get_request("/slow/700"));
    wait::until("a request is in flight", || origin.requests() == 1);
    // Some of these have been idle for a while when the signal comes, some not at all.
    let mut idle: Vec<_> = (0..50).map(|_| Client::connect(balancer.address())).collect();
    for client in &mut idle {
        client.get("/");
    }
    balancer.process().terminate();
    for client in &mut idle {
        assert_eq!(client.response(), Err(Fault::Closed));
    }
    wait::until("connections are refused", || TcpStream::connect(balancer.address()).is_err());
    assert_eq!(busy.response().expect("the response").head.status(), 200);
    assert!(balancer.process().wait_exit(PATIENCE).success());
}

#[test]
fn a_second_signal_stops_at_once() {
    let origin = Origin::named("very slow");
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut client = Client::connect(balancer.address());
    client.send(get_request("/slow/20000"));
    wait::until("a request is in flight", || origin.requests() == 1);
    balancer.process().terminate();
    balancer.process().wait_for_line(&["SIGTERM"]);
    assert!(balancer.process().exited().is_none(), "the first signal did not wait");
    balancer.process().terminate();
    // Far below the 20 s of the request and the 30 s of the drain.
    assert!(balancer.process().wait_exit(Duration::from_secs(5)).success());
    assert!(client.response().is_err());
}

#[test]
fn an_idle_client_does_not_hold_up_a_stop() {
    let origin = Origin::named("origin");
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut client = Client::connect(balancer.address());
    client.get("/");
    // The connection is still warm: its worker parks it only after the poller has looked for idle ones.
    balancer.process().terminate();
    // Far below the 30 s of its keep-alive and of the drain.
    assert!(balancer.process().wait_exit(Duration::from_secs(10)).success());
}

#[test]
fn a_drain_ends_at_its_timeout() {
    let origin = Origin::named("very slow");
    let mut balancer =
        Balancer::start(json!({ "timeouts": { "drain": "300ms" }, "backends": [origin.backend()] }));
    let mut client = Client::connect(balancer.address());
    client.send(get_request("/slow/20000"));
    wait::until("a request is in flight", || origin.requests() == 1);
    balancer.process().terminate();
    assert!(balancer.process().wait_exit(Duration::from_secs(5)).success());
    assert!(client.response().is_err());
}

#[test]
fn a_port_in_use_is_reported_with_its_address() {
    let holder = super::origin::free_listener();
    let address = holder.local_addr().expect("local address").to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    let mut second = super::balancer::Process::start(command.args([
        "--listen",
        &address,
        "--backend",
        "http://127.0.0.1:9",
    ]));
    assert_eq!(second.wait_exit(PATIENCE).code(), Some(1));
    second.wait_for_line(&[&address]);
}
