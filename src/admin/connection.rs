//! One client of the admin listener: a request arrives, an answer leaves, the end.
//!
//! A connection never blocks. It goes as far as its socket lets it and says what it waits for;
//! its deadline is one for the whole request and one for the whole answer, so a client that
//! trickles gains nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;

use crate::base::buffer::{Buffer, BufferPool, Size};
use crate::base::clock::{self, Moment};
use crate::base::limits::{
    ADMIN_BODY_BYTES_MAX, ADMIN_DEADLINE, ADMIN_HEAD_BYTES_MAX, LINGER_BYTES_MAX, LINGER_TIME_MAX,
    RELOAD_WAIT,
};
use crate::http::{
    BodyLength, HeadError, HeadLimits, HeadStorage, check_partial_request, head_end, parse_request,
};
use crate::net::stream::{Io, Stream};

use super::pending::{Answer, Pending};
use super::request::{Method, Request};
use super::response::Response;

/// A connection and what it is in the middle of.
pub(super) struct Connection {
    stream: Stream,
    stage: Stage,
    deadline: Moment,
}

enum Stage {
    /// A head is arriving; its first `scanned` bytes hold no end of one.
    Head { buffer: Buffer, scanned: usize },
    /// A body is arriving, `left` bytes of it. Nobody reads it, but an answer that is sent before
    /// it has come could be destroyed by a reset.
    Body { request: Box<Request>, left: u64 },
    /// It waits for the result of a reload. Nothing is read meanwhile, so an event means that the
    /// client is gone.
    Later { pending: Pending, method: Method, gone: bool },
    /// An answer is leaving.
    Answer { bytes: Vec<u8>, sent: usize },
    /// The answer has left. What the client still sends is thrown away until it closes.
    Linger { thrown: usize },
}

/// Whether a connection is worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for its socket.
    Waits,
    /// It is to be closed.
    Done,
}

impl Connection {
    /// A connection that was just accepted.
    pub(super) fn new(fd: OwnedFd, now: Moment) -> Self {
        let stage = Stage::Head { buffer: Buffer::default(), scanned: 0 };
        Self { stream: Stream::accepted(fd), stage, deadline: now + ADMIN_DEADLINE }
    }

    /// When it is closed if it gets nowhere.
    pub(super) fn deadline(&self) -> Moment {
        self.deadline
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> PollFlags {
        match self.stage {
            Stage::Answer { .. } => PollFlags::OUT,
            Stage::Later { .. } => PollFlags::empty(),
            _ => PollFlags::IN,
        }
    }

    /// Bytes of an answer that its client has not taken yet.
    pub(super) fn held(&self) -> usize {
        match &self.stage {
            Stage::Answer { bytes, .. } => bytes.capacity(),
            _ => 0,
        }
    }

    /// Whether its client has got its answer, so that closing it harms nobody.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Linger { .. })
    }

    /// Notes that the socket is ready.
    pub(super) fn wake(&mut self) {
        if let Stage::Later { gone, .. } = &mut self.stage {
            *gone = true;
        }
        self.stream.mark_readable();
    }

    /// Goes as far as the socket lets it; `answer` is asked at most once.
    pub(super) fn advance(
        &mut self,
        now: Moment,
        buffers: &mut BufferPool,
        answer: &mut dyn FnMut(&Request) -> Answer,
    ) -> Progress {
        loop {
            let step = match &mut self.stage {
                Stage::Head { .. } => self.take_head(buffers),
                Stage::Body { .. } => self.take_body(buffers),
                Stage::Later { gone: true, .. } => Step::Close,
                Stage::Later { pending, .. } => pending.take().map_or(Step::Wait, Step::Answer),
                Stage::Answer { bytes, sent } => send_rest(&mut self.stream, bytes, sent),
                Stage::Linger { thrown } => throw_away(&mut self.stream, thrown, buffers),
            };
            match step {
                Step::Wait => return Progress::Waits,
                Step::Again => {}
                Step::Close => return Progress::Done,
                Step::Receive(request, left) => self.stage = Stage::Body { request, left },
                Step::Ask(request) => match answer(&request) {
                    Answer::Now(response) => {
                        // Formatting a long list takes time, which must not count against the
                        // client.
                        self.begin_answer(response.into_bytes(request.method), clock::now());
                    }
                    Answer::Later(pending) => {
                        self.stage = Stage::Later { pending, method: request.method, gone: false };
                        self.deadline = now + RELOAD_WAIT;
                    }
                },
                Step::Answer(response) => self.answer_later(response, now),
                Step::Refuse(response) => self.begin_answer(response.into_bytes(Method::Other), now),
                Step::Linger => {
                    self.stream.finish_writing();
                    self.stage = Stage::Linger { thrown: 0 };
                    self.deadline = now + LINGER_TIME_MAX;
                }
            }
        }
    }

    fn answer_later(&mut self, response: Response, now: Moment) {
        let method = if let Stage::Later { method, .. } = self.stage { method } else { Method::Other };
        self.begin_answer(response.into_bytes(method), now);
    }

