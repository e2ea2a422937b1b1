//! The client's side: makes requests as their fates say, and judges every byte that comes back.

use std::net::SocketAddr;

use super::fate::{Fate, Manner};
use super::stage::busy;
use crate::client::Client;
use crate::wait::Enough;
use crate::wire::{Fault, Head, Role};

/// How a request ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// 200, and every byte as it should be.
    Served,
    /// A tunnel, and every byte as it should be, both ways.
    Tunnelled,
    /// The backend's own 503.
    Busy,
    /// An answer of the balancer's own.
    Refused(u16),
    /// The connection ended after the response had begun.
    Cut,
    /// The connection ended before that, as the response before had announced, or because its
    /// listener was taken away.
    Unanswered,
    /// The client left.
    Left,
    /// Anything else.
    Wrong(String),
}

/// What became of one request.
#[derive(Debug)]
pub struct Outcome {
    /// What should have become of it.
    pub fate: Fate,
    /// How it ended.
    pub end: End,
}

/// Where clients connect.
#[derive(Clone, Copy)]
pub struct Doors {
    /// Always open.
    pub first: SocketAddr,
    /// Comes and goes with reloads.
    pub second: SocketAddr,
}

/// A client.
pub struct Visitor {
    doors: Doors,
    seed: u64,
    next_id: u64,
    rng: fastrand::Rng,
    line: Option<Line>,
    outcomes: Vec<Outcome>,
}

/// A connection, and whether its listener may be taken away.
struct Line {
    client: Client,
    door: Door,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    First,
    Second,
}

/// Whether a connection may carry another request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl Visitor {
    /// Client number `number` of the run with this seed.
    pub fn new(doors: Doors, seed: u64, number: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ !number);
        Self { doors, seed, next_id: (number + 1) << 32, rng, line: None, outcomes: Vec::new() }
    }

    /// Makes requests until it is enough.
    pub fn visit(mut self, enough: &Enough) -> Vec<Outcome> {
        while !enough.is() {
            let fate = self.next();
            match fate.manner {
                Manner::Ask => self.ask(vec![fate]),
                Manner::Pipeline(count) => {
                    let mut batch = vec![fate];
                    batch.extend((1..count).map(|_| self.next()));
                    self.ask(batch.into_iter().map(|fate| fate.pipelined(count)).collect());
                }
                Manner::HalfClose => self.half_close(fate),
                Manner::LeaveWhileSending | Manner::LeaveWhileWaiting | Manner::LeaveWhileReading => {
                    self.leave(fate);
                }
                Manner::Tunnel => self.tunnel(fate),
            }
        }
        self.outcomes
    }

    fn next(&mut self) -> Fate {
        self.next_id += 1;
        Fate::of(self.seed, self.next_id)
    }

    fn note(&mut self, fate: Fate, end: End) {
        self.outcomes.push(Outcome { fate, end });
    }

    /// The connection that is open, or another one.
    fn line(&mut self) -> Line {
        if let Some(line) = self.line.take() {
            return line;
        }
        let second = (self.rng.u8(..4) == 0).then(|| Client::connect_if_open(self.doors.second)).flatten();
        if let Some(client) = second {
            return Line { client, door: Door::Second };
        }
        Line { client: Client::connect(self.doors.first), door: Door::First }
    }

    /// Sends all of them at once, and reads all responses.
    fn ask(&mut self, fates: Vec<Fate>) {
        let mut line = self.line();
        let bytes: Vec<u8> = fates.iter().flat_map(Fate::request).collect();
        // Whether or not all of it was taken: an answer may be there.
        let sent = line.client.wire.send(&bytes);
        let mut keep = if sent.is_ok() { Keep::Yes } else { Keep::No };
        let mut open = true;
        for fate in fates {
            let end = if open { receive(&mut line, &fate) } else { (End::Unanswered, Keep::No) };
            open = open && end.1 == Keep::Yes;
            keep = if open { keep } else { Keep::No };
            self.note(fate, end.0);
        }
        if keep == Keep::No {
            return;
        }
        if line.client.wire.has_unread() {
            if let Some(last) = self.outcomes.last_mut() {
                last.end = End::Wrong("more came than was asked for".into());
            }
        } else if self.rng.u8(..12) > 0 {
            self.line = Some(line);
        }
    }

    fn half_close(&mut self, fate: Fate) {
        let mut line = self.line();
        let sent = line.client.wire.send(&fate.request()).and_then(|()| line.client.wire.half_close());
        let (mut end, keep) = receive(&mut line, &fate);
        if sent.is_ok() && keep == Keep::Yes {
            match line.client.wire.read_to_close() {
                Ok(more) if more.is_empty() => {}
                // A reset behind the response takes nothing from it.
                Err(Fault::Cut) => {}
                other => end = End::Wrong(format!("{other:?} behind the response to a half-closed client")),
            }
        }
        self.note(fate, end);
    }

    /// Goes away somewhere on the way, by a close or by a reset.
    fn leave(&mut self, fate: Fate) {
        let mut line = self.line();
        let bytes = fate.request();
        let sent = if fate.manner == Manner::LeaveWhileSending {
            self.rng.usize(1..=bytes.len())
        } else {
            bytes.len()
        };
        let taken = line.client.wire.send(&bytes[..sent]).is_ok();
        let reads = taken && fate.manner == Manner::LeaveWhileReading;
        let piece_len = self.rng.usize(1..=70_000);
        let end = if reads { begin_to_read(&mut line, &fate, piece_len) } else { End::Left };
        if self.rng.bool() {
            line.client.wire.reset();
        }
        self.note(fate, end);
    }

    fn tunnel(&mut self, fate: Fate) {
        let mut line = self.line();
        let _ = line.client.wire.send(&fate.request());
        let (end, _) = match line.client.wire.read_head(Role::Response) {
            Ok(head) if head.status() == 101 => (through(&mut line, &fate, &head), Keep::No),
            Ok(head) => judge(&mut line, &fate, &head),
            Err(fault) => (unanswered(&line, &fault), Keep::No),
        };
        self.note(fate, end);
    }
}

