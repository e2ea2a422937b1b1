//! Moving bytes: what requests, responses and our own answers share.

use crate::base::buffer::{Buffer, Size};
use crate::base::clock::Moment;
use crate::base::limits::{LINGER_TIME_MAX, LINGER_UNREAD_IDLE_MAX, LINGER_UNREAD_TIME_MAX};
use crate::config::plan::HeaderOps;
use crate::http::{ChunkDecoder, ChunkError, ChunkPart, HeadError, chunk_size_line, parse_trailers};
use crate::net::io::Io;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::exchange::{Exchange, Framing};
use crate::proxy::failure::Failure;
use crate::proxy::step::{Flow, Step};

/// A wait until the client takes bytes.
pub(super) fn wait_to_write(client: &mut Client, exchange: &Exchange, now: Moment) -> Wait {
    let (timeouts, limits) =
        (exchange.snapshot.timeouts(exchange.routed.route), &exchange.snapshot.plan.limits);
    let deadline = client.send_progress.deadline(&client.stream, timeouts, limits, now);
    Wait::until(deadline, Reason::SendResponse)
}

/// Writes what is meant for the client.
pub(super) fn flush(client: &mut Client, exchange: &Exchange, cx: &mut Context) -> Flow {
    while !client.outbound.is_empty() {
        match client.stream.write(client.outbound.bytes()) {
            Ok(Io::Moved(count)) => {
                client.outbound.consume(count);
                client.send_progress.wrote(count, cx.now);
            }
            Ok(_) => return Flow::Wait(wait_to_write(client, exchange, cx.now)),
            Err(_) => return Flow::Fail(Failure::ClientLeft),
        }
    }
    Flow::Done
}

/// Finds out whether a client that has finished sending is still there.
///
/// One that has closed its socket looks just like one that has only closed its side and
/// waits for the answer. Every answer begins with the same bytes, whatever it turns out to
/// be; so they are sent ahead. Whoever is gone answers with a reset, and the backend is
/// spared the rest of the work.
pub(super) fn probe(client: &mut Client, exchange: &Exchange) {
    let untouched =
        !exchange.download.is_answered() && exchange.tries.interim == 0 && client.outbound.is_empty();
    if client.ended && client.probed == 0 && untouched {
        // Should the socket not take them, the answer will tell.
        if let Ok(Io::Moved(count)) = client.stream.offer(STATUS_LINE_START) {
            client.probed = count;
        }
    }
}

/// What every answer begins with.
const STATUS_LINE_START: &[u8] = b"HTTP/1.1 ";

/// Takes what was sent ahead by [`probe`] off the answer that has just been written.
pub(super) fn settle(client: &mut Client) {
    client.outbound.consume(std::mem::take(&mut client.probed));
}

/// Reads and throws away what a client still sends, until it has closed or has had its
/// chance. Closing a socket with unread input resets the connection, and a reset destroys
/// what the client has not read yet of our answer (RFC 9112, section 9.6).
///
/// A client that was answered before the end of its request may not read until it has sent all of
/// it, so it gets more time, and its bytes are not limited: they are charged to its turns, and no
/// memory is held while it sends.
pub(super) fn linger(client: &mut Client, exchange: &Exchange, cx: &mut Context) -> Step {
    let (idle, whole) = match exchange.upload.is_read() {
        true => (LINGER_TIME_MAX, LINGER_TIME_MAX),
        false => (LINGER_UNREAD_IDLE_MAX, LINGER_UNREAD_TIME_MAX),
    };
    loop {
        client.inbound.clear();
        if cx.now >= client.since + whole {
            return Step::Close;
        }
        match client.stream.read(&mut client.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(count)) => {
                client.heard = cx.now;
                cx.turn.charge(count);
            }
            Ok(Io::Blocked) => {
                client.inbound.release(&mut cx.buffers);
                let deadline = (client.since + whole).min(client.heard + idle);
                return Step::Wait(Wait::until(deadline, Reason::Linger));
            }
            Ok(Io::End) | Err(_) => return Step::Close,
        }
        if cx.turn.is_over() {
            client.inbound.release(&mut cx.buffers);
            return Step::Yield;
        }
    }
}

/// What a run of [`reframe`] came to.
pub(super) struct Reframed {
    /// Bytes of body that were moved.
    pub(super) moved: usize,
    /// The chunks, or pieces of chunks, that they came in.
    pub(super) chunks: usize,
    /// The last chunk and the trailers were among them.
    pub(super) done: bool,
}

/// Why chunks could not be passed on.
pub(super) enum BadChunks {
    Chunk(ChunkError),
    Trailers(HeadError),
}

/// LIMIT: bytes of framing around a piece of a chunked body: its size of up to 16 digits and two
/// line ends.
pub(super) const CHUNK_FRAMING_BYTES_MAX: usize = 16 + 2 + 2;

