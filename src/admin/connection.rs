//! One admin client: read a request, send a response, close.
//!
//! A connection never blocks: it goes as far as its socket allows and says what it waits for. One
//! deadline covers the whole request and another the whole response, so trickling bytes gains a client
//! nothing.

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
use crate::net::io::Io;
use crate::net::stream::Stream;

use super::pending::{Answer, Pending};
use super::request::{Method, Request};
use super::response::Response;

/// A connection and its stage.
pub(super) struct Connection {
    stream: Stream,
    stage: Stage,
    deadline: Moment,
}

enum Stage {
    /// Reading a head; its first `scanned` bytes contain no end.
    Head { buffer: Buffer, scanned: usize },
    /// Reading a body with `left` bytes to go. It is ignored, but if the response were sent before it
    /// had arrived, a reset could destroy the response.
    Body { request: Box<Request>, left: u64 },
    /// Waiting for the result of a reload. Nothing is read meanwhile, so an event means that the client
    /// is gone.
    Later { pending: Pending, method: Method, gone: bool },
    /// Sending the response.
    Answer { bytes: Vec<u8>, sent: usize },
    /// The response is sent. Whatever the client still sends is discarded until it closes.
    Linger { thrown: usize },
}

/// Whether to keep a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for its socket.
    Waits,
    /// Close it.
    Done,
}

impl Connection {
    /// A connection that was just accepted.
    pub(super) fn new(fd: OwnedFd, now: Moment) -> Self {
        let stage = Stage::Head { buffer: Buffer::default(), scanned: 0 };
        Self { stream: Stream::accepted(fd), stage, deadline: now + ADMIN_DEADLINE }
    }

    /// When to close it if it makes no progress.
    pub(super) fn deadline(&self) -> Moment {
        self.deadline
    }

    /// The events it waits for.
    pub(super) fn interest(&self) -> PollFlags {
        match self.stage {
            Stage::Answer { .. } => PollFlags::OUT,
            Stage::Later { .. } => PollFlags::empty(),
            _ => PollFlags::IN,
        }
    }

    /// Bytes of a response that the client has not read yet.
    pub(super) fn held(&self) -> usize {
        match &self.stage {
            Stage::Answer { bytes, .. } => bytes.capacity(),
            _ => 0,
        }
    }

    /// Whether the client has got its response, so that closing does no harm.
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

    /// Goes as far as the socket allows. Calls `answer` at most once.
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

    /// Handles a passed deadline. A client that was too slow with its request gets an error, if it
    /// still reads; one that waits for a reload is told its progress.
    pub(super) fn expire(&mut self, now: Moment) -> Progress {
        if let Stage::Later { pending, .. } = &self.stage {
            let response = pending.give_up();
            self.answer_later(response, now);
            return Progress::Waits;
        }
        if matches!(self.stage, Stage::Head { .. } | Stage::Body { .. }) {
            let text = format!("408: the request did not arrive within {} s", ADMIN_DEADLINE.as_secs());
            // Best effort: what does not fit into the socket buffer now is lost.
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
            // It may have arrived in one piece, without ever being checked as a partial head.
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
                // `head_end` also finds an end that starts within the scanned bytes.
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
                    &format!("request bodies are ignored here, and limited to {ADMIN_BODY_BYTES_MAX} bytes"),
                );
            }
            BodyLength::Fixed(bytes) => bytes,
            BodyLength::Chunked | BodyLength::UntilClose => {
                return refuse(411, "a request body needs a Content-Length here");
            }
        };
        let left = body.saturating_sub(rest.len() as u64);
        if left > 0 && head.expects_continue {
            // Nothing else has been sent yet, so these few bytes fit.
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
    /// Send this response.
    Answer(Response),
    /// Refuse a malformed request.
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
