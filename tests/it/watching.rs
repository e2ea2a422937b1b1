//! Health checks across reloads: the state of a backend is kept, and nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::balancer::free_address;
use super::operator::{Asked, Operated};
use super::origin::{Next, Origin, free_listener, reply};
use super::wait;

const INTERVAL: Duration = Duration::from_millis(1000);
const TIMEOUT: Duration = Duration::from_millis(900);

/// An HTTP check with a timeout that is long compared with the pause between two reloads.
fn slow_check() -> Value {
    json!({ "type": "http", "interval": "1s", "timeout": "900ms" })
}

/// A balancer over `origins`, in this order.
fn over(origins: &[(&str, &Origin)], check: &Value) -> Value {
    let backends: Vec<Value> = origins
        .iter()
        .map(|(name, origin)| json!({ "name": name, "url": format!("http://{}", origin.address()) }))
        .collect();
    json!({ "listen": free_address().to_string(), "health_check": check, "backends": backends })
}

/// An origin that hangs once told to.
fn hanging_after(hangs: &Arc<AtomicBool>) -> Origin {
    let hangs = Arc::clone(hangs);
    Origin::serve(move |_, wire| {
        if !hangs.load(Ordering::SeqCst) {
            return reply(wire, 200, b"fine\n");
        }
        // Ends when the probe gives up and closes.
        let _ = wire.read_to_close();
        Next::Close
    })
}

/// Makes a backend hang while the balancer is reloaded ten times a second, each time with the
/// configuration from `next`. Returns how long it took until the backend was down.
fn down_under_reloads(next: impl Fn(&Origin, &Origin, usize) -> Value) -> Duration {
    let hangs = Arc::new(AtomicBool::new(false));
    let (origin, other) = (hanging_after(&hangs), Origin::named("other"));
    let mut balancer = Operated::start(&next(&origin, &other, 0));
    wait::until("it is probed", || balancer.backend("a")["probes_ok"].as_u64() > Some(0));
    let (threads, descriptors) = (balancer.process().threads(), balancer.process().descriptors());

    hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let mut reloads = 0;
    while balancer.process().lines_with(&["backend a ", "is DOWN after", "timeout"]) == 0 {
        assert!(began.elapsed() < wait::PATIENCE, "up after {reloads} reloads");
        reloads += 1;
        balancer.reload(&next(&origin, &other, reloads), Asked::OverHttp);
        assert!(balancer.process().threads() <= threads, "{} threads", balancer.process().threads());
        // In addition to what it had: a probe, the connections of this test, and those being closed.
        assert!(balancer.process().descriptors() <= descriptors + 8, "{}", balancer.process().descriptors());
        let pause = Instant::now() + Duration::from_millis(100);
        wait::within(Duration::from_millis(200), || (Instant::now() >= pause).then_some(()));
    }
    assert!(reloads >= 5, "only {reloads} reloads");
    began.elapsed()
}

#[test]
fn repeated_reloads_do_not_keep_a_hung_backend_up() {
    let listen = free_address().to_string();
    let took = down_under_reloads(|origin, other, number| {
        let mut config = over(&[("a", origin), ("b", other)], &slow_check());
        config["listen"] = json!(listen);
        // Something else changes each time.
        config["timeouts"] = json!({ "keep_alive": format!("{}s", 20 + number) });
        config
    });
    let bound = 3 * (INTERVAL + TIMEOUT) + Duration::from_secs(1);
    assert!(took < bound, "down after {took:?}");
}

#[test]
fn neither_do_reloads_that_change_the_check_each_time() {
    let listen = free_address().to_string();
    let took = down_under_reloads(|origin, other, number| {
        let mut check = slow_check();
        check["path"] = json!(format!("/health/{number}"));
        let mut config = over(&[("a", origin), ("b", other)], &check);
        config["listen"] = json!(listen);
        config
    });
    let bound = 3 * (INTERVAL + TIMEOUT) + Duration::from_secs(1);
    assert!(took < bound, "down after {took:?}");
}

#[test]
fn a_reload_keeps_the_schedule_the_probe_in_flight_and_the_verdict() {
    let silent = free_listener();
    let fine = Origin::named("fine");
    let check = json!({ "type": "http", "interval": "60s", "timeout": "50s" });
    let mut config = over(&[("fine", &fine)], &check);
    let url = format!("http://{}", silent.local_addr().expect("local address"));
    config["backends"].as_array_mut().expect("backends").push(json!({ "name": "mute", "url": url }));
    let balancer = Operated::start(&config);
    let (mut probe, _) = silent.accept().expect("a probe");
    wait::until("the other is judged", || balancer.backend("fine")["probes_ok"] == 1);

    for number in 0..5 {
        config["timeouts"] = json!({ "keep_alive": format!("{}s", 20 + number) });
        balancer.reload(&config, Asked::OverHttp);
    }
    // None of the reloads started another probe of either.
    assert_eq!(balancer.backend("fine")["probes_ok"], 1);
    silent.set_nonblocking(true).expect("non-blocking");
    assert!(silent.accept().is_err(), "a second probe");
    // The first one still counts.
    let answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
    std::io::Write::write_all(&mut probe, answer).expect("the probe is still there");
    wait::until("its answer is taken", || balancer.backend("mute")["probes_failed"] == 1);
    assert_eq!(balancer.backend("mute")["up"], false);
    balancer.reload(&config, Asked::OverHttp);
    assert_eq!(balancer.backend("mute")["up"], false);
}

#[test]
fn a_removed_backend_is_no_longer_probed_and_its_probe_is_dropped() {
    let silent = free_listener();
    let fine = Origin::named("fine");
    let check = json!({ "type": "http", "interval": "60s", "timeout": "50s" });
    let config = over(&[("fine", &fine)], &check);
    let mut both = config.clone();
    let url = format!("http://{}", silent.local_addr().expect("local address"));
    both["backends"].as_array_mut().expect("backends").push(json!({ "name": "mute", "url": url }));
    let balancer = Operated::start(&both);
    let (mut probe, _) = silent.accept().expect("a probe");
    balancer.reload(&config, Asked::OverHttp);
    let mut read = Vec::new();
    // End of stream or a reset: the probe does not last for its 50 s.
    let _ = std::io::Read::read_to_end(&mut probe, &mut read);
    assert!(read.starts_with(b"GET /health HTTP/1.1\r\n"));
}

#[test]
fn reloads_share_the_threads_that_resolve_names() {
    let fine = Origin::named("fine");
    let mut config = over(&[("fine", &fine)], &json!("off"));
    let mut balancer = Operated::start(&config);
    for number in 0..20 {
        let named = |host: u32| json!({ "name": format!("n{host}"), "url": format!("http://no-such-name-{number}-{host}.invalid:80") });
        let mut backends: Vec<Value> = (0..10).map(named).collect();
        backends.push(json!({ "name": "fine", "url": format!("http://{}", fine.address()) }));
        config["backends"] = json!(backends);
        balancer.reload(&config, Asked::OverHttp);
        let threads = balancer.process().threads_named("rw-resolve");
        assert!(threads <= 4, "{threads} threads for names");
        assert_eq!(balancer.process().threads_named("rw-health"), 1);
    }
}
