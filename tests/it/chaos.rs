//! Everything goes wrong at once, and every client still learns the outcome of its request.
//!
//! Four origins run as processes that are killed, stopped and started while they answer late, break
//! off, and talk nonsense. Each request has an id. A response is right only if every byte of it belongs
//! to its id, and each origin records which ids reached it, so that a request that was sent twice shows
//! even if its sender died.
//!
//! Which requests are made, and what an origin does with each, follows from a seed; how they interleave
//! is up to the scheduler. `ROPEWALK_CHAOS_SEED` sets another seed.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::balancer::{Balancer, free_address};
use super::causes;
use super::client::Client;
use super::origin::{Next, Origin, backend_at};
use super::troupe::{ORIGINS, Part, Trouble, Troupe};
use super::wait;
use super::wire::{Fault, Head, Role, Wire};

/// How long things go wrong.
const CHAOS: Duration = Duration::from_secs(6);

/// Clients at once.
const CLIENTS: u64 = 8;

/// Retries, as configured.
const RETRIES: usize = 2;

/// LIMIT: the balancer's peak resident memory.
const RESIDENT_KIB_MAX: u64 = 32 * 1024;

/// What turns this program into an origin: the test below, and a variable.
const ORIGIN: Part =
    Part { test: "chaos::an_origin_does_what_the_seed_says", variable: "ROPEWALK_CHAOS_ORIGIN" };

#[test]
fn every_request_is_accounted_for_while_origins_fail_in_every_way() {
    let seed = std::env::var("ROPEWALK_CHAOS_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("scratch folder");
    let mut troupe = Troupe::new(folder.path(), ORIGIN, seed);
    let (admin, log) = (free_address(), folder.path().join("access.log"));
    let mut balancer = Balancer::start(json!({
        "admin": admin.to_string(),
        "log": { "access": log },
        "backends": troupe.addresses.map(backend_at),
        "retries": RETRIES,
        "request_timeout": "3s",
        "timeouts": {
            "connect": "300ms", "response_head": "400ms", "response_body": "1s", "upstream_keep_alive": "300ms"
        },
        "health_check": { "interval": "200ms", "timeout": "150ms" },
        // Individual failures are expected here.
        "ejection": { "failures": 20, "for": "200ms" },
    }));
    let address = balancer.address();
    let descriptors_before = balancer.process().descriptors();

    let (stop, ids) = (AtomicBool::new(false), AtomicU64::new(1));
    let outcomes = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (stop, ids) = (&stop, &ids);
                scope.spawn(move || Visitor::new(address, seed ^ (number << 32)).visit(ids, stop))
            })
            .collect();
        troupe.misbehave(CHAOS, &[Trouble::Kill, Trouble::Stop]);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect::<Vec<_>>()
    });
    troupe.recover();

    let wrong: Vec<_> = outcomes.iter().filter_map(Outcome::fault).collect();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}\n{}", balancer.process().log());
    let count = |wanted: fn(&End) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.end)).count();
    let ends = [
        ("served", count(|end| matches!(end, End::Served))),
        ("502", count(|end| matches!(end, End::Refused(502)))),
        ("503 or 504", count(|end| matches!(end, End::Refused(503 | 504)))),
        ("cut", count(|end| matches!(end, End::Cut))),
        ("left", count(|end| matches!(end, End::Left))),
    ];
    eprintln!("seed {seed}: {ends:?}");
    assert!(ends.iter().all(|(_, count)| *count > 0), "seed {seed}, too little chaos: {ends:?}");
    check_ledgers(&troupe, &outcomes);
    wait::until("every request has its line", || {
        fs::read_to_string(&log).expect("the access log").lines().count() >= outcomes.len()
    });
    let backends = troupe.addresses.iter().enumerate().map(|(number, at)| (at.to_string(), number));
    let reasons = causes::check(&log, &outcomes, &backends.collect(), seed);
    eprintln!("seed {seed}: {reasons:?}");
    assert_eq!(requests_counted(admin), outcomes.len() as f64, "as many as the clients made");

    // All origins are repaired and serve again.
    let mut seen = BTreeSet::new();
    wait::until("every origin serves again", || {
        let answer = Client::connect(address).try_get("/calm/0");
        seen.extend(answer.ok().and_then(|answer| answer.head.field("X-Origin").map(str::to_owned)));
        seen.len() == ORIGINS
    });
    let process = balancer.process();
    assert_eq!(process.exited(), None);
    assert_eq!(process.lines_with(&["panick"]), 0, "{}", process.log());
    let descriptors = || process.descriptors() <= descriptors_before;
    wait::until("the balancer has given back its descriptors", descriptors);
    let resident = process.peak_resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB were resident");
}

