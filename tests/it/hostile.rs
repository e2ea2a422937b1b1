//! Attacks that a script cannot express: many connections at once, and a process that is short of
//! resources.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam::channel;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::balancer::Balancer;
use super::client::{Client, get, get_request};
use super::origin::{Next, Origin, reply};
use super::wait;
use super::wire::{Fault, Role, Wire};

/// Clients that connect while there are descriptors for a few of them.
const CLIENTS: usize = 40;

/// Descriptors that are left when the clients come.
const SPARE: u64 = 10;

#[test]
fn a_shortage_of_descriptors_is_not_taken_for_a_fault_of_the_backends() {
    let origin = Origin::named("one");
    let mut balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "health_check": { "type": "tcp", "interval": "100ms", "timeout": "50ms", "unhealthy_after": 1 },
    }));
    let address = balancer.address();
    let process = balancer.process();
    process.limit_descriptors(process.descriptors() + SPARE);

    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    process.wait_for_line(&["cannot accept connections"]);
    for client in &mut clients {
        // A client that waits in the kernel is answered only after another has gone.
        client.wire.set_patience(Duration::from_millis(100));
        if let Ok(answer) = client.try_get("/") {
            assert!(matches!(answer.head.status(), 200 | 503), "{}", answer.head.status());
        }
    }
    drop(clients);
    wait::until("the balancer has recovered", || {
        Client::connect(address).try_get("/").is_ok_and(|answer| answer.head.status() == 200)
    });
    assert_eq!(process.lines_with(&["is DOWN"]), 0, "{}", process.log());
}

#[test]
fn connections_kept_to_one_backend_make_room_for_one_to_another() {
    let origins = [Origin::named("a"), Origin::named("b")];
    let mut balancer = Balancer::start(json!({
        "pools": {
            "a": { "backends": [origins[0].backend()], "health_check": "off" },
            "b": { "backends": [origins[1].backend()], "health_check": "off" },
        },
        "routes": [{ "match": { "path": "/b" }, "pool": "b" }, { "pool": "a" }],
    }));
    let address = balancer.address();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/a").text(), "a\n");
    // The client's connection and the one kept to a take all descriptors.
    let process = balancer.process();
    process.limit_descriptors(process.descriptors());
    assert_eq!(client.get("/b").text(), "b\n");
    assert_eq!(client.get("/a").text(), "a\n");
}

/// Set when a test runs with its own network.
const OWN_NETWORK: &str = "ROPEWALK_OWN_NETWORK";

/// Runs the named test once more in its own network namespace with `ports` ephemeral ports. If the
/// kernel does not allow that, there is nothing to run.
fn run_with_few_ports(test: &str, ports: &str) {
    let script =
        format!("ip link set lo up && echo {ports} > /proc/sys/net/ipv4/ip_local_port_range && exec \"$@\"");
    let program = std::env::current_exe().expect("this test program");
    let unshare = |arguments: &[&std::ffi::OsStr]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["-rn", "sh", "-c", &script, "sh"]).args(arguments).env(OWN_NETWORK, "1").output()
    };
    if !unshare(&["true".as_ref()]).is_ok_and(|output| output.status.success()) {
        eprintln!("no network namespace to be had: {test} was not run");
        return;
    }
    let output = unshare(&[program.as_ref(), "--exact".as_ref(), test.as_ref()]).expect("unshare");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_shortage_of_ports_is_not_taken_for_a_fault_of_the_backends() {
    if std::env::var_os(OWN_NETWORK).is_none() {
        let this = "hostile::a_shortage_of_ports_is_not_taken_for_a_fault_of_the_backends";
        // Enough for the clients of this test, which leave theirs in TIME-WAIT.
        return run_with_few_ports(this, "40000 40059");
    }
    let origin = Origin::named("one");
    let mut balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "timeouts": { "upstream_keep_alive": "1ms" },
        "health_check": { "type": "tcp", "interval": "100ms", "timeout": "50ms", "unhealthy_after": 1 },
    }));
    let address = balancer.address();
    assert_eq!(get(address, "/").head.status(), 200);

    // Other connections to the origin take ports that the balancer then lacks.
    let mut others = Vec::new();
    wait::until("every port to the origin is taken", || {
        while let Ok(other) = std::net::TcpStream::connect(origin.address()) {
            others.push(other);
        }
        Client::connect(address).get("/").head.status() == 503
    });
    // More often than a backend may fail before it is taken out.
    for _ in 0..10 {
        let answer = get(address, "/");
        assert_eq!(answer.head.status(), 503);
        assert_eq!(answer.head.field("retry-after"), Some("5"));
        assert_eq!(answer.head.field("proxy-status"), Some("ropewalk; error=proxy_internal_error"));
    }
    for other in others {
        Wire::new(other).reset();
    }
    wait::until("the balancer has recovered", || get(address, "/").head.status() == 200);
    let process = balancer.process();
    assert_eq!(process.lines_with(&["is DOWN"]), 0, "{}", process.log());
}

