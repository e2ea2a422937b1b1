//! The hot path: takes a connection from where it is to its next wait.
//!
//! This file tells the whole story of a request: every stage, what may follow it, which deadline
//! has which consequence, and what becomes of a failure. The functions it calls do one stage's
//! work and say what is next; none of them calls another stage.

use crate::base::limits::TURN_REQUESTS;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::connection::Connection;
use crate::proxy::context::Context;
use crate::proxy::end::End;
use crate::proxy::exchange::{Exchange, Stage};
use crate::proxy::failure::Failure;
use crate::proxy::step::{Flow, Next, Step};
use crate::proxy::turn::Turn;
use crate::proxy::{connect, record, relay, reply, request, response, retry, tunnel, upload};

/// Advances a task with plain calls until it has to wait, has had its turn or is finished.
pub fn advance(connection: &mut Connection, cx: &mut Context) -> Next {
    let Connection { client, exchange, .. } = connection;
    let next = go_on(client, exchange, cx);
    connection.bulk = cx.turn.is_bulk();
    let waits = match next {
        Next::Wait(wait) => Some(wait),
        Next::Yield => None,
        Next::Close => {
            // A request that has not ended by itself ends here.
            record::end(client, exchange, cx);
            None
        }
    };
    connection.waits_for = waits.map(|wait| wait.reason);
    if let Some(wait) = waits {
        connection.waits_until = wait.deadline;
    }
    next
}

