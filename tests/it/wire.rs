//! HTTP/1.1 as a peer of the balancer reads it: strictly, from a real socket.
//!
//! Both sides of the balancer are played with this reader, and it shares no line with the parser under
//! test: two independent implementations of RFC 9112 must agree. It distinguishes what a lenient client
//! would blur: a clean end, an end inside a message, a reset, silence.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::wait::PATIENCE;

/// LIMIT: no test sends or expects a larger head.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// Why something expected on a connection was not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing more came within the bound.
    Silence,
    /// The peer closed between two messages.
    Closed,
    /// The peer closed or reset the connection inside a message.
    Cut,
    /// The peer broke the grammar; the text says how.
    Malformed(String),
}

/// Which kind of message the peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Requests: the reader plays an origin.
    Request,
    /// Responses: the reader plays a client.
    Response,
}

/// The head of a message, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The request line or status line.
    pub start: String,
    /// Fields in order, names in their own case. Bytes above 0x7f become Latin-1 characters.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The status code of a status line, or 0.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The target of a request line.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its head.
    pub head: Head,
    /// Its body, without its framing.
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    /// The body as text.
    pub fn text(&self) -> String {
        latin1(&self.body)
    }
}

/// How the rest of the current message is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Fixed(u64),
    /// Bytes left of the current chunk, whose CRLF is still to come; `None` before a size line.
    Chunked(Option<u64>),
    UntilClose,
}

/// One connection and the message being read from it.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    rest: Rest,
    trailers: Vec<(String, String)>,
}

impl Wire {
    /// Takes over a connected stream.
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        let wire = Self { stream, buffer: Vec::new(), rest: Rest::Nothing, trailers: Vec::new() };
        wire.set_patience(PATIENCE);
        wire
    }

    /// How long a read may be silent.
    pub fn set_patience(&self, bound: Duration) {
        self.stream.set_read_timeout(Some(bound)).expect("read timeout");
        self.stream.set_write_timeout(Some(bound)).expect("write timeout");
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends all of `bytes`.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends this side's sending; the other side may still talk.
    pub fn half_close(&self) -> std::io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes with a reset, as a crashed peer's kernel does.
    pub fn reset(self) {
        let linger = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        linger.expect("linger");
    }

    /// Reads a whole message.
    pub fn read_message(&mut self, role: Role) -> Result<Message, Fault> {
        let head = self.read_head(role)?;
        let body = self.read_rest()?;
        Ok(Message { head, body, trailers: std::mem::take(&mut self.trailers) })
    }

    /// Reads the head of the next message; the framing of what follows is kept.
    pub fn read_head(&mut self, role: Role) -> Result<Head, Fault> {
        if self.rest != Rest::Nothing && self.rest != Rest::Fixed(0) {
            return Err(Fault::Malformed("the message before has not been read to its end".into()));
        }
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(malformed("a head without end", &self.buffer[..200]));
            }
            if self.fill()? == 0 {
                return Err(if self.buffer.is_empty() { Fault::Closed } else { Fault::Cut });
            }
        };
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        let head = parse_head(&bytes[..end - 4])?;
        self.rest = rest_of(&head, role)?;
        self.trailers.clear();
        Ok(head)
    }

    /// Declares that the message whose head was read has no body, as after a HEAD.
    pub fn expect_no_body(&mut self) {
        self.rest = Rest::Nothing;
    }

    /// The next piece of the body, at most `max` bytes; empty once the body has ended.
    pub fn read_piece(&mut self, max: usize) -> Result<Vec<u8>, Fault> {
        loop {
            let available = match self.rest {
                Rest::Nothing | Rest::Fixed(0) => return Ok(Vec::new()),
                Rest::Fixed(left) | Rest::Chunked(Some(left)) if left > 0 => left,
                Rest::UntilClose => u64::MAX,
                Rest::Chunked(Some(_)) => {
                    self.read_line_exactly("")?;
                    self.rest = Rest::Chunked(None);
                    continue;
                }
                Rest::Chunked(None) => {
                    self.read_chunk_size()?;
                    continue;
                }
                Rest::Fixed(_) => return Ok(Vec::new()),
            };
            if self.buffer.is_empty() && self.fill()? == 0 {
                if self.rest == Rest::UntilClose {
                    self.rest = Rest::Nothing;
                    return Ok(Vec::new());
                }
                return Err(Fault::Cut);
            }
            let take = self.buffer.len().min(max).min(usize::try_from(available).unwrap_or(usize::MAX));
            match &mut self.rest {
                Rest::Fixed(left) | Rest::Chunked(Some(left)) => *left -= take as u64,
                Rest::Nothing | Rest::Chunked(None) | Rest::UntilClose => {}
            }
            return Ok(self.buffer.drain(..take).collect());
        }
    }

    /// The body to its end.
    pub fn read_rest(&mut self) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let piece = self.read_piece(usize::MAX)?;
            if piece.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&piece);
        }
    }

    /// Whether there are unread bytes.
    pub fn has_unread(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Bytes that have come already, whatever they mean.
    pub fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Exactly `count` bytes, whatever they mean.
    pub fn read_raw(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(Fault::Cut);
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Everything up to the end of the connection; `Cut` if that end is a reset.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>, Fault> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Bytes that have come, or come within `bound`; empty for silence.
    pub fn read_unexpected(&mut self, bound: Duration) -> Result<Vec<u8>, Fault> {
        if self.buffer.is_empty() {
            self.set_patience(bound);
            let filled = self.fill();
            self.set_patience(PATIENCE);
            match filled {
                Err(Fault::Silence) => return Ok(Vec::new()),
                Ok(0) => return Err(Fault::Closed),
                Ok(_) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    fn read_chunk_size(&mut self) -> Result<(), Fault> {
        let line = self.read_line()?;
        let size =
            u64::from_str_radix(&line, 16).ok().filter(|_| line.bytes().all(|b| b.is_ascii_hexdigit()));
        match size {
            Some(0) => self.read_trailers(),
            Some(size) => {
                self.rest = Rest::Chunked(Some(size));
                Ok(())
            }
            None => Err(malformed("a chunk size", line.as_bytes())),
        }
    }

    fn read_trailers(&mut self) -> Result<(), Fault> {
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                self.rest = Rest::Nothing;
                return Ok(());
            }
            self.trailers.push(parse_field(&line)?);
        }
    }

    fn read_line_exactly(&mut self, expected: &str) -> Result<(), Fault> {
        let line = self.read_line()?;
        if line == expected { Ok(()) } else { Err(malformed("data after a chunk", line.as_bytes())) }
    }

    fn read_line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(latin1(&line[..at]));
            }
            if self.fill()? == 0 {
                return Err(Fault::Cut);
            }
        }
    }

    fn fill(&mut self) -> Result<usize, Fault> {
        let mut space = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut space) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&space[..count]);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Fault::Silence);
                }
                // A reset is a cut even between messages: bytes in flight may have been lost.
                Err(_) => return Err(Fault::Cut),
            }
        }
    }
}

