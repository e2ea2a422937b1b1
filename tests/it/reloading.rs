//! Reloads: what they change, what they refuse, and what they leave as it is.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::operator::{Asked, Operated};
use super::origin::{Origin, free_listener};
use super::wait;

/// One listener and one pool over these origins.
fn plain(address: SocketAddr, origins: &[(&str, &Origin)]) -> Value {
    let backends = origins
        .iter()
        .map(|(name, origin)| json!({ "name": name, "url": format!("http://{}", origin.address()) }));
    json!({ "listen": address.to_string(), "backends": backends.collect::<Vec<_>>() })
}

#[test]
fn a_bad_file_changes_nothing_and_is_reported_to_the_caller() {
    let (origin, address) = (Origin::named("only"), free_address());
    let config = plain(address, &[("a", &origin)]);
    let mut balancer = Operated::start(&config);
    let mistake = "strategy";
    let mut bad = config.clone();
    bad[mistake] = json!("fastest");
    bad["backends"][0]["weight"] = json!(7);
    balancer.write(&bad);

    let answer = balancer.post("/reload");
    assert_eq!(answer.head.status(), 422);
    assert!(answer.text().contains("fastest"), "{}", answer.text());
    let output = balancer.command(&["reload"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("fastest"), "{output:?}");
    balancer.process().signal(Signal::HUP);
    wait::until("all three are counted", || balancer.status()["reloads"]["refused"] == 3);

    let told = balancer.status()["reloads"]["last_error"].as_str().expect("a text").to_owned();
    assert!(told.contains("fastest"), "{told}");
    balancer.process().wait_for_line(&["configuration not reloaded", "the old one stays"]);
    balancer.process().wait_for_line(&["fastest"]);
    assert_eq!(balancer.metric("ropewalk_config_reloads_total{result=\"refused\"}"), Some(3.0));
    assert_eq!(balancer.metric("ropewalk_config_reloads_total{result=\"applied\"}"), Some(0.0));
    assert_eq!(balancer.backend("a")["weight"], 1);
    assert_eq!(Client::connect(address).get("/").text(), "only\n");

    // A valid one clears the error.
    balancer.reload(&config, Asked::OverHttp);
    assert_eq!(balancer.status()["reloads"]["last_error"], "");
}

#[test]
fn a_reload_that_cannot_open_something_is_refused_as_a_whole() {
    let (origin, address) = (Origin::named("only"), free_address());
    let config = plain(address, &[("a", &origin)]);
    let balancer = Operated::start(&config);
    let taken = TcpListener::bind(free_address()).expect("bind");
    let (taken, other) = (taken.local_addr().expect("address"), free_address());
    let before = balancer.status();

    let mut in_use = config.clone();
    in_use["listen"] = json!([address.to_string(), other.to_string(), taken.to_string()]);
    let mut no_folder = config.clone();
    no_folder["listen"] = json!([address.to_string(), other.to_string()]);
    no_folder["log"] = json!({ "access": "/nowhere/at/all/access.log" });
    for (bad, named) in [(&mut in_use, taken.to_string()), (&mut no_folder, "/nowhere/at/all".to_owned())] {
        bad["backends"][0]["weight"] = json!(7);
        bad["backends"][0]["max_connections"] = json!(1);
        bad["health_check"] = json!("off");
        balancer.write(bad);
        let answer = balancer.post("/reload");
        assert_eq!(answer.head.status(), 422, "{}", answer.text());
        assert!(answer.text().contains(&named), "{}", answer.text());
        assert!(TcpStream::connect(other).is_err(), "a listener of a refused configuration is open");
    }

    let after = balancer.status();
    assert_eq!(after["listeners"], before["listeners"]);
    assert_eq!(after["pools"][0]["backends"][0]["weight"], 1);
    // Nor does the limit of a refused configuration apply: two requests at once are two at once.
    let mut clients = [(); 2].map(|()| Client::connect(address));
    clients.iter_mut().for_each(|client| client.send("GET /slow/300 HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait::until("both are at the backend", || balancer.backend("a")["active"] == 2);
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.response().expect("an answer").head.status(), 200));
}

#[test]
fn a_removed_listener_accepts_no_more_and_its_connections_go_on() {
    let (origin, stays, goes) = (Origin::named("only"), free_address(), free_address());
    let mut config = plain(stays, &[("a", &origin)]);
    config["listen"] = json!([
        { "name": "stays", "address": stays.to_string() },
        { "name": "goes", "address": goes.to_string() },
    ]);
    let balancer = Operated::start(&config);
    let (mut idle, mut busy) = (Client::connect(goes), Client::connect(goes));
    idle.get("/");
    busy.send("GET /slow/500 HTTP/1.1\r\nHost: a\r\n\r\n");
    wait::until("the request is at the backend", || balancer.backend("a")["active"] == 1);

    config["listen"] = json!({ "name": "stays", "address": stays.to_string() });
    balancer.reload(&config, Asked::OverHttp);
    wait::until("it is closed", || TcpStream::connect(goes).is_err());
    assert_eq!(busy.response().expect("an answer").head.status(), 200);
    for client in [&mut idle, &mut busy] {
        assert_eq!(client.get("/").head.status(), 200);
    }
    assert_eq!(Client::connect(stays).get("/").head.status(), 200);
    assert_eq!(balancer.status()["listeners"].as_array().expect("listeners").len(), 1);
}

#[test]
fn connections_find_their_routes_under_a_listeners_new_name() {
    let (origin, address) = (Origin::named("only"), free_address());
    let config = |name: &str| {
        json!({
            "listen": { "name": name, "address": address.to_string() },
            "pools": { "p": { "backends": [{ "name": "a", "url": format!("http://{}", origin.address()) }] } },
            "routes": [{ "match": { "listener": name }, "pool": "p" }],
        })
    };
    let balancer = Operated::start(&config("old"));
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").head.status(), 200);
    balancer.reload(&config("new"), Asked::OverHttp);
    assert_eq!(client.get("/").head.status(), 200);
    assert_eq!(Client::connect(address).get("/").head.status(), 200);
}

#[test]
fn state_survives_a_reload() {
    let (up, held, address) = (Origin::named("up"), Origin::named("held"), free_address());
    // There is no listener there, and there will be none.
    let down = free_address();
    let config = |weight: u32, names: [&str; 3]| {
        let url = |address: SocketAddr| format!("http://{address}");
        json!({
            "listen": address.to_string(),
            "health_check": { "interval": "200ms", "timeout": "100ms" },
            "backends": [
                { "name": names[0], "url": url(up.address()), "weight": weight },
                { "name": names[1], "url": url(down) },
                { "name": names[2], "url": url(held.address()) },
            ],
            "rate_limit": { "requests": 6, "per": "1h", "burst": 6 },
        })
    };
    let mut balancer = Operated::start(&config(1, ["up", "down", "held"]));
    wait::until("the dead one is down", || balancer.backend("down")["up"] == false);
    assert_eq!(balancer.post("/backends/held/drain").head.status(), 200);
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "up\n");
    }
    let connections = up.connections();

    for (step, names) in
        [["up", "down", "held"], ["a", "b", "c"], ["up", "down", "held"]].into_iter().enumerate()
    {
        balancer.reload(&config(2 + step as u32, names), Asked::BySignal);
        assert_eq!(balancer.backend(names[0])["requests"], 3 + step);
        assert_eq!(balancer.backend(names[1])["up"], false);
        assert_eq!(balancer.backend(names[2])["weight"], 0);
        assert_eq!(client.get("/").text(), "up\n");
    }
    assert_eq!(held.requests(), 0);
    // Probes of the address come and go; a request used the connection that was kept.
    // It is given back after the client has its response.
    wait::until("it is kept", || balancer.backend("up")["idle_connections"] == 1);
    assert!(up.requests() == 6, "{} requests over {connections} connections", up.requests());
    assert_eq!(balancer.process().lines_with(&[" is DOWN"]), 1, "{}", balancer.process().log());
    assert_eq!(balancer.process().lines_with(&[" is UP"]), 0, "{}", balancer.process().log());
    let series = "ropewalk_requests_total{listener=\"main\",pool=\"default\",backend=\"up\",code=\"200\"}";
    let text = balancer.get("/metrics").text();
    let counted =
        text.lines().find(|line| line.contains("_requests_total{") && line.contains("code=\"200\""));
    assert!(counted.is_some_and(|line| line.ends_with(" 6")), "{counted:?}, not {series}");
    // Six were admitted, across all reloads.
    assert_eq!(client.get("/").head.status(), 429);
    assert_eq!(balancer.post("/backends/held/enable").head.status(), 200);
    assert_eq!(balancer.backend("held")["weight"], 1);
}