/// Reads the beginning of a response, as a client that leaves then. What comes must be its own.
fn begin_to_read(line: &mut Line, fate: &Fate, piece_len: usize) -> End {
    let Ok(head) = line.client.wire.read_head(Role::Response) else { return End::Left };
    if head.status() != 200 {
        return End::Left;
    }
    if !belongs_to(&head, fate) {
        return End::Wrong(format!("the response of another request: {head:?}"));
    }
    if fate.method == "HEAD" {
        return End::Left;
    }
    match line.client.wire.read_piece(piece_len) {
        Ok(piece) if !fate.download().starts_with(&piece) => {
            End::Wrong("the body of another response".into())
        }
        Ok(_) | Err(_) => End::Left,
    }
}

/// Whether an origin answered this request.
fn belongs_to(head: &Head, fate: &Fate) -> bool {
    head.field("x-id") == Some(fate.id.to_string().as_str())
}

/// Sends what a tunnel is to carry, and judges what comes out of it.
fn through(line: &mut Line, fate: &Fate, head: &Head) -> End {
    if !belongs_to(head, fate) {
        return End::Wrong(format!("the tunnel of another request: {head:?}"));
    }
    let wire = &mut line.client.wire;
    // An origin that dies takes the tunnel with it.
    let sent = wire.send(&fate.upload()).and_then(|()| wire.half_close());
    let mut received = Vec::new();
    let fault = loop {
        match wire.read_raw(1) {
            Ok(byte) => received.extend(byte),
            Err(fault) => break fault,
        }
        // The rest of what has come already.
        match wire.take_unread() {
            more if more.is_empty() => {}
            more => received.extend(more),
        }
    };
    let expected = fate.download();
    match (sent, fault) {
        (_, Fault::Silence) => End::Wrong("a tunnel that has ended at its client does not end".into()),
        _ if !expected.starts_with(&received) => End::Wrong("a tunnel with bytes of another".into()),
        (Ok(()), _) if received.len() == expected.len() => End::Tunnelled,
        _ => End::Cut,
    }
}

/// Receives what should be the response to a request.
fn receive(line: &mut Line, fate: &Fate) -> (End, Keep) {
    match line.client.wire.read_head(Role::Response) {
        Ok(head) => judge(line, fate, &head),
        Err(fault) => (unanswered(line, &fault), Keep::No),
    }
}

/// What it means that no head came.
fn unanswered(line: &Line, fault: &Fault) -> End {
    match (fault, line.door) {
        (Fault::Closed | Fault::Cut, Door::Second) => End::Unanswered,
        (fault, _) => End::Wrong(format!("no response: {fault:?}")),
    }
}

/// Judges a response whose head has come, and reads the rest of it.
fn judge(line: &mut Line, fate: &Fate, head: &Head) -> (End, Keep) {
    let keep = if head.field("connection").is_some() { Keep::No } else { Keep::Yes };
    let wire = &mut line.client.wire;
    if fate.method == "HEAD" {
        wire.expect_no_body();
    }
    let body = match wire.read_rest() {
        Ok(body) => body,
        Err(Fault::Cut) => return (End::Cut, Keep::No),
        Err(fault) => return (End::Wrong(format!("{head:?} and {fault:?}")), Keep::No),
    };
    let is_its_own = belongs_to(head, fate);
    let has_body = |expected: &[u8]| if fate.method == "HEAD" { body.is_empty() } else { body == expected };
    let received = fate.upload.0.to_string();
    let end = match head.status() {
        200 if is_its_own && head.field("x-received") == Some(&received) && has_body(&fate.download()) => {
            End::Served
        }
        503 if is_its_own && has_body(busy(fate.id).as_bytes()) => End::Busy,
        status @ (502..=504) if head.field("x-id").is_none() && head.field("proxy-status").is_some() => {
            End::Refused(status)
        }
        _ => End::Wrong(format!("{head:?} and a body of {} bytes", body.len())),
    };
    (end, keep)
}