fn go_on(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Next {
    cx.turn = Turn::new();
    let mut requests_left = TURN_REQUESTS;

    if client.broke {
        exchange.record.fail(Failure::ClientLeft);
        return Next::Close;
    }
    loop {
        // What is watched is what the calls of this step find blocked.
        client.stream.want_nothing();
        if let Some(link) = &mut exchange.link {
            link.stream.want_nothing();
        }
        let step = match exchange.stage {
            // The next request: read its head, check it, rewrite it.
            Stage::Head if requests_left == 0 || cx.turn.is_over() => Step::Yield,
            Stage::Head => {
                requests_left -= 1;
                request::read_head(client, exchange, cx)
            }
            // Whether its password is right.
            Stage::Password => request::await_password(client, exchange, cx),
            // A backend for it, and a connection to that: a kept one, or a new one.
            Stage::Choose => connect::choose(client, exchange, cx),
            // All of them are busy: until one is free.
            Stage::Queue => match connect::queue(client, exchange, cx) {
                Step::Wait(wait) => Step::Wait(within_request(client, exchange, wait)),
                step => step,
            },
            // The same backend again: the kept connection to it was stale, or it has another address.
            Stage::Refresh => connect::refresh(exchange, cx),
            // And again, after a pause: it refuses connections, and there is no other.
            Stage::Redial => match connect::redial(client, exchange, cx) {
                Step::Wait(wait) => Step::Wait(within_request(client, exchange, wait)),
                step => step,
            },
            // The request goes up, the response comes down.
            Stage::Exchange => transfer(client, exchange, cx),
            // After an upgrade: bytes, both ways.
            Stage::Tunnel => tunnel::relay(client, exchange, cx),
            // An answer of our own, then the next request or the end.
            Stage::Reply => relay::flush(client, exchange, cx).then(|| request::finish(client, exchange, cx)),
            // Until the client has noticed that it is over.
            Stage::Linger => relay::linger(client, exchange, cx),
        };
        let step = match step {
            Step::Wait(wait) if cx.now >= wait.deadline => timed_out(exchange, wait.reason),
            step => step,
        };
        match step {
            Step::Go(stage) => exchange.stage = stage,
            Step::Wait(wait) => return Next::Wait(wait),
            Step::Yield => return Next::Yield,
            Step::Close => return Next::Close,
            // Another try, an answer of our own, or a cut.
            Step::Fail(failure) => match retry::after(client, exchange, cx, failure) {
                retry::Verdict::Retry => exchange.stage = Stage::Choose,
                retry::Verdict::Refresh => exchange.stage = Stage::Refresh,
                retry::Verdict::Redial => exchange.stage = Stage::Redial,
                retry::Verdict::Answer => exchange.stage = reply::answer(client, exchange, cx, failure),
                retry::Verdict::Cut => return Next::Close,
            },
        }
    }
}

/// Moves the request up and the response down, as far as either goes.
///
/// The way down is watched even while the request is still going up: a backend may answer
/// before it has read everything. Its answer is relayed at once; the rest of the upload goes on
/// unless the backend said that it closes, or has closed (RFC 9110, section 10.1.1).
fn transfer(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    relay::probe(client, exchange);
    let up = if exchange.upload.is_sent() { Flow::Done } else { request::send(client, exchange, cx) };
    match up {
        // The client has its response, whatever is wrong with the rest of its request.
        Flow::Fail(failure) if exchange.download.is_relayed() && failure != Failure::ClientLeft => {
            return upload::give_up(exchange, failure);
        }
        Flow::Fail(failure) => return Step::Fail(failure),
        _ => {}
    }
    let waited = exchange.upload.awaits_continue;
    let down = response::receive(client, exchange, cx);
    match (up, down) {
        (_, Flow::Fail(failure)) => Step::Fail(failure),
        (_, Flow::Done) if exchange.download.is_switched() => {
            tunnel::begin(exchange, cx);
            Step::Go(Stage::Tunnel)
        }
        (Flow::Yield, Flow::Done) if upload::goes_on(client, exchange, cx) => Step::Yield,
        (Flow::Wait(up), Flow::Done) if upload::goes_on(client, exchange, cx) => Step::Wait(up),
        (_, Flow::Done) => request::finish(client, exchange, cx),
        (Flow::Yield, _) | (_, Flow::Yield) => Step::Yield,
        // The client has got its 100: now the wait for the body is another.
        (Flow::Wait(_), Flow::Wait(_)) if waited && !exchange.upload.awaits_continue => {
            Step::Go(Stage::Exchange)
        }
        // While the client sends its body, `request_timeout` stands still.
        (Flow::Wait(up), Flow::Wait(down)) if up.reason == Reason::RequestBody => Step::Wait(up.and(down)),
        (Flow::Wait(up), Flow::Wait(down)) => Step::Wait(within_request(client, exchange, up.and(down))),
        (_, Flow::Wait(down)) => Step::Wait(within_request(client, exchange, down)),
    }
}

/// Until the response head is there, `request_timeout` runs too, and a client that leaves
/// is noticed.
fn within_request(client: &mut Client, exchange: &Exchange, wait: Wait) -> Wait {
    if exchange.upload.is_read() && !exchange.download.is_answered() && !client.ended {
        client.stream.want_end();
    }
    match exchange.snapshot.timeouts(exchange.routed.route).request {
        Some(limit) if !exchange.download.is_answered() => {
            wait.and(Wait::until(exchange.upload.timeout_from + limit, Reason::WholeRequest))
        }
        _ => wait,
    }
}

/// Which deadline fired decides what happens.
fn timed_out(exchange: &mut Exchange, reason: Reason) -> Step {
    match reason {
        // An upload that stalls is no reason to cut the response that came before its end.
        Reason::RequestBody if exchange.download.is_relayed() => {
            upload::give_up(exchange, Failure::BodyTimeout)
        }
        Reason::SendRequest if exchange.download.is_answered() => {
            upload::give_up(exchange, Failure::SendTimeout)
        }
        // Nobody is waiting for an answer.
        Reason::NextRequest | Reason::FirstByte | Reason::Linger => Step::Close,
        Reason::Tunnel => {
            exchange.record.end = Some(End::TunnelIdle);
            Step::Close
        }
        Reason::RequestHead => Step::Fail(Failure::HeadTimeout),
        Reason::RequestBody => Step::Fail(Failure::BodyTimeout),
        Reason::Queue => Step::Fail(Failure::QueueTimeout),
        // The stage that waited goes on by itself.
        Reason::Password | Reason::Redial | Reason::LookAgain => Step::Yield,
        Reason::Connect => Step::Fail(Failure::ConnectTimeout),
        Reason::SendRequest => Step::Fail(Failure::SendTimeout),
        Reason::ResponseHead => Step::Fail(Failure::ResponseTimeout),
        Reason::WholeRequest => Step::Fail(Failure::RequestTimeout),
        Reason::ResponseBody => Step::Fail(Failure::ResponseStalled),
        Reason::SendResponse => Step::Fail(Failure::ClientStalled),
    }
}
