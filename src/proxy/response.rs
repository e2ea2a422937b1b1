//! The way down: reading a response head and relaying the response.

use std::time::Duration;

use rustix::io::Errno;

use crate::base::buffer::{Buffer, Size};
use crate::base::clock::Moment;
use crate::base::limits::{BUFFER_LARGE_BYTES, BUFFER_SMALL_BYTES, LOOK_AGAIN_EVERY};
use crate::config::plan::UNCHANGED;
use crate::http::{self, BodyLength, ChunkDecoder, HeadError, HeadStorage, ResponseHead, Version};
use crate::net::io::Io;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::counted::Counted;
use crate::proxy::dispatch::head_limits;
use crate::proxy::exchange::{Download, DownloadState, Exchange, Framing};
use crate::proxy::failure::Failure;
use crate::proxy::relay::{
    self, BadChunks, CHUNK_FRAMING_BYTES_MAX, push_chunk, push_end, reframe, wait_to_write,
};
use crate::proxy::rewrite::Additions;
use crate::proxy::step::Flow;
use crate::proxy::upload::body_may_begin;
use crate::proxy::{evidence, retry, rewrite, splice};

/// Receives the response as far as the backend supplies it and the client takes it.
pub(super) fn receive(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Flow {
    while !exchange.download.is_answered() {
        match read_head(client, exchange, cx) {
            Ok(()) => {}
            Err(flow) => return flow,
        }
    }
    if exchange.download.is_switched() {
        return Flow::Done;
    }
    relay_body(client, exchange, cx)
}

/// Reads and handles one response head: an interim one, or the final one.
fn read_head(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Result<(), Flow> {
    let sent = exchange.upload.is_sent();
    let Some(link) = &mut exchange.link else { return Err(Flow::Fail(Failure::Closed)) };
    loop {
        if let Some(end) = http::head_end(link.inbound.bytes(), link.scanned) {
            link.scanned = 0;
            return begin(client, exchange, cx, end);
        }
        link.scanned = link.inbound.len();
        if link.inbound.len() > exchange.snapshot.plan.limits.head {
            return Err(Flow::Fail(Failure::BadResponse(HeadError::HeadTooLarge)));
        }
        match link.stream.read(&mut link.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(_)) => {}
            Ok(Io::Blocked) => break,
            Ok(Io::End) if link.inbound.is_empty() => return Err(Flow::Fail(Failure::Closed)),
            Ok(Io::End) => return Err(Flow::Fail(Failure::Truncated)),
            Err(error @ Errno::NOBUFS) => return Err(Flow::Fail(Failure::Shortage(error))),
            Err(error) => return Err(Flow::Fail(Failure::Reset(error))),
        }
    }
    link.inbound.release_if_empty(&mut cx.buffers);
    // While the request is still going up, its own deadlines apply.
    let deadline = match sent || link.write_closed {
        true => exchange.upload.moved + exchange.snapshot.timeouts(exchange.routed.route).response_head,
        false => Moment::NEVER,
    };
    let mut wait = Wait::until(deadline, Reason::ResponseHead);
    if sent
        && link.inbound.is_empty()
        && let Some(pool) = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool))
        && retry::may_move(&exchange.tries, pool, link.lease.backend())
    {
        if retry::moves(&mut exchange.tries, pool, link.lease.backend(), cx.now) {
            return Err(Flow::Fail(Failure::WentDown));
        }
        let again = cx.now + LOOK_AGAIN_EVERY;
        if again < wait.deadline {
            (wait.deadline, wait.reason) = (again, Reason::LookAgain);
        }
    }
    if !client.outbound.is_empty() {
        // An interim response that the client has not taken yet.
        match relay::flush(client, exchange, cx) {
            Flow::Wait(writing) => wait = wait.and(writing),
            Flow::Done => client.outbound.release(&mut cx.buffers),
            flow => return Err(flow),
        }
    }
    Err(Flow::Wait(wait))
}

