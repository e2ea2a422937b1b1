//! The origin that every proxy forwards to: three listeners, one thread.
//!
//! It has to cost less than any proxy, or the table would show the origin. It knows
//! GET without a body, POST with one of stated length, keep-alive, and nothing else: one
//! `recv`, one `send`, and an answer that was made before the first request came. `/10m`
//! answers 10 MiB, `/slow` after a second; with a delay, every answer is held back for
//! so long. What is held back does not hold up the others.
//!
//! may_minihttp was measured for the place: with one
//! worker and 64 connections it took 6.1 µs of processor time per request (5.2 to 6.7
//! over three measures) where this takes 4.8 (4.5 to 5.6). It is fast enough, but it
//! is not the cheaper one, and it can neither hold an answer back without a coroutine
//! for each nor send 10 MiB without copying them first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use ropewalk::internal::base::clock::{self, Moment};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, sockopt};

/// The subcommand that runs [`serve`].
pub const COMMAND: &str = "origin";
/// How many backends each proxy balances over.
pub const BACKENDS: usize = 3;
/// The target and the length of the large body.
pub const LARGE_TARGET: &str = "/10m";
/// The length of the body at [`LARGE_TARGET`].
pub const LARGE_BYTES: usize = 10 << 20;
/// The target whose answer takes [`SLOW`].
pub const SLOW_TARGET: &str = "/slow";
/// How long the answer at [`SLOW_TARGET`] takes.
pub const SLOW: Duration = Duration::from_secs(1);
/// The body of every other answer.
pub const SMALL_BODY: &str = "Response from the origin\n";

/// LIMIT: bytes of a request head. Proxies here send fewer than 1 000.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// LIMIT: sockets served per `epoll_wait`.
const EVENTS_MAX: usize = 256;
/// LIMIT: connections that wait to be accepted; a benchmark opens a thousand at once.
const BACKLOG: i32 = 4096;
/// LIMIT: fields of a request with a body.
const FIELDS_MAX: usize = 64;
/// How much of a body one `recv` may drop.
const DROPPED_BYTES: usize = 1 << 20;

/// Answers on `addresses`, each time after `delay`, until the process is ended.
pub fn serve(addresses: &[SocketAddrV4], delay: Duration) -> io::Result<()> {
    let mut origin = Origin::listen(addresses, delay)?;
    loop {
        origin.turn()?;
    }
}

struct Origin {
    epoll: std::os::fd::OwnedFd,
    listeners: Vec<TcpListener>,
    /// By event number less that of the listeners. A place is free while `None`.
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Answers held back, the first to go on top.
    held: BinaryHeap<Reverse<Held>>,
    delay: Duration,
    small: Vec<u8>,
    large: Vec<u8>,
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    /// The part of a head that came without its end.
    partial: Vec<u8>,
    /// The body that is arriving: how much of it is still to come, and what it will be answered.
    body: Option<(u64, Answer)>,
    /// The answer on its way and how much of it has been sent.
    sending: Option<(Answer, usize)>,
    /// Tells this client from an earlier one in the same place.
    serial: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    body: Body,
    after: After,
    delay: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Body {
    Small,
    Large,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    Keep,
    Close,
}

/// Ordered by its time, which stands first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due: Moment,
    place: usize,
    serial: u64,
    answer: Answer,
}

enum Fate {
    Stays,
    Gone,
}

