//! The way up: reading a request head, sending the request, and what follows a response.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::buffer::{Buffer, Size};
use crate::base::limits::{BUFFER_SMALL_BYTES, DRAIN_GRACE, PASSWORD_WAIT, REPLAY_BYTES_MAX};
use crate::config::plan::{HeaderOps, UNCHANGED};
use crate::http::{self, BodyLength, ChunkDecoder, HeadError, HeadStorage, Known, RequestHead};
use crate::net::stream::Io;
use crate::net::wait::{Interest, Reason};
use crate::proxy::advance::Step;
use crate::proxy::context::Context;
use crate::proxy::dispatch::{self, Direction, head_limits};
use crate::proxy::failure::Failure;
use crate::proxy::relay::{
    self, BadChunks, CHUNK_FRAMING_BYTES_MAX, Flow, reframe, wait_client, wait_upstream,
};
use crate::proxy::task::{Counted, Framing, Request, Stage, Task, Upload, Upstream};
use crate::proxy::{accept, connect, record, reply, splice, upload};
use crate::upstream::idle_connections::Distrust;
use crate::upstream::snapshot::Snapshot;

/// Reads until a whole request head is there, then checks and rewrites it.
pub(super) fn read_head(task: &mut Task, cx: &mut Context) -> Step {
    let draining = cx.draining_since();
    if draining.is_some() {
        // A request may have arrived unnoticed; it is still answered.
        task.client.stream.mark_readable();
    }
    adopt(task, cx);
    let limits = head_limits(&task.snapshot);
    loop {
        let client = &mut task.client;
        let arrived = client.inbound.bytes();
        match http::head_end(arrived, client.scanned) {
            Some(end) if end > limits.bytes => return refuse(&mut task.request, HeadError::HeadTooLarge),
            Some(end) => return begin(task, cx, end),
            // One empty line is noise of old clients, which they send behind a body (RFC 9112,
            // section 2.2): it begins no head, so it is never a late one.
            None if !matches!(arrived, b"" | b"\r" | b"\r\n") => {
                client.head_began.get_or_insert(cx.now);
                let scanned = std::mem::replace(&mut client.scanned, arrived.len());
                if let Err(error) = http::check_partial_request(arrived, scanned, limits) {
                    return refuse(&mut task.request, error);
                }
            }
            None => {}
        }

        match client.stream.read(&mut client.inbound, &mut cx.buffers, Size::Small) {
            Ok(Io::Moved(count)) => cx.turn.charge(count),
            Ok(Io::Blocked) => break,
            Err(Errno::NOBUFS) => return Step::Fail(Failure::Shortage(Errno::NOBUFS)),
            // Between requests this is how it should end; in the middle of a head there is
            // nobody left to tell.
            Ok(Io::End) | Err(_) => return Step::Close,
        }
    }

    let client = &mut task.client;
    client.inbound.release_if_empty(&mut cx.buffers);
    let timeouts = &task.snapshot.plan.timeouts;
    let (mut deadline, reason) = match client.head_began {
        // From its first byte on, however slowly the others follow.
        Some(began) => (began + timeouts.head, Reason::RequestHead),
        None if client.served == 0 => (client.since + timeouts.head, Reason::FirstByte),
        None => (client.since + timeouts.keep_alive, Reason::NextRequest),
    };
    if let (Some(since), None) = (draining, client.head_began) {
        deadline = deadline.min(since + DRAIN_GRACE);
    }
    Step::Wait(wait_client(Interest::READ, deadline, reason))
}

/// Takes the current configuration for the next request. Until now the connection held none, or
/// that of the previous request.
fn adopt(task: &mut Task, cx: &mut Context) {
    if !Arc::ptr_eq(&task.snapshot, cx.snapshot()) {
        task.snapshot = Arc::clone(cx.snapshot());
        // Routes of the new configuration ask for its listener by the name it has there.
        task.client.listener = cx.shared.present(&task.client.listener);
    }
}

/// Begins the request whose head is the first `end` bytes of what has arrived.
fn begin(task: &mut Task, cx: &mut Context, end: usize) -> Step {
    let Task { client, request, .. } = task;
    client.served += 1;
    client.scanned = 0;
    client.head_began = None;
    request.started = cx.now;
    request.timeout_from = cx.now;
    request.begun = true;
    // A head as long as a small buffer does not fit into one when it is written anew.
    if end > BUFFER_SMALL_BYTES - REWRITING_ADDS
        && !request.outbound.make_room(&mut cx.buffers, end + REWRITING_ADDS)
    {
        return Step::Fail(Failure::Shortage(Errno::NOBUFS));
    }

    direct(task, cx, end)
}

