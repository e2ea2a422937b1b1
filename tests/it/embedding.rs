//! The library: a balancer inside another program.

use std::time::{Duration, Instant};

use ropewalk::{Balancer, Config};

use super::client::get;
use super::origin::Origin;

fn start(origin: &Origin) -> Balancer {
    let config = Config::new().listen("127.0.0.1:0").backend(&format!("http://{}", origin.address()));
    Balancer::start(config.check().expect("a good configuration").plan).expect("a balancer")
}

#[test]
fn two_balancers_in_one_process_do_not_know_of_each_other() {
    let origins = ["one", "two"].map(Origin::named);
    let [first, second] = origins.each_ref().map(start);
    let (at_first, at_second) = (first.addresses()[0], second.addresses()[0]);
    assert_eq!(get(at_first, "/").text(), "one\n");
    assert_eq!(get(at_second, "/").text(), "two\n");

    first.handle().drain();
    first.join();
    assert!(std::net::TcpStream::connect(at_first).is_err());
    assert_eq!(get(at_second, "/").text(), "two\n");
    assert_eq!(second.handle().panics(), 0);
}

#[test]
fn a_dropped_balancer_stops_at_once() {
    let origin = Origin::named("one");
    let balancer = start(&origin);
    let address = balancer.addresses()[0];
    assert_eq!(get(address, "/").text(), "one\n");
    let start = Instant::now();
    drop(balancer);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(std::net::TcpStream::connect(address).is_err());
}
