//! Hundreds of reloads under load: no client notices them, and memory does not grow.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::operator::{Asked, Operated};
use super::origin::{Next, Origin, reply};
use super::wait::{self, Enough};
use super::wire::Wire;

/// Reloads of the long test, and how many of them come before memory is first looked at.
const RELOADS: usize = 200;
const WARM_UP: usize = 20;

/// LIMIT: by how much resident memory may grow with the reloads that lie between, in KiB: some of
/// it is what the admin listener remembers of the last minute. It comes to 6 KiB for each reload;
/// a configuration that is not let go of, with its backends, takes 15 KiB.
const GROWTH_KIB_MAX: u64 = 1792;

#[test]
fn two_hundred_reloads_under_load_are_noticed_by_nobody() {
    let scene = Scene::new();
    let mut balancer = Operated::start(&scene.at_rest());
    let mut tunnel = open_tunnel(scene.front);
    echo(&mut tunnel, 0);

    reload_under_load(&scene, &balancer, &mut tunnel, 1..=WARM_UP);
    let before = Footprint::of(&mut balancer, &scene);
    reload_under_load(&scene, &balancer, &mut tunnel, WARM_UP + 1..=RELOADS);
    let after = Footprint::of(&mut balancer, &scene);

    eprintln!("after {WARM_UP} reloads: {before:?}; after {RELOADS}: {after:?}");
    assert!(after.resident_kib <= before.resident_kib + GROWTH_KIB_MAX, "{before:?}, then {after:?}");
    assert_eq!((after.threads, after.descriptors), (before.threads, before.descriptors));
    echo(&mut tunnel, RELOADS);
    let process = balancer.process();
    for verdict in [" is DOWN", " is UP", "panick", "refused"] {
        assert_eq!(process.lines_with(&[verdict]), 0, "{}", process.log());
    }
}

/// Five origins, and every configuration of the long test over them.
struct Scene {
    origins: Vec<Origin>,
    front: SocketAddr,
    side: SocketAddr,
    log: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let origins = (0..5).map(|number| {
            Origin::serve(move |head, wire| {
                if head.field("upgrade").is_some() {
                    return echo_for_ever(wire);
                }
                match wire.read_rest() {
                    Ok(_) => reply(wire, 200, format!("origin {number}\n").as_bytes()),
                    Err(_) => Next::Close,
                }
            })
        });
        let log = tempfile::tempdir().expect("scratch folder");
        Self { origins: origins.collect(), front: free_address(), side: free_address(), log }
    }

    /// The configuration of reload number `step`: no two in a row are alike in anything.
    fn at(&self, step: usize) -> Value {
        let front = if step % 4 < 2 { "front" } else { "renamed" };
        let mut listen = vec![json!({ "name": front, "address": self.front.to_string() })];
        if step % 2 == 1 {
            listen.push(json!({ "name": "side", "address": self.side.to_string() }));
        }
        // From two to four of the five, others each time, under changing names and weights.
        let web: Vec<_> = (0..2 + step % 3)
            .map(|place| {
                let number = (step + place) % self.origins.len();
                let name =
                    if step.is_multiple_of(3) { format!("other-{number}") } else { format!("web-{number}") };
                self.backend(number, &name, 1 + (step + place) % 4)
            })
            .collect();
        let checks = [
            json!({ "interval": "200ms", "timeout": "100ms", "unhealthy_after": 10 }),
            json!({ "path": "/health", "interval": "1s", "timeout": "900ms" }),
            json!("off"),
        ];
        let strategies = ["round-robin", "weighted-round-robin", "least-connections", "random"];
        let mut pools = json!({
            "web": { "backends": web, "strategy": strategies[step % 4], "health_check": checks[step % 3] },
        });
        let mut routes = Vec::new();
        if step % 5 != 4 {
            pools["tunnels"] = json!({ "backends": [self.backend(0, "tunnel", 1)] });
            routes.push(json!({ "match": { "path": "/tunnel" }, "pool": "tunnels" }));
        }
        if step % 3 != 1 {
            let bound = 50 + step % 2;
            let mut backend = self.backend(1, "api", 1);
            backend["max_connections"] = json!(bound);
            pools["api"] = json!({ "backends": [backend], "request_timeout": format!("{}s", 5 + step % 3) });
            routes.push(json!({ "match": { "path_prefix": "/api", "listener": front }, "pool": "api" }));
        }
        // Whoever came through the front door finds its route, whatever that door is called now.
        routes.push(json!({ "match": { "listener": front }, "pool": "web" }));
        routes.push(json!({ "pool": "web", "request_headers": { "set": { "X-Step": step.to_string() } } }));
        let formats = ["json", "combined"];
        let log = match step % 3 {
            0 => json!({}),
            _ => json!({ "access": self.log.path().join("log"), "format": formats[step % 2] }),
        };
        json!({
            "listen": listen, "pools": pools, "routes": routes, "log": log,
            "timeouts": {
                "response_head": format!("{}s", 4 + step % 2), "keep_alive": format!("{}s", 20 + step % 5),
                "upstream_keep_alive": "400ms",
            },
            "limits": { "body": format!("{}MiB", 1 + step % 2), "queue": 100 + step % 3 },
        })
    }

    /// What is there when nothing is looked at but what earlier reloads have left.
    fn at_rest(&self) -> Value {
        self.at(0)
    }

    fn backend(&self, number: usize, name: &str, weight: usize) -> Value {
        json!({ "name": name, "url": format!("http://{}", self.origins[number].address()), "weight": weight })
    }
}