/// Routes the request whose head is the first `end` bytes of what has arrived. It is called a
/// second time after its password was hashed.
fn direct(task: &mut Task, cx: &mut Context, end: usize) -> Step {
    let Task { client, request, snapshot, .. } = task;
    // Taken out for the moment, so that the head can be read while the task is changed.
    let mut inbound = std::mem::take(&mut client.inbound);
    let mut storage = HeadStorage::within(head_limits(snapshot));
    let bytes = inbound.bytes().get(..end).unwrap_or_default();
    let verdict = match http::parse_request(bytes, &mut storage) {
        Ok(mut head) => {
            if head.upgrade.is_some() && !may_upgrade(&head, snapshot, cx) {
                head.upgrade = None;
            }
            if request.password.is_none() {
                note(&head, request, cx);
            }
            request.upgrade = head.upgrade.is_some();
            // A client that has already sent some of its body does not wait for a 100.
            request.awaits_continue &= inbound.len() == end;
            dispatch::find(&head, client, request, snapshot, cx)
                .and_then(|direction| take_place(&head, direction, request, snapshot, cx))
        }
        Err(error) => {
            record::begin_malformed(request, bytes, cx);
            request.upload = UNKNOWN_BODY;
            Err(Failure::BadHead(error))
        }
    };
    drop(storage);
    if !matches!(verdict, Ok(Direction::Password)) {
        request.password = None;
        inbound.consume(end);
        inbound.release_if_empty(&mut cx.buffers);
    }
    client.inbound = inbound;
    match verdict {
        Ok(Direction::Password) => Step::Go(Stage::Password),
        Ok(Direction::Pool) => match upload::check_arrived(task, cx) {
            Ok(()) => Step::Go(Stage::Choose),
            Err(failure) => Step::Fail(failure),
        },
        Ok(Direction::Answer(answer)) => Step::Go(reply::fixed(task, cx, &answer)),
        Err(failure) => Step::Fail(failure),
    }
}

/// Continues when the password has been hashed. Meanwhile the head stays in its buffer and the body is not
/// read.
pub(super) fn await_password(task: &mut Task, cx: &mut Context) -> Step {
    let is_hashed = task.request.password.as_ref().is_none_or(|ticket| ticket.outcome().is_some());
    if is_hashed {
        // INVARIANT: a whole head was there before, and nothing has been taken from it.
        return match http::head_end(task.client.inbound.bytes(), 0) {
            Some(end) => direct(task, cx, end),
            None => Step::Close,
        };
    }
    let deadline = task.request.started + PASSWORD_WAIT;
    if cx.now >= deadline {
        return Step::Fail(refuse_password(task));
    }
    relay::probe(task);
    let interest = if task.client.ended { Interest::NONE } else { Interest::END };
    Step::Wait(wait_client(interest, deadline, Reason::Password))
}

/// Gives up a request whose password was not hashed in time. Its head goes with it: were it left,
/// it would be read as the next request and answered a second time.
fn refuse_password(task: &mut Task) -> Failure {
    let inbound = &mut task.client.inbound;
    match http::head_end(inbound.bytes(), 0) {
        Some(end) => inbound.consume(end),
        None => inbound.clear(),
    }
    task.request.password = None;
    Failure::PasswordsBusy
}

/// Refuses an incomplete head. It is unknown what the client sends after it.
fn refuse(request: &mut Request, error: HeadError) -> Step {
    request.upload = UNKNOWN_BODY;
    Step::Fail(Failure::BadHead(error))
}

/// What may follow a head that was refused: the client can still be sending it when it is answered.
const UNKNOWN_BODY: Upload = Upload::Fixed(u64::MAX);

/// Whether an offer of an upgrade is forwarded. A WebSocket client needs the upgrade, so without a
/// free tunnel it is refused. Clients that offer other protocols can do without (RFC 9110, section
/// 7.8), so the offer is dropped while no tunnel is free.
fn may_upgrade(head: &RequestHead<'_, '_>, snapshot: &Snapshot, cx: &Context) -> bool {
    head.offers_websocket() || cx.shared.tunnels.load(Ordering::Relaxed) < snapshot.plan.limits.tunnels
}

