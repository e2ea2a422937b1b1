//! The way up: reading a request head, sending the request, and what follows a response.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;

use crate::base::buffer::{Buffer, Size};
use crate::base::limits::{BUFFER_SMALL_BYTES, DRAIN_GRACE, PASSWORD_WAIT, REPLAY_BYTES_MAX};
use crate::config::plan::{HeaderOps, UNCHANGED};
use crate::http::{self, BodyLength, ChunkDecoder, HeadError, HeadStorage, Known, RequestHead};
use crate::net::io::Io;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::counted::Counted;
use crate::proxy::dispatch::{self, Direction, head_limits};
use crate::proxy::exchange::{Exchange, Framing, Stage, Upload, UploadState};
use crate::proxy::failure::Failure;
use crate::proxy::link::Link;
use crate::proxy::relay::{self, BadChunks, CHUNK_FRAMING_BYTES_MAX, reframe};
use crate::proxy::retry::Tries;
use crate::proxy::step::Flow;
use crate::proxy::step::Step;
use crate::proxy::{accept, connect, record, reply, splice, upload};
use crate::upstream::idle_connections::Distrust;
use crate::upstream::snapshot::Snapshot;

/// Reads until a whole request head is there, then checks and rewrites it.
pub(super) fn read_head(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let draining = cx.draining_since();
    if draining.is_some() {
        // A request may have arrived unnoticed; it is still answered.
        client.stream.mark_readable();
    }
    adopt(client, exchange, cx);
    let limits = head_limits(&exchange.snapshot);
    loop {
        let arrived = client.inbound.bytes();
        match http::head_end(arrived, client.scanned) {
            Some(end) if end > limits.bytes => return refuse(&mut exchange.upload, HeadError::HeadTooLarge),
            Some(end) => return begin(client, exchange, cx, end),
            // One empty line is noise of old clients, which they send behind a body (RFC 9112,
            // section 2.2): it begins no head, so it is never a late one.
            None if !matches!(arrived, b"" | b"\r" | b"\r\n") => {
                client.head_began.get_or_insert(cx.now);
                let scanned = std::mem::replace(&mut client.scanned, arrived.len());
                if let Err(error) = http::check_partial_request(arrived, scanned, limits) {
                    return refuse(&mut exchange.upload, error);
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

    client.inbound.release_if_empty(&mut cx.buffers);
    let timeouts = &exchange.snapshot.plan.timeouts;
    let (mut deadline, reason) = match client.head_began {
        // From its first byte on, however slowly the others follow.
        Some(began) => (began + timeouts.head, Reason::RequestHead),
        None if client.served == 0 => (client.since + timeouts.head, Reason::FirstByte),
        None => (client.since + timeouts.keep_alive, Reason::NextRequest),
    };
    if let (Some(since), None) = (draining, client.head_began) {
        deadline = deadline.min(since + DRAIN_GRACE);
    }
    Step::Wait(Wait::until(deadline, reason))
}

/// Takes the current configuration for the next request. Until now the connection held none, or
/// that of the previous request.
fn adopt(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) {
    if !Arc::ptr_eq(&exchange.snapshot, cx.snapshot()) {
        exchange.snapshot = Arc::clone(cx.snapshot());
        // Routes of the new configuration ask for its listener by the name it has there.
        client.listener = cx.shared.present(&client.listener);
    }
}

/// Begins the request whose head is the first `end` bytes of what has arrived.
fn begin(client: &mut Client, exchange: &mut Exchange, cx: &mut Context, end: usize) -> Step {
    client.served += 1;
    client.scanned = 0;
    client.head_began = None;
    exchange.asked.started = cx.now;
    exchange.upload.timeout_from = cx.now;
    exchange.record.begun = true;
    // A head as long as a small buffer does not fit into one when it is written anew.
    if end > BUFFER_SMALL_BYTES - REWRITING_ADDS
        && !exchange.upload.outbound.make_room(&mut cx.buffers, end + REWRITING_ADDS)
    {
        return Step::Fail(Failure::Shortage(Errno::NOBUFS));
    }

    direct(client, exchange, cx, end)
}

/// Routes the request whose head is the first `end` bytes of what has arrived. It is called a
/// second time after its password was hashed.
fn direct(client: &mut Client, exchange: &mut Exchange, cx: &mut Context, end: usize) -> Step {
    // Taken out for the moment, so that the head can be read while the exchange is changed.
    let mut inbound = std::mem::take(&mut client.inbound);
    let mut storage = HeadStorage::within(head_limits(&exchange.snapshot));
    let bytes = inbound.bytes().get(..end).unwrap_or_default();
    let verdict = match http::parse_request(bytes, &mut storage) {
        Ok(mut head) => {
            if head.upgrade.is_some() && !may_upgrade(&head, &exchange.snapshot, cx) {
                head.upgrade = None;
            }
            if exchange.routed.password.is_none() {
                note(&head, exchange, cx);
            }
            exchange.asked.upgrade = head.upgrade.is_some();
            // A client that has already sent some of its body does not wait for a 100.
            exchange.upload.awaits_continue &= inbound.len() == end;
            dispatch::find(&head, client, exchange, cx)
                .and_then(|direction| take_place(&head, direction, exchange, cx))
        }
        Err(error) => {
            record::begin_malformed(&mut exchange.record, bytes, cx);
            exchange.upload.state = UNKNOWN_BODY;
            Err(Failure::BadHead(error))
        }
    };
    drop(storage);
    if !matches!(verdict, Ok(Direction::Password)) {
        exchange.routed.password = None;
        inbound.consume(end);
        inbound.release_if_empty(&mut cx.buffers);
    }
    client.inbound = inbound;
    match verdict {
        Ok(Direction::Password) => Step::Go(Stage::Password),
        Ok(Direction::Pool) => match upload::check_arrived(client, exchange, cx) {
            Ok(()) => Step::Go(Stage::Choose),
            Err(failure) => Step::Fail(failure),
        },
        Ok(Direction::Answer(answer)) => Step::Go(reply::fixed(client, exchange, cx, &answer)),
        Err(failure) => Step::Fail(failure),
    }
}

/// Continues when the password has been hashed. Meanwhile the head stays in its buffer and the body is not
/// read.
pub(super) fn await_password(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let is_hashed = exchange.routed.password.as_ref().is_none_or(|ticket| ticket.outcome().is_some());
    if is_hashed {
        // INVARIANT: a whole head was there before, and nothing has been taken from it.
        return match http::head_end(client.inbound.bytes(), 0) {
            Some(end) => direct(client, exchange, cx, end),
            None => Step::Close,
        };
    }
    let deadline = exchange.asked.started + PASSWORD_WAIT;
    if cx.now >= deadline {
        return Step::Fail(refuse_password(client, exchange));
    }
    relay::probe(client, exchange);
    if !client.ended {
        client.stream.want_end();
    }
    Step::Wait(Wait::until(deadline, Reason::Password))
}

/// Gives up a request whose password was not hashed in time. Its head goes with it: were it left,
/// it would be read as the next request and answered a second time.
fn refuse_password(client: &mut Client, exchange: &mut Exchange) -> Failure {
    let inbound = &mut client.inbound;
    match http::head_end(inbound.bytes(), 0) {
        Some(end) => inbound.consume(end),
        None => inbound.clear(),
    }
    exchange.routed.password = None;
    Failure::PasswordsBusy
}

/// Refuses an incomplete head. It is unknown what the client sends after it.
fn refuse(upload: &mut Upload, error: HeadError) -> Step {
    upload.state = UNKNOWN_BODY;
    Step::Fail(Failure::BadHead(error))
}

/// What may follow a head that was refused: the client can still be sending it when it is answered.
const UNKNOWN_BODY: UploadState = UploadState::Fixed(u64::MAX);

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
    exchange: &mut Exchange,
    cx: &Context,
) -> Result<Direction, Failure> {
    if matches!(direction, Direction::Pool) && head.offers_websocket() {
        let tunnel = Counted::within(&cx.shared.tunnels, exchange.snapshot.plan.limits.tunnels);
        exchange.tunnel = Some(tunnel.ok_or(Failure::TooManyTunnels)?);
    }
    Ok(direction)
}

/// Notes what of a head is needed later.
fn note(head: &RequestHead<'_, '_>, exchange: &mut Exchange, cx: &mut Context) {
    exchange.asked.method = head.method;
    exchange.tries.ask.idempotent = head.method.is_idempotent();
    exchange.asked.version = head.version;
    exchange.asked.keep_alive = head.keep_alive;
    exchange.asked.binds_connection = head.binds_connection;
    exchange.upload.state = match head.body {
        BodyLength::None | BodyLength::Fixed(0) => UploadState::Done,
        BodyLength::Fixed(length) => UploadState::Fixed(length),
        BodyLength::Chunked | BodyLength::UntilClose => UploadState::Chunked(ChunkDecoder::new()),
    };
    exchange.upload.awaits_continue = head.expects_continue && !exchange.upload.is_read();
    exchange.asked.prefers = accept::preferred(head.fields);
    let mut ids = head.fields.iter().filter(|field| field.known == Known::XRequestId);
    match ids.find(|field| !field.value.is_empty()) {
        Some(field) => exchange.asked.id.set(field.value),
        None => cx.ids.make(&mut exchange.asked.id),
    }
    record::begin(&mut exchange.record, head, cx);
}

/// Sends the request as far as the client supplies it and the backend takes it.
pub(super) fn send(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Flow {
    if let Some(pipe) = splice::pipe_up(client, exchange, cx) {
        return splice::up(client, exchange, cx, pipe);
    }
    let Some(link) = &mut exchange.link else { return Flow::Done };
    let timeouts = exchange.snapshot.timeouts(exchange.routed.route);
    let body_max = exchange.routed.route.and_then(|route| exchange.snapshot.route(route).body_max);
    let ops =
        exchange.routed.route.map_or(&UNCHANGED, |route| &exchange.snapshot.route(route).request_headers);
    while !link.write_closed {
        // What is there already.
        while let Some(rest @ [_, ..]) = exchange.upload.outbound.bytes().get(exchange.upload.sent..) {
            match link.stream.write(rest) {
                Ok(Io::Moved(count)) => {
                    // While the backend took nothing, the client could send nothing.
                    exchange.upload.too_slow_at =
                        exchange.upload.too_slow_at + cx.now.since(exchange.upload.moved);
                    exchange.upload.sent += count;
                    exchange.upload.moved = cx.now;
                    if !link.connected {
                        connect::came_to_be(link, &mut exchange.tries);
                    }
                    exchange.record.attempts.connected(cx.now);
                }
                Ok(_) => {
                    let (deadline, reason) = match link.connected {
                        false => (link.opened + timeouts.connect, Reason::Connect),
                        true => (exchange.upload.moved + timeouts.write_idle, Reason::SendRequest),
                    };
                    return Flow::Wait(Wait::until(deadline, reason));
                }
                Err(error) if !link.connected => return Flow::Fail(Failure::connecting(error)),
                Err(_) => {
                    // It takes no more, but it may have answered before it closed.
                    link.write_closed = true;
                    link.stream.mark_readable();
                    return Flow::Done;
                }
            }
        }
        if !exchange.tries.replayable {
            exchange.upload.outbound.clear();
            exchange.upload.sent = 0;
        }
        if matches!(exchange.upload.state, UploadState::Done) {
            break;
        }

        // More of the body: what has arrived of it already, and if that was nothing that can be
        // passed on (a piece of a trailer section, perhaps), what comes next.
        if cx.turn.is_over() {
            return Flow::Yield;
        }
        let before = exchange.upload.bytes;
        if let Err(failure) =
            take_body(&mut client.inbound, &mut exchange.upload, &mut exchange.tries, ops, cx)
        {
            return Flow::Fail(failure);
        }
        if let Some(rate) = exchange.snapshot.plan.limits.body_rate {
            let earned = Duration::from_nanos((exchange.upload.bytes - before) * 1_000_000_000 / rate);
            exchange.upload.too_slow_at = exchange.upload.too_slow_at + earned;
        }
        if body_max.is_some_and(|max| exchange.upload.bytes > max) {
            return Flow::Fail(Failure::BodyTooLarge);
        }
        if exchange.upload.sent < exchange.upload.outbound.len()
            || matches!(exchange.upload.state, UploadState::Done)
        {
            continue;
        }
        // The head may have left a small buffer, which would take eight times the calls.
        client.inbound.release_if_empty(&mut cx.buffers);
        match client.stream.read(&mut client.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(count)) => {
                upload::body_arrived(&mut exchange.upload, timeouts, cx.now);
                cx.turn.charge(count);
            }
            Ok(Io::Blocked) => {
                client.inbound.release_if_empty(&mut cx.buffers);
                return Flow::Wait(upload::wait_for_body(&exchange.upload, timeouts));
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
    upload: &mut Upload,
    tries: &mut Tries,
    ops: &HeaderOps,
    cx: &mut Context,
) -> Result<(), Failure> {
    let coming = inbound.len() + CHUNK_FRAMING_BYTES_MAX;
    let fits = upload.outbound.len() + coming <= REPLAY_BYTES_MAX;
    if tries.replayable && !(fits && upload.outbound.make_room(&mut cx.buffers, coming)) {
        // Too much to keep for another try. What was sent may go.
        tries.replayable = false;
        upload.sent = 0;
        upload.outbound.clear();
    }
    let moved = match &mut upload.state {
        UploadState::Done => return Ok(()),
        UploadState::Fixed(remaining) => {
            let mut count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(inbound.len());
            if count == inbound.len() && upload.outbound.is_empty() && !tries.replayable {
                // All of it belongs to the body: the buffers change places.
                std::mem::swap(inbound, &mut upload.outbound);
            } else {
                // In pieces, if there may be no more memory.
                upload.outbound.make_room(&mut cx.buffers, count);
                count = count.min(upload.outbound.room());
                upload.outbound.extend(inbound.bytes().get(..count).unwrap_or_default());
                inbound.consume(count);
            }
            *remaining -= count as u64;
            if *remaining == 0 {
                upload.state = UploadState::Done;
            }
            count
        }
        UploadState::Chunked(decoder) => {
            // It goes in pieces, if there may be no more memory.
            upload.outbound.make_room(&mut cx.buffers, coming.min(REPLAY_BYTES_MAX - upload.outbound.len()));
            let reframed =
                reframe(decoder, inbound, &mut upload.outbound, Framing::Chunked, ops).map_err(|error| {
                    match error {
                        BadChunks::Chunk(error) => Failure::BadBody(error),
                        BadChunks::Trailers(error) => Failure::BadTrailers(error),
                    }
                })?;
            cx.turn.charge_chunks(reframed.chunks);
            if reframed.done {
                upload.state = UploadState::Done;
            }
            reframed.moved
        }
    };
    upload.bytes += moved as u64;
    if matches!(upload.state, UploadState::Done) {
        inbound.release_if_empty(&mut cx.buffers);
    }
    Ok(())
}

/// After a response, ours or a backend's: the next request, or the end of the connection.
pub(super) fn finish(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    if let Some(mut link) = exchange.link.take() {
        let left_over = exchange.download.is_answered() && !link.inbound.is_empty();
        let clean = exchange.upload.is_sent() && link.inbound.is_empty() && !link.write_closed;
        link.inbound.release(&mut cx.buffers);
        if left_over {
            // A moment later they would have gone to another client.
            link.lease.backend().distrust(Distrust::UnaskedBytes, cx.now);
        }
        if let (true, Link { stream, lease, pinned, lifetime: Some(lifetime), .. }) = (clean, link) {
            let backend = lease.backend();
            match (pinned, exchange.routed.pool) {
                (true, Some(pool)) if exchange.download.keep_client => {
                    client.pinned.keep(stream, &lease, exchange.snapshot.pool(pool));
                }
                // Its client connection closes after this response, and it closes with it.
                (true, _) => {}
                (false, _) => backend.idle().give(stream, cx.now, lifetime, backend.active()),
            }
        }
    }
    record::end(client, exchange, cx);
    exchange.upload.outbound.release(&mut cx.buffers);
    client.outbound.release(&mut cx.buffers);
    client.inbound.release_if_empty(&mut cx.buffers);
    client.since = cx.now;
    client.heard = cx.now;
    if exchange.download.keep_client && exchange.upload.is_read() {
        exchange.clear(cx.now);
        return Step::Go(Stage::Head);
    }
    client.stream.finish_writing();
    if !exchange.asked.keep_alive && exchange.upload.is_read() && client.inbound.is_empty() {
        // The client knew that this was the last.
        return Step::Close;
    }
    // The request's places and counts are released before we wait for its client; only the rest of
    // the upload is still read.
    let rest = std::mem::replace(&mut exchange.upload.state, UploadState::Done);
    exchange.clear(cx.now);
    exchange.upload.state = rest;
    Step::Go(Stage::Linger)
}
