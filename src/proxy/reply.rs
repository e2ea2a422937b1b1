//! Answers of our own: what a client is told when there is no response to relay.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;

use crate::base::buffer::Size;
use crate::base::limits::{BUFFER_SMALL_BYTES, RETRY_AFTER_S};
use crate::config::plan::{Action, FixedResponse};
use crate::http::{Method, reason_phrase};
use crate::proxy::context::Context;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::task::{Download, Stage, Task};
use crate::proxy::{relay, rewrite};

/// An answer that the configuration gives.
pub(super) enum Fixed {
    /// Another place to ask at.
    Redirect { status: u16, location: String },
    /// What the route says, as it stands there.
    Respond,
}

/// What goes to the client, but for what is the same with every answer.
struct Answer<'a> {
    status: u16,
    /// Lines of the head that only this answer has.
    lines: String,
    content_type: &'a str,
    body: &'a [u8],
}

/// Writes the answer to a failure and says what comes next.
pub(super) fn answer(task: &mut Task, cx: &mut Context, failure: Failure) -> Stage {
    let row = failure.row();
    let request = &mut task.request;
    // A head that is malformed or late has not begun a request that could be recorded.
    request.begun = true;
    request.end.get_or_insert(failure.word());
    if request.id.as_bytes().is_empty() {
        rewrite::make_id(&mut request.id, &mut cx.rng);
    }
    let id = String::from_utf8_lossy(request.id.as_bytes()).into_owned();
    let snapshot = Arc::clone(&task.snapshot);
    let route = request.route.map(|route| snapshot.route(route));

    let mut lines = format!("Proxy-Status: ropewalk; error={}\r\nX-Request-Id: {id}\r\n", row.proxy_status);
    // Writing to memory does not fail.
    let _ = match (row.status, failure) {
        (_, Failure::TooMany(seconds)) => write!(lines, "Retry-After: {seconds}\r\n"),
        (503, _) => write!(lines, "Retry-After: {RETRY_AFTER_S}\r\n"),
        (405, _) => write!(lines, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH\r\n"),
        (_, Failure::Unauthorized(guard)) => {
            let realm = snapshot.route(guard).basic_auth.as_ref().map_or("", |auth| &auth.realm);
            write!(lines, "WWW-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n")
        }
        _ => Ok(()),
    };
    let pages = route.map_or(&snapshot.plan.error_pages, |route| &route.error_pages);
    let (status, text) = (row.status, row.text);
    let phrase = reason_phrase(status);
    let own;
    let (content_type, body) = match pages.iter().find(|page| page.statuses.contains(&status)) {
        Some(page) => (page.content_type.as_str(), &page.body[..]),
        None if request.prefers_json => {
            let body = json!({ "status": status, "error": phrase, "reason": text, "request_id": id });
            own = format!("{body}\n");
            ("application/json", own.as_bytes())
        }
        None => {
            own = format!("{status} {phrase}: {text}\nRequest id: {id}\n");
            ("text/plain; charset=utf-8", own.as_bytes())
        }
    };
    // After a mistake of the client's nothing that follows can be trusted. In a shortage of
    // descriptors, those of clients that have their answer are what the others wait for.
    let may_go_on = row.fault != Fault::Client && !matches!(failure, Failure::Shortage(_));
    send(task, cx, may_go_on, &Answer { status, lines, content_type, body })
}

/// Writes an answer that the configuration gives and says what comes next.
pub(super) fn fixed(task: &mut Task, cx: &mut Context, fixed: &Fixed) -> Stage {
    let snapshot = Arc::clone(&task.snapshot);
    let route = task.request.route.map(|route| snapshot.route(route));
    match (fixed, route.map(|route| &route.action)) {
        (Fixed::Redirect { status, location }, _) => {
            task.request.end = Some("redirected");
            let body = format!("{status} {}: {location}\n", reason_phrase(*status));
            let answer = Answer {
                status: *status,
                lines: format!("Location: {location}\r\n"),
                content_type: "text/plain; charset=utf-8",
                body: body.as_bytes(),
            };
            send(task, cx, true, &answer)
        }
        (Fixed::Respond, Some(Action::Respond(response))) => {
            task.request.end = Some("responded");
            let FixedResponse { status, content_type, body } = response;
            let retry =
                if *status == 503 { format!("Retry-After: {RETRY_AFTER_S}\r\n") } else { String::new() };
            send(task, cx, true, &Answer { status: *status, lines: retry, content_type, body })
        }
        (Fixed::Respond, _) => answer(task, cx, Failure::NoRoute),
    }
}

/// Writes an answer of our own and says what comes next.
fn send(task: &mut Task, cx: &mut Context, may_go_on: bool, answer: &Answer<'_>) -> Stage {
    let Task { client, request, snapshot, .. } = task;
    // A body that has not been read stands in the way of the next request.
    let last = snapshot.plan.limits.requests_per_connection.is_some_and(|max| client.served >= max);
    request.keep_client =
        may_go_on && !last && request.keep_alive && request.is_read() && cx.draining_since().is_none();
    request.download = Download::Done;
    request.status = answer.status;

    let Answer { status, lines, content_type, body } = answer;
    // RFC 9110, sections 8.6 and 15.4.5: neither has a body, and 204 must not tell its length.
    let bodiless = matches!(status, 204 | 304);
    let mut head = Vec::with_capacity(512);
    // Writing to memory does not fail.
    let _ = write!(head, "HTTP/1.1 {status} {}\r\n", reason_phrase(*status));
    if !bodiless {
        let _ = write!(head, "Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
    }
    let outbound = client.outbound.prepare(&mut cx.buffers, Size::Small);
    if !bodiless && body.len() > BUFFER_SMALL_BYTES / 2 {
        // If there may be no more memory, it grows by what it needs, which is counted.
        outbound.make_room(&mut cx.buffers, BUFFER_SMALL_BYTES / 2 + body.len());
    }
    outbound.extend_all([&head[..], lines.as_bytes()]);
    if let Some(route) = request.route {
        rewrite::push_ops(outbound, &snapshot.route(route).response_headers);
    }
    outbound.extend_all([rewrite::connection_field(request), b"\r\n"]);
    if request.method != Method::Head && !bodiless {
        request.downloaded = body.len() as u64;
        outbound.extend(body);
    }
    relay::settle(client);
    Stage::Reply
}
