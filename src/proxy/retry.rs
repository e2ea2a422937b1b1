//! After a failed try: another one, an answer, or a cut.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::proxy::context::Context;
use crate::proxy::evidence;
use crate::proxy::failure::{Chance, Failure, Fault};
use crate::proxy::task::{Download, Framing, Request, Task, Upstream};
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::pool::Pool;
use crate::upstream::redial::Redial;

/// What is to be done.
pub(super) enum Verdict {
    /// Another backend.
    Retry,
    /// The same backend over a fresh connection: only the kept one was stale, or one of its
    /// addresses refused.
    Refresh,
    /// The same backend again, after a pause.
    Redial,
    /// An answer of our own.
    Answer,
    /// The client is cut off, so that it cannot take what it has for a complete response.
    Cut,
}

/// Decides, and notes on the task and its backend what the failure means for them.
pub(super) fn after(task: &mut Task, cx: &mut Context, failure: Failure) -> Verdict {
    let verdict = decide(task, cx, failure);
    if matches!(verdict, Verdict::Answer | Verdict::Cut) {
        evidence::settle_task(task, cx.now);
    }
    verdict
}

fn decide(task: &mut Task, cx: &mut Context, failure: Failure) -> Verdict {
    let row = failure.row();
    task.request.attempts.failed(failure.word());
    let stale = is_stale(task, failure);
    let mut upstream = task.upstream.take();
    let mut unconnected = task.unconnected.take();
    // Whatever it waited for a place for, it will not take it.
    task.request.ticket = None;
    if let Some(upstream) = &mut upstream {
        if reused_connection_died(upstream, failure) {
            upstream.lease.backend().reused_connection_died(cx.now);
        }
        upstream.inbound.release(&mut cx.buffers);
    }
    if failure.concerns_the_address() && upstream.as_ref().is_some_and(Upstream::has_another_address) {
        // Nothing was sent, and the host may answer there.
        task.upstream = upstream;
        return Verdict::Refresh;
    }
    let lease = upstream.as_mut().map(|upstream| &mut upstream.lease).or(unconnected.as_deref_mut());
    if let Some(lease) = lease
        && is_evidence(&task.request, failure)
        && !stale
        && task.request.redial.is_none()
    {
        log::debug!("backend {} failed a request: {}", lease.backend().name(), row.text);
        evidence::note(&mut task.request, lease, failure, cx.now);
    }

    let request = &mut task.request;
    // Once a response has begun, no other may take its place.
    if request.is_answered() || row.status == 0 {
        request.fail(failure.word());
        let ends_with_connection = matches!(
            request.download,
            Download::Chunked(_, Framing::UntilClose) | Download::UntilClose(Framing::UntilClose)
        );
        // Where the end of the connection is the end of the body, only a reset tells the two
        // apart. And to a client that does not read, the kernel would go on to offer megabytes.
        if ends_with_connection || failure == Failure::ClientStalled {
            task.client.stream.reset_on_close();
        }
        return Verdict::Cut;
    }
    if stale {
        request.refreshed = true;
        request.sent = 0;
        task.upstream = upstream;
        return Verdict::Refresh;
    }
    let redial = request.redial.take().map(|redial| redial.0);
    let Some(pool) = request.pool.map(|pool| task.snapshot.pool(pool)) else { return Verdict::Answer };
    let lease = upstream.map(|upstream| upstream.lease).or(unconnected.map(|lease| *lease));
    let failed = lease.as_ref().map(|lease| Arc::clone(lease.backend()));
    if let (Failure::Refused, Some(lease)) = (failure, lease) {
        let route = request.route.map(|route| task.snapshot.route(route));
        let patience = route.filter(|route| route.retries > 0).map(|route| route.timeouts.connect);
        match dial_again(request, pool, &lease, redial, patience, cx.now) {
            Again::AfterPause(redial, at) => {
                request.redial = Some(Box::new((redial, at)));
                task.unconnected = Some(Box::new(lease));
                if let Some(shard) = cx.shared.shards.get(cx.worker) {
                    shard.retry(failure.word());
                }
                return Verdict::Redial;
            }
            Again::ByAnother => {
                request.failed = Some(failure);
                return Verdict::Retry;
            }
            Again::No => {}
        }
    }
    if let Some(backend) = &failed {
        request.ask.tried.insert(backend.id());
    }
    let allowed = match row.chance {
        Chance::NothingSent => {
            request.sent == 0
                && request.replayable
                && request.tries_left > 0
                && pool.has_candidate(&request.ask)
        }
        Chance::MaybeDone => may_repeat(request, pool) && spend(request, pool, cx.now),
        Chance::Granted => pool.has_candidate(&request.ask),
        Chance::None => false,
    };
    if !allowed {
        return Verdict::Answer;
    }
    request.tries_left = request.tries_left.saturating_sub(1);
    request.sent = 0;
    request.failed = Some(failure);
    if let Some(shard) = cx.shared.shards.get(cx.worker) {
        shard.retry(failure.word());
    }
    if let Some(backend) = failed {
        backend.count_retry();
    }
    Verdict::Retry
}