#[test]
fn a_slow_reader_and_then_a_slow_backend_do_not_end_a_response() {
    // More than the kernel's buffers hold, so that the balancer has to wait for the client.
    const FIRST: usize = 16 * 1024 * 1024;
    let (release, held) = channel::bounded::<()>(0);
    // Ready to be sent immediately: the wait for the client must be the first of this exchange.
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", FIRST + 4).into_bytes();
    bytes.resize(bytes.len() + FIRST, b'a');
    let origin = Origin::serve(move |_, wire| {
        if wire.send(&bytes).is_err() {
            return Next::Close;
        }
        let _ = held.recv_timeout(wait::PATIENCE);
        match wire.send(b"last") {
            Ok(()) => Next::Keep,
            Err(_) => Next::Close,
        }
    });
    let balancer = Balancer::over(&[origin.backend()]);
    let mut client = Client::connect(balancer.address());
    client.send(get_request("/"));
    client.wire.read_head(Role::Response).expect("the head");
    // PACE: a client that reads nothing for a while.
    std::thread::sleep(Duration::from_millis(50));
    let mut received = 0;
    while received < FIRST {
        received += client.wire.read_piece(FIRST - received).expect("the first part").len();
    }
    client.wire.set_patience(Duration::from_millis(50));
    assert_eq!(client.wire.read_piece(4), Err(Fault::Silence));
    client.wire.set_patience(wait::PATIENCE);
    drop(release);
    assert_eq!(client.wire.read_piece(4).expect("the last part"), b"last");
}

/// An origin whose responses are larger than the kernel's buffers, and how many of them were cut off.
fn endless_origin() -> (Origin, Arc<AtomicUsize>) {
    let broken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&broken);
    let origin = Origin::serve(move |_, wire| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n";
        let piece = [b'a'; 64 * 1024];
        let sent = wire.send(head).and_then(|()| (0..16 * 1024).try_for_each(|_| wire.send(&piece)));
        count.fetch_add(usize::from(sent.is_err()), Ordering::SeqCst);
        Next::Close
    });
    (origin, broken)
}

/// A client with a small receive buffer, so that unread bytes stay with the balancer.
fn cramped_client(address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_recv_buffer_size(8 * 1024).expect("a receive buffer");
    socket.connect(&address.into()).expect("connect");
    Client { wire: Wire::new(socket.into()) }
}

/// Reads a little now and then, at most 100 KB/s, for `span` or until the end.
fn sip(client: &mut Client, span: Duration) -> Result<(), Fault> {
    let start = Instant::now();
    while start.elapsed() < span {
        client.wire.read_raw(1000)?;
        // PACE: a slow link.
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn a_reader_below_the_rate_is_cut() {
    let (origin, broken) = endless_origin();
    let balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "timeouts": { "write_idle": "1h", "body_grace": "300ms" },
        "limits": { "response_rate": "10MiB" },
    }));
    let mut slow = cramped_client(balancer.address());
    slow.send(get_request("/"));
    assert_eq!(sip(&mut slow, wait::PATIENCE), Err(Fault::Cut));
    let mut deaf = cramped_client(balancer.address());
    deaf.send(get_request("/"));
    wait::until("both are given up", || broken.load(Ordering::SeqCst) == 2);
}

#[test]
fn a_slow_reader_above_the_rate_is_served() {
    let (origin, broken) = endless_origin();
    // At this pace the socket takes longer than any of these timeouts to become writable again.
    let balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "timeouts": { "write_idle": "2s", "body_grace": "2s" },
        "limits": { "response_rate": "100B" },
    }));
    let mut client = cramped_client(balancer.address());
    client.send(get_request("/"));
    assert_eq!(sip(&mut client, Duration::from_secs(5)), Ok(()));
    assert_eq!(broken.load(Ordering::SeqCst), 0);
}

