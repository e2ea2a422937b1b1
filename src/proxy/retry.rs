//! After a failed try: another one, an answer, or a cut.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::evidence::{self, FailedTries};
use crate::proxy::exchange::{DownloadState, Exchange, Framing};
use crate::proxy::failure::{Chance, Failure, Fault};
use crate::proxy::link::Link;
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::pool::{Ask, Pool};
use crate::upstream::queue::Ticket;
use crate::upstream::redial::Redial;
use crate::upstream::retry_budget::Retrying;

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

/// The tries of a request at backends, and whether there may be another.
pub(super) struct Tries {
    /// Which backends it may use.
    pub(super) ask: Ask,
    /// The upload's buffer still holds every byte from the first, so that it can be sent again.
    pub(super) replayable: bool,
    /// Bytes of interim responses that came; after the first, nothing is tried again.
    pub(super) interim: u64,
    pub(super) left: u32,
    /// The result of the last try, once there has been another.
    pub(super) failed: Option<Failure>,
    /// Tries that failed, until the request is settled.
    pub(super) failed_tries: FailedTries,
    /// The one try on a fresh connection after a kept one died has been used.
    pub(super) refreshed: bool,
    /// Counts against the pool's budget for second tries while it lasts.
    pub(super) retrying: Option<Retrying>,
    /// Its permission to dial a backend again, and when it does so next.
    pub(super) redial: Option<Box<(Redial, Moment)>>,
    /// A place at a backend that has no connection yet.
    pub(super) unconnected: Option<Box<Lease>>,
    /// It waits for a place at a backend.
    pub(super) ticket: Option<Ticket>,
    /// Since when.
    pub(super) queued: Moment,
}

impl Tries {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            ask: Ask::default(),
            replayable: true,
            interim: 0,
            left: 0,
            failed: None,
            failed_tries: FailedTries::default(),
            refreshed: false,
            retrying: None,
            redial: None,
            unconnected: None,
            ticket: None,
            queued: now,
        }
    }
}

/// Decides, and notes on the exchange and its backend what the failure means for them.
pub(super) fn after(
    client: &mut Client,
    exchange: &mut Exchange,
    cx: &mut Context,
    failure: Failure,
) -> Verdict {
    let verdict = decide(client, exchange, cx, failure);
    if matches!(verdict, Verdict::Answer | Verdict::Cut) {
        evidence::settle_unanswered(exchange, client.peer, cx.now);
    }
    verdict
}