/// Moves a chunked body from one buffer to another until the input or the room for it runs out.
/// Sizes are written anew and extensions are dropped, so that what goes out can be read in only
/// one way. Of the trailers go those that `ops` leave in.
///
/// INVARIANT: an empty buffer of any size has room for a whole trailer section, so if nothing was
/// moved into one, the input has nothing that could be.
pub(super) fn reframe(
    decoder: &mut ChunkDecoder,
    from: &mut Buffer,
    to: &mut Buffer,
    framing: Framing,
    ops: &HeaderOps,
) -> Result<Reframed, BadChunks> {
    let (mut moved, mut chunks) = (0, 0);
    while !from.is_empty() {
        // A longer input than there is room for is one that has not arrived yet.
        let input = from.bytes();
        let input = input.get(..to.room().saturating_sub(CHUNK_FRAMING_BYTES_MAX)).unwrap_or(input);
        match decoder.next(input).map_err(BadChunks::Chunk)? {
            ChunkPart::Data { skip, len } => {
                push_chunk(to, input.get(skip..skip + len).unwrap_or_default(), framing);
                from.consume(skip + len);
                moved += len;
                chunks += 1;
            }
            ChunkPart::More { skip } => {
                from.consume(skip);
                break;
            }
            ChunkPart::End { skip, len } => {
                let section = input.get(skip..skip + len).unwrap_or_default();
                push_end(to, section, framing, ops).map_err(BadChunks::Trailers)?;
                from.consume(skip + len);
                return Ok(Reframed { moved, chunks, done: true });
            }
        }
    }
    Ok(Reframed { moved, chunks, done: false })
}

/// Writes bytes of a body, as a chunk if that is how it is framed.
pub(super) fn push_chunk(to: &mut Buffer, data: &[u8], framing: Framing) {
    match framing {
        Framing::Chunked if data.is_empty() => {}
        Framing::Chunked => {
            to.extend(chunk_size_line(data.len()).as_ref());
            to.extend(data);
            to.extend(b"\r\n");
        }
        Framing::UntilClose => to.extend(data),
    }
}

/// Writes the end of a body with the trailers that may be passed on. A field that the route takes
/// out of the head or writes itself does not come in behind the body: some merge the two.
pub(super) fn push_end(
    to: &mut Buffer,
    trailers: &[u8],
    framing: Framing,
    ops: &HeaderOps,
) -> Result<(), HeadError> {
    if framing == Framing::Chunked {
        to.extend(b"0\r\n");
    }
    parse_trailers(trailers, |field| {
        if framing == Framing::Chunked && !ops.drops(field.name) {
            to.extend_all([field.name.as_bytes(), b": ", field.value, b"\r\n"]);
        }
    })?;
    if framing == Framing::Chunked {
        to.extend(b"\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use crate::net::wait::Reason;
    use crate::proxy::scene::{GET, OK, Scene};

    #[test]
    fn a_response_waits_for_a_client_that_takes_nothing() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        scene.client.give_room(20);
        scene.backend_sends(&backend, OK);
        assert_eq!((scene.waits, scene.client.received().len()), (Some(Reason::SendResponse), 20));
        scene.client.give_room(usize::MAX);
        scene.turn();
        assert!(scene.client.received().ends_with("\r\n\r\nfine"));
    }

    #[test]
    fn chunks_are_framed_again_without_their_extensions() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        scene.backend_sends(&backend, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n");
        scene.backend_sends(&backend, "0\r\n\r\n");
        assert!(scene.client.received().ends_with("\r\n\r\n2\r\nhi\r\n0\r\n\r\n"));
        assert_eq!(scene.waits, Some(Reason::NextRequest));
    }

    #[test]
    fn a_response_that_ends_early_cuts_the_client() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
        backend.finish();
        scene.turn();
        let received = scene.client.received();
        assert!(received.ends_with("2\r\nhi\r\n") && scene.client.is_ended(), "{received}");
    }

    #[test]
    fn only_a_reset_tells_an_http_1_0_client_that_its_response_ended_early() {
        let mut scene = Scene::new();
        scene.client_sends("GET /x HTTP/1.0\r\nHost: a\r\n\r\n");
        let (_, backend) = scene.dialled();
        backend.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
        backend.finish();
        scene.turn();
        assert!(scene.client.received().ends_with("\r\n\r\nhi"));
        assert!(scene.client.is_reset());
    }

    #[test]
    fn a_client_that_has_gone_ends_the_exchange() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        scene.client.break_writes(Errno::PIPE);
        scene.backend_sends(&backend, OK);
        assert!(scene.client.is_ended() && backend.is_ended());
    }
}