/// The sum over all series of the requests that are counted.
fn requests_counted(admin: SocketAddr) -> f64 {
    let mut client = Client::connect(admin);
    client.send(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    let text = client.response().expect("an answer").text();
    let series = text.lines().filter(|line| line.starts_with("ropewalk_requests_total{"));
    series.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number")).sum()
}

/// With the variable of [`ORIGIN`] set, this test is an origin's process. Without it, the test checks
/// that such an origin answers correctly where it should, so that any chaos is the balancer's doing.
#[test]
fn an_origin_does_what_the_seed_says() {
    ORIGIN.play_if_cast(serve);
    let folder = tempfile::tempdir().expect("scratch folder");
    let ledger = File::create(folder.path().join("ledger")).expect("a ledger");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let origin = Origin::serve_at(listener, move |head, wire| serve(head, wire, &ledger, 7, "x"));
    let answer = Client::connect(origin.address()).get("/calm/9");
    assert_eq!((answer.head.field("X-Origin"), answer.body), (Some("x"), body_for("GET", 9, b"")));
    let ledger = fs::read_to_string(folder.path().join("ledger")).expect("the ledger");
    assert_eq!(ledger, "GET 9\n");
}

/// How a request ended, as its client saw it.
#[derive(Debug)]
pub enum End {
    /// 200, and every byte correct.
    Served,
    /// A response of the balancer itself: 502, 503 or 504.
    Refused(u16),
    /// The connection ended after the response had begun.
    Cut,
    /// The client left without waiting.
    Left,
    /// Anything else.
    Wrong(String),
}

/// The outcome of one request.
#[derive(Debug)]
pub struct Outcome {
    /// Its number, which is its target.
    pub id: u64,
    /// Its method.
    pub method: &'static str,
    /// How it ended.
    pub end: End,
}

impl Outcome {
    /// What should not have happened, if anything.
    fn fault(&self) -> Option<String> {
        match &self.end {
            End::Wrong(what) => Some(format!("{} {}: {what}", self.method, self.id)),
            End::Served | End::Refused(_) | End::Cut | End::Left => None,
        }
    }
}

/// A client that sends one request after another.
struct Visitor {
    address: SocketAddr,
    rng: fastrand::Rng,
    client: Option<Client>,
}

impl Visitor {
    fn new(address: SocketAddr, seed: u64) -> Self {
        Self { address, rng: fastrand::Rng::with_seed(seed), client: None }
    }

    fn visit(mut self, ids: &AtomicU64, stop: &AtomicBool) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let id = ids.fetch_add(1, Ordering::Relaxed);
            let method = ["GET", "GET", "PUT", "POST"][self.rng.usize(..4)];
            let body_len = [0, 10, 5_000, 100_000][self.rng.usize(..4)];
            let body = if method == "GET" { Vec::new() } else { noise(id, self.rng.usize(..=body_len)) };
            let request = request(method, id, &body, self.rng.bool());
            let mut client = self.client.take().unwrap_or_else(|| Client::connect(self.address));
            let end = if client.wire.send(&request).is_err() {
                End::Wrong("the connection was closed under the request".into())
            } else if self.rng.u8(..30) == 0 {
                End::Left
            } else {
                match receive(&mut client, &body_for(method, id, &body)) {
                    Ok((end, Keep::Yes)) => {
                        self.client = Some(client);
                        end
                    }
                    Ok((end, Keep::No)) => end,
                    Err(what) => End::Wrong(what),
                }
            };
            outcomes.push(Outcome { id, method, end });
        }
        outcomes
    }
}

/// Whether a connection may carry another request.
#[derive(PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

/// Receives what should be the response to one request.
fn receive(client: &mut Client, expected: &[u8]) -> Result<(End, Keep), String> {
    let head = client.wire.read_head(Role::Response).map_err(|fault| format!("no head: {fault:?}"))?;
    let keep = if head.field("connection").is_some() { Keep::No } else { Keep::Yes };
    match (head.status(), client.wire.read_rest()) {
        (200, Ok(body)) if body == expected => Ok((End::Served, keep)),
        (200, Ok(body)) => Err(format!("another body: {:?}", String::from_utf8_lossy(&body))),
        (200, Err(Fault::Cut)) => Ok((End::Cut, Keep::No)),
        (status @ (502..=504), Ok(body))
            if head.field("proxy-status").is_some() && body.starts_with(status.to_string().as_bytes()) =>
        {
            Ok((End::Refused(status), keep))
        }
        (_, rest) => Err(format!("{head:?} and {rest:?}")),
    }
}

fn request(method: &str, id: u64, body: &[u8], chunked: bool) -> Vec<u8> {
    let head = format!("{method} /{id} HTTP/1.1\r\nHost: test.example\r\n");
    if method == "GET" {
        return format!("{head}\r\n").into_bytes();
    }
    if !chunked {
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &in_chunks(body), b"0\r\n\r\n"].concat()
}

/// The body that answers a request, unlike any other.
fn body_for(method: &str, id: u64, received: &[u8]) -> Vec<u8> {
    let sum = received.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut body = format!("{method} {id} {} {sum}\n", received.len()).into_bytes();
    body.extend(noise(!id, (id % 7 * 3_000) as usize));
    body
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..len).map(|_| rng.u8(..)).collect()
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let chunks = body.chunks(1_500);
    chunks.flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).collect()
}

