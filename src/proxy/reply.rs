//! Answers of our own: what a client is told when there is no response to relay.

use std::io::Write as _;

use crate::base::buffer::Size;
use crate::base::limits::RETRY_AFTER_S;
use crate::http::Method;
use crate::proxy::context::Context;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::task::{Download, Stage, Task};
use crate::proxy::{relay, rewrite};

/// Writes the answer to a failure and says what comes next.
pub(super) fn answer(task: &mut Task, cx: &mut Context, failure: Failure) -> Stage {
    let row = failure.row();
    let request = &mut task.request;
    if request.id.as_bytes().is_empty() {
        rewrite::make_id(&mut request.id, &mut cx.rng);
    }
    // After a mistake of the client's nothing that follows can be trusted, and a body that
    // has not been read stands in the way of the next request. In a shortage of descriptors,
    // those of clients that have their answer are what the others wait for.
    let limits = &task.snapshot.plan.limits;
    let last = limits.requests_per_connection.is_some_and(|max| task.client.served >= max);
    request.keep_client = !last
        && row.fault != Fault::Client
        && !matches!(failure, Failure::Shortage(_))
        && request.keep_alive
        && request.is_read()
        && cx.draining_since().is_none();
    request.download = Download::Done;

    let id = String::from_utf8_lossy(request.id.as_bytes()).into_owned();
    let status = row.status;
    let phrase = phrase(status);
    let (kind, body) = if request.prefers_json {
        let body =
            serde_json::json!({ "status": status, "error": phrase, "reason": row.text, "request_id": id });
        ("application/json", format!("{body}\n"))
    } else {
        ("text/plain; charset=utf-8", format!("{status} {phrase}: {}\nRequest id: {id}\n", row.text))
    };

    let mut head = Vec::with_capacity(512);
    // Writing to memory does not fail.
    let _ = write!(
        head,
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Proxy-Status: ropewalk; error={}\r\nX-Request-Id: {id}\r\n",
        body.len(),
        row.proxy_status
    );
    if status == 503 {
        let _ = write!(head, "Retry-After: {RETRY_AFTER_S}\r\n");
    }
    if status == 405 {
        head.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n");
    }
    head.extend_from_slice(rewrite::connection_field(request));
    head.extend_from_slice(b"\r\n");

    let outbound = task.client.outbound.prepare(&mut cx.buffers, Size::Small);
    outbound.extend(&head);
    if request.method != Method::Head {
        outbound.extend(body.as_bytes());
    }
    relay::settle(&mut task.client);
    task.client.wrote = cx.now;
    Stage::Reply
}

/// The usual reason phrase of a status that we author.
fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}
