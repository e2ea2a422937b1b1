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
use crate::net::pipe::Pipe;
use crate::net::stream::Io;
use crate::net::wait::{Interest, Reason};
use crate::proxy::context::Context;
use crate::proxy::failure::Failure;
use crate::proxy::relay::{Flow, wait_to_write, wait_upstream};
use crate::proxy::task::{Download, Framing, Request, Task, Upload, Upstream};
use crate::proxy::upload::{body_arrived, wait_for_body};

/// The pipe for the response body: the one that holds a piece of it, or an empty one if what is
/// left is worth it. `None` says to copy.
pub(super) fn pipe_down(task: &mut Task, cx: &mut Context) -> Option<Box<Pipe>> {
    let Task { client, request, upstream: Some(upstream), .. } = task else { return None };
    if let Some(pipe) = upstream.pipes.down.take() {
        return Some(pipe);
    }
    let nothing_before = client.outbound.is_empty() && upstream.inbound.is_empty();
    let worth_it = nothing_before && left_down(request)? >= SPLICE_BYTES_MIN;
    worth_it.then(|| cx.pipes.take())?
}

/// The same for the request body, once none of it need be kept for another try.
pub(super) fn pipe_up(task: &mut Task, cx: &mut Context) -> Option<Box<Pipe>> {
    let Task { client, request, upstream: Some(upstream), .. } = task else { return None };
    if upstream.write_closed {
        return None;
    }
    if let Some(pipe) = upstream.pipes.up.take() {
        return Some(pipe);
    }
    let nothing_before =
        !request.replayable && request.sent == request.outbound.len() && client.inbound.is_empty();
    match request.upload {
        Upload::Fixed(left) if nothing_before && left >= SPLICE_BYTES_MIN => cx.pipes.take(),
        _ => None,
    }
}

/// Relays the response body through `pipe`.
pub(super) fn down(task: &mut Task, cx: &mut Context, mut pipe: Box<Pipe>) -> Flow {
    let Task { client, request, upstream: Some(upstream), snapshot, .. } = task else { return Flow::Done };
    loop {
        while !pipe.is_empty() {
            match client.stream.write_from(&mut pipe) {
                Ok(Io::Moved(count)) => {
                    client.send_progress.wrote(count, cx.now);
                    passed_down(request, count as u64);
                    if request.downloaded >= WIDEN_AFTER_BYTES {
                        client.stream.widen();
                    }
                }
                Ok(_) => {
                    upstream.pipes.down = Some(pipe);
                    return Flow::Wait(wait_to_write(task, cx.now));
                }
                Err(_) => return Flow::Fail(Failure::ClientLeft),
            }
        }
        let left = left_down(request).unwrap_or(0);
        if left == 0 || cx.turn.is_over() {
            cx.pipes.put(pipe);
            return if left == 0 { Flow::Done } else { Flow::Yield };
        }
        match upstream.stream.read_into(&mut pipe, room(left)) {
            Ok(Io::Moved(count)) => {
                cx.turn.charge(count / SPLICED_PER_COPIED);
                request.received = cx.now;
            }
            Ok(Io::Blocked) => {
                cx.pipes.put(pipe);
                let deadline = request.received + snapshot.timeouts(request.route).response_body;
                return Flow::Wait(wait_upstream(Interest::READ, deadline, Reason::ResponseBody));
            }
            Ok(Io::End) => {
                cx.pipes.put(pipe);
                if let Download::Fixed(_) = request.download {
                    return Flow::Fail(Failure::Truncated);
                }
                request.download = Download::Done;
                return Flow::Done;
            }
            Err(error) => return Flow::Fail(Failure::Reset(error)),
        }
    }
}

/// Relays the request body through `pipe`.
pub(super) fn up(task: &mut Task, cx: &mut Context, mut pipe: Box<Pipe>) -> Flow {
    let Task { client, request, upstream: Some(upstream), snapshot, .. } = task else { return Flow::Done };
    let timeouts = snapshot.timeouts(request.route);
    loop {
        while !pipe.is_empty() {
            match upstream.stream.write_from(&mut pipe) {
                Ok(Io::Moved(count)) => {
                    // While the backend took nothing, the client could send nothing.
                    request.too_slow_at = request.too_slow_at + cx.now.since(request.moved);
                    request.moved = cx.now;
                    passed_up(request, count as u64);
                }
                Ok(_) => {
                    upstream.pipes.up = Some(pipe);
                    let deadline = request.moved + timeouts.write_idle;
                    return Flow::Wait(wait_upstream(Interest::WRITE, deadline, Reason::SendRequest));
                }
                Err(_) => {
                    stop_listening(upstream);
                    return Flow::Done;
                }
            }
        }
        let Upload::Fixed(left) = request.upload else {
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
                body_arrived(request, timeouts, cx.now);
                request.uploaded += count as u64;
                if let Some(rate) = snapshot.plan.limits.body_rate {
                    let earned = Duration::from_nanos(count as u64 * 1_000_000_000 / rate);
                    request.too_slow_at = request.too_slow_at + earned;
                }
            }
            Ok(Io::Blocked) => {
                cx.pipes.put(pipe);
                return Flow::Wait(wait_for_body(request, timeouts));
            }
            Ok(Io::End) | Err(_) => return Flow::Fail(Failure::ClientLeft),
        }
    }
}

/// It takes no more, but it may have answered before it closed.
fn stop_listening(upstream: &mut Upstream) {
    upstream.write_closed = true;
    upstream.stream.mark_readable();
}

/// What of a response body that goes as it is has not been passed on; `None` if it does not.
fn left_down(request: &Request) -> Option<u64> {
    match request.download {
        Download::Fixed(left) => Some(left),
        Download::UntilClose(Framing::UntilClose) => Some(u64::MAX),
        Download::Head | Download::Chunked(..) | Download::UntilClose(Framing::Chunked) | Download::Done => {
            None
        }
    }
}

fn passed_down(request: &mut Request, count: u64) {
    request.downloaded += count;
    if let Download::Fixed(left) = &mut request.download {
        *left = left.saturating_sub(count);
        if *left == 0 {
            request.download = Download::Done;
        }
    }
}

fn passed_up(request: &mut Request, count: u64) {
    if let Upload::Fixed(left) = &mut request.upload {
        *left = left.saturating_sub(count);
        if *left == 0 {
            request.upload = Upload::Done;
        }
    }
}

/// How much to take at once. No byte behind the body: it would belong to the next message.
fn room(left: u64) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(PIPE_BYTES)
}
