//! The load generator: many client connections on one thread.
//!
//! It shares a small machine with what it measures, so what counts is how little it
//! does per request: one `recv`, one `send`, one clock read, and a share of one
//! `epoll_wait`. Each socket is registered once, edge-triggered, for both directions;
//! nothing is registered again until the socket is closed.
//!
//! Closed loops (`keepalive`, `close`, `download`, `upload`) send the next request when the
//! last one is answered, and so slow down with the proxy. The open loop (`rate`)
//! does not: each request has its time, and its latency runs from that time even
//! when no connection was free to send it then. A proxy that stalls is charged for
//! every request it kept waiting.
//!
//! It must not know what is measured: a proxy, or an origin without one.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::Duration;

use hdrhistogram::Histogram;
use ropewalk::internal::base::clock::{self, Moment};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::{ClockId, clock_gettime};

use crate::faults::{Fault, Faults};
use crate::latency::latencies;
use crate::response::{Next, Progress, Reader};

/// LIMIT: after so many faults a measure ends early: it has shown what it can show,
/// and a proxy that is gone would only make the generator spin.
const FAULTS_MAX: u64 = 10_000;
/// LIMIT: sockets served per `epoll_wait`.
const EVENTS_MAX: usize = 256;
/// LIMIT: the longest wait, so that the end of a measure is never missed by more.
const WAIT_MAX: Duration = Duration::from_millis(10);
/// A megabyte for one `recv` of a large body; small responses touch one page of it.
const BUFFER_BYTES: usize = 1 << 20;

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// The next one when the last one is answered, on the same connection.
    KeepAlive,
    /// The next one when the last one is answered and its connection closed.
    Close,
    /// So many each second.
    Rate(u32),
}

/// What is asked of whom.
pub struct Load {
    pub target: SocketAddrV4,
    /// The bytes of one request, with its body.
    pub request: Vec<u8>,
    /// The length of the body that a right answer has.
    pub body_bytes: u64,
    pub pace: Pace,
    pub connections: usize,
    /// A request without an answer for so long is a fault.
    pub patience: Duration,
}

/// What came of it.
pub struct Tally {
    /// One value in nanoseconds for each request that was answered rightly.
    pub latencies: Histogram<u64>,
    pub faults: Faults,
    /// How long the measure took.
    pub elapsed: Duration,
    /// What the generator itself used of a processor.
    pub cpu: Duration,
}

/// The connections of one load, kept from warm-up to measure.
pub struct Generator<'a> {
    load: &'a Load,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Connections that could not be opened, to be tried again on the next pass.
    unopened: Vec<usize>,
    /// Connections without a request; used by the open loop only.
    idle: VecDeque<usize>,
    buffer: Box<[u8]>,
    latencies: Histogram<u64>,
    faults: Faults,
}

struct Connection {
    /// `None` only while a socket cannot be had.
    socket: Option<OwnedFd>,
    stage: Stage,
    /// When the request was sent or ought to have been; with one connection per
    /// request, when its connect began.
    since: Moment,
    /// Bytes of the request that have been sent.
    sent: usize,
    reader: Reader,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Idle,
    /// In the middle of a request that the socket did not take whole.
    Sending,
    Waiting,
    /// Answered; the peer's close is awaited.
    Closing,
}

impl<'a> Generator<'a> {
    /// Begins to connect; the first requests follow in [`run`](Self::run).
    pub fn new(load: &'a Load) -> rustix::io::Result<Self> {
        let connection = || Connection {
            socket: None,
            stage: Stage::Connecting,
            since: Moment::ZERO,
            sent: 0,
            reader: Reader::new(load.body_bytes),
        };
        let mut generator = Self {
            load,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: std::iter::repeat_with(connection).take(load.connections).collect(),
            unopened: Vec::new(),
            idle: VecDeque::with_capacity(load.connections),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            latencies: latencies(),
            faults: Faults::default(),
        };
        (0..load.connections).for_each(|index| generator.open(index));
        Ok(generator)
    }

    /// Offers the load for `length` and counts what is answered meanwhile.
    pub fn run(&mut self, length: Duration) -> Tally {
        let (start, cpu_start) = (clock::now(), thread_cpu());
        let finish = start + length;
        let mut schedule = Schedule::new(self.load.pace, start, finish);
        let mut time = start;
        while time < finish && self.faults.total() < FAULTS_MAX {
            self.retry_unopened();
            self.send_due(&mut schedule, time);
            self.wait(time, schedule.next().unwrap_or(finish).min(finish));
            time = clock::now();
        }
        let (elapsed, cpu) = (time.since(start), thread_cpu() - cpu_start);
        self.answer_late(&mut schedule, time);
        Tally {
            latencies: std::mem::replace(&mut self.latencies, latencies()),
            faults: std::mem::take(&mut self.faults),
            elapsed,
            cpu,
        }
    }

