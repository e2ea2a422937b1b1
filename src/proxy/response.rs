//! The way down: reading a response head and relaying the response.

use std::time::Duration;

use rustix::io::Errno;

use crate::base::buffer::{Buffer, Size};
use crate::base::clock::Moment;
use crate::base::limits::{BUFFER_LARGE_BYTES, BUFFER_SMALL_BYTES, LOOK_AGAIN_EVERY};
use crate::config::plan::UNCHANGED;
use crate::http::{self, BodyLength, ChunkDecoder, HeadError, HeadStorage, ResponseHead, Version};
use crate::net::stream::Io;
use crate::net::wait::{Interest, Reason};
use crate::proxy::context::Context;
use crate::proxy::dispatch::head_limits;
use crate::proxy::failure::Failure;
use crate::proxy::relay::{
    self, BadChunks, CHUNK_FRAMING_BYTES_MAX, Flow, push_chunk, push_end, reframe, wait_to_write,
    wait_upstream,
};
use crate::proxy::rewrite::Additions;
use crate::proxy::task::{Counted, Download, Framing, Request, Task, Upstream};
use crate::proxy::upload::body_may_begin;
use crate::proxy::{evidence, retry, rewrite, splice};

/// Receives the response as far as the backend supplies it and the client takes it.
pub(super) fn receive(task: &mut Task, cx: &mut Context) -> Flow {
    while !task.request.is_answered() {
        match read_head(task, cx) {
            Ok(()) => {}
            Err(flow) => return flow,
        }
    }
    relay_body(task, cx)
}

/// Reads and handles one response head: an interim one, or the final one.
fn read_head(task: &mut Task, cx: &mut Context) -> Result<(), Flow> {
    let sent = task.request.is_sent();
    let Some(upstream) = &mut task.upstream else { return Err(Flow::Fail(Failure::Closed)) };
    loop {
        if let Some(end) = http::head_end(upstream.inbound.bytes(), upstream.scanned) {
            upstream.scanned = 0;
            return begin(task, cx, end);
        }
        upstream.scanned = upstream.inbound.len();
        if upstream.inbound.len() > task.snapshot.plan.limits.head {
            return Err(Flow::Fail(Failure::BadResponse(HeadError::HeadTooLarge)));
        }
        match upstream.stream.read(&mut upstream.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(_)) => {}
            Ok(Io::Blocked) => break,
            Ok(Io::End) if upstream.inbound.is_empty() => return Err(Flow::Fail(Failure::Closed)),
            Ok(Io::End) => return Err(Flow::Fail(Failure::Truncated)),
            Err(error @ Errno::NOBUFS) => return Err(Flow::Fail(Failure::Shortage(error))),
            Err(error) => return Err(Flow::Fail(Failure::Reset(error))),
        }
    }
    upstream.inbound.release_if_empty(&mut cx.buffers);
    // While the request is still going up, its own deadlines apply.
    let deadline = match sent || upstream.write_closed {
        true => task.request.moved + task.snapshot.timeouts(task.request.route).response_head,
        false => Moment::NEVER,
    };
    let mut wait = wait_upstream(Interest::READ, deadline, Reason::ResponseHead);
    if sent
        && upstream.inbound.is_empty()
        && let Some(pool) = task.request.pool.map(|pool| task.snapshot.pool(pool))
        && retry::may_move(&task.request, pool, upstream.lease.backend())
    {
        if retry::moves(&mut task.request, pool, upstream.lease.backend(), cx.now) {
            return Err(Flow::Fail(Failure::WentDown));
        }
        let again = cx.now + LOOK_AGAIN_EVERY;
        if again < wait.deadline {
            (wait.deadline, wait.reason) = (again, Reason::LookAgain);
        }
    }
    if !task.client.outbound.is_empty() {
        // An interim response that the client has not taken yet.
        match relay::flush(task, cx) {
            Flow::Wait(writing) => wait = wait.and(writing),
            Flow::Done => task.client.outbound.release(&mut cx.buffers),
            flow => return Err(flow),
        }
    }
    Err(Flow::Wait(wait))
}