/// Bytes as text, one character for each byte, so that nothing is lost or merged.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn malformed(what: &str, seen: &[u8]) -> Fault {
    Fault::Malformed(format!("{what}: {:?}", latin1(seen)))
}

fn parse_head(bytes: &[u8]) -> Result<Head, Fault> {
    let text = latin1(bytes);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
    if start.contains(['\r', '\n']) {
        return Err(malformed("a start line", start.as_bytes()));
    }
    Ok(Head { start, fields })
}

fn parse_field(line: &str) -> Result<(String, String), Fault> {
    let broken = || malformed("a field line", line.as_bytes());
    let (name, value) = line.split_once(':').ok_or_else(broken)?;
    if name.is_empty() || name.contains([' ', '\t', '\r', '\n']) || value.contains(['\r', '\n', '\0']) {
        return Err(broken());
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// RFC 9112 section 6.3, for messages that have exactly one framing.
fn rest_of(head: &Head, role: Role) -> Result<Rest, Fault> {
    let coding = head.field("transfer-encoding");
    let length = head.field("content-length");
    if role == Role::Response && matches!(head.status(), 100..=199 | 204 | 304) {
        return Ok(Rest::Nothing);
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(Fault::Malformed("both Transfer-Encoding and Content-Length".into())),
        (Some("chunked"), None) => Ok(Rest::Chunked(None)),
        (Some(other), None) => Err(malformed("Transfer-Encoding", other.as_bytes())),
        (None, Some(digits)) => match digits.parse() {
            Ok(length) => Ok(Rest::Fixed(length)),
            Err(_) => Err(malformed("Content-Length", digits.as_bytes())),
        },
        (None, None) if role == Role::Request => Ok(Rest::Nothing),
        (None, None) => Ok(Rest::UntilClose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn wire_fed_with(bytes: &[u8]) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let mut peer = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        peer.write_all(bytes).expect("feed");
        Wire::new(listener.accept().expect("accept").0)
    }

    #[test]
    fn a_fixed_body_and_the_next_message_are_told_apart() {
        let mut wire =
            wire_fed_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 204 No\r\n\r\n");
        assert_eq!(wire.read_message(Role::Response).expect("first").body, b"hi");
        assert_eq!(wire.read_message(Role::Response).expect("second").head.status(), 204);
        assert_eq!(wire.read_head(Role::Response), Err(Fault::Closed));
    }

    #[test]
    fn a_chunked_body_is_decoded_with_its_trailers() {
        let mut wire = wire_fed_with(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Sum: 4\r\n\r\n",
        );
        let message = wire.read_message(Role::Request).expect("message");
        assert_eq!(message.text(), "abcd");
        assert_eq!(message.trailers, [("X-Sum".into(), "4".into())]);
    }

    #[test]
    fn an_end_inside_a_body_is_a_cut() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"[..],
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
            b"HTTP/1.1 200",
        ] {
            assert_eq!(wire_fed_with(bytes).read_message(Role::Response), Err(Fault::Cut));
        }
    }

    #[test]
    fn chunk_extensions_and_stray_bytes_are_malformed() {
        for chunks in ["2;x=y\r\nhi\r\n0\r\n\r\n", "2\r\nhiX\r\n0\r\n\r\n", "+2\r\nhi\r\n0\r\n\r\n"] {
            let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            let seen = wire_fed_with(bytes.as_bytes()).read_message(Role::Response);
            assert!(matches!(seen, Err(Fault::Malformed(_))), "{chunks:?}: {seen:?}");
        }
    }

    #[test]
    fn a_close_delimited_body_ends_with_the_connection() {
        let mut wire = wire_fed_with(b"HTTP/1.0 200 OK\r\n\r\nall of it");
        assert_eq!(wire.read_message(Role::Response).expect("message").text(), "all of it");
    }
}