#[test]
fn removed_backends_leave_the_metrics_and_keep_no_connections() {
    let (stays, goes, front, side) =
        (Origin::named("stays"), Origin::named("goes"), free_address(), free_address());
    let listen = |names: &[(&str, SocketAddr)]| {
        let listener =
            |(name, address): &(&str, SocketAddr)| json!({ "name": name, "address": address.to_string() });
        names.iter().map(listener).collect::<Vec<_>>()
    };
    let mut both = plain(front, &[("stays", &stays), ("goes", &goes)]);
    both["listen"] = json!(listen(&[("front", front), ("side", side)]));
    let mut one = plain(front, &[("stays", &stays)]);
    one["listen"] = json!(listen(&[("front", front)]));
    let balancer = Operated::start(&both);
    let mut answered = 0;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(Client::connect(front).get("/").head.status(), 200);
            assert_eq!(Client::connect(side).get("/").head.status(), 200);
            answered += 2;
        }
        // In flight at each backend while one of them goes.
        let mut clients = [(); 2].map(|()| Client::connect(front));
        clients.iter_mut().for_each(|client| client.send("GET /slow/300 HTTP/1.1\r\nHost: a\r\n\r\n"));
        wait::until("both are at work", || balancer.backend("goes")["active"] == 1);
        balancer.reload(&one, Asked::OverHttp);
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.response().expect("an answer").head.status(), 200));
        answered += 2;
        // An idle client keeps the configuration that it last used, but nothing in it.
        wait::until("the connection of the request that ended last is closed", || {
            established(goes.address()) == 0
        });

        let text = balancer.get("/metrics").text();
        let mut series: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').expect("a value").0)
            .collect();
        series.sort_unstable();
        let twice: Vec<_> = series.windows(2).filter(|two| two[0] == two[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        for name in ["\"goes\"", "\"side\""] {
            assert!(!text.contains(name), "{name} is still there:\n{text}");
        }
        // The pool still exists, and its counters do not go down.
        let count = balancer.metric("ropewalk_request_duration_seconds_count{pool=\"default\"}");
        assert_eq!(count, Some(f64::from(answered)));
        balancer.reload(&both, Asked::OverHttp);
        wait::until("the listener is back", || TcpStream::connect(side).is_ok());
    }
}

