//! Answers of our own: what a client is told when there is no response to relay.

use std::sync::Arc;

use crate::base::buffer::Size;
use crate::base::limits::{BUFFER_SMALL_BYTES, RETRY_AFTER_S};
use crate::config::plan::{Action, FixedResponse, UNCHANGED};
use crate::http::{Method, reason_phrase};
use crate::proxy::answer_page::{self, Said};
use crate::proxy::context::Context;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::task::{Download, Stage, Task};
use crate::proxy::{record, relay, rewrite};

/// An answer to a request that has not failed.
pub(super) enum Fixed {
    /// Redirects the client to another URL.
    Redirect { status: u16, location: String },
    /// What the route says.
    Respond,
    /// An OPTIONS that must not be forwarded: which methods work here.
    Options,
    /// A TRACE that must not be forwarded: the request as it came.
    Trace(Vec<u8>),
}

/// The answer, without the fields that every answer has.
struct Answer<'a> {
    status: u16,
    /// Fields that only this answer has.
    fields: Vec<(&'static str, String)>,
    content_type: &'a str,
    body: &'a [u8],
}

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

/// Writes the answer to a failure and says what comes next.
pub(super) fn answer(task: &mut Task, cx: &mut Context, failure: Failure) -> Stage {
    let row = failure.row();
    record::begin_unread(task, cx);
    let request = &mut task.request;
    // A head that is malformed or late has not begun a request that could be recorded.
    request.begun = true;
    request.end.get_or_insert(failure.word());
    request.reason.get_or_insert(failure);
    if request.id.as_bytes().is_empty() {
        cx.ids.make(&mut request.id);
    }
    let id = String::from_utf8_lossy(request.id.as_bytes()).into_owned();
    let snapshot = Arc::clone(&task.snapshot);
    let route = request.route.map(|route| snapshot.route(route));

    let mut fields = vec![("Proxy-Status", format!("ropewalk; error={}", row.proxy_status))];
    match (row.status, failure) {
        (_, Failure::TooMany(seconds)) => fields.push(("Retry-After", seconds.to_string())),
        (503, _) => fields.push(("Retry-After", RETRY_AFTER_S.to_string())),
        (405, _) => fields.push(("Allow", METHODS.to_owned())),
        (_, Failure::Unauthorized(guard)) => {
            let realm = snapshot.route(guard).basic_auth.as_ref().map_or("", |auth| &auth.realm);
            fields.push(("WWW-Authenticate", format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")));
        }
        _ => {}
    }
    let pages = route.map_or(&snapshot.plan.error_pages, |route| &route.error_pages);
    let status = row.status;
    let own;
    let (content_type, body) = match pages.iter().find(|page| page.statuses.contains(&status)) {
        Some(page) => (page.content_type.as_str(), &page.body[..]),
        None => {
            let said = Said { status, phrase: reason_phrase(status), reason: row.text, id: &id };
            own = answer_page::body(request.prefers, &said);
            (own.0, own.1.as_bytes())
        }
    };
    // After a mistake of the client's nothing that follows can be trusted. In a shortage of
    // descriptors, those of clients that have their answer are what the others wait for.
    let may_go_on = row.fault != Fault::Client && !matches!(failure, Failure::Shortage(_));
    send(task, cx, may_go_on, &Answer { status, fields, content_type, body })
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
                fields: vec![("Location", location.clone())],
                content_type: TEXT,
                body: body.as_bytes(),
            };
            send(task, cx, true, &answer)
        }
        (Fixed::Respond, Some(Action::Respond(response))) => {
            task.request.end = Some("responded");
            let FixedResponse { status, content_type, body } = response;
            let retry = (*status == 503).then(|| ("Retry-After", RETRY_AFTER_S.to_string()));
            let fields = retry.into_iter().collect();
            send(task, cx, true, &Answer { status: *status, fields, content_type, body })
        }
        (Fixed::Respond, _) => answer(task, cx, Failure::NoRoute),
        (Fixed::Options, _) => {
            task.request.end = Some("responded");
            let fields = vec![("Allow", METHODS.to_owned())];
            send(task, cx, true, &Answer { status: 200, fields, content_type: TEXT, body: b"" })
        }
        (Fixed::Trace(message), _) => {
            task.request.end = Some("responded");
            let fields = Vec::new();
            send(task, cx, true, &Answer { status: 200, fields, content_type: "message/http", body: message })
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Writes an answer of our own and says what comes next.
fn send(task: &mut Task, cx: &mut Context, may_go_on: bool, answer: &Answer<'_>) -> Stage {
    let draining = cx.draining_since().is_some();
    let Task { client, request, snapshot, .. } = task;
    // A body that has not been read stands in the way of the next request.
    let last = snapshot.plan.limits.requests_per_connection.is_some_and(|max| client.served >= max);
    request.keep_client = may_go_on && !last && request.keep_alive && request.is_read() && !draining;
    request.download = Download::Done;
    request.status = answer.status;

    let Answer { status, fields, content_type, body } = answer;
    // RFC 9110, sections 8.6 and 15.4.5: neither has a body, and 204 must not tell its length.
    let bodiless = matches!(status, 204 | 304);
    let out = client.outbound.prepare(&mut cx.buffers, Size::Small);
    if !bodiless && body.len() > BUFFER_SMALL_BYTES / 2 {
        // If there may be no more memory, it grows by what it needs, which is counted.
        out.make_room(&mut cx.buffers, BUFFER_SMALL_BYTES / 2 + body.len());
    }
    let ops = request.route.map_or(&UNCHANGED, |route| &snapshot.route(route).response_headers);
    out.extend(b"HTTP/1.1 ");
    rewrite::push_decimal(out, u64::from(*status));
    out.extend_all([" ", reason_phrase(*status), "\r\n"]);
    let typed = (!bodiless).then_some(("Content-Type", *content_type));
    let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in typed.into_iter().chain(fields) {
        // The route may set it differently.
        if !ops.drops(name) {
            out.extend_all([name, ": ", value, "\r\n"]);
        }
    }
    if !bodiless {
        rewrite::push_length(out, body.len() as u64);
    }
    rewrite::push_date(out, cx.date.at(cx.now), ops);
    if !ops.drops("x-request-id") && !request.id.as_bytes().is_empty() {
        rewrite::push_id(out, request.id.as_bytes());
    }
    rewrite::push_ops(out, ops);
    out.extend_all([rewrite::connection_field(request), b"\r\n"]);
    if request.method != Method::Head && !bodiless {
        request.downloaded = body.len() as u64;
        out.extend(body);
    }
    relay::settle(client);
    Stage::Reply
}