impl Origin {
    fn listen(addresses: &[SocketAddrV4], delay: Duration) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let listeners = addresses.iter().map(listen_on).collect::<io::Result<Vec<_>>>()?;
        for (number, listener) in listeners.iter().enumerate() {
            epoll::add(&epoll, listener, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            listeners,
            clients: Vec::new(),
            free: Vec::new(),
            held: BinaryHeap::new(),
            delay,
            small: answer(SMALL_BODY.as_bytes()),
            large: answer(&vec![b'x'; LARGE_BYTES]),
            buffer: vec![0; DROPPED_BYTES],
        })
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut events = [NO_EVENT; EVENTS_MAX];
        let count = self.wait(&mut events)?;
        for event in events.iter().take(count) {
            let number = event.data.u64() as usize;
            match number.checked_sub(self.listeners.len()) {
                None => self.accept(number)?,
                Some(place) => self.advance(place),
            }
        }
        self.release_held();
        Ok(())
    }

    fn wait(&self, events: &mut [epoll::Event]) -> io::Result<usize> {
        let Some(Reverse(first)) = self.held.peek() else {
            return Ok(epoll::wait(&self.epoll, events, None)?);
        };
        // poll, because it takes a time in nanoseconds.
        let left = first.due.since(clock::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout))?;
        Ok(epoll::wait(&self.epoll, events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?)
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        // One for each event: level-triggered, the listener is told of again.
        let Ok((stream, _)) = self.listeners[listener].accept() else { return Ok(()) };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let number = (place + self.listeners.len()) as u64;
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(number), interest)?;
        let serial = clock::now().as_nanos();
        self.clients[place] = Some(Client { stream, partial: Vec::new(), body: None, sending: None, serial });
        Ok(())
    }

    fn advance(&mut self, place: usize) {
        if let Fate::Gone = self.try_advance(place) {
            self.clients[place] = None;
            self.free.push(place);
        }
    }

    fn try_advance(&mut self, place: usize) -> Fate {
        if let Fate::Gone = self.send(place) {
            return Fate::Gone;
        }
        let Some(client) = &mut self.clients[place] else { return Fate::Stays };
        let answer = loop {
            if let Some((left, answer)) = &mut client.body {
                match recv(&client.stream, &mut *self.buffer, RecvFlags::TRUNC) {
                    Ok((_, 0)) => return Fate::Gone,
                    Ok((_, dropped)) => *left = left.saturating_sub(dropped as u64),
                    Err(Errno::AGAIN) => return Fate::Stays,
                    Err(_) => return Fate::Gone,
                }
                if *left == 0 {
                    let answer = *answer;
                    client.body = None;
                    break answer;
                }
                continue;
            }
            let received = match client.stream.read(&mut self.buffer[..HEAD_BYTES_MAX]) {
                Ok(0) => return Fate::Gone,
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Stays,
                Err(_) => return Fate::Gone,
            };
            match client.take_head(&self.buffer[..received], self.delay) {
                Head::Whole(answer) => break answer,
                Head::Partial => return Fate::Stays,
                Head::BeforeBody => {}
                Head::Bad => return Fate::Gone,
            }
        };
        if answer.delay.is_zero() {
            client.sending = Some((answer, 0));
            return self.send(place);
        }
        let due = clock::now() + answer.delay;
        self.held.push(Reverse(Held { due, place, serial: client.serial, answer }));
        Fate::Stays
    }

    fn send(&mut self, place: usize) -> Fate {
        let Some(client) = &mut self.clients[place] else { return Fate::Stays };
        while let Some((answer, sent)) = &mut client.sending {
            let whole = match answer.body {
                Body::Small => &self.small,
                Body::Large => &self.large,
            };
            match client.stream.write(&whole[*sent..]) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Stays,
                Err(_) => return Fate::Gone,
            }
            if *sent == whole.len() {
                match answer.after {
                    After::Keep => client.sending = None,
                    After::Close => return Fate::Gone,
                }
            }
        }
        Fate::Stays
    }

    fn release_held(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let time = clock::now();
        while self.held.peek().is_some_and(|Reverse(held)| held.due <= time) {
            let Some(Reverse(held)) = self.held.pop() else { return };
            match &mut self.clients[held.place] {
                Some(client) if client.serial == held.serial => client.sending = Some((held.answer, 0)),
                _ => continue,
            }
            self.advance(held.place);
        }
    }
}

const NO_EVENT: epoll::Event =
    epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };

/// A listener with a backlog of our choice, which std's has not.
fn listen_on(address: &SocketAddrV4) -> io::Result<TcpListener> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What the bytes of a head came to.
enum Head {
    /// A request without a body.
    Whole(Answer),
    /// More is to come.
    Partial,
    /// The body is to come, or the rest of it.
    BeforeBody,
    /// Not what a proxy here ought to send.
    Bad,
}

impl Client {
    fn take_head(&mut self, bytes: &[u8], delay: Duration) -> Head {
        if self.partial.is_empty() && ends_head(bytes) && !bytes.starts_with(UPLOAD) {
            return Head::Whole(answer_to(bytes, delay));
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.starts_with(UPLOAD) {
            return self.take_upload(delay);
        }
        if self.partial.len() > HEAD_BYTES_MAX {
            return Head::Bad;
        }
        if !ends_head(&self.partial) {
            return Head::Partial;
        }
        Head::Whole(answer_to(&std::mem::take(&mut self.partial), delay))
    }

    fn take_upload(&mut self, delay: Duration) -> Head {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        let head_bytes = match request.parse(&self.partial) {
            Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
            Ok(httparse::Status::Partial) if self.partial.len() <= HEAD_BYTES_MAX => return Head::Partial,
            _ => return Head::Bad,
        };
        let field = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
        let length = field.and_then(|field| std::str::from_utf8(field.value).ok()?.parse::<u64>().ok());
        let arrived = (self.partial.len() - head_bytes) as u64;
        let Some(left) = length.and_then(|length| length.checked_sub(arrived)) else { return Head::Bad };
        let answer = answer_to(&self.partial[..head_bytes], delay);
        self.partial.clear();
        if left == 0 {
            return Head::Whole(answer);
        }
        self.body = Some((left, answer));
        Head::BeforeBody
    }
}

/// How a request with a body begins.
const UPLOAD: &[u8] = b"POST ";

/// Proxies do not pipeline, so a head can only end where the bytes end.
fn ends_head(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n")
}

fn answer_to(head: &[u8], delay: Duration) -> Answer {
    let (body, delay) = match head {
        head if head.starts_with(b"GET /10m ") => (Body::Large, delay),
        head if head.starts_with(b"GET /slow ") => (Body::Small, SLOW),
        _ => (Body::Small, delay),
    };
    let after = match memchr::memmem::find(head, b"onnection: close\r\n") {
        Some(_) => After::Close,
        None => After::Keep,
    };
    Answer { body, after, delay }
}