fn decide(client: &mut Client, exchange: &mut Exchange, cx: &mut Context, failure: Failure) -> Verdict {
    let row = failure.row();
    exchange.record.attempts.failed(failure);
    let stale = is_stale(exchange, failure);
    let mut link = exchange.link.take();
    let mut unconnected = exchange.tries.unconnected.take();
    // Whatever it waited for a place for, it will not take it.
    exchange.tries.ticket = None;
    if let Some(link) = &mut link {
        if reused_connection_died(link, failure) {
            link.lease.backend().reused_connection_died(cx.now);
        }
        link.inbound.release(&mut cx.buffers);
    }
    if failure.concerns_the_address() && link.as_ref().is_some_and(Link::has_another_address) {
        // Nothing was sent, and the host may answer there.
        exchange.link = link;
        return Verdict::Refresh;
    }
    let lease = link.as_mut().map(|link| &mut link.lease).or(unconnected.as_deref_mut());
    if let Some(lease) = lease
        && is_evidence(exchange, failure)
        && !stale
        && exchange.tries.redial.is_none()
    {
        log::debug!("backend {} failed a request: {}", lease.backend().name(), failure.text());
        evidence::note(&mut exchange.tries.failed_tries, lease, failure, exchange.upload.moved, cx.now);
    }

    // Once a response has begun, no other may take its place.
    if exchange.download.is_answered() || row.status == 0 {
        exchange.record.fail(failure);
        let ends_with_connection = matches!(
            exchange.download.state,
            DownloadState::Chunked(_, Framing::UntilClose) | DownloadState::UntilClose(Framing::UntilClose)
        );
        // Where the end of the connection is the end of the body, only a reset tells the two
        // apart. And to a client that does not read, the kernel would go on to offer megabytes.
        if ends_with_connection || failure == Failure::ClientStalled {
            client.stream.reset_on_close();
        }
        return Verdict::Cut;
    }
    if stale {
        exchange.tries.refreshed = true;
        exchange.upload.sent = 0;
        exchange.link = link;
        return Verdict::Refresh;
    }
    let redial = exchange.tries.redial.take().map(|redial| redial.0);
    let Some(pool) = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool)) else {
        return Verdict::Answer;
    };
    let lease = link.map(|link| link.lease).or(unconnected.map(|lease| *lease));
    let failed = lease.as_ref().map(|lease| Arc::clone(lease.backend()));
    if let (Failure::Refused, 0, Some(lease)) = (failure, exchange.upload.sent, lease) {
        let route = exchange.routed.route.map(|route| exchange.snapshot.route(route));
        let patience = route.filter(|route| route.retries > 0).map(|route| route.timeouts.connect);
        match dial_again(&exchange.tries, pool, &lease, redial, patience, cx.now) {
            Again::AfterPause(redial, at) => {
                exchange.tries.redial = Some(Box::new((redial, at)));
                exchange.tries.unconnected = Some(Box::new(lease));
                if let Some(shard) = cx.shared.shards.get(cx.worker) {
                    shard.retry(failure.word());
                }
                return Verdict::Redial;
            }
            Again::ByAnother => {
                exchange.tries.failed = Some(failure);
                return Verdict::Retry;
            }
            Again::No => {}
        }
    }
    if let Some(backend) = &failed {
        exchange.tries.ask.tried.insert(backend.id());
    }
    let allowed = match row.chance {
        Chance::NothingSent => {
            exchange.upload.sent == 0
                && exchange.tries.replayable
                && exchange.tries.left > 0
                && pool.has_candidate(&exchange.tries.ask)
        }
        Chance::MaybeDone => may_repeat(&exchange.tries, pool) && spend(&mut exchange.tries, pool, cx.now),
        Chance::Granted => pool.has_candidate(&exchange.tries.ask),
        Chance::None => false,
    };
    if !allowed {
        return Verdict::Answer;
    }
    exchange.tries.left = exchange.tries.left.saturating_sub(1);
    exchange.upload.sent = 0;
    exchange.tries.failed = Some(failure);
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
    tries: &Tries,
    pool: &Pool,
    lease: &Lease,
    redial: Option<Redial>,
    patience: Option<Duration>,
    now: Moment,
) -> Again {
    let backend = lease.backend();
    let mut others = tries.ask.clone();
    others.tried.insert(backend.id());
    let is_last = tries.replayable && backend.is_usable() && !pool.has_candidate(&others);
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
pub(super) fn may_move(tries: &Tries, pool: &Pool, backend: &Backend) -> bool {
    backend.check().is_some()
        && tries.ask.idempotent
        && tries.replayable
        && tries.interim == 0
        && tries.left > 0
        && pool.backends().len() > 1
}

/// Whether it moves now: the backend is down, there is another one, and the retry budget allows it.
pub(super) fn moves(tries: &mut Tries, pool: &Pool, backend: &Backend, now: Moment) -> bool {
    if backend.is_up() {
        return false;
    }
    tries.ask.tried.insert(backend.id());
    may_repeat(tries, pool) && spend(tries, pool, now)
}

/// Whether a backend's own error response is given up for another try. If it is not, it is
/// relayed as it is. `from` is the backend's number.
pub(super) fn on_status(tries: &mut Tries, pool: &Pool, from: u32, status: u16, now: Moment) -> bool {
    if !pool.retries_status(status) {
        return false;
    }
    tries.ask.tried.insert(from);
    may_repeat(tries, pool) && spend(tries, pool, now)
}

/// Whether a request that a backend may have acted on can be sent again without harm, and there
/// is a backend that it has not tried. The body must be whole for that, and an interim response
/// that was relayed belongs to this backend.
fn may_repeat(tries: &Tries, pool: &Pool) -> bool {
    tries.ask.idempotent
        && tries.replayable
        && tries.interim == 0
        && tries.left > 0
        && pool.has_candidate(&tries.ask)
}

/// Takes what another try costs from the pool's budget.
fn spend(tries: &mut Tries, pool: &Pool, now: Moment) -> bool {
    // What an earlier try of the same request took is given back first.
    tries.retrying = None;
    tries.retrying = pool.spend_retry(now);
    tries.retrying.is_some()
}

/// Whether a failure says something about the backend. A name that is not resolved yet does not;
/// running out of time does, if the backend had the whole request.
fn is_evidence(exchange: &Exchange, failure: Failure) -> bool {
    failure.row().fault == Fault::Backend && failure != Failure::Unresolved
        || failure == Failure::RequestTimeout && exchange.upload.is_sent() && !exchange.download.is_answered()
}

/// Whether a kept connection died before the backend had answered.
fn reused_connection_died(link: &Link, failure: Failure) -> bool {
    link.reused && link.inbound.is_empty() && matches!(failure, Failure::Closed | Failure::Reset(_))
}

/// A kept connection that died before it answered says nothing about the backend: it was
/// closed for being idle. Once more on a fresh one, if nothing was sent or if it can be
/// sent again without harm (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1).
///
/// INVARIANT: only a whole request goes to another connection. `sent` counts within what is
/// kept of it, so it is 0 again each time a piece of a large body has gone; the next piece,
/// sent first, would be read as a request that the client has written.
fn is_stale(exchange: &Exchange, failure: Failure) -> bool {
    exchange.link.as_ref().is_some_and(|link| reused_connection_died(link, failure))
        && !exchange.tries.refreshed
        && exchange.tries.interim == 0
        && !exchange.download.is_answered()
        && exchange.tries.replayable
        && (exchange.upload.sent == 0 || exchange.asked.method.is_idempotent())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use crate::proxy::scene::{GET, OK, POST, Scene};

    #[test]
    fn a_request_that_can_be_repeated_goes_to_another_backend() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (first, backend) = scene.dialled();
        backend.break_reads(Errno::CONNRESET);
        scene.turn();
        let (second, backend) = scene.dialled();
        assert_ne!(first, second);
        scene.backend_sends(&backend, OK);
        assert!(scene.client.received().ends_with("\r\n\r\nfine"));
    }

    #[test]
    fn a_request_that_may_have_been_acted_on_is_not_sent_twice() {
        let mut scene = Scene::new();
        scene.client_sends(POST);
        let (_, backend) = scene.dialled();
        assert!(backend.received().ends_with("\r\n\r\nhi"));
        backend.finish();
        scene.turn();
        assert!(scene.network.accept().is_none());
        assert!(scene.client.received().starts_with("HTTP/1.1 502 "));
    }

    #[test]
    fn no_response_follows_one_that_has_begun() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, backend) = scene.dialled();
        scene.backend_sends(&backend, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi");
        backend.break_reads(Errno::CONNRESET);
        scene.turn();
        assert!(scene.network.accept().is_none());
        let received = scene.client.received();
        assert!(received.ends_with("\r\n\r\nfi") && received.matches("HTTP/1.1").count() == 1, "{received}");
        assert!(scene.client.is_ended());
    }

    #[test]
    fn a_kept_connection_that_has_died_is_replaced_by_a_fresh_one_to_the_same_backend() {
        let mut scene = Scene::new();
        let mut kept = Vec::new();
        for _ in 0..2 {
            scene.client_sends(GET);
            kept.push(scene.dialled());
            scene.backend_sends(&kept.last().unwrap().1, OK);
        }
        scene.client_sends(GET);
        let (address, first) = &kept[0];
        assert_eq!(first.received().matches("GET").count(), 2, "the kept connection is used");
        first.break_reads(Errno::CONNRESET);
        scene.turn();
        let (again, fresh) = scene.dialled();
        assert_eq!(again, *address);
        assert!(fresh.received().starts_with("GET /x"));
    }
}
