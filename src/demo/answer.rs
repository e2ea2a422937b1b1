//! What a sample origin answers, by path.
//!
//! Every path gets `Response from NAME`, except for `/health`, `/echo` (the request's body),
//! `/stream` (ten lines, one after another) and `/ws` (a WebSocket). A request's body is read to
//! its end in any case, so that the next request is found behind it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, SystemTime};

use super::input::{Input, Patience};
use super::websocket;
use crate::http::{self, BodyLength, Method, RequestHead, Version, reason_phrase};

/// What one origin has been told to be.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) name: String,
    pub(super) delay: Duration,
    pub(super) status: u16,
    pub(super) patience: Patience,
}

/// What the connection carries after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Request,
    Close,
    /// WebSocket messages.
    Messages,
}

/// Lines of `/stream`, and the time between them.
const STREAM_LINES: u32 = 10;
const STREAM_PAUSE: Duration = Duration::from_millis(200);

/// Answers one request.
///
/// # Errors
/// Those of [`Input::body`] before anything was written; otherwise `BrokenPipe` or what the socket
/// says.
pub(super) fn answer(
    stream: &TcpStream,
    input: &mut Input<'_>,
    head: &RequestHead<'_, '_>,
    site: &Site,
) -> io::Result<Next> {
    if head.method == Method::Connect {
        whole(stream, 405, "this is no proxy\n", Next::Close)?;
        return Ok(Next::Close);
    }
    let (path, _) = http::split_query(head.target);
    if path == "/echo" && has_content(head, site.status) {
        return echo(stream, input, head, site);
    }
    go_on(stream, head)?;
    input.body(head.body, |_| Ok(()))?;
    if path == "/health" {
        return text(stream, head, 200, "ok\n");
    }
    pause(site.delay);
    match path {
        "/stream" if has_content(head, site.status) => lines(stream, head, site),
        "/ws" => match websocket::accept_key(head) {
            Some(key) => {
                (&mut &*stream).write_all(websocket::switching(&key).as_bytes())?;
                Ok(Next::Messages)
            }
            None => text(stream, head, 400, "this path is for WebSockets\n"),
        },
        _ => text(stream, head, site.status, &format!("Response from {}\n", site.name)),
    }
}

/// A whole answer to a request that cannot be answered as it asks.
pub(super) fn whole(mut stream: &TcpStream, status: u16, body: &str, next: Next) -> io::Result<()> {
    let mut answer = response_head(status, BodyLength::Fixed(body.len() as u64), next);
    answer.push_str(body);
    stream.write_all(answer.as_bytes())
}

/// A whole answer: head and body, or the head alone where there can be no body.
fn text(mut stream: &TcpStream, head: &RequestHead<'_, '_>, status: u16, body: &str) -> io::Result<Next> {
    let length = match status {
        // RFC 9110, 8.6 and 15.4.5.
        204 | 304 => BodyLength::None,
        _ => BodyLength::Fixed(body.len() as u64),
    };
    let next = after(head);
    let mut answer = response_head(status, length, next);
    if has_content(head, status) {
        answer.push_str(body);
    }
    stream.write_all(answer.as_bytes())?;
    Ok(next)
}

/// The request's body, sent back while it comes.
fn echo(
    mut stream: &TcpStream,
    input: &mut Input<'_>,
    head: &RequestHead<'_, '_>,
    site: &Site,
) -> io::Result<Next> {
    pause(site.delay);
    go_on(stream, head)?;
    let length = match head.body {
        BodyLength::None => BodyLength::Fixed(0),
        length => length,
    };
    let next = after(head);
    stream.write_all(response_head(site.status, length, next).as_bytes())?;
    // The answer has begun: nothing but a cut can tell the client of a fault now.
    let cut = |error: io::Error| io::Error::new(io::ErrorKind::BrokenPipe, error);
    input.body(head.body, |piece| write_piece(stream, length, piece)).map_err(cut)?;
    end_body(stream, length)?;
    Ok(next)
}

/// Ten lines, each written when it is due.
fn lines(mut stream: &TcpStream, head: &RequestHead<'_, '_>, site: &Site) -> io::Result<Next> {
    let (length, next) = match head.version {
        Version::Http11 => (BodyLength::Chunked, after(head)),
        Version::Http10 => (BodyLength::UntilClose, Next::Close),
    };
    stream.write_all(response_head(site.status, length, next).as_bytes())?;
    for line in 1..=STREAM_LINES {
        if line > 1 {
            pause(STREAM_PAUSE);
        }
        let text = format!("Line {line} of {STREAM_LINES} from {}\n", site.name);
        write_piece(stream, length, text.as_bytes())?;
    }
    end_body(stream, length)?;
    Ok(next)
}

fn write_piece(mut stream: &TcpStream, length: BodyLength, piece: &[u8]) -> io::Result<()> {
    if length == BodyLength::Chunked {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        return stream.write_all(&chunk);
    }
    stream.write_all(piece)
}

fn end_body(mut stream: &TcpStream, length: BodyLength) -> io::Result<()> {
    if length == BodyLength::Chunked { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
}

/// Tells a client that waits for it to send its body.
fn go_on(mut stream: &TcpStream, head: &RequestHead<'_, '_>) -> io::Result<()> {
    if head.expects_continue { stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n") } else { Ok(()) }
}

/// Whether the answer to a request has a body (RFC 9110, 9.3.2, 15.3.5 and 15.4.5).
fn has_content(head: &RequestHead<'_, '_>, status: u16) -> bool {
    head.method != Method::Head && !matches!(status, 204 | 304)
}

fn after(head: &RequestHead<'_, '_>) -> Next {
    if head.keep_alive { Next::Request } else { Next::Close }
}

fn response_head(status: u16, length: BodyLength, next: Next) -> String {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nDate: {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\n",
        reason_phrase(status),
        httpdate::fmt_http_date(SystemTime::now())
    );
    // Writing to a String cannot fail.
    let _ = match length {
        BodyLength::Fixed(length) => write!(head, "Content-Length: {length}\r\n"),
        BodyLength::Chunked => write!(head, "Transfer-Encoding: chunked\r\n"),
        BodyLength::None | BodyLength::UntilClose => Ok(()),
    };
    // HTTP/1.1 would keep the connection without being told; HTTP/1.0 would not.
    head.push_str(match next {
        Next::Close => "Connection: close\r\n\r\n",
        Next::Request | Next::Messages => "Connection: keep-alive\r\n\r\n",
    });
    head
}

/// The delay that an origin was asked for.
#[allow(
    clippy::disallowed_methods,
    reason = "a sample backend that is slow on request; its threads carry nothing else"
)]
fn pause(delay: Duration) {
    // PACE: this is the delay itself.
    thread::sleep(delay);
}
