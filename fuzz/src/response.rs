//! The whole way of a response: whatever an origin sends, a client gets what was believed of it
//! and nothing else. What is cut off never looks complete, and what stands behind a response
//! never becomes the answer to another request.
//!
//! The same stage as [`super::exchange`], with the roles changed: here the origin sends the
//! fuzzer's bytes, and the client reads with [`super::strict`].
//!
//! The first byte of the input says in which pieces the rest arrives, what the client has asked
//! for, and whether the origin closes after it.

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use ropewalk::config::{Config, Limits, Size};
use ropewalk::internal::http::{
    BodyLength, ChunkDecoder, ChunkPart, HeadStorage, Known, Method, ResponseHead, head_end, parse_response,
    parse_trailers,
};
use ropewalk::internal::net::parking::StreamIndex;
use ropewalk::internal::net::wait::Waiter;
use ropewalk::internal::proxy::advance::advance;
use ropewalk::internal::proxy::connection::Connection;
use ropewalk::internal::proxy::context::Context;
use ropewalk::internal::proxy::step::Next;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

use super::stage;
use super::strict::{self, Field, Framing, Reading};

/// LIMIT: bytes of input that are looked at; more only repeats.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// The limit on heads here: low, so that it is met.
const HEAD_BYTES_MAX: usize = 1024;

/// LIMIT: bytes of interim responses, as in the configuration of the stage.
const INTERIM_BYTES_MAX: usize = 2048;

/// LIMIT: turns of the task in one run, far more than the input has bytes.
const TURNS_MAX: usize = 100_000;

/// How long loopback may take to deliver what was sent before it counts as lost.
const DELIVERY_MAX: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// What the second request is answered.
const SECOND: &[u8] = b"HTTP/1.1 203 Second\r\nContent-Length: 6\r\n\r\nsecond";

/// Answers a request with `data`.
pub fn run(data: &[u8]) {
    let Some((&shape, sent)) = data.split_first() else { return };
    let sent = &sent[..sent.len().min(INPUT_BYTES_MAX)];
    let shape = Shape::of(shape);
    let believed = Believed::of(sent, shape);
    let mut scene = Scene::new();
    scene.client_sends(shape.asks.request());
    let mut origin = scene.accept();
    for piece in sent.chunks(shape.piece_bytes) {
        // Who has heard enough closes, and is told no more.
        let _ = rustix::net::send(&origin.stream, piece, SendFlags::NOSIGNAL);
        scene.turn();
    }
    if shape.closes {
        let _ = origin.stream.shutdown(Shutdown::Write);
    }
    scene.settle(&origin, |received, closed| View::of(received, closed, shape).is_all_of(&believed));
    let view = View::of(&scene.received, scene.closed, shape);
    view.judge(&believed, shape);

    // Somebody else's request over the same connections, as far as they are kept.
    if !believed.is_over() || view.rest > 0 || shape.asks != Asks::Get {
        return;
    }
    scene.received.clear();
    scene.client_sends(b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n");
    scene.answer_second(&mut origin);
    assert_eq!(strip(&scene.received), SECOND, "{:?}", scene.received.escape_ascii().to_string());
}

/// How a run is set up.
#[derive(Clone, Copy)]
struct Shape {
    piece_bytes: usize,
    asks: Asks,
    closes: bool,
}

/// What the client has asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Get,
    Head,
    Http10,
    Upgrade,
}

impl Shape {
    fn of(byte: u8) -> Self {
        Self {
            piece_bytes: [INPUT_BYTES_MAX, 1, 2, 3, 5, 11, 47, 300][usize::from(byte & 7)],
            asks: [Asks::Get, Asks::Head, Asks::Http10, Asks::Upgrade][usize::from(byte >> 3 & 3)],
            closes: byte & 32 != 0,
        }
    }
}

impl Asks {
    fn request(self) -> &'static [u8] {
        match self {
            Self::Get => b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            Self::Head => b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
            Self::Http10 => b"GET / HTTP/1.0\r\nHost: h\r\n\r\n",
            Self::Upgrade => b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
        }
    }

    fn method(self) -> Method {
        if self == Self::Head { Method::Head } else { Method::Get }
    }
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    /// More may come.
    Open,
    /// It never will be complete.
    Cut,
}

/// One response as the parsers understood it.
#[derive(Debug)]
struct Belief {
    status: u16,
    reason: Vec<u8>,
    /// Fields that mean nothing to a balancer, and so must arrive as they were.
    other: Vec<Field>,
    body: Vec<u8>,
    trailers: Vec<Field>,
    end: End,
    /// Whether the end of the connection is the end of the body for an HTTP/1.0 client, and so
    /// cannot be told from a cut here: socket pairs know no reset.
    ends_with_connection: bool,
}

