//! The whole way of a request: whatever a client sends, an origin sees exactly the requests
//! that were believed, each in a form that can be read in only one way.
//!
//! A task is advanced as a worker would, on a virtual clock and in one thread: its client is
//! one end of a socket pair, its backend a listener of this module that reads with
//! [`super::strict`] and keeps what it read. What was believed is found out by asking the
//! parsers of `src/http` about the client's bytes; that they are right is what the other
//! targets are for.
//!
//! The first byte of the input says in which pieces the rest arrives, whether the client is
//! trusted, and whether the origin closes after each response.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use ropewalk::config::{Config, OneOrMany};
use ropewalk::internal::base::limits::VIA_LOOPS_MAX;
use ropewalk::internal::config::plan::Plan;
use ropewalk::internal::http::{
    BodyLength, ChunkDecoder, ChunkPart, HeadLimits, HeadStorage, Known, RequestHead, check_partial_request,
    head_end, parse_request, parse_trailers,
};
use ropewalk::internal::net::parking::StreamIndex;
use ropewalk::internal::net::wait::Waiter;
use ropewalk::internal::proxy::advance::advance;
use ropewalk::internal::proxy::connection::Connection;
use ropewalk::internal::proxy::context::Context;
use ropewalk::internal::proxy::step::Next;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

use super::stage::{self, PEER};
use super::strict::{self, Field, Framing, Reading, Request};

/// LIMIT: bytes of input that are looked at; more only repeats.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// LIMIT: turns of the task and the origin in one run, far more than the input has bytes.
const TURNS_MAX: usize = 100_000;

/// How long loopback may take to deliver what was sent before it counts as lost.
const DELIVERY_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// What the balancer may say of its own accord here: the backend never fails.
const STATUSES_OF_REFUSAL: [u16; 7] = [400, 405, 414, 431, 501, 505, 508];

/// Sends `data` through a task.
pub fn run(data: &[u8]) {
    let Some((&shape, sent)) = data.split_first() else { return };
    let sent = &sent[..sent.len().min(INPUT_BYTES_MAX)];
    let shape = Shape::of(shape);
    let believed = Believed::of(sent);
    if believed.unclear {
        return;
    }
    let mut scene = Scene::new(shape);
    for piece in sent.chunks(shape.piece_bytes) {
        scene.client_sends(piece);
        scene.turn();
    }
    scene.settle(&believed);
    judge(&scene, &believed);
    // The end of the input completes nothing.
    let _ = scene.client.shutdown(Shutdown::Write);
    for _ in 0..4 {
        scene.turn();
    }
    assert_eq!(scene.received.len(), believed.whole.len(), "the client's end completed a request");
}

/// How a run is set up.
#[derive(Clone, Copy)]
struct Shape {
    piece_bytes: usize,
    trusted: bool,
    origin_closes: bool,
}

impl Shape {
    fn of(byte: u8) -> Self {
        let piece_bytes = [INPUT_BYTES_MAX, 1, 2, 3, 5, 11, 47, 300][usize::from(byte & 7)];
        Self { piece_bytes, trusted: byte & 8 != 0, origin_closes: byte & 16 != 0 }
    }
}

/// One request as the parsers understood it.
#[derive(Debug)]
struct Belief {
    method: String,
    target: String,
    host: Option<String>,
    framing: Framing,
    body: Vec<u8>,
    trailers: Vec<Field>,
    upgrade: Option<Vec<u8>>,
    /// Fields that mean nothing to a balancer, and so must arrive as they were.
    other: Vec<Field>,
}

/// Everything a client's bytes mean.
#[derive(Debug, Default)]
struct Believed {
    whole: Vec<Belief>,
    /// The request that was begun and neither finished nor refused on its head.
    begun: Option<Belief>,
    /// Whether an answer of the balancer's own is due at the end.
    refused: bool,
    /// Whether several empty lines come before a request: how many are forgiven depends on how
    /// the network cuts them, and no two requests can be made of that.
    unclear: bool,
}

