//! What a client sends to a sample origin: heads and bodies, within limits and deadlines.
//!
//! The parser and the chunk decoder are the balancer's own (`http/`). This file blocks on one
//! socket and knows nothing of answers.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::base::limits;
use crate::http::{self, BodyLength, ChunkDecoder, ChunkPart, HeadError, HeadLimits};

/// What a head may be at most.
pub(super) const HEAD_LIMITS: HeadLimits = HeadLimits {
    bytes: limits::ORIGIN_HEAD_BYTES_MAX,
    fields: limits::HEAD_FIELDS_MAX,
    target: limits::TARGET_BYTES_MAX,
};

/// How long a client may take over what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until the first byte of a request.
    pub(super) idle: Duration,
    /// From the first byte of a head to its last.
    pub(super) head: Duration,
    /// For a whole body.
    pub(super) body: Duration,
    /// For the next bytes of a body.
    pub(super) stall: Duration,
}

impl Patience {
    /// What an origin has with its clients outside of tests.
    pub(super) const USUAL: Self = Self {
        idle: limits::ORIGIN_IDLE_MAX,
        head: limits::ORIGIN_HEAD_TIME_MAX,
        body: limits::ORIGIN_BODY_TIME_MAX,
        stall: limits::ORIGIN_STALL_MAX,
    };
}

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// Why there is no request.
pub(super) enum NoHead {
    /// The client closed the connection, or sent nothing for too long.
    Gone,
    /// It began a head and did not finish it in time.
    Late,
    /// It sent something that is not a request.
    Bad(HeadError),
}

/// The bytes that come from one client.
pub(super) struct Input<'s> {
    stream: &'s TcpStream,
    patience: Patience,
    /// Received and not used yet. LIMIT: one head, and one read.
    bytes: Vec<u8>,
}

impl<'s> Input<'s> {
    /// Nothing has come yet.
    pub(super) fn new(stream: &'s TcpStream, patience: Patience) -> Self {
        Self { stream, patience, bytes: Vec::new() }
    }

    /// The next head, with the empty line that ends it.
    pub(super) fn head(&mut self) -> Result<Vec<u8>, NoHead> {
        let mut scanned = 0;
        let mut deadline = None;
        loop {
            if let Some(end) = http::head_end(&self.bytes, scanned) {
                if end > HEAD_LIMITS.bytes {
                    return Err(NoHead::Bad(HeadError::HeadTooLarge));
                }
                let behind = self.bytes.split_off(end);
                return Ok(std::mem::replace(&mut self.bytes, behind));
            }
            http::check_partial_request(&self.bytes, scanned, HEAD_LIMITS).map_err(NoHead::Bad)?;
            scanned = self.bytes.len();
            if deadline.is_none() && !self.bytes.is_empty() {
                deadline = Some(clock::now() + self.patience.head);
            }
            let idle = || clock::now() + self.patience.idle;
            match self.receive(deadline.unwrap_or_else(idle), self.patience.idle) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut && deadline.is_some() => {
                    return Err(NoHead::Late);
                }
                Err(_) => return Err(NoHead::Gone),
            }
        }
    }

    /// Hands the body of a request to `take`, piece by piece.
    ///
    /// # Errors
    /// `InvalidData` for bad chunks, `FileTooLarge`, `TimedOut`, or what the socket or `take` says.
    pub(super) fn body(
        &mut self,
        length: BodyLength,
        take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let deadline = clock::now() + self.patience.body;
        match length {
            // A request never has a body that ends with its connection.
            BodyLength::None | BodyLength::UntilClose => Ok(()),
            BodyLength::Fixed(length) => self.fixed_body(length, deadline, take),
            BodyLength::Chunked => self.chunked_body(deadline, take),
        }
    }

    fn fixed_body(
        &mut self,
        mut left: u64,
        deadline: Moment,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if left > limits::ORIGIN_BODY_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        while left > 0 {
            if self.bytes.is_empty() {
                self.receive(deadline, self.patience.stall)?;
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.bytes.len());
            take(&self.bytes[..count])?;
            self.bytes.drain(..count);
            left -= count as u64;
        }
        Ok(())
    }

    fn chunked_body(
        &mut self,
        deadline: Moment,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut decoder = ChunkDecoder::new();
        let mut total = 0;
        loop {
            let part = decoder
                .next(&self.bytes)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
            match part {
                ChunkPart::Data { skip, len } => {
                    total += len as u64;
                    if total > limits::ORIGIN_BODY_BYTES_MAX {
                        return Err(ErrorKind::FileTooLarge.into());
                    }
                    take(&self.bytes[skip..skip + len])?;
                    self.bytes.drain(..skip + len);
                }
                ChunkPart::More { skip } => {
                    self.bytes.drain(..skip);
                    self.receive(deadline, self.patience.stall)?;
                }
                ChunkPart::End { skip, len } => {
                    self.bytes.drain(..skip + len);
                    return Ok(());
                }
            }
        }
    }

    /// What came behind the last request.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads on for a moment before a close, so that a reset does not destroy the last answer.
    pub(super) fn linger(&mut self) {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let deadline = clock::now() + limits::LINGER_TIME_MAX;
        let mut total = 0;
        while total < limits::LINGER_BYTES_MAX && self.receive(deadline, limits::LINGER_TIME_MAX).is_ok() {
            total += self.bytes.len();
            self.bytes.clear();
        }
    }

    /// Waits for more bytes until `deadline`, and for at most `stall`.
    fn receive(&mut self, deadline: Moment, stall: Duration) -> io::Result<()> {
        let left = deadline.since(clock::now()).min(stall);
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        let mut piece = [0; READ_BYTES];
        match stream.read(&mut piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.bytes.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            // The caller comes again: it needs more bytes.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}