/// Everything an origin's bytes mean.
#[derive(Debug, Default)]
struct Believed {
    interim: Vec<u16>,
    answer: Option<Belief>,
    /// Without an answer: whether the balancer has to say so by itself.
    refused: bool,
}

impl Believed {
    fn of(mut bytes: &[u8], shape: Shape) -> Self {
        let (mut believed, mut interim_bytes) = (Self::default(), 0);
        loop {
            let Some(end) = head_end(bytes, 0) else {
                believed.refused = shape.closes || bytes.len() > HEAD_BYTES_MAX;
                return believed;
            };
            let (head, rest) = bytes.split_at(end);
            let mut storage = HeadStorage::new();
            let parsed = match parse_response(head, shape.asks.method(), &mut storage) {
                Ok(parsed) if end <= HEAD_BYTES_MAX => parsed,
                _ => {
                    believed.refused = true;
                    return believed;
                }
            };
            match parsed.status {
                101 => {
                    believed.refused = shape.asks != Asks::Upgrade || parsed.upgrade.is_none();
                    if !believed.refused {
                        believed.answer = Some(Belief::of(&parsed, rest, shape));
                    }
                    return believed;
                }
                100..=199 => {
                    interim_bytes += end;
                    if interim_bytes > INTERIM_BYTES_MAX {
                        believed.refused = true;
                        return believed;
                    }
                    believed.interim.push(parsed.status);
                    bytes = rest;
                }
                _ => {
                    believed.answer = Some(Belief::of(&parsed, rest, shape));
                    return believed;
                }
            }
        }
    }

    /// Whether the request has had its one answer.
    fn is_over(&self) -> bool {
        self.refused || self.answer.as_ref().is_some_and(|answer| answer.end == End::Complete)
    }
}

impl Belief {
    fn of(head: &ResponseHead<'_, '_>, rest: &[u8], shape: Shape) -> Self {
        let other = head.fields.iter().filter(|field| field.known == Known::Other);
        let other = other.filter(|field| !head.connection_names(field.name));
        let mut belief = Self {
            status: head.status,
            reason: head.reason.to_vec(),
            other: other.map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
            body: Vec::new(),
            trailers: Vec::new(),
            end: if shape.closes { End::Cut } else { End::Open },
            ends_with_connection: shape.asks == Asks::Http10
                && matches!(head.body, BodyLength::Chunked | BodyLength::UntilClose),
        };
        match head.body {
            // A tunnel: what follows is the other protocol.
            _ if head.status == 101 => belief.body.extend(rest),
            BodyLength::None => belief.end = End::Complete,
            BodyLength::Fixed(length) => {
                let here = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                belief.body.extend(&rest[..here]);
                if here as u64 == length {
                    belief.end = End::Complete;
                }
            }
            BodyLength::UntilClose => {
                belief.body.extend(rest);
                if shape.closes {
                    belief.end = End::Complete;
                }
            }
            BodyLength::Chunked => belief.take_chunks(rest),
        }
        belief
    }

