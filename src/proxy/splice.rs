//! Large bodies that go as they are, from socket to socket without a copy (`net/pipe.rs`).
//!
//! The buffers carry the head and what came with it; a pipe takes over when they are empty and
//! much is left. Framing is as in `request.rs` and `response.rs`, and so are the deadlines.
//!
//! INVARIANT: what is in a pipe counts as not passed on yet, in `upload` and `download` alike.
//! So a message is complete only when its pipe is empty, and a task that holds a pipe while it
//! waits has bytes in it. An empty pipe goes back to the worker's stock.

use std::time::Duration;

use crate::base::limits::{PIPE_BYTES, SPLICE_BYTES_MIN, SPLICED_PER_COPIED, WIDEN_AFTER_BYTES};
use crate::net::io::Io;
use crate::net::pipe::Pipe;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::exchange::{Download, DownloadState, Exchange, Framing, Upload, UploadState};
use crate::proxy::failure::Failure;
use crate::proxy::link::Link;
use crate::proxy::relay::wait_to_write;
use crate::proxy::step::Flow;
use crate::proxy::upload::{body_arrived, wait_for_body};

/// The pipe for the response body: the one that holds a piece of it, or an empty one if what is
/// left is worth it. `None` says to copy.
pub(super) fn pipe_down(client: &Client, exchange: &mut Exchange, cx: &mut Context) -> Option<Box<Pipe>> {
    let Some(link) = &mut exchange.link else { return None };
    if let Some(pipe) = link.pipes.down.take() {
        return Some(pipe);
    }
    let nothing_before = client.outbound.is_empty() && link.inbound.is_empty();
    let worth_it = nothing_before && left_down(&exchange.download)? >= SPLICE_BYTES_MIN;
    worth_it.then(|| cx.pipes.take())?
}

/// The same for the request body, once none of it need be kept for another try.
pub(super) fn pipe_up(client: &Client, exchange: &mut Exchange, cx: &mut Context) -> Option<Box<Pipe>> {
    let Some(link) = &mut exchange.link else { return None };
    if link.write_closed {
        return None;
    }
    if let Some(pipe) = link.pipes.up.take() {
        return Some(pipe);
    }
    let nothing_before = !exchange.tries.replayable
        && exchange.upload.sent == exchange.upload.outbound.len()
        && client.inbound.is_empty();
    match exchange.upload.state {
        UploadState::Fixed(left) if nothing_before && left >= SPLICE_BYTES_MIN => cx.pipes.take(),
        _ => None,
    }
}

/// Relays the response body through `pipe`.
pub(super) fn down(
    client: &mut Client,
    exchange: &mut Exchange,
    cx: &mut Context,
    mut pipe: Box<Pipe>,
) -> Flow {
    let Some(link) = &mut exchange.link else { return Flow::Done };
    loop {
        while !pipe.is_empty() {
            match client.stream.write_from(&mut pipe) {
                Ok(Io::Moved(count)) => {
                    client.send_progress.wrote(count, cx.now);
                    passed_down(&mut exchange.download, count as u64);
                    if exchange.download.bytes >= WIDEN_AFTER_BYTES {
                        client.stream.widen();
                    }
                }
                Ok(_) => {
                    link.pipes.down = Some(pipe);
                    return Flow::Wait(wait_to_write(client, exchange, cx.now));
                }
                Err(_) => return Flow::Fail(Failure::ClientLeft),
            }
        }
        let left = left_down(&exchange.download).unwrap_or(0);
        if left == 0 || cx.turn.is_over() {
            cx.pipes.put(pipe);
            return if left == 0 { Flow::Done } else { Flow::Yield };
        }
        match link.stream.read_into(&mut pipe, room(left)) {
            Ok(Io::Moved(count)) => {
                cx.turn.charge(count / SPLICED_PER_COPIED);
                exchange.download.moved = cx.now;
            }
            Ok(Io::Blocked) => {
                cx.pipes.put(pipe);
                let deadline =
                    exchange.download.moved + exchange.snapshot.timeouts(exchange.routed.route).response_body;
                return Flow::Wait(Wait::until(deadline, Reason::ResponseBody));
            }
            Ok(Io::End) => {
                cx.pipes.put(pipe);
                if let DownloadState::Fixed(_) = exchange.download.state {
                    return Flow::Fail(Failure::Truncated);
                }
                exchange.download.state = DownloadState::Done;
                return Flow::Done;
            }
            Err(error) => return Flow::Fail(Failure::Reset(error)),
        }
    }
}