#[test]
fn a_reader_that_does_not_read_pins_little_memory_in_the_kernel() {
    const PIECE: usize = 16 * 1024;
    let sent = Arc::new(AtomicUsize::new(0));
    let origin = Origin::serve({
        let sent = Arc::clone(&sent);
        move |_, wire| {
            // What the kernel buffers for the origin does not matter here.
            socket2::SockRef::from(wire.stream()).set_send_buffer_size(PIECE).expect("a send buffer");
            let _ = wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
            while wire.send(&[b'a'; PIECE]).is_ok() {
                sent.fetch_add(PIECE, Ordering::SeqCst);
            }
            Next::Close
        }
    });
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut client = cramped_client(balancer.address());
    client.send(get_request("/"));
    wait::until("the response is under way", || sent.load(Ordering::SeqCst) > 0);
    balancer.process().wait_until_idle();
    // 64 KiB each in the balancer and in the kernel for the client; the rest is what its
    // connection to the origin has room for. Without a limit it is nearly 5 MB.
    let pinned = sent.load(Ordering::SeqCst);
    assert!(pinned < 1024 * 1024, "{pinned} bytes");
}

#[test]
fn a_tunnel_that_ends_makes_room_for_another() {
    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
    let origin = Origin::serve(|_, wire| {
        let _ =
            wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
        let _ = wire.read_raw(1);
        Next::Close
    });
    let balancer = Balancer::start(json!({ "backends": [origin.backend()], "limits": { "tunnels": 2 } }));
    let upgraded = || {
        let mut client = Client::connect(balancer.address());
        client.send(UPGRADE);
        let head = client.wire.read_head(Role::Response).expect("an answer");
        (head.status() == 101).then_some(client)
    };
    let tunnels: Vec<_> = (0..2).map(|_| upgraded().expect("a tunnel")).collect();
    assert!(upgraded().is_none());
    drop(tunnels);
    let _again = [0, 1].map(|_| wait::until_some("room for a tunnel", upgraded));
    assert!(upgraded().is_none());
}

#[test]
fn clients_do_not_notice_a_backend_that_dies_under_a_kept_connection() {
    let (release, held) = channel::bounded::<()>(0);
    let seen = AtomicUsize::new(0);
    let dying = Origin::serve(move |_, wire| match seen.fetch_add(1, Ordering::Relaxed) {
        0 => reply(wire, 200, b"one"),
        _ => {
            let _ = held.recv_timeout(wait::PATIENCE);
            Next::Close
        }
    });
    let other = Origin::named("two");
    let balancer = Balancer::start(json!({
        "backends": [dying.backend(), other.backend()],
        "health_check": "off",
    }));
    let mut client = Client::connect(balancer.address());
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(client.get("/").text(), "two\n");
    client.send(get_request("/"));
    wait::until("the kept connection is used again", || dying.requests() == 2);
    // First it stops listening, then its connections end.
    drop(dying);
    assert_eq!(client.response().expect("an answer").text(), "two\n");
    drop(release);
}

#[test]
fn every_test_that_the_security_document_names_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let scripts: Vec<String> = std::fs::read_dir(root.join("tests/exchanges"))
        .expect("the scripts")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".exchange")?.to_owned()))
        .collect();
    let (_, table) = document.split_once("\n## Attack, behaviour, test\n").expect("the table");
    let mut named = 0;
    for row in table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")) {
        let tests = row.rsplit('|').next().unwrap_or_default();
        // Every second piece is between back-ticks.
        for name in tests.split('`').skip(1).step_by(2) {
            let exists = match (name.split_once("::"), name.strip_suffix('*')) {
                (Some((module, test)), _) => {
                    std::fs::read_to_string(root.join(format!("tests/it/{module}.rs")))
                        .is_ok_and(|source| source.contains(&format!("\nfn {test}()")))
                }
                (None, Some(start)) => scripts.iter().any(|script| script.starts_with(start)),
                (None, None) => scripts.iter().any(|script| script == name),
            };
            assert!(exists, "SECURITY.md names {name}, which is not there");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests were found in the table");
}