    fn take_chunks(&mut self, rest: &[u8]) {
        let mut decoder = ChunkDecoder::new();
        let mut at = 0;
        loop {
            match decoder.next(&rest[at..]) {
                Ok(ChunkPart::Data { skip, len }) => {
                    self.body.extend(&rest[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Ok(ChunkPart::More { .. }) => return,
                Ok(ChunkPart::End { skip, len }) => {
                    let section = &rest[at + skip..at + skip + len];
                    let outcome = parse_trailers(section, |field| {
                        self.trailers.push((field.name.to_owned(), field.value.to_vec()));
                    });
                    self.end = if outcome.is_ok() { End::Complete } else { End::Cut };
                    return;
                }
                Err(_) => {
                    self.end = End::Cut;
                    return;
                }
            }
        }
    }
}

/// What a client makes of the bytes that it has been sent.
#[derive(Debug, Default)]
struct View {
    interim: Vec<u16>,
    head: Option<strict::Head>,
    body: Vec<u8>,
    trailers: Vec<Field>,
    complete: bool,
    closed: bool,
    /// Bytes behind the response.
    rest: usize,
}

impl View {
    fn of(mut bytes: &[u8], closed: bool, shape: Shape) -> Self {
        let mut view = Self { closed, ..Self::default() };
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let (head, rest) = bytes.split_at(end + 4);
            let Some(head) = strict::head(head) else { panic!("{:?}", head.escape_ascii().to_string()) };
            assert_eq!(head.first, "HTTP/1.1");
            bytes = rest;
            match head.second.parse().expect("a status") {
                101 => {
                    view.head = Some(head);
                    view.body = rest.to_vec();
                    return view;
                }
                status @ 100..=199 => view.interim.push(status),
                status => {
                    view.take_body(&head, status, rest, shape);
                    view.head = Some(head);
                    return view;
                }
            }
        }
        view
    }

    fn take_body(&mut self, head: &strict::Head, status: u16, rest: &[u8], shape: Shape) {
        let Some(framing) = head.framing() else { panic!("two framings: {head:?}") };
        let taken = match framing {
            _ if shape.asks == Asks::Head || matches!(status, 204 | 304) => Some(0),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                self.body = rest[..length.min(rest.len())].to_vec();
                (rest.len() >= length).then_some(length)
            }
            Framing::Chunked => {
                assert!(shape.asks != Asks::Http10, "chunks for HTTP/1.0");
                match strict::chunked(rest) {
                    Reading::Whole(chunked, taken) => {
                        self.body = chunked.data;
                        self.trailers = strict::fields(&chunked.trailers).expect("well-formed trailers");
                        Some(taken)
                    }
                    Reading::Unfinished => {
                        self.body = begun_chunks(rest);
                        None
                    }
                    Reading::Broken(what) => panic!("{what}: {:?}", rest.escape_ascii().to_string()),
                }
            }
            Framing::Unsaid => {
                assert!(head.all("connection") == [b"close"], "a body without end on a kept connection");
                self.body = rest.to_vec();
                self.closed.then_some(rest.len())
            }
        };
        self.complete = taken.is_some();
        self.rest = taken.map_or(0, |taken| rest.len() - taken);
    }

    fn status(&self) -> u16 {
        self.head.as_ref().map_or(0, |head| head.second.parse().expect("a status"))
    }

    /// Whether everything that was believed has arrived.
    fn is_all_of(&self, believed: &Believed) -> bool {
        match &believed.answer {
            None => self.complete || !believed.refused,
            Some(answer) => {
                self.head.is_some()
                    && self.body.len() >= answer.body.len()
                    && match answer.end {
                        End::Complete => self.complete,
                        End::Cut => self.closed,
                        End::Open => true,
                    }
            }
        }
    }

    fn judge(&self, believed: &Believed, shape: Shape) {
        let relayed = if shape.asks == Asks::Http10 { &[][..] } else { &believed.interim[..] };
        assert_eq!(self.interim, relayed, "{believed:?}");
        assert_eq!(self.rest, 0, "bytes behind the response");
        let Some(answer) = &believed.answer else {
            let expected = if believed.refused { 502 } else { 0 };
            assert_eq!((self.status(), self.complete), (expected, believed.refused), "{believed:?}");
            return;
        };
        let Some(head) = &self.head else { panic!("no answer for {believed:?}") };
        assert_eq!((self.status(), &head.third), (answer.status, &answer.reason));
        for hop in ["keep-alive", "proxy-connection", "te"] {
            assert!(head.all(hop).is_empty(), "{hop} came through");
        }
        let mut arrived = head.fields.iter();
        for field in &answer.other {
            assert!(arrived.any(|other| other == field), "{field:?} was lost or moved in {head:?}");
        }
        match answer.end {
            End::Complete => {
                assert!(self.complete, "{self:?} for {answer:?}");
                assert_eq!(self.body, answer.body);
                let trailers = if shape.asks == Asks::Http10 { &[][..] } else { &answer.trailers[..] };
                assert_eq!(self.trailers, trailers);
            }
            End::Open | End::Cut => {
                assert!(
                    !self.complete || answer.ends_with_connection,
                    "a false end: {self:?} for {answer:?}"
                );
                assert!(answer.body.starts_with(&self.body), "{self:?} for {answer:?}");
                assert!(answer.end == End::Cut || self.body == answer.body, "{self:?} for {answer:?}");
                assert!(answer.end == End::Open || self.closed, "not cut: {self:?} for {answer:?}");
            }
        }
    }
}

/// The data of chunks that do not end.
fn begun_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size @ 1..) = size else { break };
        let rest = &bytes[end + 2..];
        data.extend(&rest[..size.min(rest.len())]);
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
    data
}

/// The response without what the balancer says about itself.
fn strip(response: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(response);
    let added = ["Via: ", "Date: ", "X-Request-Id: "];
    let is_added = |line: &str| added.iter().any(|name| line.starts_with(name));
    let lines = text.split_inclusive("\r\n").filter(|line| !is_added(line));
    lines.collect::<String>().into_bytes()
}