/// Handles the response head that is the first `end` bytes of what has arrived.
fn begin(client: &mut Client, exchange: &mut Exchange, cx: &mut Context, end: usize) -> Result<(), Flow> {
    if client.outbound.len() + end > exchange.snapshot.plan.limits.head {
        // Interim responses that the client has not taken do not pile up: they go first.
        match relay::flush(client, exchange, cx) {
            Flow::Done => {}
            flow => return Err(flow),
        }
    }
    let draining = cx.draining_since().is_some();
    let Some(link) = &mut exchange.link else {
        return Err(Flow::Fail(Failure::Closed));
    };
    let mut storage = HeadStorage::within(head_limits(&exchange.snapshot));
    let bytes = link.inbound.bytes().get(..end).unwrap_or_default();
    let head = http::parse_response(bytes, exchange.asked.method, &mut storage)
        .map_err(|error| Flow::Fail(Failure::BadResponse(error)))?;
    if end > exchange.snapshot.plan.limits.head {
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
    exchange.download.moved = cx.now;
    let timeouts = exchange.snapshot.timeouts(exchange.routed.route);
    let ops =
        exchange.routed.route.map_or(&UNCHANGED, |route| &exchange.snapshot.route(route).response_headers);
    // Only the final response has a date.
    let additions = Additions { ops, headers: &exchange.snapshot.plan.headers, date: None };

    if head.status == 101 {
        if !exchange.asked.upgrade || head.upgrade.is_none() || !exchange.upload.is_sent() {
            return Err(Flow::Fail(Failure::UnaskedUpgrade));
        }
        if exchange.tunnel.is_none() {
            exchange.tunnel = Counted::within(&cx.shared.tunnels, exchange.snapshot.plan.limits.tunnels);
        }
        if exchange.tunnel.is_none() {
            return Err(Flow::Fail(Failure::TooManyTunnels));
        }
        link.lease.answered(cx.now);
        evidence::settle(
            &mut exchange.tries.failed_tries,
            &exchange.asked,
            client.peer,
            evidence::Settled::Answered,
            cx.now,
        );
        exchange.record.status = 101;
        exchange.record.attempts.answered(cx.now);
        rewrite::switching(&head, &exchange.asked, &additions, out);
        relay::settle(client);
        drop(storage);
        link.inbound.consume(end);
        exchange.download.state = DownloadState::Switched;
        exchange.download.keep_client = false;
        // From now on this is what the client says.
        exchange.upload.outbound.clear();
        exchange.upload.sent = 0;
        return Ok(());
    }
    if head.status < 200 {
        exchange.tries.interim += end as u64;
        if exchange.snapshot.plan.limits.interim.is_some_and(|max| exchange.tries.interim > max) {
            return Err(Flow::Fail(Failure::EndlessInterim));
        }
        // HTTP/1.0 knows no interim responses (RFC 9110, section 15.2).
        if exchange.asked.version == Version::Http11 {
            rewrite::interim(&head, &additions, out);
            relay::settle(client);
        }
        if head.status == 100 && exchange.upload.awaits_continue {
            body_may_begin(&mut exchange.upload, timeouts, cx.now);
        }
        // The backend is working on it, so its timeout starts over (RFC 2518, section 10.1).
        if head.status == 102
            && (exchange.upload.is_sent() || exchange.upload.awaits_continue || link.write_closed)
        {
            exchange.upload.moved = cx.now;
        }
        drop(storage);
        link.inbound.consume(end);
        return Ok(());
    }

    exchange.record.attempts.answered(cx.now);
    let pool = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool));
    let failed = pool.is_some_and(|pool| pool.ejects_on_status(head.status));
    if failed {
        link.lease.heard(cx.now);
        evidence::note(
            &mut exchange.tries.failed_tries,
            &mut link.lease,
            Failure::Status(head.status),
            exchange.upload.moved,
            cx.now,
        );
    } else {
        link.lease.answered(cx.now);
        evidence::settle(
            &mut exchange.tries.failed_tries,
            &exchange.asked,
            client.peer,
            evidence::Settled::Answered,
            cx.now,
        );
    }
    let from = link.lease.backend().id();
    if pool.is_some_and(|pool| retry::on_status(&mut exchange.tries, pool, from, head.status, cx.now)) {
        return Err(Flow::Fail(Failure::Status(head.status)));
    }
    if failed {
        evidence::settle(
            &mut exchange.tries.failed_tries,
            &exchange.asked,
            client.peer,
            evidence::Settled::Unanswered,
            cx.now,
        );
    }
    exchange.tunnel = None;
    link.pinned |= exchange.asked.binds_connection || head.binds_connection;
    link.lifetime = lifetime(&head, timeouts.upstream_keep_alive);
    // A client that was answered instead of getting its 100 need not send the body at all.
    link.reads_on = head.keep_alive && !exchange.upload.awaits_continue && !link.write_closed;
    let framing = match exchange.asked.version {
        Version::Http11 => Framing::Chunked,
        Version::Http10 => Framing::UntilClose,
    };
    exchange.download.state = match head.body {
        BodyLength::None | BodyLength::Fixed(0) => DownloadState::Done,
        BodyLength::Fixed(length) => DownloadState::Fixed(length),
        BodyLength::Chunked => DownloadState::Chunked(ChunkDecoder::new(), framing),
        BodyLength::UntilClose => DownloadState::UntilClose(framing),
    };
    exchange.download.ends_by_closing = matches!(
        exchange.download.state,
        DownloadState::Chunked(_, Framing::UntilClose) | DownloadState::UntilClose(Framing::UntilClose)
    );
    let last = exchange.snapshot.plan.limits.requests_per_connection.is_some_and(|max| client.served >= max);
    exchange.download.keep_client = exchange.asked.keep_alive
        && (exchange.upload.is_read() || link.reads_on)
        && !exchange.download.ends_by_closing
        && !last
        && !draining;
    exchange.record.status = head.status;
    let additions = Additions { date: cx.date.at(cx.now), ..additions };
    rewrite::response(&head, &exchange.asked, &exchange.download, &additions, out);
    relay::settle(client);
    drop(storage);
    link.inbound.consume(end);
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
fn relay_body(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Flow {
    loop {
        if let Err(flow) = pass_on(client, exchange, cx) {
            return flow;
        }
        if let Some(pipe) = splice::pipe_down(client, exchange, cx) {
            return splice::down(client, exchange, cx, pipe);
        }
        let Some(link) = &mut exchange.link else { return Flow::Done };
        if matches!(exchange.download.state, DownloadState::Done) {
            return Flow::Done;
        }
        if cx.turn.is_over() {
            return Flow::Yield;
        }
        match link.stream.read(&mut link.inbound, &mut cx.buffers, Size::Large) {
            Ok(Io::Moved(count)) => {
                cx.turn.charge(count);
                exchange.download.moved = cx.now;
            }
            Ok(Io::Blocked) => {
                link.inbound.release_if_empty(&mut cx.buffers);
                let deadline =
                    exchange.download.moved + exchange.snapshot.timeouts(exchange.routed.route).response_body;
                return Flow::Wait(Wait::until(deadline, Reason::ResponseBody));
            }
            Ok(Io::End) => match exchange.download.state {
                DownloadState::UntilClose(framing) => {
                    exchange.download.state = DownloadState::Done;
                    // No trailers came, and none are malformed.
                    let _ = push_end(&mut client.outbound, b"\r\n", framing, &UNCHANGED);
                }
                _ => return Flow::Fail(Failure::Truncated),
            },
            Err(error) => return Flow::Fail(Failure::Reset(error)),
        }
    }
}

/// Writes what there is to the client: what was rewritten, and the body bytes that can go as
/// they are, in one call.
fn pass_on(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Result<(), Flow> {
    loop {
        let Some(link) = &mut exchange.link else {
            return Ok(());
        };
        if matches!(
            exchange.download.state,
            DownloadState::Chunked(..) | DownloadState::UntilClose(Framing::Chunked)
        ) {
            // All in one piece, if there may be so much memory.
            let most = BUFFER_LARGE_BYTES.saturating_sub(client.outbound.len());
            client
                .outbound
                .make_room(&mut cx.buffers, most.min(link.inbound.len() + CHUNK_FRAMING_BYTES_MAX));
        }
        let mut plain = match &mut exchange.download.state {
            DownloadState::Fixed(remaining) => {
                usize::try_from(*remaining).unwrap_or(usize::MAX).min(link.inbound.len())
            }
            DownloadState::UntilClose(Framing::UntilClose) => link.inbound.len(),
            DownloadState::UntilClose(framing) => {
                let room = client.outbound.room().saturating_sub(CHUNK_FRAMING_BYTES_MAX);
                let count = link.inbound.len().min(room);
                push_chunk(
                    &mut client.outbound,
                    link.inbound.bytes().get(..count).unwrap_or_default(),
                    *framing,
                );
                exchange.download.bytes += count as u64;
                link.inbound.consume(count);
                0
            }
            DownloadState::Chunked(decoder, framing) => {
                let ops = exchange
                    .routed
                    .route
                    .map_or(&UNCHANGED, |route| &exchange.snapshot.route(route).response_headers);
                let reframed = reframe(decoder, &mut link.inbound, &mut client.outbound, *framing, ops);
                match reframed {
                    Ok(reframed) => {
                        exchange.download.bytes += reframed.moved as u64;
                        cx.turn.charge_chunks(reframed.chunks);
                        if reframed.done {
                            exchange.download.state = DownloadState::Done;
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
            DownloadState::Head | DownloadState::Done | DownloadState::Switched => 0,
        };
        if !client.outbound.is_empty() && plain <= SMALL_BODY_BYTES {
            // Behind the head, so that both go in one plain call.
            client.outbound.extend(link.inbound.bytes().get(..plain).unwrap_or_default());
            took(&mut exchange.download, &mut link.inbound, plain);
            plain = 0;
        }
        let body = link.inbound.bytes().get(..plain).unwrap_or_default();
        if client.outbound.is_empty() && body.is_empty() {
            return Ok(());
        }
        match client.stream.write_both(client.outbound.bytes(), body) {
            Ok(Io::Moved(count)) => {
                let of_head = count.min(client.outbound.len());
                client.outbound.consume(of_head);
                took(&mut exchange.download, &mut link.inbound, count - of_head);
                client.send_progress.wrote(count, cx.now);
            }
            Ok(_) => return Err(Flow::Wait(wait_to_write(client, exchange, cx.now))),
            Err(_) => return Err(Flow::Fail(Failure::ClientLeft)),
        }
    }
}

/// Notes that bytes of a body that goes as it is have left the queue.
fn took(download: &mut Download, inbound: &mut Buffer, count: usize) {
    inbound.consume(count);
    download.bytes += count as u64;
    if let DownloadState::Fixed(remaining) = &mut download.state {
        *remaining -= count as u64;
        if *remaining == 0 {
            download.state = DownloadState::Done;
        }
    }
}

/// Bodies up to this many bytes are copied behind the head: gathering two slices costs more.
const SMALL_BODY_BYTES: usize = 4 * 1024;
