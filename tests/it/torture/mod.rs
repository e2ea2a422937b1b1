//! Many clients, origins that die, and a configuration that changes all the time: no byte of a
//! response goes to another request, no POST is sent twice, and nothing is left behind.
//!
//! Where [`chaos`](super::chaos) checks what is said of requests while origins break the rules,
//! this checks what happens to bytes. Clients pipeline, half-close, upgrade, and leave in the
//! middle; bodies have 1 byte to 900 kB, with a length or in chunks, both ways; origins answer 503,
//! close kept connections, break off and are killed; requests queue for places; several times a
//! second a reload changes backends, strategies, listeners and logs.
//!
//! `cargo test` runs it for [`PERIOD`]. `ROPEWALK_TORTURE_SECONDS=600` makes it longer, for a
//! release. What each request is follows from a seed, 1 or `ROPEWALK_TORTURE_SEED`; what meets what
//! is up to the scheduler. A violation is printed with the id of its request.

mod fate;
mod stage;
mod visitor;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::operator::{Asked, Operated};
use super::origin::Origin;
use super::troupe::{ORIGINS, Part, Trouble, Troupe};
use super::wait::{self, Enough, Saying};
use fate::{Fate, Manner};
use visitor::{Doors, End, Outcome, Visitor};

/// How long it lasts unless it is told otherwise.
const PERIOD: Duration = Duration::from_secs(20);

/// Clients at once.
const CLIENTS: u64 = 24;

/// Extra tries, as configured.
const RETRIES: usize = 2;

/// LIMIT: what the balancer may have resident, ever: two large buffers and a small one for each
/// client, the parts of the program that are in memory, and lines of the access log.
const RESIDENT_KIB_MAX: u64 = 48 * 1024;

/// LIMIT: empty pipes that the workers keep for the next large body: two workers, four pipes of two
/// descriptors each.
const PIPE_DESCRIPTORS_MAX: u64 = 16;

/// What makes this program an origin.
const ORIGIN: Part =
    Part { test: "torture::an_origin_does_what_the_fate_says", variable: "ROPEWALK_TORTURE_ORIGIN" };

#[test]
fn every_byte_belongs_to_its_request_whatever_dies_and_changes() {
    let seed = variable("ROPEWALK_TORTURE_SEED").unwrap_or(1);
    let period = variable("ROPEWALK_TORTURE_SECONDS").map_or(PERIOD, Duration::from_secs);
    let folder = tempfile::tempdir().expect("scratch folder");
    let mut troupe = Troupe::new(folder.path(), ORIGIN, seed);
    let doors = Doors { first: free_address(), second: free_address() };
    let calm = calm(&troupe, doors);
    let mut balancer = Operated::start(&calm);
    let descriptors = balancer.process().descriptors();

    let enough = Enough::not_yet_for(period + wait::PATIENCE);
    let (outcomes, reloads) = thread::scope(|scope| {
        let enough = &enough;
        let saying = Saying(enough);
        let visitors: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || Visitor::new(doors, seed, number).visit(enough)))
            .collect();
        let operator =
            scope.spawn(|| change_again_and_again(&mut balancer, &calm, doors, folder.path(), seed, enough));
        troupe.misbehave(period, &[Trouble::Kill]);
        drop(saying);
        let outcomes: Vec<_> =
            visitors.into_iter().flat_map(|visitor| visitor.join().expect("a client")).collect();
        (outcomes, operator.join().expect("an operator"))
    });
    troupe.recover();

    let violations = violations(&outcomes, &troupe.ledgers());
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}\n{}", balancer.process().log());
    let summary = summary(&outcomes);
    eprintln!("seed {seed}: {} requests, {reloads} reloads, {summary:?}", outcomes.len());
    for wanted in ["Served", "Tunnelled", "Busy", "Refused", "Cut", "Left", "pipelined", "half-closed"] {
        assert!(summary.get(wanted).is_some_and(|count| *count > 0), "too little of {wanted}: {summary:?}");
    }
    // While all origins are dead, clients are refused as fast as they ask.
    let given_a_backend = outcomes.len() - summary["Refused"];
    assert!(summary["Served"] * 2 > given_a_backend, "most requests should be served: {summary:?}");
    nothing_is_left(&mut balancer, &calm, descriptors, reloads);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// The configuration that it begins and ends with.
