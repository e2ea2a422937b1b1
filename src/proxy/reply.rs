//! Answers of our own: what a client is told when there is no response to relay.

use std::sync::Arc;

use crate::base::buffer::Size;
use crate::base::limits::{BUFFER_SMALL_BYTES, RETRY_AFTER_S};
use crate::config::plan::{Action, FixedResponse, UNCHANGED};
use crate::http::{Method, reason_phrase};
use crate::proxy::answer_page::{self, Said};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::end::End;
use crate::proxy::exchange::{DownloadState, Exchange, Stage};
use crate::proxy::failure::{Failure, Fault};
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
pub(super) fn answer(
    client: &mut Client,
    exchange: &mut Exchange,
    cx: &mut Context,
    failure: Failure,
) -> Stage {
    let row = failure.row();
    record::begin_unread(client, exchange, cx);
    // A head that is malformed or late has not begun a request that could be recorded.
    exchange.record.begun = true;
    exchange.record.end.get_or_insert(End::Failed(failure));
    exchange.record.reason.get_or_insert(failure);
    if exchange.asked.id.as_bytes().is_empty() {
        cx.ids.make(&mut exchange.asked.id);
    }
    let id = String::from_utf8_lossy(exchange.asked.id.as_bytes()).into_owned();
    let snapshot = Arc::clone(&exchange.snapshot);
    let route = exchange.routed.route.map(|route| snapshot.route(route));

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
            let said = Said { status, phrase: reason_phrase(status), reason: failure.text(), id: &id };
            own = answer_page::body(exchange.asked.prefers, &said);
            (own.0, own.1.as_bytes())
        }
    };
    // After a mistake of the client's nothing that follows can be trusted. In a shortage of
    // descriptors, those of clients that have their answer are what the others wait for.
    let may_go_on = row.fault != Fault::Client && !matches!(failure, Failure::Shortage(_));
    send(client, exchange, cx, may_go_on, &Answer { status, fields, content_type, body })
}

/// Writes an answer that the configuration gives and says what comes next.
pub(super) fn fixed(client: &mut Client, exchange: &mut Exchange, cx: &mut Context, fixed: &Fixed) -> Stage {
    let snapshot = Arc::clone(&exchange.snapshot);
    let route = exchange.routed.route.map(|route| snapshot.route(route));
    match (fixed, route.map(|route| &route.action)) {
        (Fixed::Redirect { status, location }, _) => {
            exchange.record.end = Some(End::Redirected);
            let body = format!("{status} {}: {location}\n", reason_phrase(*status));
            let answer = Answer {
                status: *status,
                fields: vec![("Location", location.clone())],
                content_type: TEXT,
                body: body.as_bytes(),
            };
            send(client, exchange, cx, true, &answer)
        }
        (Fixed::Respond, Some(Action::Respond(response))) => {
            exchange.record.end = Some(End::Responded);
            let FixedResponse { status, content_type, body } = response;
            let retry = (*status == 503).then(|| ("Retry-After", RETRY_AFTER_S.to_string()));
            let fields = retry.into_iter().collect();
            send(client, exchange, cx, true, &Answer { status: *status, fields, content_type, body })
        }
        (Fixed::Respond, _) => answer(client, exchange, cx, Failure::NoRoute),
        (Fixed::Options, _) => {
            exchange.record.end = Some(End::Responded);
            let fields = vec![("Allow", METHODS.to_owned())];
            send(client, exchange, cx, true, &Answer { status: 200, fields, content_type: TEXT, body: b"" })
        }
        (Fixed::Trace(message), _) => {
            exchange.record.end = Some(End::Responded);
            let fields = Vec::new();
            send(
                client,
                exchange,
                cx,
                true,
                &Answer { status: 200, fields, content_type: "message/http", body: message },
            )
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Writes an answer of our own and says what comes next.
fn send(
    client: &mut Client,
    exchange: &mut Exchange,
    cx: &mut Context,
    may_go_on: bool,
    answer: &Answer<'_>,
) -> Stage {
    let draining = cx.draining_since().is_some();
    // A body that has not been read stands in the way of the next request.
    let last = exchange.snapshot.plan.limits.requests_per_connection.is_some_and(|max| client.served >= max);
    exchange.download.keep_client =
        may_go_on && !last && exchange.asked.keep_alive && exchange.upload.is_read() && !draining;
    exchange.download.state = DownloadState::Done;
    exchange.record.status = answer.status;

    let Answer { status, fields, content_type, body } = answer;
    // RFC 9110, sections 8.6 and 15.4.5: neither has a body, and 204 must not tell its length.
    let bodiless = matches!(status, 204 | 304);
    let out = client.outbound.prepare(&mut cx.buffers, Size::Small);
    if !bodiless && body.len() > BUFFER_SMALL_BYTES / 2 {
        // If there may be no more memory, it grows by what it needs, which is counted.
        out.make_room(&mut cx.buffers, BUFFER_SMALL_BYTES / 2 + body.len());
    }
    let ops =
        exchange.routed.route.map_or(&UNCHANGED, |route| &exchange.snapshot.route(route).response_headers);
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
    if !ops.drops("x-request-id") && !exchange.asked.id.as_bytes().is_empty() {
        rewrite::push_id(out, exchange.asked.id.as_bytes());
    }
    rewrite::push_ops(out, ops);
    out.extend_all([rewrite::connection_field(&exchange.asked, &exchange.download), b"\r\n"]);
    if exchange.asked.method != Method::Head && !bodiless {
        exchange.download.bytes = body.len() as u64;
        out.extend(body);
    }
    relay::settle(client);
    Stage::Reply
}