/// Connections of this machine to an address.
fn established(address: SocketAddr) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let port = format!(":{:04X}", address.port());
    let to_it = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next().is_some_and(|remote| remote.ends_with(&port)) && columns.next() == Some("01")
    };
    table.lines().filter(to_it).count()
}

#[test]
fn a_watched_file_is_applied_when_it_changes() {
    let (first, second, address) = (Origin::named("first"), Origin::named("second"), free_address());
    let one = plain(address, &[("a", &first)]);
    let two = plain(address, &[("a", &second)]);
    let mut balancer = Operated::start_with(&one, &["--watch"]);
    let file = balancer.file();
    let serves = |name: &str| {
        wait::until(name, || Client::connect(address).get("/").text() == format!("{name}\n"));
    };
    serves("first");
    balancer.write(&two);
    serves("second");
    // Written in place, with the same length: only its time shows the change.
    let text = fs::read_to_string(&file).expect("the file");
    let (from, to) = (second.address().port().to_string(), first.address().port().to_string());
    fs::write(&file, text.replace(&from, &to)).expect("write");
    serves("first");
    // As Kubernetes does: a link that now points elsewhere.
    let other = file.with_file_name("other.json");
    fs::write(&other, &text).expect("write");
    let modified = fs::metadata(&file).and_then(|data| data.modified()).expect("a time");
    let opened = fs::File::options().write(true).open(&other).expect("open");
    opened.set_modified(modified).expect("set the time");
    let link = file.with_file_name("link");
    symlink(&other, &link).expect("link");
    fs::rename(&link, &file).expect("rename");
    serves("second");
    // An invalid file is refused, and a later valid one is applied.
    balancer.write_text("{ \"listen\": ");
    wait::until("the mistake is seen", || balancer.status()["reloads"]["refused"] == 1);
    assert_eq!(Client::connect(address).get("/").text(), "second\n");
    // A missing file changes nothing, and is applied when it is back.
    fs::remove_file(&file).expect("remove");
    wait::until("it is missed", || balancer.process().lines_with(&["WARN", "is missing"]) == 1);
    assert_eq!(Client::connect(address).get("/").text(), "second\n");
    balancer.write(&one);
    serves("first");
}

#[test]
fn a_reload_waits_for_no_probe() {
    // It accepts and stays silent.
    let mute = free_listener();
    let (origin, address) = (Origin::named("only"), free_address());
    let mut config = plain(address, &[("a", &origin)]);
    config["health_check"] = json!({ "path": "/health", "interval": "20s", "timeout": "15s" });
    config["backends"].as_array_mut().expect("backends").push(
        json!({ "name": "mute", "url": format!("http://{}", mute.local_addr().expect("address")), "weight": 1 }),
    );
    let balancer = Operated::start(&config);
    let _probe = mute.accept().expect("a probe");
    // The bound is that of `reload`, well below the probe's.
    balancer.reload(&config, Asked::OverHttp);
    balancer.reload(&config, Asked::ByCommand);
}