/// Every id reached an origin as often as allowed.
fn check_ledgers(troupe: &Troupe, outcomes: &[Outcome]) {
    let mut arrivals: HashMap<u64, usize> = HashMap::new();
    for line in troupe.ledgers().lines() {
        let id = line.split_once(' ').and_then(|(_, id)| id.parse().ok()).expect("a method and an id");
        *arrivals.entry(id).or_default() += 1;
    }
    for Outcome { id, method, end } in outcomes {
        let count = arrivals.get(id).copied().unwrap_or(0);
        // One more for the fresh connection after a kept one that was dead.
        let max = if *method == "POST" { 1 } else { 1 + RETRIES + 1 };
        assert!(count <= max, "{method} {id} reached origins {count} times, then {end:?}");
        assert!(count > 0 || !matches!(end, End::Served | End::Cut), "{method} {id}: {end:?} by nobody");
    }
}

/// Records a request and handles it as the seed says.
fn serve(head: &Head, wire: &mut Wire, mut ledger: &File, seed: u64, name: &str) -> Next {
    let method = head.start.split(' ').next().unwrap_or_default();
    let calm = head.target().strip_prefix("/calm/");
    let Some(id) = calm.or(head.target().strip_prefix('/')).and_then(|id| id.parse::<u64>().ok()) else {
        return Next::Close;
    };
    // In one write, which outlives a kill.
    ledger.write_all(format!("{method} {id}\n").as_bytes()).expect("write the ledger");
    let Ok(received) = wire.read_rest() else { return Next::Close };

    let body = body_for(method, id, &received);
    let fixed = format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: {}\r\n\r\n", body.len());
    let fixed = [fixed.as_bytes(), &body].concat();
    let chunked = format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunked = [chunked.as_bytes(), &in_chunks(&body)].concat();
    let (bytes, next) = match if calm.is_some() { Misdeed::None } else { misdeed(seed, id) } {
        Misdeed::None => (fixed, Next::Keep),
        Misdeed::NoneChunked => ([&chunked, &b"0\r\n\r\n"[..]].concat(), Next::Keep),
        Misdeed::Reset => (Vec::new(), Next::Reset),
        Misdeed::Close => (Vec::new(), Next::Close),
        Misdeed::HalfAHead => (fixed[..20].to_vec(), Next::Reset),
        Misdeed::ResetAtTheEnd => (fixed[..fixed.len() - 1].to_vec(), Next::Reset),
        Misdeed::CloseAtTheEnd => (fixed[..fixed.len() - 1].to_vec(), Next::Close),
        Misdeed::NoLastChunk => (chunked, Next::Close),
        Misdeed::NoStatus => (b"HTTP/1.1 two hundred\r\n\r\n".to_vec(), Next::Keep),
        Misdeed::BadChunk => ([&chunked, &b"zz\r\n"[..]].concat(), Next::Keep),
        Misdeed::TwoLengths => {
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy".to_vec(), Next::Keep)
        }
        Misdeed::Late(delay) => {
            // PACE: the delay of a slow origin.
            thread::sleep(delay);
            (fixed, Next::Keep)
        }
        // More than the response, all of it at once: no client may ever see the rest.
        Misdeed::More => {
            ([&fixed, &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"[..]].concat(), Next::Keep)
        }
        Misdeed::CloseBehind => (fixed, Next::Close),
    };
    match wire.send(&bytes) {
        Ok(()) => next,
        Err(_) => Next::Close,
    }
}

/// A fault of an origin.
#[derive(Clone, Copy, Debug)]
pub enum Misdeed {
    None,
    NoneChunked,
    Reset,
    Close,
    HalfAHead,
    ResetAtTheEnd,
    CloseAtTheEnd,
    NoLastChunk,
    NoStatus,
    BadChunk,
    TwoLengths,
    /// Late, and sometimes too late.
    Late(Duration),
    More,
    CloseBehind,
}

impl Misdeed {
    /// What the access log may say of an attempt that met it.
    pub fn outcomes(self) -> &'static [&'static str] {
        match self {
            Self::None | Self::NoneChunked | Self::More | Self::CloseBehind => &["completed"],
            Self::Reset | Self::HalfAHead => &["connection_reset"],
            Self::Close => &["connection_closed"],
            Self::ResetAtTheEnd | Self::CloseAtTheEnd | Self::NoLastChunk => &["response_truncated"],
            Self::NoStatus | Self::TwoLengths | Self::BadChunk => &["bad_response"],
            Self::Late(_) => &["completed", "response_head_timeout"],
        }
    }
}

/// What an origin with this seed does with a request.
pub fn misdeed(seed: u64, id: u64) -> Misdeed {
    let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    match rng.u8(..24) {
        0 => Misdeed::Reset,
        1 => Misdeed::Close,
        2 => Misdeed::HalfAHead,
        3 => Misdeed::ResetAtTheEnd,
        4 => Misdeed::CloseAtTheEnd,
        5 => Misdeed::NoLastChunk,
        6 => Misdeed::NoStatus,
        7 => Misdeed::BadChunk,
        8 => Misdeed::TwoLengths,
        9 => Misdeed::Late(Duration::from_millis(rng.u64(100..600))),
        10 => Misdeed::More,
        11 => Misdeed::CloseBehind,
        12..=15 => Misdeed::NoneChunked,
        _ => Misdeed::None,
    }
}