/// Whether a backend that has refused a connection is dialled again.
enum Again {
    /// By this request, at this time.
    AfterPause(Redial, Moment),
    /// By another request; this one waits for its result.
    ByAnother,
    /// It is not: there are other backends, or the time is up.
    No,
}

/// A server that restarts refuses connections for a moment. If the request has no other backend, it
/// is dialled again until the connect timeout. `patience` is `None` if this is off.
fn dial_again(
    request: &Request,
    pool: &Pool,
    lease: &Lease,
    redial: Option<Redial>,
    patience: Option<Duration>,
    now: Moment,
) -> Again {
    let backend = lease.backend();
    let mut others = request.ask.clone();
    others.tried.insert(backend.id());
    let is_last =
        request.sent == 0 && request.replayable && backend.is_usable() && !pool.has_candidate(&others);
    let Some(patience) = patience.filter(|_| is_last) else { return Again::No };
    let redial = redial.or_else(|| Redial::begin(backend, patience, now));
    let Some(mut redial) = redial else { return Again::ByAnother };
    match redial.next(now) {
        Some(at) => Again::AfterPause(redial, at),
        None => {
            redial.give_up();
            Again::No
        }
    }
}

/// Whether a request that waits for its response can move to another backend, should probes find
/// this one down.
pub(super) fn may_move(request: &Request, pool: &Pool, backend: &Backend) -> bool {
    backend.check().is_some()
        && request.method.is_idempotent()
        && request.replayable
        && request.interim == 0
        && request.tries_left > 0
        && pool.backends().len() > 1
}

/// Whether it moves now: the backend is down, there is another one, and the retry budget allows it.
pub(super) fn moves(request: &mut Request, pool: &Pool, backend: &Backend, now: Moment) -> bool {
    if backend.is_up() {
        return false;
    }
    request.ask.tried.insert(backend.id());
    may_repeat(request, pool) && spend(request, pool, now)
}

/// Whether a backend's own error response is given up for another try. If it is not, it is
/// relayed as it is. `from` is the backend's number.
pub(super) fn on_status(request: &mut Request, pool: &Pool, from: u32, status: u16, now: Moment) -> bool {
    if !pool.retries_status(status) {
        return false;
    }
    request.ask.tried.insert(from);
    may_repeat(request, pool) && spend(request, pool, now)
}

/// Whether a request that a backend may have acted on can be sent again without harm, and there
/// is a backend that it has not tried. The body must be whole for that, and an interim response
/// that was relayed belongs to this backend.
fn may_repeat(request: &Request, pool: &Pool) -> bool {
    request.method.is_idempotent()
        && request.replayable
        && request.interim == 0
        && request.tries_left > 0
        && pool.has_candidate(&request.ask)
}

/// Takes what another try costs from the pool's budget.
fn spend(request: &mut Request, pool: &Pool, now: Moment) -> bool {
    // What an earlier try of the same request took is given back first.
    request.retrying = None;
    request.retrying = pool.spend_retry(now);
    request.retrying.is_some()
}

/// Whether a failure says something about the backend. A name that is not resolved yet does not;
/// running out of time does, if the backend had the whole request.
fn is_evidence(request: &Request, failure: Failure) -> bool {
    failure.row().fault == Fault::Backend && failure != Failure::Unresolved
        || failure == Failure::RequestTimeout && request.is_sent() && !request.is_answered()
}

/// Whether a kept connection died before the backend had answered.
fn reused_connection_died(upstream: &Upstream, failure: Failure) -> bool {
    upstream.reused && upstream.inbound.is_empty() && matches!(failure, Failure::Closed | Failure::Reset(_))
}

/// A kept connection that died before it answered says nothing about the backend: it was
/// closed for being idle. Once more on a fresh one, if nothing was sent or if it can be
/// sent again without harm (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
///
/// INVARIANT: only a whole request goes to another connection. `sent` counts within what is
/// kept of it, so it is 0 again each time a piece of a large body has gone; the next piece,
/// sent first, would be read as a request that the client has written.
fn is_stale(task: &Task, failure: Failure) -> bool {
    let request = &task.request;
    task.upstream.as_ref().is_some_and(|upstream| reused_connection_died(upstream, failure))
        && !request.refreshed
        && request.interim == 0
        && !request.is_answered()
        && request.replayable
        && (request.sent == 0 || request.method.is_idempotent())
}