fn calm(troupe: &Troupe, doors: Doors) -> Value {
    let backends: Vec<_> = troupe.addresses.iter().enumerate().map(|(number, address)| {
        json!({ "name": format!("origin-{number}"), "url": format!("http://{address}"), "max_connections": 4 })
    }).collect();
    json!({
        "listen": [doors.first.to_string()],
        "workers": 2,
        "backends": backends,
        "retries": RETRIES,
        "retry_on_status": [503],
        "request_timeout": "6s",
        "timeouts": {
            "connect": "500ms", "response_head": "3s", "body_idle": "3s", "queue": "2s", "write_idle": "3s",
            // Kept connections are used when the origin is about to close them.
            "upstream_keep_alive": "300ms"
        },
        "health_check": { "interval": "200ms", "timeout": "150ms" },
    })
}

/// Reloads one changed configuration after the other, and says how many.
fn change_again_and_again(
    balancer: &mut Operated,
    calm: &Value,
    doors: Doors,
    folder: &Path,
    seed: u64,
    enough: &Enough,
) -> u64 {
    let mut rng = fastrand::Rng::with_seed(!seed);
    let mut reloads = 0;
    while !enough.is() {
        balancer.write(&changed(calm, doors, folder, &mut rng));
        balancer.process().signal(Signal::HUP);
        reloads += 1;
        // PACE: several reloads a second.
        thread::sleep(Duration::from_millis(rng.u64(80..350)));
    }
    reloads
}

/// One of many configurations that serve the same requests.
fn changed(calm: &Value, doors: Doors, folder: &Path, rng: &mut fastrand::Rng) -> Value {
    let mut config = calm.clone();
    if rng.bool() {
        config["listen"] = json!([doors.first.to_string(), doors.second.to_string()]);
    }
    match rng.u8(..3) {
        0 => {}
        which => config["log"] = json!({ "access": folder.join(format!("access-{which}.log")) }),
    }
    let strategies = ["round-robin", "weighted-round-robin", "least-connections", "random"];
    config["strategy"] = json!(strategies[rng.usize(..strategies.len())]);
    let backends = config["backends"].as_array_mut().expect("a list");
    if rng.u8(..3) == 0 {
        backends.swap_remove(rng.usize(..ORIGINS));
    }
    for backend in backends {
        match rng.u8(..4) {
            0 => _ = backend.as_object_mut().expect("an object").remove("max_connections"),
            places => backend["max_connections"] = json!(places + 1),
        }
    }
    config
}

/// What should not have happened, each with the id of its request.
fn violations(outcomes: &[Outcome], ledgers: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let mut arrivals: HashMap<u64, usize> = HashMap::new();
    for line in ledgers.lines() {
        let (what, id) = line.split_once(' ').expect("a word and an id");
        match what {
            "damaged" => violations.push(format!("request {id}: its body reached an origin damaged")),
            _ => *arrivals.entry(id.parse().expect("an id")).or_default() += 1,
        }
    }
    for Outcome { fate: Fate { id, method, .. }, end } in outcomes {
        if let End::Wrong(what) = end {
            violations.push(format!("request {id}, {method}: {what}"));
        }
    }
    for Outcome { fate, end } in outcomes {
        let count = arrivals.remove(&fate.id).unwrap_or(0);
        let (id, method) = (fate.id, fate.method);
        // One more for the fresh connection after a kept one that was dead.
        let most = if fate.is_unrepeatable() { 1 } else { 1 + RETRIES + 1 };
        if count > most {
            violations
                .push(format!("request {id}, {method}: it reached origins {count} times, then {end:?}"));
        }
        let is_from_an_origin = matches!(end, End::Served | End::Tunnelled | End::Busy);
        if count == 0 && is_from_an_origin {
            violations.push(format!("request {id}, {method}: {end:?}, and no origin saw it"));
        }
    }
    violations.extend(arrivals.keys().map(|id| format!("request {id} was never made")));
    violations
}