/// Takes a tunnel's place for a request that will need one, before a backend is chosen. Any other
/// upgrade takes its place when the backend agrees to it.
fn take_place(
    head: &RequestHead<'_, '_>,
    direction: Direction,
    request: &mut Request,
    snapshot: &Snapshot,
    cx: &Context,
) -> Result<Direction, Failure> {
    if matches!(direction, Direction::Pool) && head.offers_websocket() {
        let tunnel = Counted::within(&cx.shared.tunnels, snapshot.plan.limits.tunnels);
        request.tunnel = Some(tunnel.ok_or(Failure::TooManyTunnels)?);
    }
    Ok(direction)
}

/// Notes what of a head is needed later.
fn note(head: &RequestHead<'_, '_>, request: &mut Request, cx: &mut Context) {
    request.method = head.method;
    request.ask.idempotent = head.method.is_idempotent();
    request.version = head.version;
    request.keep_alive = head.keep_alive;
    request.binds_connection = head.binds_connection;
    request.upload = match head.body {
        BodyLength::None | BodyLength::Fixed(0) => Upload::Done,
        BodyLength::Fixed(length) => Upload::Fixed(length),
        BodyLength::Chunked | BodyLength::UntilClose => Upload::Chunked(ChunkDecoder::new()),
    };
    request.awaits_continue = head.expects_continue && !request.is_read();
    request.prefers = accept::preferred(head.fields);
    let mut ids = head.fields.iter().filter(|field| field.known == Known::XRequestId);
    match ids.find(|field| !field.value.is_empty()) {
        Some(field) => request.id.set(field.value),
        None => cx.ids.make(&mut request.id),
    }
    record::begin(request, head, cx);
}

/// Sends the request as far as the client supplies it and the backend takes it.
pub(super) fn send(task: &mut Task, cx: &mut Context) -> Flow {
    if let Some(pipe) = splice::pipe_up(task, cx) {
        return splice::up(task, cx, pipe);
    }
    let Task { client, request, upstream: Some(upstream), snapshot, .. } = task else { return Flow::Done };
    let timeouts = snapshot.timeouts(request.route);
    let body_max = request.route.and_then(|route| snapshot.route(route).body_max);
    let ops = request.route.map_or(&UNCHANGED, |route| &snapshot.route(route).request_headers);
    while !upstream.write_closed {
        // What is there already.
        while let Some(rest @ [_, ..]) = request.outbound.bytes().get(request.sent..) {
            match upstream.stream.write(rest) {
                Ok(Io::Moved(count)) => {
                    // While the backend took nothing, the client could send nothing.
                    request.too_slow_at = request.too_slow_at + cx.now.since(request.moved);
                    request.sent += count;
                    request.moved = cx.now;
                    if !upstream.connected {
                        connect::came_to_be(upstream, request);
                    }
                    request.attempts.connected(cx.now);
                }
                Ok(_) => {
                    let (deadline, reason) = match upstream.connected {
                        false => (upstream.opened + timeouts.connect, Reason::Connect),
                        true => (request.moved + timeouts.write_idle, Reason::SendRequest),
                    };
                    return Flow::Wait(wait_upstream(Interest::WRITE, deadline, reason));
                }
                Err(error) if !upstream.connected => return Flow::Fail(Failure::connecting(error)),
                Err(_) => {
                    // It takes no more, but it may have answered before it closed.
                    upstream.write_closed = true;
                    upstream.stream.mark_readable();
                    return Flow::Done;
                }
            }
        }
        if !request.replayable {
            request.outbound.clear();
            request.sent = 0;
        }
        if matches!(request.upload, Upload::Done) {
            break;
        }

        // More of the body: what has arrived of it already, and if that was nothing that can be
        // passed on (a piece of a trailer section, perhaps), what comes next.
        if cx.turn.is_over() {
            return Flow::Yield;
        }
        let before = request.uploaded;
        if let Err(failure) = take_body(&mut client.inbound, request, ops, cx) {
            return Flow::Fail(failure);
        }
        if let Some(rate) = snapshot.plan.limits.body_rate {
            let earned = Duration::from_nanos((request.uploaded - before) * 1_000_000_000 / rate);
            request.too_slow_at = request.too_slow_at + earned;
        }
        if body_max.is_some_and(|max| request.uploaded > max) {
            return Flow::Fail(Failure::BodyTooLarge);
        }
        if request.sent < request.outbound.len() || matches!(request.upload, Upload::Done) {
            continue;
        }
        // The head may have left a small buffer, which would take eight times the calls.
        client.inbound.release_if_empty(&mut cx.buffers);
        match client.stream.read(&mut client.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(count)) => {
                upload::body_arrived(request, timeouts, cx.now);
                cx.turn.charge(count);
            }
            Ok(Io::Blocked) => {
                client.inbound.release_if_empty(&mut cx.buffers);
                return Flow::Wait(upload::wait_for_body(request, timeouts));
            }
            Ok(Io::End) | Err(_) => return Flow::Fail(Failure::ClientLeft),
        }
    }
    Flow::Done
}

