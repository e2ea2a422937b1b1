//! The library API: what an embedding program relies on.

use std::net::TcpListener;
use std::time::Duration;

use ropewalk::{Balancer, Config, StartError};

use super::client::Client;
use super::origin::Origin;
use super::wait;

fn balancer(origin: &Origin) -> Balancer {
    let url = format!("http://{}", origin.address());
    let config = Config::new().listen("127.0.0.1:0").named_backend("only", &url);
    Balancer::start(config.check().expect("a good configuration").plan).expect("a start")
}

#[test]
fn two_balancers_in_one_process_are_independent() {
    let (first_origin, second_origin) = (Origin::named("first"), Origin::named("second"));
    let (first, second) = (balancer(&first_origin), balancer(&second_origin));
    assert_ne!(first.addresses(), second.addresses());
    for _ in 0..3 {
        assert_eq!(Client::connect(first.addresses()[0]).get("/").text(), "first\n");
        assert_eq!(Client::connect(second.addresses()[0]).get("/").text(), "second\n");
    }
    first.handle().drain();
    first.join().expect("no thread has failed");
    assert_eq!(Client::connect(second.addresses()[0]).get("/").text(), "second\n");
}

#[test]
fn a_handle_shows_backends_and_connections() {
    let origin = Origin::named("origin");
    let balancer = balancer(&origin);
    let handle = balancer.handle();
    let mut client = Client::connect(balancer.addresses()[0]);
    client.get("/");
    let [backend] = &handle.backends()[..] else { panic!("one backend") };
    assert_eq!((backend.name.as_str(), backend.pool.as_str()), ("only", "default"));
    assert_eq!((backend.up, backend.weight, backend.requests), (true, 1, 1));
    wait::until("the request is over", || handle.backends()[0].active == 0);
    assert_eq!(handle.connections(), 1);
    drop(client);
    wait::until("the connection is gone", || handle.connections() == 0);
    assert_eq!(handle.panics(), 0);
}

#[test]
fn a_listener_that_was_bound_before_is_served() {
    let origin = Origin::named("origin");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = Config::new().listen(&address.to_string()).backend(&format!("http://{}", origin.address()));
    let checked = config.check().expect("a good configuration").plan;
    let balancer = Balancer::start_with(checked.clone(), vec![listener]).expect("a start");
    assert_eq!(balancer.addresses(), [address]);
    assert_eq!(Client::connect(address).get("/").text(), "origin\n");
    drop(balancer);
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let error = Balancer::start_with(checked, vec![other]).err().expect("a refusal");
    assert!(matches!(error, StartError::NotConfigured { .. }), "{error}");
}

#[test]
fn a_handle_drains_a_backend_and_brings_it_back() {
    let origin = Origin::named("origin");
    let balancer = balancer(&origin);
    let handle = balancer.handle();
    let status = || Client::connect(balancer.addresses()[0]).get("/").head.status();
    handle.set_weight("only", 0).expect("a known backend");
    assert_eq!((handle.backends()[0].weight, status()), (0, 503));
    handle.set_weight("only", 9).expect("a known backend");
    assert_eq!((handle.backends()[0].weight, status()), (9, 200));
    handle.restore_weight("only").expect("a known backend");
    assert_eq!(handle.backends()[0].weight, 1);
    let error = handle.set_weight("onyl", 0).expect_err("no such backend");
    assert!(error.to_string().contains("onyl") && error.to_string().contains("only"), "{error}");
}

#[test]
fn a_handle_renders_the_metrics_without_an_admin_listener() {
    let origin = Origin::named("origin");
    let balancer = balancer(&origin);
    assert_eq!(balancer.admin_address(), None);
    Client::connect(balancer.addresses()[0]).get("/");
    wait::until("the request is counted", || {
        let text = balancer.handle().metrics();
        text.lines().any(|line| line.starts_with("ropewalk_requests_total{") && line.ends_with(" 1"))
    });
}

#[test]
fn a_configuration_is_applied_while_clients_are_served() {
    let (first, second) = (Origin::named("first"), Origin::named("second"));
    let balancer = balancer(&first);
    let address = balancer.addresses()[0];
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").text(), "first\n");
    let url = format!("http://{}", second.address());
    let config = Config::new().listen("127.0.0.1:0").named_backend("only", &url);
    let changes =
        balancer.handle().reload(config.check().expect("a good configuration").plan).expect("a reload");
    assert!(!changes.is_empty());
    assert_eq!(client.get("/").text(), "second\n", "on the same connection");
}

#[test]
fn dropping_a_balancer_stops_it_and_closes_its_connections() {
    let origin = Origin::named("origin");
    let balancer = balancer(&origin);
    let (address, handle) = (balancer.addresses()[0], balancer.handle());
    let mut client = Client::connect(address);
    client.get("/");
    drop(balancer);
    assert_eq!(handle.connections(), 0, "a handle keeps no connection alive");
    assert!(client.response().is_err());
    assert!(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err());
}

#[test]
fn a_port_that_is_taken_is_named_with_the_remedy() {
    let origin = Origin::named("origin");
    let first = balancer(&origin);
    let taken = first.addresses()[0];
    let config = Config::new().listen(&taken.to_string()).backend("http://127.0.0.1:1");
    let error = Balancer::start(config.check().expect("a good configuration").plan).err().expect("a refusal");
    let text = error.to_string();
    assert!(text.contains(&taken.to_string()) && text.contains("ss -ltnp"), "{text}");
}