/// Relays the request body through `pipe`.
pub(super) fn up(
    client: &mut Client,
    exchange: &mut Exchange,
    cx: &mut Context,
    mut pipe: Box<Pipe>,
) -> Flow {
    let Some(link) = &mut exchange.link else { return Flow::Done };
    let timeouts = exchange.snapshot.timeouts(exchange.routed.route);
    loop {
        while !pipe.is_empty() {
            match link.stream.write_from(&mut pipe) {
                Ok(Io::Moved(count)) => {
                    // While the backend took nothing, the client could send nothing.
                    exchange.upload.too_slow_at =
                        exchange.upload.too_slow_at + cx.now.since(exchange.upload.moved);
                    exchange.upload.moved = cx.now;
                    passed_up(&mut exchange.upload, count as u64);
                }
                Ok(_) => {
                    link.pipes.up = Some(pipe);
                    let deadline = exchange.upload.moved + timeouts.write_idle;
                    return Flow::Wait(Wait::until(deadline, Reason::SendRequest));
                }
                Err(_) => {
                    stop_listening(link);
                    return Flow::Done;
                }
            }
        }
        let UploadState::Fixed(left) = exchange.upload.state else {
            cx.pipes.put(pipe);
            return Flow::Done;
        };
        if cx.turn.is_over() {
            cx.pipes.put(pipe);
            return Flow::Yield;
        }
        match client.stream.read_into(&mut pipe, room(left)) {
            Ok(Io::Moved(count)) => {
                cx.turn.charge(count / SPLICED_PER_COPIED);
                body_arrived(&mut exchange.upload, timeouts, cx.now);
                exchange.upload.bytes += count as u64;
                if let Some(rate) = exchange.snapshot.plan.limits.body_rate {
                    let earned = Duration::from_nanos(count as u64 * 1_000_000_000 / rate);
                    exchange.upload.too_slow_at = exchange.upload.too_slow_at + earned;
                }
            }
            Ok(Io::Blocked) => {
                cx.pipes.put(pipe);
                return Flow::Wait(wait_for_body(&exchange.upload, timeouts));
            }
            Ok(Io::End) | Err(_) => return Flow::Fail(Failure::ClientLeft),
        }
    }
}

/// It takes no more, but it may have answered before it closed.
fn stop_listening(link: &mut Link) {
    link.write_closed = true;
    link.stream.mark_readable();
}

/// What of a response body that goes as it is has not been passed on; `None` if it does not.
fn left_down(download: &Download) -> Option<u64> {
    match download.state {
        DownloadState::Fixed(left) => Some(left),
        DownloadState::UntilClose(Framing::UntilClose) => Some(u64::MAX),
        DownloadState::Head
        | DownloadState::Chunked(..)
        | DownloadState::UntilClose(Framing::Chunked)
        | DownloadState::Done
        | DownloadState::Switched => None,
    }
}

fn passed_down(download: &mut Download, count: u64) {
    download.bytes += count;
    if let DownloadState::Fixed(left) = &mut download.state {
        *left = left.saturating_sub(count);
        if *left == 0 {
            download.state = DownloadState::Done;
        }
    }
}

fn passed_up(upload: &mut Upload, count: u64) {
    if let UploadState::Fixed(left) = &mut upload.state {
        *left = left.saturating_sub(count);
        if *left == 0 {
            upload.state = UploadState::Done;
        }
    }
}

/// How much to take at once. No byte behind the body: it would belong to the next message.
fn room(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(PIPE_BYTES)
}