/// Handles the response head that is the first `end` bytes of what has arrived.
fn begin(task: &mut Task, cx: &mut Context, end: usize) -> Result<(), Flow> {
    if task.client.outbound.len() + end > task.snapshot.plan.limits.head {
        // Interim responses that the client has not taken do not pile up: they go first.
        match relay::flush(task, cx) {
            Flow::Done => {}
            flow => return Err(flow),
        }
    }
    let draining = cx.draining_since().is_some();
    let Task { client, request, upstream: Some(upstream), snapshot, .. } = task else {
        return Err(Flow::Fail(Failure::Closed));
    };
    let mut storage = HeadStorage::within(head_limits(snapshot));
    let bytes = upstream.inbound.bytes().get(..end).unwrap_or_default();
    let head = http::parse_response(bytes, request.method, &mut storage)
        .map_err(|error| Flow::Fail(Failure::BadResponse(error)))?;
    if end > snapshot.plan.limits.head {
        return Err(Flow::Fail(Failure::BadResponse(HeadError::HeadTooLarge)));
    }
    // One that is as long as a small buffer does not fit into it when it is written anew.
    if end > BUFFER_SMALL_BYTES / 2
        && !client.outbound.make_room(&mut cx.buffers, 2 * end)
        && end > BUFFER_SMALL_BYTES
    {
        return Err(Flow::Fail(Failure::Shortage(Errno::NOBUFS)));
    }
    let out = client.outbound.prepare(&mut cx.buffers, Size::Small);
    request.received = cx.now;
    let timeouts = snapshot.timeouts(request.route);
    let ops = request.route.map_or(&UNCHANGED, |route| &snapshot.route(route).response_headers);
    // Only the final response has a date.
    let additions = Additions { ops, headers: &snapshot.plan.headers, date: None };

    if head.status == 101 {
        if !request.upgrade || head.upgrade.is_none() || !request.is_sent() {
            return Err(Flow::Fail(Failure::UnaskedUpgrade));
        }
        if request.tunnel.is_none() {
            request.tunnel = Counted::within(&cx.shared.tunnels, snapshot.plan.limits.tunnels);
        }
        if request.tunnel.is_none() {
            return Err(Flow::Fail(Failure::TooManyTunnels));
        }
        upstream.lease.answered(cx.now);
        evidence::settle(request, client.peer, evidence::End::Answered, cx.now);
        request.status = 101;
        request.attempts.answered(cx.now);
        rewrite::switching(&head, request, &additions, out);
        relay::settle(client);
        drop(storage);
        upstream.inbound.consume(end);
        request.download = Download::Done;
        request.keep_client = false;
        // From now on this is what the client says.
        request.outbound.clear();
        request.sent = 0;
        return Err(Flow::Upgraded);
    }
    if head.status < 200 {
        request.interim += end as u64;
        if snapshot.plan.limits.interim.is_some_and(|max| request.interim > max) {
            return Err(Flow::Fail(Failure::EndlessInterim));
        }
        // HTTP/1.0 knows no interim responses (RFC 9110, section 15.2).
        if request.version == Version::Http11 {
            rewrite::interim(&head, &additions, out);
            relay::settle(client);
        }
        if head.status == 100 && request.awaits_continue {
            body_may_begin(request, timeouts, cx.now);
        }
        // The backend is working on it, so its timeout starts over (RFC 2518, section 10.1).
        if head.status == 102 && (request.is_sent() || request.awaits_continue || upstream.write_closed) {
            request.moved = cx.now;
        }
        drop(storage);
        upstream.inbound.consume(end);
        return Ok(());
    }

    request.attempts.answered(cx.now);
    let pool = request.pool.map(|pool| snapshot.pool(pool));
    let failed = pool.is_some_and(|pool| pool.ejects_on_status(head.status));
    if failed {
        upstream.lease.heard(cx.now);
        evidence::note(request, &mut upstream.lease, Failure::Status(head.status), cx.now);
    } else {
        upstream.lease.answered(cx.now);
        evidence::settle(request, client.peer, evidence::End::Answered, cx.now);
    }
    let from = upstream.lease.backend().id();
    if pool.is_some_and(|pool| retry::on_status(request, pool, from, head.status, cx.now)) {
        return Err(Flow::Fail(Failure::Status(head.status)));
    }
    if failed {
        evidence::settle(request, client.peer, evidence::End::Unanswered, cx.now);
    }
    request.tunnel = None;
    upstream.pinned |= request.binds_connection || head.binds_connection;
    upstream.lifetime = lifetime(&head, timeouts.upstream_keep_alive);
    // A client that was answered instead of getting its 100 need not send the body at all.
    upstream.reads_on = head.keep_alive && !request.awaits_continue && !upstream.write_closed;
    let framing = match request.version {
        Version::Http11 => Framing::Chunked,
        Version::Http10 => Framing::UntilClose,
    };
    request.download = match head.body {
        BodyLength::None | BodyLength::Fixed(0) => Download::Done,
        BodyLength::Fixed(length) => Download::Fixed(length),
        BodyLength::Chunked => Download::Chunked(ChunkDecoder::new(), framing),
        BodyLength::UntilClose => Download::UntilClose(framing),
    };
    request.ends_by_closing = matches!(
        request.download,
        Download::Chunked(_, Framing::UntilClose) | Download::UntilClose(Framing::UntilClose)
    );
    let last = snapshot.plan.limits.requests_per_connection.is_some_and(|max| client.served >= max);
    request.keep_client = request.keep_alive
        && (request.is_read() || upstream.reads_on)
        && !request.ends_by_closing
        && !last
        && !draining;
    request.status = head.status;
    let additions = Additions { date: cx.date.at(cx.now), ..additions };
    rewrite::response(&head, request, &additions, out);
    relay::settle(client);
    drop(storage);
    upstream.inbound.consume(end);
    Ok(())
}