/// What the fields that say who asked come to, as a rule.
const REWRITING_ADDS: usize = 1024;

/// Moves what has arrived of the body to what goes out. INVARIANT: all that was there before has
/// been sent.
fn take_body(
    inbound: &mut Buffer,
    request: &mut Request,
    ops: &HeaderOps,
    cx: &mut Context,
) -> Result<(), Failure> {
    let coming = inbound.len() + CHUNK_FRAMING_BYTES_MAX;
    let fits = request.outbound.len() + coming <= REPLAY_BYTES_MAX;
    if request.replayable && !(fits && request.outbound.make_room(&mut cx.buffers, coming)) {
        // Too much to keep for another try. What was sent may go.
        request.replayable = false;
        request.sent = 0;
        request.outbound.clear();
    }
    let moved =
        match &mut request.upload {
            Upload::Done => return Ok(()),
            Upload::Fixed(remaining) => {
                let mut count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(inbound.len());
                if count == inbound.len() && request.outbound.is_empty() && !request.replayable {
                    // All of it belongs to the body: the buffers change places.
                    std::mem::swap(inbound, &mut request.outbound);
                } else {
                    // In pieces, if there may be no more memory.
                    request.outbound.make_room(&mut cx.buffers, count);
                    count = count.min(request.outbound.room());
                    request.outbound.extend(inbound.bytes().get(..count).unwrap_or_default());
                    inbound.consume(count);
                }
                *remaining -= count as u64;
                if *remaining == 0 {
                    request.upload = Upload::Done;
                }
                count
            }
            Upload::Chunked(decoder) => {
                // It goes in pieces, if there may be no more memory.
                request
                    .outbound
                    .make_room(&mut cx.buffers, coming.min(REPLAY_BYTES_MAX - request.outbound.len()));
                let reframed = reframe(decoder, inbound, &mut request.outbound, Framing::Chunked, ops)
                    .map_err(|error| match error {
                        BadChunks::Chunk(error) => Failure::BadBody(error),
                        BadChunks::Trailers(error) => Failure::BadTrailers(error),
                    })?;
                cx.turn.charge_chunks(reframed.chunks);
                if reframed.done {
                    request.upload = Upload::Done;
                }
                reframed.moved
            }
        };
    request.uploaded += moved as u64;
    if matches!(request.upload, Upload::Done) {
        inbound.release_if_empty(&mut cx.buffers);
    }
    Ok(())
}

/// After a response, ours or a backend's: the next request, or the end of the connection.
pub(super) fn finish(task: &mut Task, cx: &mut Context) -> Step {
    if let Some(mut upstream) = task.upstream.take() {
        let left_over = task.request.is_answered() && !upstream.inbound.is_empty();
        let clean = task.request.is_sent() && upstream.inbound.is_empty() && !upstream.write_closed;
        upstream.inbound.release(&mut cx.buffers);
        if left_over {
            // A moment later they would have gone to another client.
            upstream.lease.backend().distrust(Distrust::UnaskedBytes, cx.now);
        }
        if let (true, Upstream { stream, lease, pinned, lifetime: Some(lifetime), .. }) = (clean, upstream) {
            let backend = lease.backend();
            match (pinned, task.request.pool) {
                (true, Some(pool)) if task.request.keep_client => {
                    task.pinned.keep(stream, &lease, task.snapshot.pool(pool));
                }
                // Its client connection closes after this response, and it closes with it.
                (true, _) => {}
                (false, _) => backend.idle().give(stream, cx.now, lifetime, backend.active()),
            }
        }
    }
    record::end(task, cx);
    let Task { client, request, .. } = task;
    request.outbound.release(&mut cx.buffers);
    client.outbound.release(&mut cx.buffers);
    client.inbound.release_if_empty(&mut cx.buffers);
    client.since = cx.now;
    client.heard = cx.now;
    if request.keep_client && request.is_read() {
        *request = Request::new(cx.now);
        return Step::Go(Stage::Head);
    }
    client.stream.finish_writing();
    if !request.keep_alive && request.is_read() && client.inbound.is_empty() {
        // The client knew that this was the last.
        return Step::Close;
    }
    // The request's places and counts are released before we wait for its client; only the rest of
    // the upload is still read.
    let upload = std::mem::replace(&mut request.upload, Upload::Done);
    *request = Request { upload, ..Request::new(cx.now) };
    Step::Go(Stage::Linger)
}
