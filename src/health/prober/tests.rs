//! The loop of the health thread before sockets of its own: places, outages, reloads.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::AtomicBool;

use parking_lot::{Condvar, Mutex};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use super::*;
use crate::config::plan::{BackendPlan, HealthCheck, Probe};
use crate::health::hand_over::HandOver;
use crate::upstream::backend::Backend;
use crate::upstream::probe_requests::ProbeRequests;

const PATIENCE: Duration = Duration::from_secs(20);
const POOL: u32 = 7;
const LIMITS: AnswerLimits = AnswerLimits { head: 32 * 1024, interim: 64 * 1024 };

/// Tests cannot rely on the system's resolver: here a name lists its ports.
fn ports_in_name(host: &str, _: u16) -> Vec<SocketAddr> {
    let ports = host.trim_end_matches(".invalid").split('-').filter_map(|part| part.parse().ok());
    ports.map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect()
}

fn prober() -> Prober {
    let (requests, asked) = ProbeRequests::new().unwrap();
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(false),
        requests: requests.clone(),
        hand_over: Mutex::new(HandOver::default()),
        judged: Condvar::new(),
    });
    let watch = Watch::new(&shared).unwrap();
    let mut prober = Prober::new(shared, watch, asked);
    let (sender, resolved) = crossbeam::channel::bounded(64);
    let tell = move |found| {
        sender.send(found).unwrap();
        requests.wake();
    };
    prober.resolver = Resolver::with(tell, ports_in_name);
    prober.resolved = resolved;
    prober
}

fn http() -> Probe {
    Probe::Http { path: "/health".to_owned(), host: None, expect_status: vec![200..=299] }
}

/// A backend whose probes are a minute apart.
fn backend(host: &str, port: u16, probe: Probe) -> Arc<Backend> {
    let plan =
        BackendPlan { name: host.to_owned(), host: host.to_owned(), port, weight: 1, max_connections: None };
    let (interval, timeout) = (PATIENCE * 3, PATIENCE * 2);
    Arc::new(Backend::new(plan, Some(HealthCheck { probe, interval, timeout, ..HealthCheck::default() }), 1))
}

fn hand_over(prober: &mut Prober, backends: &[&Arc<Backend>], probes_max: usize) {
    for backend in backends {
        backend.watched_by(&prober.shared.requests);
    }
    let backends = backends.iter().map(|backend| Arc::clone(backend)).collect();
    let pools = vec![HandedOverPool { id: POOL, name: "web".to_owned(), backends }];
    prober.shared.hand_over.lock().list = Some(HandedOver { pools, probes_max, limits: LIMITS });
    prober.shared.requests.wake();
}

#[track_caller]
fn run_until(prober: &mut Prober, holds: impl Fn(&Prober) -> bool) {
    let (give_up, mut events) = (clock::now() + PATIENCE, Vec::with_capacity(EVENTS_BATCH));
    while !holds(prober) {
        assert!(clock::now() < give_up, "the condition never holds");
        // Wakes up often enough to check the time.
        prober.agenda.set(u32::MAX, clock::now() + Duration::from_millis(20));
        prober.turn(&mut events).unwrap();
    }
}

fn probes(backend: &Backend) -> (u64, u64) {
    backend.health(|judgement| judgement.probes())
}

/// A name whose first address refuses connections, as `::1` often does, and whose second answers.
fn judged_at_its_second_address(probe: Probe, good: SocketAddr) -> Arc<Backend> {
    let refusing = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&refusing, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let refused = SocketAddr::try_from(getsockname(&refusing).unwrap()).unwrap();
    let backend = backend(&format!("{}-{}.invalid", refused.port(), good.port()), 80, probe);
    let mut prober = prober();
    hand_over(&mut prober, &[&backend], 8);
    run_until(&mut prober, |_| backend.address() == Some(refused) || probes(&backend).0 > 0);
    run_until(&mut prober, |_| probes(&backend) == (1, 0));
    assert_eq!(*backend.addresses(), [good, refused]);
    backend
}

#[test]
fn requests_follow_a_dial_to_the_address_that_answers() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let good = listener.local_addr().unwrap();
    assert_eq!(judged_at_its_second_address(Probe::Tcp, good).address(), Some(good));
}

#[test]
fn requests_follow_an_http_probe_to_the_address_that_answers() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let good = listener.local_addr().unwrap();
    let origin = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let read = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head[..read]).into_owned()
    });
    let backend = judged_at_its_second_address(http(), good);
    assert_eq!(backend.address(), Some(good));
    let head = origin.join().unwrap();
    assert!(head.contains(&format!("Host: {}:{}\r\n", backend.host(), good.port())), "{head}");
}

#[test]
fn a_backend_that_asks_is_probed_soon_but_not_too_often() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let backend = backend("127.0.0.1", listener.local_addr().unwrap().port(), Probe::Tcp);
    let mut prober = prober();
    hand_over(&mut prober, &[&backend], 8);
    run_until(&mut prober, |_| probes(&backend) == (1, 0));
    let began = clock::now();
    run_until(&mut prober, |_| {
        backend.ask_for_probe();
        probes(&backend).0 == 4
    });
    // Each probe comes a quarter of a second after the one before.
    let took = clock::now().since(began);
    assert!(took >= Duration::from_millis(600), "{took:?}");
}

#[test]
fn a_reload_drops_probes_of_removed_backends_and_frees_their_slots() {
    let silent: Vec<_> = (0..8).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    let backends: Vec<_> = silent
        .iter()
        .map(|listener| backend("127.0.0.1", listener.local_addr().unwrap().port(), http()))
        .collect();
    let mut prober = prober();
    hand_over(&mut prober, &backends.iter().collect::<Vec<_>>(), 4);
    let in_flight = |prober: &Prober| {
        prober.watched.values().filter(|it| matches!(it.activity, Activity::Probing(_))).count()
    };
    run_until(&mut prober, |prober| in_flight(prober) == 4);
    // A reload drops waiting probes and gives free slots to others.
    let fine = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let last = backend("127.0.0.1", fine.local_addr().unwrap().port(), Probe::Tcp);
    hand_over(&mut prober, &[&last], 4);
    run_until(&mut prober, |_| probes(&last) == (1, 0));
    assert_eq!((in_flight(&prober), prober.watched.len()), (0, 1));
}