/// How many requests ended in each way, and how many were made in the rarer manners.
fn summary(outcomes: &[Outcome]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for Outcome { fate, end } in outcomes {
        let ended = match end {
            End::Served => "Served",
            End::Tunnelled => "Tunnelled",
            End::Busy => "Busy",
            End::Refused(_) => "Refused",
            End::Cut => "Cut",
            End::Unanswered => "Unanswered",
            End::Left => "Left",
            End::Wrong(_) => "Wrong",
        };
        *counts.entry(ended).or_default() += 1;
        match fate.manner {
            Manner::HalfClose if *end == End::Served => *counts.entry("half-closed").or_default() += 1,
            Manner::Pipeline(_) if *end == End::Served => *counts.entry("pipelined").or_default() += 1,
            _ => {}
        }
    }
    counts
}

/// All clients have left: the balancer has nothing of theirs any more.
fn nothing_is_left(balancer: &mut Operated, calm: &Value, descriptors: u64, reloads: u64) {
    balancer.reload(calm, Asked::OverHttp);
    let counted = |status: &Value| {
        let connections = &status["connections"];
        let of_clients = ["open", "warm", "parked", "tunnel"].map(|state| connections[state].clone());
        let backends = status["pools"][0]["backends"].as_array().expect("backends");
        let active: Vec<_> = backends.iter().map(|backend| backend["active"].clone()).collect();
        (of_clients.to_vec(), active)
    };
    let zero = (vec![json!(0); 4], vec![json!(0); ORIGINS]);
    let settled = wait::within(wait::PATIENCE, || (counted(&balancer.status()) == zero).then_some(()));
    let status = balancer.status();
    assert!(
        settled.is_some(),
        "connections and requests are left: {status:#}\n{}",
        balancer.get("/requests?format=text").text()
    );
    assert_eq!((&status["panics"], &status["reloads"]["refused"]), (&json!(0), &json!(0)), "{status:#}");
    // Signals that come while a reload is under way are one.
    assert!(status["reloads"]["applied"].as_u64() > Some(reloads / 4), "{status:#}");
    let retries = status["retries"].as_object().expect("counts");
    assert!(retries.values().any(|count| count.as_u64() > Some(0)), "nothing was tried again: {status:#}");
    let process = balancer.process();
    assert_eq!(process.exited(), None);
    assert_eq!(process.lines_with(&["panick"]), 0, "{}", process.log());
    wait::until("the balancer has given back its descriptors", || {
        let pipes = process.pipe_descriptors();
        pipes <= PIPE_DESCRIPTORS_MAX && process.descriptors() - pipes <= descriptors
    });
    let resident = process.peak_resident_kib();
    eprintln!("at most {resident} KiB were resident");
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB were resident");
}

/// An origin's process is this test with the variable of [`ORIGIN`] set. Without it, the test sees
/// to it that clients and origins agree when nothing stands between them.
#[test]
fn an_origin_does_what_the_fate_says() {
    ORIGIN.play_if_cast(stage::serve);
    let folder = tempfile::tempdir().expect("scratch folder");
    let ledger = std::fs::File::create(folder.path().join("ledger")).expect("a ledger");
    let origin = Origin::serve(move |head, wire| stage::serve(head, wire, &ledger, 7, "0"));
    let doors = Doors { first: origin.address(), second: free_address() };
    let enough = Enough::not_yet_for(Duration::from_secs(1));
    let outcomes = Visitor::new(doors, 7, 0).visit(&enough);
    let ledger = std::fs::read_to_string(folder.path().join("ledger")).expect("the ledger");
    assert!(!ledger.contains("damaged"), "{ledger}");
    // It also breaks connections, and says nothing of it in advance.
    let is_wrong = |outcome: &&Outcome| match &outcome.end {
        End::Wrong(what) => !what.starts_with("no response: "),
        _ => false,
    };
    let wrong: Vec<_> = outcomes.iter().filter(is_wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let counts = summary(&outcomes);
    assert!(["Served", "Tunnelled", "Left"].iter().all(|end| counts.contains_key(end)), "{counts:?}");
    assert!(Client::connect(origin.address()).try_get("/not-a-number").is_err());
}
