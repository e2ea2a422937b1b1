//! What connections hold on to while configurations come and go.

use std::fs;

use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::operator::{Asked, Operated};
use super::origin::{Origin, reply};
use super::reloads_under_load::{echo_for_ever, open_tunnel};
use super::wait;

#[test]
fn no_connection_keeps_an_old_configuration_alive() {
    let origin = Origin::serve(|head, wire| match head.field("upgrade") {
        Some(_) => echo_for_ever(wire),
        None => reply(wire, 200, b"ok\n"),
    });
    let (front, log) = (free_address(), tempfile::tempdir().expect("scratch folder"));
    let log = log.path().join("access.log");
    let config = |step: usize| {
        json!({
            "listen": front.to_string(), "log": { "access": log.to_str().expect("UTF-8") },
            "pools": { "web": { "backends": [
                { "name": format!("web-{step}"), "url": format!("http://{}", origin.address()) },
            ] } },
            "routes": [{ "name": format!("route-{step}"), "pool": "web" }],
        })
    };
    let balancer = Operated::start(&config(0));
    let (mut tunnels, mut idle) = (Vec::new(), Vec::new());
    for step in 1..=10 {
        // One that is in a tunnel, one between two requests, one that has sent nothing yet and one
        // that has begun to.
        tunnels.push(open_tunnel(front));
        idle.push(Client::connect(front));
        idle[0].get("/");
        idle.push(Client::connect(front));
        let mut begun = Client::connect(front);
        begun.send("GET / HTTP/1.1\r\n");
        idle.push(begun);
        balancer.reload(&config(step), Asked::OverHttp);
    }
    wait::until("only the present configuration is left", || balancer.status()["configurations"] == 1);

    // What a tunnel is shown and recorded with is that of its beginning.
    let list: Value = serde_json::from_slice(&balancer.get("/requests").body).expect("a JSON document");
    let routes: Vec<_> =
        list["requests"].as_array().expect("a list").iter().map(|request| &request["route"]).collect();
    assert!(routes.contains(&&json!("route-0")) && routes.contains(&&json!("route-9")), "{routes:?}");
    tunnels.drain(..).for_each(drop);
    wait::until("the record of the first tunnel", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut of_tunnel = records.filter(|record| record["route"] == "route-0" && record["status"] == 101);
        of_tunnel.next().is_some_and(|record| record["pool"] == "web" && record.to_string().contains("web-0"))
    });
}
