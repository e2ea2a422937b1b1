//! Large bodies: byte for byte, both ways, in a small amount of memory.

use std::fmt::Write as _;

use super::balancer::Balancer;
use super::client::{Client, get_request};
use super::origin::{Next, Origin, reply};
use super::wait;
use super::wire::{Fault, Role, Wire};

/// LIMIT: the balancer's peak resident memory while bodies of any size go through. Two buffers per
/// direction take kilobytes; buffering one whole body would exceed this.
const RESIDENT_KIB_MAX: u64 = 16 * 1024;

/// Bytes sent at once; a prime number, so that no buffer size divides it and a lost, doubled or swapped
/// piece shows.
const BLOCK: usize = 65_521;

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Fixed,
    Chunked,
}

#[test]
fn large_bodies_pass_unchanged_in_a_small_amount_of_memory() {
    let size = size();
    let origin = Origin::serve(move |head, wire| match head.target() {
        "/up" => match receive(wire) {
            Ok(received) => reply(wire, 200, received.to_string().as_bytes()),
            Err(_) => Next::Close,
        },
        "/down/fixed" => send_response(wire, size, Framing::Fixed),
        _ => send_response(wire, size, Framing::Chunked),
    });
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut client = Client::connect(balancer.address());
    for (framing, down) in [(Framing::Fixed, "/down/fixed"), (Framing::Chunked, "/down/chunked")] {
        client.send(format!("PUT /up HTTP/1.1\r\nHost: test.example\r\n{}\r\n", framing.field(size)));
        send_body(&mut client.wire, size, framing).expect("the upload is taken");
        assert_eq!(client.response().expect("the response").text(), size.to_string());

        client.send(format!("GET {down} HTTP/1.1\r\nHost: test.example\r\n\r\n"));
        client.wire.read_head(Role::Response).expect("the head");
        assert_eq!(receive(&mut client.wire), Ok(size));
    }
    let resident = balancer.process().peak_resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB were resident");
}

#[test]
fn many_bodies_at_once_stay_apart() {
    const SIZE: u64 = 1024 * 1024;
    let origin = Origin::serve(|_, wire| match receive(wire) {
        Ok(SIZE) => send_response(wire, SIZE, Framing::Chunked),
        _ => Next::Close,
    });
    let balancer = Balancer::over(&[origin.backend()]);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::connect(balancer.address());
                let field = Framing::Fixed.field(SIZE);
                client.send(format!("PUT / HTTP/1.1\r\nHost: test.example\r\n{field}\r\n"));
                send_body(&mut client.wire, SIZE, Framing::Fixed).expect("the upload is taken");
                client.wire.read_head(Role::Response).expect("the head");
                assert_eq!(receive(&mut client.wire), Ok(SIZE));
            });
        }
    });
}

#[test]
fn slow_readers_get_their_whole_bodies() {
    // More readers than there are pipes for large bodies, each stopped in the middle of one.
    const READERS: usize = 48;
    const SIZE: u64 = 8 * 1024 * 1024;
    let origin = Origin::serve(|_, wire| send_response(wire, SIZE, Framing::Fixed));
    let mut balancer = Balancer::over(&[origin.backend()]);
    let mut readers: Vec<_> = (0..READERS).map(|_| Client::connect(balancer.address())).collect();
    for reader in &mut readers {
        reader.send(get_request("/"));
    }
    wait::until("every response is under way", || origin.requests() == READERS);
    // What fits into sockets and pipes has been sent; the rest waits.
    balancer.process().wait_until_idle();
    // Clients that leave now abandon bytes in transit, and the pipes that hold them.
    readers.truncate(READERS / 2);
    for reader in &mut readers {
        reader.wire.read_head(Role::Response).expect("the head");
        assert_eq!(receive(&mut reader.wire), Ok(SIZE));
    }
    // None of it may turn up in the next response.
    let mut next = Client::connect(balancer.address());
    next.send(get_request("/"));
    next.wire.read_head(Role::Response).expect("the head");
    assert_eq!(receive(&mut next.wire), Ok(SIZE));
}

/// 64 MiB; 1 GiB when `ROPEWALK_LONG_TESTS` is set.
fn size() -> u64 {
    if std::env::var_os("ROPEWALK_LONG_TESTS").is_some() { 1 << 30 } else { 64 << 20 }
}

impl Framing {
    fn field(self, size: u64) -> String {
        match self {
            Self::Fixed => format!("Content-Length: {size}\r\n"),
            Self::Chunked => "Transfer-Encoding: chunked\r\n".into(),
        }
    }
}

/// The block that every body repeats: noise, the same in every run.
fn block() -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    (0..BLOCK).map(|_| rng.u8(..)).collect()
}

fn send_response(wire: &mut Wire, size: u64, framing: Framing) -> Next {
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", framing.field(size));
    match wire.send(head.as_bytes()).and_then(|()| send_body(wire, size, framing)) {
        Ok(()) => Next::Keep,
        Err(_) => Next::Close,
    }
}

fn send_body(wire: &mut Wire, size: u64, framing: Framing) -> std::io::Result<()> {
    let block = block();
    let mut left = size;
    while left > 0 {
        let piece = &block[..usize::try_from(left).unwrap_or(BLOCK).min(BLOCK)];
        if framing == Framing::Chunked {
            let mut line = String::new();
            write!(line, "{:x}\r\n", piece.len()).expect("writing to memory");
            wire.send(line.as_bytes())?;
        }
        wire.send(piece)?;
        if framing == Framing::Chunked {
            wire.send(b"\r\n")?;
        }
        left -= piece.len() as u64;
    }
    if framing == Framing::Chunked { wire.send(b"0\r\n\r\n") } else { Ok(()) }
}

/// Reads a body to its end and returns its size; a byte that differs is a fault.
fn receive(wire: &mut Wire) -> Result<u64, Fault> {
    let block = block();
    let mut received = 0;
    loop {
        let at = usize::try_from(received % BLOCK as u64).expect("below BLOCK");
        let piece = wire.read_piece(BLOCK - at)?;
        if piece.is_empty() {
            return Ok(received);
        }
        if piece != block[at..at + piece.len()] {
            return Err(Fault::Malformed(format!("the body differs somewhere behind byte {received}")));
        }
        received += piece.len() as u64;
    }
}