impl Believed {
    fn of(mut bytes: &[u8]) -> Self {
        let head_max = plan(None, Shape::of(0)).limits.head;
        let mut believed = Self::default();
        loop {
            bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
            if bytes.starts_with(b"\r\n") {
                believed.unclear = true;
                return believed;
            }
            let Some(end) = head_end(bytes, 0) else {
                let started = !matches!(bytes, b"" | b"\r");
                believed.refused =
                    started && check_partial_request(bytes, 0, HeadLimits::of_bytes(head_max)).is_err();
                return believed;
            };
            let (head, rest) = bytes.split_at(end);
            let mut storage = HeadStorage::new();
            let parsed = match parse_request(head, &mut storage) {
                Ok(parsed) if end <= head_max && parsed.method_token != "CONNECT" && !loops(&parsed) => {
                    parsed
                }
                _ => {
                    believed.refused = true;
                    return believed;
                }
            };
            let mut belief = Belief::of(&parsed);
            match belief.take_body(&parsed, rest) {
                Some(Ok(taken)) => {
                    bytes = &rest[taken..];
                    believed.whole.push(belief);
                    if !parsed.keep_alive {
                        return believed;
                    }
                }
                outcome => {
                    believed.refused = outcome.is_some();
                    believed.begun = Some(belief);
                    return believed;
                }
            }
        }
    }
}

impl Belief {
    fn of(head: &RequestHead<'_, '_>) -> Self {
        let other = head.fields.iter().filter(|field| field.known == Known::Other);
        let other = other.filter(|field| !head.connection_names(field.name) && !field.name.contains('_'));
        Self {
            method: head.method_token.to_owned(),
            target: format!("{}{}", head.target_prefix, head.target),
            host: head.host.map(str::to_owned),
            framing: match head.body {
                BodyLength::None | BodyLength::UntilClose => Framing::Unsaid,
                BodyLength::Fixed(length) => Framing::Length(length),
                BodyLength::Chunked => Framing::Chunked,
            },
            body: Vec::new(),
            trailers: Vec::new(),
            upgrade: head.upgrade.map(<[u8]>::to_vec),
            other: other.map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
        }
    }

    /// Takes the body from the front of `rest` and says how many bytes that were; `None` if
    /// it is not whole, an error if it is malformed.
    fn take_body(&mut self, head: &RequestHead<'_, '_>, rest: &[u8]) -> Option<Result<usize, ()>> {
        match head.body {
            BodyLength::None | BodyLength::UntilClose => Some(Ok(0)),
            BodyLength::Fixed(length) => {
                let here = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                self.body.extend(&rest[..here]);
                (here as u64 == length).then_some(Ok(here))
            }
            BodyLength::Chunked => {
                let mut decoder = ChunkDecoder::new();
                let mut at = 0;
                loop {
                    match decoder.next(&rest[at..]) {
                        Ok(ChunkPart::Data { skip, len }) => {
                            self.body.extend(&rest[at + skip..at + skip + len]);
                            at += skip + len;
                        }
                        Ok(ChunkPart::More { .. }) => return None,
                        Ok(ChunkPart::End { skip, len }) => {
                            let section = &rest[at + skip..at + skip + len];
                            let keep = |trailers: &mut Vec<Field>| {
                                parse_trailers(section, |field| {
                                    trailers.push((field.name.to_owned(), field.value.to_vec()));
                                })
                            };
                            let outcome = keep(&mut self.trailers);
                            return Some(outcome.map(|()| at + skip + len).map_err(|_| ()));
                        }
                        Err(_) => return Some(Err(())),
                    }
                }
            }
        }
    }
}

/// Whether a request has come through a ropewalk too often.
fn loops(head: &RequestHead<'_, '_>) -> bool {
    let vias = head.fields.iter().filter(|field| field.known == Known::Via);
    let entries = vias.flat_map(|via| via.value.split(|byte| *byte == b','));
    let ours = entries.filter(|entry| {
        let text = String::from_utf8_lossy(entry).into_owned();
        text.split_ascii_whitespace().nth(1) == Some("ropewalk")
    });
    ours.count() >= VIA_LOOPS_MAX
}

/// A task between a client and an origin.
struct Scene {
    // The balancer's sockets close before the origin's, which then reset: nothing is left
    // behind to wait for its time, however many runs there are in a second.
    task: Option<Box<Connection>>,
    cx: Context,
    client: UnixStream,
    /// What the client has been sent.
    responses: Vec<u8>,
    origin: Vec<ToOrigin>,
    received: Vec<Request>,
    shape: Shape,
}

/// A connection to the origin and what has arrived on it.
struct ToOrigin {
    stream: TcpStream,
    bytes: Vec<u8>,
}

thread_local! {
    static LISTENER: TcpListener = stage::listener();
}

fn plan(backend: Option<SocketAddr>, shape: Shape) -> Plan {
    let trusted = shape.trusted.then(|| OneOrMany::One("127.0.0.0/8".to_owned()));
    stage::plan(&Config { trusted_proxies: trusted, ..stage::config(backend) })
}