    /// The open loop counts every request whose time fell within the measure, so
    /// those that are late are waited for. A closed loop just leaves what it has in
    /// flight, unless that is overdue.
    fn answer_late(&mut self, schedule: &mut Schedule, finish: Moment) {
        let mut time = finish;
        if let Pace::Rate(_) = self.load.pace {
            let grace = finish + self.load.patience;
            while time < grace && (schedule.next().is_some() || self.has_requests_in_flight()) {
                self.send_due(schedule, time);
                self.wait(time, grace);
                time = clock::now();
            }
            schedule.drain().for_each(|_| self.faults.record(Fault::Unanswered));
        }
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            if connection.stage != Stage::Idle && time.since(connection.since) >= self.load.patience {
                self.fail(index, Fault::Unanswered);
            }
        }
    }

    fn has_requests_in_flight(&self) -> bool {
        self.connections.iter().any(|connection| matches!(connection.stage, Stage::Sending | Stage::Waiting))
    }

    fn send_due(&mut self, schedule: &mut Schedule, time: Moment) {
        while let Some(due) = schedule.next().filter(|due| *due <= time) {
            let Some(index) = self.idle.pop_front() else { break };
            schedule.advance();
            self.send(index, due);
        }
    }

    fn wait(&mut self, time: Moment, until: Moment) {
        let longest = until.since(time).min(WAIT_MAX);
        let mut events = [NO_EVENT; EVENTS_MAX];
        // Whatever fails here shows as requests without an answer.
        let count = self.wait_events(&mut events, longest).unwrap_or(0);
        for event in events.iter().take(count) {
            self.serve(event.data.u64() as usize);
        }
    }

    fn wait_events(&self, events: &mut [epoll::Event], longest: Duration) -> rustix::io::Result<usize> {
        if let Pace::Rate(_) = self.load.pace {
            // epoll_wait counts in milliseconds, which is too coarse to keep a rate.
            let mut ready = [PollFd::new(&self.epoll, PollFlags::IN)];
            poll(&mut ready, Some(&timespec(longest)))?;
            return epoll::wait(&self.epoll, events, Some(&timespec(Duration::ZERO)));
        }
        epoll::wait(&self.epoll, events, Some(&timespec(longest)))
    }

    fn serve(&mut self, index: usize) {
        match self.connections[index].stage {
            Stage::Connecting => self.connected(index),
            Stage::Sending => self.send_rest(index),
            Stage::Waiting => self.read(index),
            Stage::Idle | Stage::Closing => self.read_end(index),
        }
    }

    fn connected(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return };
        match (sockopt::socket_error(socket), self.load.pace) {
            (Ok(Ok(())), Pace::KeepAlive) => self.send(index, clock::now()),
            (Ok(Ok(())), Pace::Close) => {
                let since = connection.since;
                self.send(index, since);
            }
            (Ok(Ok(())), Pace::Rate(_)) => self.rest(index),
            _ => self.fail(index, Fault::Connect),
        }
    }

    fn rest(&mut self, index: usize) {
        self.connections[index].stage = Stage::Idle;
        self.idle.push_back(index);
    }

    fn send(&mut self, index: usize, since: Moment) {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return };
        match rustix::net::send(socket, &self.load.request, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                connection.since = since;
                connection.sent = sent;
                connection.stage = Stage::Sending;
                if sent == self.load.request.len() {
                    connection.stage = Stage::Waiting;
                } else {
                    // There may be room again already, and then no further edge follows.
                    self.send_rest(index);
                }
            }
            // Only the handshake's last segment is missing: its event will follow.
            Err(Errno::AGAIN) if connection.stage == Stage::Connecting => {}
            _ => self.fail(index, Fault::Broken),
        }
    }

    /// Goes on with a request until the socket takes no more of it. No answer is due before
    /// its end: one that came would be found when the rest has been sent.
    fn send_rest(&mut self, index: usize) {
        loop {
            let connection = &mut self.connections[index];
            let Some(socket) = &connection.socket else { return };
            match rustix::net::send(socket, &self.load.request[connection.sent..], SendFlags::NOSIGNAL) {
                Ok(sent) => connection.sent += sent,
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => return self.fail(index, Fault::Broken),
            }
            if connection.sent == self.load.request.len() {
                connection.stage = Stage::Waiting;
                return self.read(index);
            }
        }
    }

    /// Reads until the response ends or the socket is empty: with edge triggering
    /// nothing less would be told of again.
    fn read(&mut self, index: usize) {
        loop {
            let connection = &mut self.connections[index];
            let Some(socket) = &connection.socket else { return };
            let in_body = connection.reader.is_in_body();
            // With TRUNC, TCP counts the bytes and drops them: copying ten megabytes
            // out of the kernel would measure the generator, not the proxy.
            let flags = if in_body { RecvFlags::TRUNC } else { RecvFlags::empty() };
            let received = match rustix::net::recv(socket, &mut *self.buffer, flags) {
                Ok((_, 0)) => return self.fail(index, Fault::Broken),
                Ok((_, received)) => received,
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => return self.fail(index, Fault::Broken),
            };
            let progress = match in_body {
                true => connection.reader.take_body(received as u64),
                false => connection.reader.take(&self.buffer[..received]),
            };
            match progress {
                Ok(Progress::Finished(next)) => return self.answered(index, next),
                // The socket is empty unless the buffer was filled; what comes later
                // is a new edge.
                Ok(Progress::Unfinished) if received < BUFFER_BYTES => return,
                Ok(Progress::Unfinished) => {}
                Err(fault) => return self.fail(index, fault),
            }
        }
    }

    fn answered(&mut self, index: usize, next: Next) {
        let time = clock::now();
        let connection = &mut self.connections[index];
        self.latencies.saturating_record(time.since(connection.since).as_nanos() as u64);
        connection.stage = Stage::Closing;
        connection.since = time;
        match (self.load.pace, next) {
            (Pace::KeepAlive, Next::Reuse) => self.send(index, time),
            (Pace::Rate(_), Next::Reuse) => self.rest(index),
            // The peer closes first, so that its close is part of the cost. The end
            // may have come with the last bytes, and then no further edge follows.
            (Pace::Close, _) | (_, Next::Close) => self.read_end(index),
        }
    }

    /// Nothing but the end of the connection may come now. Before a request of the
    /// open loop it is no fault: keep-alive is an offer.
    fn read_end(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let Some(socket) = &connection.socket else { return };
        match rustix::net::recv(socket, &mut *self.buffer, RecvFlags::empty()) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok((_, 0)) | Err(_) => {
                self.idle.retain(|idle| *idle != index);
                self.open(index);
            }
            Ok(_) => {
                self.idle.retain(|idle| *idle != index);
                self.fail(index, Fault::Excess);
            }
        }
    }

    fn fail(&mut self, index: usize, fault: Fault) {
        self.faults.record(fault);
        self.open(index);
    }

    /// Replaces the connection by a new one.
    fn open(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.reader.reset();
        connection.stage = Stage::Connecting;
        connection.since = clock::now();
        // The old one is closed first: the descriptors may just suffice.
        connection.socket = None;
        match begin_connect(&self.epoll, self.load.target, index) {
            Ok(socket) => connection.socket = Some(socket),
            Err(_) => {
                self.faults.record(Fault::Connect);
                self.unopened.push(index);
            }
        }
    }

    fn retry_unopened(&mut self) {
        for index in std::mem::take(&mut self.unopened) {
            self.open(index);
        }
    }
}

fn begin_connect(epoll: &OwnedFd, target: SocketAddrV4, index: usize) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(epoll, &socket, epoll::EventData::new_u64(index as u64), interest)?;
    Ok(socket)
}

const NO_EVENT: epoll::Event =
    epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };

/// The times at which the open loop sends; empty for a closed one.
struct Schedule {
    next: Option<Moment>,
    gap: Duration,
    finish: Moment,
}

impl Schedule {
    fn new(pace: Pace, start: Moment, finish: Moment) -> Self {
        match pace {
            Pace::Rate(rate) => Self { next: Some(start), gap: Duration::from_secs(1) / rate.max(1), finish },
            Pace::KeepAlive | Pace::Close => Self { next: None, gap: Duration::ZERO, finish },
        }
    }

    fn next(&self) -> Option<Moment> {
        self.next
    }

    fn advance(&mut self) {
        self.next = self.next.map(|due| due + self.gap).filter(|due| *due < self.finish);
    }

    /// What was never sent.
    fn drain(&mut self) -> impl Iterator<Item = Moment> + '_ {
        std::iter::from_fn(|| {
            let due = self.next;
            self.advance();
            due
        })
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // INVARIANT: a processor time is never negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
