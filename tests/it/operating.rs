//! The admin listener of a real balancer: it answers when nobody else does, it shows what is
//! so, and what it is told happens. Its own manners are tested in `tests/admin`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Sender, unbounded};
use serde_json::{Value, json};

use super::balancer::{BINARY, Balancer, free_address};
use super::client::{Client, get, get_request};
use super::origin::{Origin, reply};
use super::wait;
use super::wire::Message;

/// A balancer over one origin that answers a request for each word of leave.
struct Scene {
    leave: Sender<()>,
    admin: SocketAddr,
    balancer: Balancer,
    _origin: Origin,
}

impl Scene {
    fn start(mut config: Value) -> Self {
        let (leave, word) = unbounded();
        let origin = Origin::serve(move |_, wire| {
            let _ = word.recv_timeout(wait::PATIENCE);
            reply(wire, 200, b"done")
        });
        let admin = free_address();
        config["admin"] = json!(admin.to_string());
        let backend = json!({ "name": "held", "url": format!("http://{}", origin.address()) });
        config["pools"] = json!({ "web": { "backends": [backend], "health_check": "off" } });
        config["routes"] = json!([
            { "match": { "path": "/ours" }, "respond": { "status": 200, "body": "ours" } },
            { "pool": "web" },
        ]);
        Self { leave, admin, balancer: Balancer::start(config), _origin: origin }
    }

    /// A client whose request is in flight once `count` are.
    fn hold(&self, count: u64) -> Client {
        let mut client = Client::connect(self.balancer.address());
        client.send(get_request("/held"));
        wait::until("the request is in flight", || {
            self.status()["pools"][0]["backends"][0]["active"] == count
        });
        client
    }

    /// Asks the admin listener, by the name that it goes by.
    fn ask(&self, target: &str) -> Message {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        client.response().expect("an answer")
    }

    fn view(&self, target: &str) -> String {
        let answer = self.ask(target);
        assert_eq!(answer.head.status(), 200, "{target}: {}", answer.text());
        answer.text()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.view("/status")).expect("JSON")
    }
}

#[test]
fn everything_answers_at_the_limit_on_connections_with_every_worker_busy() {
    const LIMIT: u64 = 20;
    let scene = Scene::start(json!({ "limits": { "connections": LIMIT }, "workers": 2 }));
    let mut held: Vec<Client> = (1..=LIMIT - 2).map(|count| scene.hold(count)).collect();
    // The last two places go to clients that keep the workers busy with answers of our own.
    let enough = Arc::new(AtomicBool::new(false));
    let busy = [(); 2].map(|()| {
        let (address, enough) = (scene.balancer.address(), Arc::clone(&enough));
        std::thread::spawn(move || {
            let mut client = Client::connect(address);
            let mut answered = 0;
            while !enough.load(Ordering::Relaxed) {
                match client.try_get("/ours") {
                    Ok(answer) => answered += u64::from(answer.text() == "ours"),
                    Err(_) => client = Client::connect(address),
                }
            }
            answered
        })
    });
    wait::until("the limit is reached", || scene.status()["connections"]["open"] == LIMIT);
    assert_eq!(get(scene.balancer.address(), "/").head.status(), 503);

    for target in ["/", "/status?format=text", "/metrics", "/healthz", "/readyz", "/explain?url=http://h/"] {
        scene.view(target);
    }
    let requests: Value = serde_json::from_str(&scene.view("/requests")).expect("JSON");
    let of_held = requests["requests"].as_array().expect("a list").iter().filter(|request| {
        request["backend"] == "held" && request["target"] == "/held" && request["stage"] != ""
    });
    assert_eq!(of_held.count() as u64, LIMIT - 2, "{requests}");

    enough.store(true, Ordering::Relaxed);
    for thread in busy {
        assert!(thread.join().expect("no panic") > 0);
    }
    // Any of them may be the one that a word of leave reaches.
    held.iter().for_each(|_| scene.leave.send(()).expect("the origin is there"));
    for client in &mut held {
        assert_eq!(client.response().expect("an answer").text(), "done");
    }
}

#[test]
fn a_drain_gives_no_new_requests_and_waits_for_the_old() {
    let scene = Scene::start(json!({}));
    let mut old = scene.hold(1);
    let admin = scene.admin.to_string();
    let mut drain = Command::new(BINARY)
        .args(["drain", "held", "--wait", "--admin", &admin])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the command");
    let mut said = BufReader::new(drain.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert_eq!(said.find(|line| line.starts_with("held: ")).as_deref(), Some("held: 1 in flight"));

    assert_eq!(get(scene.balancer.address(), "/new").head.status(), 503);
    assert_eq!(scene.ask("/readyz").head.status(), 503);
    scene.leave.send(()).expect("the origin is there");
    assert_eq!(old.response().expect("an answer").text(), "done");
    assert_eq!(said.last().as_deref(), Some("held: 0 in flight"));
    assert!(drain.wait().expect("its end").success());

    let enabled = Command::new(BINARY).args(["enable", "held", "--admin", &admin]).status();
    assert!(enabled.expect("run the command").success());
    scene.leave.send(()).expect("the origin is there");
    assert_eq!(get(scene.balancer.address(), "/new").text(), "done");
}

#[test]
fn a_drain_for_a_time_ends_by_itself() {
    let scene = Scene::start(json!({}));
    let drained = Command::new(BINARY)
        .args(["drain", "held", "--for", "500ms", "--admin", &scene.admin.to_string()])
        .status();
    assert!(drained.expect("run the command").success());
    wait::until("the weight is back", || scene.status()["pools"][0]["backends"][0]["weight"] == 1);
    assert_eq!(scene.status()["pools"][0]["backends"][0]["overridden"], false);
}