/// How long the connection may be kept after this response; a second less than the backend
/// says it will, so that it is we who close it.
fn lifetime(head: &ResponseHead<'_, '_>, ours: Duration) -> Option<Duration> {
    if !head.keep_alive || matches!(head.body, BodyLength::UntilClose) {
        return None;
    }
    match head.keep_alive_timeout_s {
        Some(theirs) => Some(ours.min(Duration::from_secs(theirs.checked_sub(1)?))),
        None => Some(ours),
    }
}

/// Relays what follows the response head.
fn relay_body(task: &mut Task, cx: &mut Context) -> Flow {
    loop {
        if let Err(flow) = pass_on(task, cx) {
            return flow;
        }
        if let Some(pipe) = splice::pipe_down(task, cx) {
            return splice::down(task, cx, pipe);
        }
        let Task { request, upstream: Some(upstream), snapshot, .. } = task else { return Flow::Done };
        if matches!(request.download, Download::Done) {
            return Flow::Done;
        }
        if cx.turn.is_over() {
            return Flow::Yield;
        }
        match upstream.stream.read(&mut upstream.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(count)) => {
                cx.turn.charge(count);
                request.received = cx.now;
            }
            Ok(Io::Blocked) => {
                upstream.inbound.release_if_empty(&mut cx.buffers);
                let deadline = request.received + snapshot.timeouts(request.route).response_body;
                return Flow::Wait(wait_upstream(Interest::READ, deadline, Reason::ResponseBody));
            }
            Ok(Io::End) => match request.download {
                Download::UntilClose(framing) => {
                    request.download = Download::Done;
                    // No trailers came, and none are malformed.
                    let _ = push_end(&mut task.client.outbound, b"\r\n", framing, &UNCHANGED);
                }
                _ => return Flow::Fail(Failure::Truncated),
            },
            Err(error) => return Flow::Fail(Failure::Reset(error)),
        }
    }
}

