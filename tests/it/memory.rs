//! `limits.memory` under attack: whatever clients and backends hold back at once, the process stays
//! below it.
//!
//! The bound is the same for an unoptimised build, whose program text is some 8 MiB resident
//! instead of 3: what `check` counts for the process itself covers that.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

use crossbeam::channel::{Sender, bounded};
use serde_json::json;
use socket2::{Domain, SockRef, Socket, Type};

use super::balancer::{Balancer, free_address};
use super::client::Client;
use super::origin::{Next, Origin, reply};
use super::wait::{self, PATIENCE};
use super::wire::Wire;

const MEMORY_MIB: u64 = 64;

/// Slightly fewer than `check` allows with this much memory.
const CONNECTIONS: usize = 600;

/// The memory that the attack must reach to count as one: an idle process has a third of it. Runs
/// reached 31 to 37.
const UNDER_ATTACK_MIB: u64 = 24;

/// Descriptors in use without clients: the program's own, kept pipes, kept connections.
const KEPT_DESCRIPTORS_MAX: u64 = 200;

/// Bytes that the kernel may buffer for one of the attack's sockets: next to nothing, so that the
/// balancer has to hold them.
const KERNEL_BYTES: usize = 4096;

/// What a client does, besides never reading.
#[derive(Clone, Copy)]
enum Attack {
    /// A large body, to a backend that does not read.
    Upload,
    /// The same in chunks.
    ChunkedUpload,
    /// A large response.
    Download,
    /// The same in chunks.
    ChunkedDownload,
    /// Data in both directions after an upgrade.
    Tunnel,
    /// An unfinished head just short of the limit.
    Head,
}

const ATTACKS: [Attack; 6] = [
    Attack::Upload,
    Attack::ChunkedUpload,
    Attack::Download,
    Attack::ChunkedDownload,
    Attack::Tunnel,
    Attack::Head,
];

impl Attack {
    fn request(self) -> Vec<u8> {
        let get = |target: &str, fields: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n").into_bytes()
        };
        match self {
            Self::Upload => {
                b"POST /up HTTP/1.1\r\nHost: test.example\r\nContent-Length: 1073741824\r\n\r\n".to_vec()
            }
            Self::ChunkedUpload => {
                b"POST /up HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n"
                    .to_vec()
            }
            Self::Download => get("/down", ""),
            Self::ChunkedDownload => get("/chunks", ""),
            Self::Tunnel => get("/tunnel", "Connection: upgrade\r\nUpgrade: test\r\n"),
            Self::Head => {
                let mut head = get("/", "");
                head.truncate(head.len() - 2);
                for _ in 0..31 {
                    head.extend_from_slice(b"X-Long: ");
                    head.resize(head.len() + 1000, b'a');
                    head.extend_from_slice(b"\r\n");
                }
                head
            }
        }
    }

    /// Whether it keeps sending for as long as the balancer reads.
    fn is_endless(self) -> bool {
        matches!(self, Self::Upload | Self::ChunkedUpload | Self::Tunnel)
    }
}

#[test]
fn a_process_under_attack_stays_below_its_memory_limit() {
    let (origin, _release) = hostile_origin();
    let mut balancer = Balancer::start(json!({
        "backends": [origin.backend()],
        "workers": 2,
        "health_check": "off",
        "limits": { "memory": format!("{MEMORY_MIB}MiB"), "connections": CONNECTIONS, "tunnels": CONNECTIONS },
    }));
    let address = balancer.address();
    // Each wave starts with the memory as the one before has left it, and wants it for something else.
    for wave in 0..ATTACKS.len() {
        let attack = |index: usize| ATTACKS[if wave == 0 { index % ATTACKS.len() } else { wave }];
        let mut attackers: Vec<_> =
            (0..CONNECTIONS - 10).map(|index| (attack(index), connect(address, attack(index)))).collect();
        for _ in 0..2 {
            for (attack, stream) in attackers.iter_mut().filter(|(attack, _)| attack.is_endless()) {
                push(*attack, stream);
            }
            balancer.process().wait_until_idle();
        }
        // Small requests are served throughout, as soon as the last wave's connections are gone.
        wait::until("a small request is answered", || {
            let answer = Client::connect(address).get("/small");
            (answer.head.status(), answer.text()) == (200, "small".to_owned())
        });
        for (_, stream) in attackers {
            Wire::new(stream).reset();
        }
        // Otherwise the next wave would hit the connection limit.
        wait::until("the wave is gone", || balancer.process().descriptors() < KEPT_DESCRIPTORS_MAX);
        balancer.process().wait_until_idle();
    }
    let peak = balancer.process().peak_resident_kib() / 1024;
    assert!(peak < MEMORY_MIB, "{peak} MiB were resident");
    assert!(peak >= UNDER_ATTACK_MIB, "only {peak} MiB were ever resident");
}

/// An origin that reads no body, and sends endlessly to requests for a large one.
fn hostile_origin() -> (Origin, Sender<()>) {
    let (release, held) = bounded(0);
    let listener = std::net::TcpListener::bind(free_address()).expect("the origin listens");
    SockRef::from(&listener).set_recv_buffer_size(KERNEL_BYTES).expect("a small window");
    let origin = Origin::serve_at(listener, move |head, wire| match head.target() {
        "/small" => reply(wire, 200, b"small"),
        "/down" => flood(wire, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"),
        "/chunks" => flood(wire, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n"),
        "/tunnel" => flood(wire, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n"),
        // Held without reading its body until the test is over.
        _ => {
            let _ = held.recv_timeout(3 * PATIENCE);
            Next::Close
        }
    });
    (origin, release)
}

fn flood(wire: &mut Wire, head: &str) -> Next {
    let piece = [b'a'; 64 * 1024];
    let _ = wire.send(head.as_bytes()).and_then(|()| (0..16 * 1024).try_for_each(|_| wire.send(&piece)));
    Next::Close
}

fn connect(address: SocketAddr, attack: Attack) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_recv_buffer_size(KERNEL_BYTES).expect("a small window");
    socket.connect(&address.into()).expect("connect");
    let mut stream = TcpStream::from(socket);
    stream.write_all(&attack.request()).expect("send the request");
    stream.set_nonblocking(true).expect("not to block");
    stream
}

/// Sends for as long as the balancer reads.
fn push(attack: Attack, stream: &mut TcpStream) {
    let piece = [b'a'; 64 * 1024];
    loop {
        match stream.write(&piece) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("an upload was cut, is_endless {}: {error}", attack.is_endless()),
        }
    }
}