    /// The deadline has passed. A client that was too slow with its request gets an error, if it
    /// still reads; one that waits for a reload gets its progress.
    pub(super) fn expire(&mut self, now: Moment) -> Progress {
        if let Stage::Later { pending, .. } = &self.stage {
            let response = pending.give_up();
            self.answer_later(response, now);
            return Progress::Waits;
        }
        if matches!(self.stage, Stage::Head { .. } | Stage::Body { .. }) {
            let text = format!("408: the request did not arrive within {} s", ADMIN_DEADLINE.as_secs());
            // Whatever the socket does not take now is lost.
            let _ = self.stream.write(&Response::text(408, text).into_bytes(Method::Other));
        }
        Progress::Done
    }

    fn begin_answer(&mut self, bytes: Vec<u8>, now: Moment) {
        self.stage = Stage::Answer { bytes, sent: 0 };
        self.deadline = now + ADMIN_DEADLINE;
    }

    fn take_head(&mut self, buffers: &mut BufferPool) -> Step {
        let Stage::Head { buffer, scanned } = &mut self.stage else { return Step::Close };
        let end = match head_end(buffer.bytes(), *scanned) {
            // It may have come whole, and so was never a partial one.
            Some(end) if end > ADMIN_HEAD_BYTES_MAX => {
                let error = HeadError::HeadTooLarge;
                return refuse(error.status(), error.explain());
            }
            Some(end) => end,
            None => {
                if let Err(error) = check_partial_request(
                    buffer.bytes(),
                    *scanned,
                    HeadLimits::of_bytes(ADMIN_HEAD_BYTES_MAX),
                ) {
                    return refuse(error.status(), error.explain());
                }
                // The end of a head may begin in what has been looked at.
                *scanned = buffer.len();
                return match self.stream.read(buffer, buffers, Size::Small) {
                    Ok(Io::Moved(_)) => Step::Again,
                    Ok(Io::Blocked) => Step::Wait,
                    Ok(Io::End) | Err(_) => Step::Close,
                };
            }
        };
        let (head, rest) = buffer.bytes().split_at(end);
        let mut storage = HeadStorage::new();
        let head = match parse_request(head, &mut storage) {
            Ok(head) => head,
            Err(error) => return refuse(error.status(), error.explain()),
        };
        let request = match Request::new(&head) {
            Ok(request) => Box::new(request),
            Err(text) => return refuse(400, &text),
        };
        let body = match head.body {
            BodyLength::None => 0,
            BodyLength::Fixed(bytes) if bytes > ADMIN_BODY_BYTES_MAX => {
                return refuse(
                    413,
                    &format!("a body here has no meaning, and at most {ADMIN_BODY_BYTES_MAX} bytes"),
                );
            }
            BodyLength::Fixed(bytes) => bytes,
            BodyLength::Chunked | BodyLength::UntilClose => {
                return refuse(411, "a body here has a Content-Length, if there is one at all");
            }
        };
        let left = body.saturating_sub(rest.len() as u64);
        if left > 0 && head.expects_continue {
            // Nothing else has been sent yet, so the socket takes these few bytes.
            let _ = self.stream.write(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Step::Receive(request, left)
    }

    fn take_body(&mut self, buffers: &mut BufferPool) -> Step {
        let Stage::Body { request, left } = &mut self.stage else { return Step::Close };
        if *left == 0 {
            return Step::Ask(request.clone());
        }
        let mut buffer = Buffer::default();
        let outcome = self.stream.read(&mut buffer, buffers, Size::Small);
        *left = left.saturating_sub(buffer.len() as u64);
        buffer.release(buffers);
        match outcome {
            Ok(Io::Moved(_)) => Step::Again,
            Ok(Io::Blocked) => Step::Wait,
            Ok(Io::End) | Err(_) => Step::Close,
        }
    }
}

/// What a connection does next.
enum Step {
    Wait,
    Again,
    Close,
    /// Receive the rest of the body of this request.
    Receive(Box<Request>, u64),
    /// Answer this request.
    Ask(Box<Request>),
    /// The answer has come.
    Answer(Response),
    /// Answer a request that makes no sense.
    Refuse(Response),
    Linger,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn refuse(status: u16, why: &str) -> Step {
    Step::Refuse(Response::text(status, format!("{status}: {why}")))
}

fn send_rest(stream: &mut Stream, bytes: &[u8], sent: &mut usize) -> Step {
    loop {
        let rest = bytes.get(*sent..).unwrap_or_default();
        if rest.is_empty() {
            return Step::Linger;
        }
        match stream.write(rest) {
            Ok(Io::Moved(count)) => *sent += count,
            Ok(Io::Blocked) => return Step::Wait,
            Ok(Io::End) | Err(_) => return Step::Close,
        }
    }
}

fn throw_away(stream: &mut Stream, thrown: &mut usize, buffers: &mut BufferPool) -> Step {
    while *thrown < LINGER_BYTES_MAX {
        let mut buffer = Buffer::default();
        let outcome = stream.read(&mut buffer, buffers, Size::Small);
        *thrown += buffer.len();
        buffer.release(buffers);
        match outcome {
            Ok(Io::Moved(_)) => {}
            Ok(Io::Blocked) => return Step::Wait,
            Ok(Io::End) | Err(_) => return Step::Close,
        }
    }
    Step::Close
}