/// Reloads as many times as `steps` has, while clients ask without a pause.
fn reload_under_load(
    scene: &Scene,
    balancer: &Operated,
    tunnel: &mut Client,
    steps: std::ops::RangeInclusive<usize>,
) {
    let (enough, served) = (Enough::not_yet_for(6 * wait::PATIENCE), AtomicUsize::new(0));
    let ways = [Asked::BySignal, Asked::OverHttp, Asked::ByCommand];
    thread::scope(|scope| {
        let front = scene.front;
        for number in 0..4_u32 {
            let (enough, served) = (&enough, &served);
            scope.spawn(move || keep_asking(front, number, enough, served));
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !enough.is() {
                    assert_eq!(Client::connect(scene.front).get("/api/once").head.status(), 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // If a reload fails, the clients are to end too.
        let _end = wait::Saying(&enough);
        for step in steps {
            let before = served.load(Ordering::Relaxed);
            balancer.reload(&scene.at(step), ways[step % 3]);
            wait::until("clients are served under the new configuration", || {
                served.load(Ordering::Relaxed) > before + 10
            });
            if step % 2 == 1 {
                wait::until("the added listener serves", || {
                    Client::connect_if_open(scene.side).is_some_and(|mut client| client.try_get("/").is_ok())
                });
            }
            if step % 20 == 0 {
                echo(tunnel, step);
            }
        }
    });
}

/// Requests on connections that are kept as long as the balancer keeps them.
fn keep_asking(address: SocketAddr, number: u32, enough: &Enough, served: &AtomicUsize) {
    let mut client = Client::connect(address);
    while !enough.is() {
        for path in ["/", "/api/x"] {
            if number.is_multiple_of(2) {
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
            } else {
                client.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nposted"
                ));
            }
            let answer = client.response().expect("an answer");
            assert_eq!(answer.head.status(), 200, "{}", answer.text());
            served.fetch_add(1, Ordering::Relaxed);
            if answer.head.field("connection") == Some("close") {
                client = Client::connect(address);
            }
        }
    }
}

/// What the balancer holds when its clients have gone and nothing is kept of what they did.
#[derive(Debug)]
struct Footprint {
    resident_kib: u64,
    threads: u64,
    descriptors: u64,
}

impl Footprint {
    #[track_caller]
    fn of(balancer: &mut Operated, scene: &Scene) -> Self {
        balancer.reload(&scene.at_rest(), Asked::OverHttp);
        // The tunnel stays.
        wait::until("the clients' connections are gone", || balancer.status()["connections"]["open"] == 1);
        wait::until("kept connections are closed", || {
            let status = balancer.status();
            let pools = status["pools"].as_array().expect("pools").iter();
            pools
                .flat_map(|pool| pool["backends"].as_array().expect("backends"))
                .all(|backend| backend["idle_connections"] == 0)
        });
        // Helpers of earlier health checks end with the probe at hand, and an access log that is
        // off now when each worker has had a request since.
        wait::until("the access log has ended", || {
            Client::connect(scene.front).get("/");
            balancer.process().threads_named("rw-log") == 0
        });
        wait::until("kept connections are closed again", || {
            balancer.status()["connections"]["open"] == 1
                && ["other-0", "other-1"].iter().all(|name| balancer.backend(name)["idle_connections"] == 0)
        });
        let process = balancer.process();
        process.wait_until_idle();
        Self {
            resident_kib: process.resident_kib(),
            threads: process.threads(),
            descriptors: process.descriptors(),
        }
    }
}

pub(super) fn open_tunnel(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send("GET /tunnel HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    let head = client.wire.read_head(super::wire::Role::Response).expect("a head");
    assert_eq!(head.status(), 101);
    client
}

#[track_caller]
fn echo(tunnel: &mut Client, number: usize) {
    let said = format!("{number:08}");
    tunnel.send(&said);
    assert_eq!(tunnel.wire.read_raw(8).expect("an echo"), said.as_bytes());
}

pub(super) fn echo_for_ever(wire: &mut Wire) -> Next {
    let switched = wire.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    switched.expect("send");
    while let Ok(said) = wire.read_raw(8) {
        if wire.send(&said).is_err() {
            break;
        }
    }
    Next::Close
}
