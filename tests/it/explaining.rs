//! `explain` predicts what happens: for random routes and random requests, a running balancer then does
//! exactly that, down to the head that the origin gets.
//!
//! Both follow from a seed; `ROPEWALK_EXPLAIN_SEED` sets another one.

use std::net::SocketAddr;

use crossbeam::channel::{Receiver, unbounded};
use fastrand::Rng;
use ropewalk::internal::admin::operations::Question;
use ropewalk::internal::explain_plan;
use ropewalk::{Balancer, Config};
use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::origin::{Next, Origin, reply};
use super::wire::{Head, Role};

/// Route tables, and requests to each.
const TABLES: usize = 100;
const REQUESTS: usize = 40;

/// The body of a route's fixed response.
const OWN: &str = "an answer of its own\n";

#[test]
fn explain_predicts_what_happens() {
    let seed = std::env::var("ROPEWALK_EXPLAIN_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);
    let (heads, arrived) = unbounded();
    let origin = Origin::serve(move |head, wire| {
        heads.send(head.clone()).expect("the test listens");
        if wire.read_rest().is_err() {
            return Next::Close;
        }
        reply(wire, 200, b"")
    });
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..TABLES {
        let config = table(&mut rng, free_address(), origin.address());
        let Ok(checked) = Config::from_json(&config.to_string()).and_then(|config| config.check()) else {
            *seen.entry("refused table").or_default() += 1;
            continue;
        };
        let plan = checked.plan;
        let balancer = Balancer::start(plan.clone()).expect("a start");
        for _ in 0..REQUESTS {
            let question = question(&mut rng);
            let told = explain_plan(&plan, &question);
            let told = told.unwrap_or_else(|refusal| refusal);
            let done = ask(balancer.addresses()[0], &question, &arrived);
            let told = Deed::told(&told);
            *seen.entry(told.kind()).or_insert(0) += 1;
            assert_eq!(told, done, "seed {seed}: {question:?} with {config:#}");
        }
    }
    eprintln!("seed {seed}: {seen:?}");
    for kind in ["forwarded", "redirected", "answered", "refused"] {
        assert!(seen.get(kind).is_some_and(|count| *count >= 20), "seed {seed}, too few: {seen:?}");
    }
}

#[test]
fn explain_names_the_reading_and_the_guards_of_the_others() {
    let config = json!({ "routes": [
        { "name": "inside", "match": { "path_prefix": "/projects/admin" }, "respond": {}, "allow": ["10.0.0.0/8"] },
        { "name": "open", "respond": {} },
    ] });
    let plan = Config::from_json(&config.to_string()).and_then(|config| config.check()).expect("a plan").plan;
    let told = |path: &str| {
        let (method, url) = ("GET".to_owned(), format!("http://a.example{path}"));
        explain_plan(&plan, &Question { method, url, headers: Vec::new(), down: Vec::new(), client: None })
            .expect("an answer")
    };
    assert_eq!(
        told("/projects/admin%2Fx"),
        "the path is compared as /projects/admin/x\n\
         route inside: matches\n  allow: only clients from 10.0.0.0/8 are served; others get 403\n\
         answered 200 with 0 bytes\n"
    );
    assert_eq!(
        told("//host/projects/admin"),
        "the path is compared as /host/projects/admin\n\
         route inside: not this one, its path does not match\n\
         route open: matches\n\
         route inside: its guards too, as a backend may read the path as one of its\n  \
         allow: only clients from 10.0.0.0/8 are served; others get 403\n\
         answered 200 with 0 bytes\n"
    );
    assert_eq!(
        told("/x/..%2Fprojects"),
        "the path is compared as /projects\n\
         answered 400: the path can be read in several ways, and a route has guards\n"
    );
}

/// The fate of a request.
#[derive(Debug, PartialEq, Eq)]
enum Deed {
    /// An origin gets this head.
    Forwarded(Vec<String>),
    /// The client is redirected there.
    Redirected(u16, String),
    /// The client gets the route's fixed response.
    Answered(u16, usize),
    /// The client gets an error.
    Refused(u16),
}

impl Deed {
    /// Parses it from the output of `explain`.
    fn told(text: &str) -> Self {
        let number = |text: &str| text[..3].parse::<u16>().expect("a status");
        if let Some(status) = text.strip_prefix("this request would be answered ") {
            return Self::Refused(number(status));
        }
        if text.contains("no route matches: 404") {
            return Self::Refused(404);
        }
        if let Some((_, status)) = text.split_once("  nothing: answered ") {
            return Self::Refused(number(status));
        }
        if text.contains("gets 413, as this one does") {
            return Self::Refused(413);
        }
        if let Some((_, sent)) = text.split_once("what the backend is sent") {
            let lines = sent.lines().skip(1).map(|line| line.trim().to_owned());
            let lines: Vec<_> = lines.collect();
            return Self::Forwarded(comparable(lines));
        }
        let line = text.lines().find_map(|line| line.strip_prefix("answered ")).expect("an answer");
        if let Some((_, location)) = line.split_once("with Location: ") {
            return Self::Redirected(number(line), location.to_owned());
        }
        match line.split_once(" with ").and_then(|(_, rest)| rest.split(' ').next()) {
            Some(bytes) => Self::Answered(number(line), bytes.parse().expect("a number")),
            None => Self::Refused(number(line)),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Forwarded(_) => "forwarded",
            Self::Redirected(..) => "redirected",
            Self::Answered(..) => "answered",
            Self::Refused(_) => "refused",
        }
    }
}

/// A head without what differs from one request to the next, or from one client to the other.
fn comparable(lines: Vec<String>) -> Vec<String> {
    let differs = ["x-request-id:", "x-forwarded-for:", "x-real-ip:"];
    let keep = |line: &String| !differs.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    lines.into_iter().filter(keep).collect()
}

/// Sends a request as `explain` assumes it is sent, and observes its fate.
fn ask(address: SocketAddr, question: &Question, arrived: &Receiver<Head>) -> Deed {
    let Question { method, url, headers, .. } = question;
    let (host, target) = url.strip_prefix("http://").expect("a scheme").split_at("a.example".len());
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {host}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let length = headers.iter().find(|(name, _)| name == "Content-Length");
    let body = "x".repeat(length.map_or(0, |(_, length)| length.parse().expect("a length")));
    let mut client = Client::connect(address);
    // It may have been refused before its end.
    let _ = client.wire.send(format!("{head}\r\n{body}").as_bytes());
    let answer = client.wire.read_head(Role::Response).expect("an answer");
    let status = answer.status();
    if let Ok(Head { start, fields }) = arrived.try_recv() {
        let fields = fields.into_iter().map(|(name, value)| format!("{name}: {value}").trim().to_owned());
        return Deed::Forwarded(comparable(std::iter::once(start).chain(fields).collect()));
    }
    if answer.field("proxy-status").is_some() {
        return Deed::Refused(status);
    }
    match answer.field("location") {
        Some(location) => Deed::Redirected(status, location.to_owned()),
        None => {
            Deed::Answered(status, answer.field("content-length").map_or(0, |n| n.parse().expect("a length")))
        }
    }
}

const HOSTS: [&str; 4] = ["a.example", "b.example", "*.example", "*.a.example"];
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/b", "/a b", "/a/c", "/c/"];
const SEGMENTS: [&str; 24] = [
    "a", "b", "c", "a", "b", "c", "a", "b", "a", "b", "%61", "..", ".", "", "%2e%2E", "a%20b", "a%2Fb",
    "%zz", "%C3%A4", "b", "..%2Fa", "a;x", "a\\b", "a",
];

/// A configuration with a few routes.
fn table(rng: &mut Rng, front: SocketAddr, origin: SocketAddr) -> Value {
    let routes: Vec<_> = (0..rng.usize(1..6)).map(|place| route(rng, place)).collect();
    let mut config = json!({
        "listen": front.to_string(), "workers": 1, "routes": routes,
        "pools": { "p": { "backends": [{ "url": format!("http://{origin}") }], "health_check": "off" } },
    });
    if rng.bool() {
        config["trusted_proxies"] = json!(["0.0.0.0/0"]);
    }
    // A guard that admits every client: what is still refused is what cannot be read safely.
    if rng.u8(..4) == 0 {
        let routes = config["routes"].as_array_mut().expect("routes");
        let guarded = rng.usize(..routes.len());
        routes[guarded]["allow"] = json!(["0.0.0.0/0"]);
    }
    // Whatever is left over, or nothing.
    if rng.bool() {
        config["routes"].as_array_mut().expect("routes").push(json!({ "pool": "p" }));
    }
    config
}

fn route(rng: &mut Rng, place: usize) -> Value {
    let mut matches = json!({});
    if rng.u8(..3) == 0 {
        matches["host"] = json!(HOSTS[rng.usize(..HOSTS.len())]);
    }
    let mut prefix = None;
    match rng.u8(..4) {
        0 => matches["path"] = json!(PATHS[rng.usize(..PATHS.len())]),
        1 | 2 => {
            let path = PATHS[rng.usize(..PATHS.len())];
            matches["path_prefix"] = json!(path);
            prefix = Some(path);
        }
        _ => {}
    }
    if rng.u8(..4) == 0 {
        matches["methods"] = json!(["GET", "POST"]);
    }
    if rng.u8(..4) == 0 {
        matches["headers"] = json!({ "X-Beta": "1" });
    }
    if rng.u8(..4) == 0 {
        matches["cookies"] = json!({ "c": "1" });
    }
    let mut route = json!({ "name": format!("r{place}"), "match": matches });
    match rng.u8(..6) {
        0 => route["redirect"] = json!({ "location": "https://{host}/new{path}{query}" }),
        1 => route["respond"] = json!({ "status": 200 + u16::from(rng.u8(..3)), "body": OWN }),
        _ => {
            route["pool"] = json!("p");
            route["request_headers"] = json!({ "set": { "X-Route": format!("r{place}") }, "remove": ["X-Gone"], "add": { "X-More": "m" } });
            if let Some(prefix) = prefix.filter(|_| rng.bool()) {
                route["strip_prefix"] = json!(prefix);
            }
            if rng.u8(..3) == 0 {
                route["rewrite"] = json!("/new{path}");
            }
            if rng.u8(..3) == 0 {
                route["limits"] = json!({ "body": "2B" });
            }
        }
    }
    route
}

/// A random request.
fn question(rng: &mut Rng) -> Question {
    let methods = ["GET", "GET", "POST", "get", "PURGE", "OPTIONS", "DELETE", "CONNECT"];
    let mut target = String::new();
    for _ in 0..rng.usize(1..5) {
        target += "/";
        target += SEGMENTS[rng.usize(..SEGMENTS.len())];
    }
    target += ["", "", "?q=1", "?a/../b", "?"][rng.usize(..5)];
    let fields = [
        ("X-Beta", "1"),
        ("x-beta", "2"),
        ("Cookie", "b=2; c=1"),
        ("Cookie", "c=2"),
        ("X-Gone", "still"),
        ("Host", "www.a.example"),
        ("Host", "b.example:8080"),
        ("Host", "B.Example."),
        ("Connection", "close, X-Gone"),
        ("Connection", "upgrade"),
        ("Upgrade", "echo"),
        ("TE", "trailers"),
        ("Content-Length", "3"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "gzip"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "elsewhere.example"),
        ("X-Request-Id", "mine"),
        ("Forwarded", "for=10.0.0.1"),
        ("Via", "1.1 ropewalk"),
        ("Via", "1.0 other"),
        ("X-Odd", "a\tb \"c\""),
    ];
    let headers = (0..rng.usize(..5)).map(|_| fields[rng.usize(..fields.len())]);
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let method = methods[rng.usize(..methods.len())].to_owned();
    Question { method, url: format!("http://a.example{target}"), headers, down: Vec::new(), client: None }
}