impl Scene {
    fn new(shape: Shape) -> Self {
        let backend = LISTENER.with(|listener| listener.local_addr().expect("an address"));
        let (task, cx, client) = stage::set(plan(Some(backend), shape));
        Self {
            task: Some(task),
            cx,
            client,
            responses: Vec::new(),
            origin: Vec::new(),
            received: Vec::new(),
            shape,
        }
    }

    fn client_sends(&mut self, mut piece: &[u8]) {
        for _ in 0..TURNS_MAX {
            match rustix::net::send(&self.client, piece, SendFlags::NOSIGNAL) {
                Ok(count) if count == piece.len() => return,
                Ok(count) => piece = &piece[count..],
                Err(rustix::io::Errno::AGAIN) => {}
                // The balancer has closed, as it may after a refusal.
                Err(_) => return,
            }
            self.turn();
        }
    }

    /// Lets the balancer, the origin and the client do what they can; whether any did.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        if let Some(task) = &mut self.task {
            task.each_stream(|_, stream| stream.mark_readable());
            match advance(task, &mut self.cx) {
                Next::Wait(_) => {}
                Next::Yield => moved = true,
                Next::Close => self.task = None,
            }
        }
        moved |= self.serve();
        let mut space = [0; 4096];
        while let Ok(count @ 1..) = self.client.read(&mut space) {
            self.responses.extend(&space[..count]);
            moved = true;
        }
        moved
    }

    /// The origin's turn: accepts, reads, and answers each whole request.
    fn serve(&mut self) -> bool {
        let mut moved = false;
        while let Ok((stream, _)) = LISTENER.with(TcpListener::accept) {
            let stream = stage::accepted(stream);
            self.origin.push(ToOrigin { stream, bytes: Vec::new() });
            moved = true;
        }
        for connection in &mut self.origin {
            let mut space = [0; 16 * 1024];
            loop {
                match connection.stream.read(&mut space) {
                    Ok(count @ 1..) => connection.bytes.extend(&space[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Ok(_) | Err(_) => break,
                }
                moved = true;
            }
            loop {
                match strict::request(&connection.bytes) {
                    Reading::Whole(request, taken) => {
                        connection.bytes.drain(..taken);
                        answer(&connection.stream, &request, self.shape);
                        self.received.push(request);
                        moved = true;
                    }
                    Reading::Unfinished => break,
                    Reading::Broken(what) => {
                        panic!("{what}: {:?}", connection.bytes.escape_ascii().to_string())
                    }
                }
            }
        }
        moved
    }

    /// Takes turns until everything believed has happened and nothing more does.
    fn settle(&mut self, believed: &Believed) {
        for _ in 0..TURNS_MAX {
            if self.turn() {
                continue;
            }
            let responses = read_responses(&self.responses, believed).len();
            let due = believed.whole.len() + usize::from(believed.refused);
            if self.received.len() >= believed.whole.len() && responses >= due {
                return;
            }
            if !self.wait() {
                return;
            }
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    /// Waits for any socket to have something; whether one does.
    fn wait(&mut self) -> bool {
        let mut link = None;
        if let Some(task) = &mut self.task {
            task.each_stream(|index, stream| {
                if index != StreamIndex::CLIENT {
                    link = stream.as_fd().try_clone_to_owned().ok();
                }
            });
        }
        LISTENER.with(|listener| {
            let mut fds =
                vec![PollFd::new(listener, PollFlags::IN), PollFd::new(&self.client, PollFlags::IN)];
            fds.extend(self.origin.iter().map(|connection| PollFd::new(&connection.stream, PollFlags::IN)));
            fds.extend(link.as_ref().map(|link| PollFd::new(link, PollFlags::IN)));
            poll(&mut fds, Some(&DELIVERY_MAX)).is_ok_and(|count| count > 0)
        })
    }
}

fn answer(stream: &TcpStream, request: &Request, shape: Shape) {
    let connection = if shape.origin_closes { "Connection: close\r\n" } else { "" };
    let body = if request.head.first == "HEAD" { "" } else { "ok" };
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{connection}\r\n{body}");
    // The balancer may be gone; the judgement will say.
    let _ = rustix::net::send(stream, response.as_bytes(), SendFlags::NOSIGNAL);
    if shape.origin_closes {
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// The statuses of the whole responses that a client has been sent.
fn read_responses(mut bytes: &[u8], believed: &Believed) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { break };
        let (head, rest) = bytes.split_at(end + 4);
        let Some(head) = strict::head(head) else { panic!("{:?}", head.escape_ascii().to_string()) };
        let Some(Framing::Length(length)) = head.framing() else { panic!("{head:?}") };
        let request = believed.whole.get(statuses.len()).or(believed.begun.as_ref());
        let bodiless = request.is_some_and(|request| request.method == "HEAD");
        let length = if bodiless { 0 } else { usize::try_from(length).expect("a short body") };
        if rest.len() < length {
            break;
        }
        statuses.push(head.second.parse().expect("a status"));
        bytes = &rest[length..];
    }
    statuses
}

fn judge(scene: &Scene, believed: &Believed) {
    assert_eq!(scene.received.len(), believed.whole.len(), "{:?} for {believed:?}", scene.received);
    for (request, belief) in scene.received.iter().zip(&believed.whole) {
        judge_request(request, belief, scene.shape);
    }
    let statuses = read_responses(&scene.responses, believed);
    let (relayed, own) = statuses.split_at(believed.whole.len().min(statuses.len()));
    assert!(relayed.iter().all(|status| *status == 200), "{statuses:?} for {believed:?}");
    assert_eq!(relayed.len(), believed.whole.len(), "{statuses:?} for {believed:?}");
    assert_eq!(own.len(), usize::from(believed.refused), "{statuses:?} for {believed:?}");
    assert!(own.iter().all(|status| STATUSES_OF_REFUSAL.contains(status)), "{statuses:?}");

    // What is under way is the request that was begun, as far as it has come.
    for connection in scene.origin.iter().filter(|connection| !connection.bytes.is_empty()) {
        let Some(end) = connection.bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = strict::head(&connection.bytes[..end + 4]).expect("a well-formed head");
        let begun = believed.begun.as_ref().expect("a request that nobody sent");
        assert_eq!((&head.first, &head.second), (&begun.method, &begun.target));
        assert_eq!(head.framing(), Some(begun.framing));
    }
}

/// One request as it was believed and as it arrived.
fn judge_request(request: &Request, belief: &Belief, shape: Shape) {
    let Request { head, framing, body, trailers } = request;
    assert_eq!((&head.first, &head.second), (&belief.method, &belief.target));
    assert_eq!(head.third, b"HTTP/1.1");
    assert_eq!(*framing, belief.framing);
    assert_eq!(body, &belief.body);
    assert_eq!(trailers, &belief.trailers);

    let expected = belief.host.as_deref().unwrap_or("127.0.0.1:8080");
    let [host] = head.all("host")[..] else { panic!("not one Host: {head:?}") };
    assert!(agree(host, expected.as_bytes()), "{host:?} is not {expected:?}");
    for hop in ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"] {
        assert!(head.all(hop).is_empty(), "{hop} came through");
    }
    let upgrade = belief.upgrade.as_deref();
    assert_eq!(head.all("upgrade"), upgrade.into_iter().collect::<Vec<_>>());
    for option in head.all("connection") {
        assert!(if upgrade.is_some() { option == b"Upgrade" } else { option == b"TE" }, "{head:?}");
    }
    for (name, _) in &head.fields {
        let spelling = name.to_ascii_lowercase();
        assert!(!spelling.contains('_') || !spelling.starts_with('x'), "{name} came through");
    }
    let [forwarded] = head.all("x-forwarded-for")[..] else { panic!("not one X-Forwarded-For: {head:?}") };
    assert!(forwarded.ends_with(PEER.as_bytes()) && (shape.trusted || forwarded == PEER.as_bytes()));
    for name in ["x-real-ip", "x-forwarded-proto", "x-forwarded-port"] {
        assert_eq!(head.all(name).len(), 1, "{name} in {head:?}");
    }
    if !shape.trusted {
        assert_eq!(head.all("x-real-ip"), [PEER.as_bytes()]);
        assert!(head.all("forwarded").is_empty());
    }
    let ids = head.all("x-request-id");
    assert!(!ids.is_empty() && !ids.contains(&&b""[..]), "X-Request-Id in {head:?}");
    let mut arrived = head.fields.iter();
    for field in &belief.other {
        assert!(arrived.any(|other| other == field), "{field:?} was lost or moved in {head:?}");
    }
}

/// Whether two spellings name one host: case and an empty or default port make no difference.
fn agree(one: &[u8], other: &[u8]) -> bool {
    let plain = |host: &[u8]| {
        let text = String::from_utf8_lossy(host).to_ascii_lowercase();
        let bare = text.rsplit_once(':').filter(|(_, port)| {
            port.is_empty() || port.parse().is_ok_and(|port: u16| port == 80 || port == 443)
        });
        bare.map_or(text.clone(), |(host, _)| host.to_owned())
    };
    plain(one) == plain(other)
}