/// Writes what there is to the client: what was rewritten, and the body bytes that can go as
/// they are, in one call.
fn pass_on(task: &mut Task, cx: &mut Context) -> Result<(), Flow> {
    loop {
        let Task { client, request, upstream: Some(Upstream { inbound, .. }), snapshot, .. } = task else {
            return Ok(());
        };
        if matches!(request.download, Download::Chunked(..) | Download::UntilClose(Framing::Chunked)) {
            // All in one piece, if there may be so much memory.
            let most = BUFFER_LARGE_BYTES.saturating_sub(client.outbound.len());
            client.outbound.make_room(&mut cx.buffers, most.min(inbound.len() + CHUNK_FRAMING_BYTES_MAX));
        }
        let mut plain = match &mut request.download {
            Download::Fixed(remaining) => {
                usize::try_from(*remaining).unwrap_or(usize::MAX).min(inbound.len())
            }
            Download::UntilClose(Framing::UntilClose) => inbound.len(),
            Download::UntilClose(framing) => {
                let room = client.outbound.room().saturating_sub(CHUNK_FRAMING_BYTES_MAX);
                let count = inbound.len().min(room);
                push_chunk(&mut client.outbound, inbound.bytes().get(..count).unwrap_or_default(), *framing);
                request.downloaded += count as u64;
                inbound.consume(count);
                0
            }
            Download::Chunked(decoder, framing) => {
                let ops = request.route.map_or(&UNCHANGED, |route| &snapshot.route(route).response_headers);
                let reframed = reframe(decoder, inbound, &mut client.outbound, *framing, ops);
                match reframed {
                    Ok(reframed) => {
                        request.downloaded += reframed.moved as u64;
                        cx.turn.charge_chunks(reframed.chunks);
                        if reframed.done {
                            request.download = Download::Done;
                        }
                    }
                    Err(fault) => {
                        // What came before the fault goes out first: a connection that ends
                        // without a byte would invite the client to send its request again.
                        let _ = client.stream.write(client.outbound.bytes());
                        return Err(Flow::Fail(match fault {
                            BadChunks::Chunk(error) => Failure::BadResponseBody(error),
                            BadChunks::Trailers(error) => Failure::BadResponse(error),
                        }));
                    }
                }
                0
            }
            Download::Head | Download::Done => 0,
        };
        if !client.outbound.is_empty() && plain <= SMALL_BODY_BYTES {
            // Behind the head, so that both go in one plain call.
            client.outbound.extend(inbound.bytes().get(..plain).unwrap_or_default());
            took(request, inbound, plain);
            plain = 0;
        }
        let body = inbound.bytes().get(..plain).unwrap_or_default();
        if client.outbound.is_empty() && body.is_empty() {
            return Ok(());
        }
        match client.stream.write_both(client.outbound.bytes(), body) {
            Ok(Io::Moved(count)) => {
                let of_head = count.min(client.outbound.len());
                client.outbound.consume(of_head);
                took(request, inbound, count - of_head);
                client.send_progress.wrote(count, cx.now);
            }
            Ok(_) => return Err(Flow::Wait(wait_to_write(task, cx.now))),
            Err(_) => return Err(Flow::Fail(Failure::ClientLeft)),
        }
    }
}

/// Notes that bytes of a body that goes as it is have left the queue.
fn took(request: &mut Request, inbound: &mut Buffer, count: usize) {
    inbound.consume(count);
    request.downloaded += count as u64;
    if let Download::Fixed(remaining) = &mut request.download {
        *remaining -= count as u64;
        if *remaining == 0 {
            request.download = Download::Done;
        }
    }
}

/// Bodies up to this many bytes are copied behind the head: gathering two slices costs more.
const SMALL_BODY_BYTES: usize = 4 * 1024;
