//! The hot path: takes a task from where it is to its next wait.
//!
//! Whoever reads only this file knows what ropewalk does with a request. Every branch is
//! here; the functions it calls run straight through.

use crate::base::limits::TURN_REQUESTS;
use crate::net::wait::{Interest, Reason, Wait};
use crate::proxy::context::Context;
use crate::proxy::failure::Failure;
use crate::proxy::task::{Stage, Task};
use crate::proxy::turn::Turn;
use crate::proxy::{connect, record, relay, reply, request, response, retry, tunnel, upload};

/// What a worker does with a task that has been advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep it until what it waits for has happened.
    Wait(Wait),
    /// It has had its turn: put it behind the others.
    Yield,
    /// It is done with.
    Close,
}

/// What one stage came to.
pub(super) enum Step {
    /// On to another stage, at once.
    Go(Stage),
    /// A socket is not ready.
    Wait(Wait),
    /// Its turn is over.
    Yield,
    /// Something went wrong.
    Fail(Failure),
    /// The connection is done with.
    Close,
}

/// Advances a task with plain calls until it has to wait, has had its turn or is finished.
pub fn advance(task: &mut Task, cx: &mut Context) -> Next {
    task.waits_for = None;
    let next = go_on(task, cx);
    task.bulk = cx.turn.is_bulk();
    match next {
        Next::Wait(wait) => {
            task.waits_for = Some(wait.reason);
            task.waits_until = wait.deadline;
        }
        Next::Yield => {}
        // Whatever has not come to its own end has come to this one.
        Next::Close => record::end(task, cx),
    }
    next
}

fn go_on(task: &mut Task, cx: &mut Context) -> Next {
    cx.turn = Turn::new();
    let mut requests_left = TURN_REQUESTS;

    if task.client.broke {
        task.request.fail(Failure::ClientLeft.word());
        return Next::Close;
    }
    loop {
        let step = match task.stage {
            // The next request: read its head, check it, rewrite it.
            Stage::Head if requests_left == 0 || cx.turn.is_over() => Step::Yield,
            Stage::Head => {
                requests_left -= 1;
                request::read_head(task, cx)
            }
            // Whether its password is right.
            Stage::Password => request::await_password(task, cx),
            // A backend for it, and a connection to that: a kept one, or a new one.
            Stage::Choose => connect::choose(task, cx),
            // All of them are busy: until one is free.
            Stage::Queue => match connect::queue(task, cx) {
                Step::Wait(wait) => Step::Wait(within_request(task, wait)),
                step => step,
            },
            // The same backend again: the kept connection to it was stale, or it has another address.
            Stage::Refresh => connect::refresh(task, cx),
            // And again, after a pause: it refuses connections, and there is no other.
            Stage::Redial => match connect::redial(task, cx) {
                Step::Wait(wait) => Step::Wait(within_request(task, wait)),
                step => step,
            },
            // The request goes up, the response comes down.
            Stage::Exchange => exchange(task, cx),
            // After an upgrade: bytes, both ways.
            Stage::Tunnel => tunnel::relay(task, cx),
            // An answer of our own, then the next request or the end.
            Stage::Reply => match relay::flush(task, cx) {
                relay::Flow::Done => request::finish(task, cx),
                flow => flow.into_step(),
            },
            // Until the client has noticed that it is over.
            Stage::Linger => relay::linger(task, cx),
        };
        let step = match step {
            Step::Wait(wait) if cx.now >= wait.deadline => timed_out(task, wait.reason),
            step => step,
        };
        match step {
            Step::Go(stage) => task.stage = stage,
            Step::Wait(wait) => return Next::Wait(wait),
            Step::Yield => return Next::Yield,
            Step::Close => return Next::Close,
            // Another try, an answer of our own, or a cut.
            Step::Fail(failure) => match retry::after(task, cx, failure) {
                retry::Verdict::Retry => task.stage = Stage::Choose,
                retry::Verdict::Refresh => task.stage = Stage::Refresh,
                retry::Verdict::Redial => task.stage = Stage::Redial,
                retry::Verdict::Answer => task.stage = reply::answer(task, cx, failure),
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
fn exchange(task: &mut Task, cx: &mut Context) -> Step {
    relay::probe(task);
    let up = if task.request.is_sent() { relay::Flow::Done } else { request::send(task, cx) };
    match up {
        // The client has its response, whatever is wrong with the rest of its request.
        relay::Flow::Fail(failure) if task.request.is_relayed() && failure != Failure::ClientLeft => {
            return upload::give_up(task, failure);
        }
        relay::Flow::Fail(failure) => return Step::Fail(failure),
        _ => {}
    }
    let waited = task.request.awaits_continue;
    let down = response::receive(task, cx);
    match (up, down) {
        (_, relay::Flow::Fail(failure)) => Step::Fail(failure),
        (_, relay::Flow::Upgraded) => {
            tunnel::begin(task, cx);
            Step::Go(Stage::Tunnel)
        }
        (relay::Flow::Yield, relay::Flow::Done) if upload::goes_on(task, cx) => Step::Yield,
        (relay::Flow::Wait(mut up), relay::Flow::Done) if upload::goes_on(task, cx) => {
            up.upstream.read = true;
            Step::Wait(up)
        }
        (_, relay::Flow::Done) => request::finish(task, cx),
        (relay::Flow::Yield, _) | (_, relay::Flow::Yield) => Step::Yield,
        // The client has got its 100: now the wait for the body is another.
        (relay::Flow::Wait(_), relay::Flow::Wait(_)) if waited && !task.request.awaits_continue => {
            Step::Go(Stage::Exchange)
        }
        // While the client sends its body, `request_timeout` stands still.
        (relay::Flow::Wait(up), relay::Flow::Wait(down)) if up.reason == Reason::RequestBody => {
            Step::Wait(up.and(down))
        }
        (relay::Flow::Wait(up), relay::Flow::Wait(down)) => Step::Wait(within_request(task, up.and(down))),
        (_, relay::Flow::Wait(down)) => Step::Wait(within_request(task, down)),
    }
}

/// Until the response head is there, `request_timeout` runs too, and a client that leaves
/// is noticed.
fn within_request(task: &Task, mut wait: Wait) -> Wait {
    wait.client.end |= task.request.is_read() && !task.request.is_answered() && !task.client.ended;
    match task.snapshot.timeouts(task.request.route).request {
        Some(limit) if !task.request.is_answered() => wait.and(Wait {
            client: Interest::NONE,
            upstream: Interest::NONE,
            deadline: task.request.timeout_from + limit,
            reason: Reason::WholeRequest,
        }),
        _ => wait,
    }
}

/// Which deadline fired decides what happens.
fn timed_out(task: &mut Task, reason: Reason) -> Step {
    match reason {
        // An upload that stalls is no reason to cut the response that came before its end.
        Reason::RequestBody if task.request.is_relayed() => upload::give_up(task, Failure::BodyTimeout),
        Reason::SendRequest if task.request.is_answered() => upload::give_up(task, Failure::SendTimeout),
        // Nobody is waiting for an answer.
        Reason::NextRequest | Reason::FirstByte | Reason::Linger => Step::Close,
        Reason::Tunnel => {
            task.request.end = Some("tunnel_idle");
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