/// A connection to the origin and the request that came over it.
struct Origin {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Origin {
    fn read(&mut self) -> bool {
        let mut space = [0; 4096];
        loop {
            match self.stream.read(&mut space) {
                Ok(count @ 1..) => {
                    self.request.extend(&space[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

/// A task between a client and an origin.
struct Scene {
    // The balancer's sockets close before the origin's, as in `exchange`.
    task: Option<Box<Connection>>,
    cx: Context,
    client: UnixStream,
    received: Vec<u8>,
    closed: bool,
}

thread_local! {
    static LISTENER: TcpListener = stage::listener();
}

impl Scene {
    fn new() -> Self {
        let backend = LISTENER.with(|listener| listener.local_addr().expect("an address"));
        let config = stage::config(Some(backend));
        let size = |bytes: usize| Some(Size::Text(format!("{bytes}B")));
        let limits = config.limits.clone().unwrap_or_default();
        let limits = Limits { head: size(HEAD_BYTES_MAX), interim: size(INTERIM_BYTES_MAX), ..limits };
        let config = Config { limits: Some(limits), retries: Some(0), ..config };
        let (task, cx, client) = stage::set(stage::plan(&config));
        Self { task: Some(task), cx, client, received: Vec::new(), closed: false }
    }

    fn client_sends(&mut self, request: &[u8]) {
        let sent = rustix::net::send(&self.client, request, SendFlags::NOSIGNAL);
        assert_eq!(sent, Ok(request.len()));
        self.turn();
    }

    /// Lets the balancer and the client do what they can; whether either did.
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
        let mut space = [0; 4096];
        loop {
            match self.client.read(&mut space) {
                Ok(count @ 1..) => {
                    self.received.extend(&space[..count]);
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
                Ok(_) | Err(_) => {
                    moved |= !std::mem::replace(&mut self.closed, true);
                    return moved;
                }
            }
        }
    }

    /// The connection over which the first request arrives.
    fn accept(&mut self) -> Origin {
        for _ in 0..TURNS_MAX {
            self.turn();
            if let Ok((stream, _)) = LISTENER.with(TcpListener::accept) {
                let mut origin = Origin { stream: stage::accepted(stream), request: Vec::new() };
                while !origin.request.ends_with(b"\r\n\r\n") {
                    self.turn();
                    origin.read();
                }
                return origin;
            }
        }
        panic!("no request after {TURNS_MAX} turns");
    }

    /// Takes turns until `done`, or until nothing happens any more.
    fn settle(&mut self, origin: &Origin, done: impl Fn(&[u8], bool) -> bool) {
        for _ in 0..TURNS_MAX {
            if self.turn() {
                continue;
            }
            if done(&self.received, self.closed) || !self.wait(Some(origin)) {
                return;
            }
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    /// Waits for any socket to have something; whether one does.
    fn wait(&mut self, origin: Option<&Origin>) -> bool {
        let mut link = None;
        if let Some(task) = &mut self.task {
            task.each_stream(|index, stream| {
                if index != StreamIndex::CLIENT {
                    link = stream.as_fd().try_clone_to_owned().ok();
                }
            });
        }
        LISTENER.with(|listener| {
            let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
            fds.extend(origin.map(|origin| PollFd::new(&origin.stream, PollFlags::IN)));
            if !self.closed {
                fds.push(PollFd::new(&self.client, PollFlags::IN));
            }
            fds.extend(link.as_ref().map(|link| PollFd::new(link, PollFlags::IN)));
            poll(&mut fds, Some(&DELIVERY_MAX)).is_ok_and(|count| count > 0)
        })
    }

    /// The second request comes, over whichever connection, and is answered.
    fn answer_second(&mut self, first: &mut Origin) {
        first.request.clear();
        let mut second: Option<Origin> = None;
        for _ in 0..TURNS_MAX {
            if let Ok((stream, _)) = LISTENER.with(TcpListener::accept) {
                assert!(second.is_none(), "a third connection");
                second = Some(Origin { stream: stage::accepted(stream), request: Vec::new() });
            }
            for origin in second.iter_mut().chain([&mut *first]) {
                if origin.read() && origin.request.ends_with(b"\r\n\r\n") {
                    assert!(origin.request.starts_with(b"GET /second "), "not what was asked for");
                    let sent = rustix::net::send(&origin.stream, SECOND, SendFlags::NOSIGNAL);
                    assert_eq!(sent, Ok(SECOND.len()));
                }
            }
            if !self.turn() && (self.received.ends_with(b"second") || !self.wait(second.as_ref())) {
                return;
            }
        }
        panic!("no answer after {TURNS_MAX} turns");
    }
}
