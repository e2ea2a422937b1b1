//! What a request's failed tries say about the backends, once the outcome of the request is known.
//!
//! A try that failed may be the backend's fault or the request's. A request that every backend
//! hangs up on (a *poison request*) must not take one backend after another out of service, so a
//! failed try is kept until the request is settled, and judged then. Only a failure before anything
//! was sent is certainly the backend's fault, and counts at once.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::base::clock::Moment;
use crate::proxy::exchange::{Asked, Exchange};
use crate::proxy::failure::{Chance, Failure};
use crate::upstream::backend::Backend;
use crate::upstream::ejection::Evidence;
use crate::upstream::health::Reason;
use crate::upstream::lease::Lease;
use crate::upstream::ward::Trial;

/// Failed tries of a request that is not settled.
#[derive(Default)]
pub(super) struct FailedTries(Option<Box<List>>);

/// Boxed, since every exchange has the field and nearly no request has failed tries.
#[derive(Default)]
struct List(Vec<FailedTry>);

struct FailedTry {
    backend: Arc<Backend>,
    /// The try was to decide whether the backend serves again.
    trial: Option<Trial>,
    reason: Reason,
    pieces: u8,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// A backend answered it.
    Answered,
    /// None did, or the client did not wait for it.
    Unanswered,
}

/// What failed tries say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They were the fault of each backend.
    Against,
    /// They may have been the request's own fault. Many of them from one client count once.
    OncePerClient,
    /// They were the request's own fault.
    Nothing,
}

/// Notes that the try that has `lease` has failed, whose request was `sent` then.
pub(super) fn note(tries: &mut FailedTries, lease: &mut Lease, failure: Failure, sent: Moment, now: Moment) {
    let Some(reason) = failure.health_reason() else { return };
    if failure.row().chance == Chance::NothingSent {
        let evidence = Evidence { reason, pieces: 1, client: None };
        let trial = lease.take_trial();
        count(lease.backend(), trial, evidence, now);
        lease.backend().ask_for_probe();
        return;
    }
    let silent = failure == Failure::ResponseTimeout && !lease.backend().has_answered_since(sent);
    let pieces = if silent { PIECES_OF_SILENCE } else { 1 };
    let (backend, trial) = (Arc::clone(lease.backend()), lease.take_trial());
    tries.0.get_or_insert_default().0.push(FailedTry { backend, trial, reason, pieces });
}

/// The points for a timed-out response, if its backend has answered nothing else meanwhile.
const PIECES_OF_SILENCE: u8 = 3;

/// Judges the failed tries of a request that has ended. They count for the client's address that
/// guards and logs use too, which may not be its `peer`.
pub(super) fn settle(
    tries: &mut FailedTries,
    asked: &Asked,
    peer: SocketAddr,
    settled: Settled,
    now: Moment,
) {
    let Some(tries) = tries.0.take().map(|list| list.0) else { return };
    let client = asked.client(peer);
    let verdict = judge(tries.iter().map(|failed| failed.reason), settled);
    for FailedTry { backend, trial, reason, pieces } in tries {
        let evidence = match verdict {
            Verdict::Against => Evidence { reason, pieces, client: None },
            Verdict::OncePerClient => Evidence { reason, pieces: 1, client: Some(client) },
            // A trial that is dropped decides nothing.
            Verdict::Nothing => continue,
        };
        count(&backend, trial, evidence, now);
    }
}

/// The same for an exchange that ended without an answer.
pub(super) fn settle_unanswered(exchange: &mut Exchange, peer: SocketAddr, now: Moment) {
    settle(&mut exchange.tries.failed_tries, &exchange.asked, peer, Settled::Unanswered, now);
}

fn count(backend: &Arc<Backend>, trial: Option<Trial>, evidence: Evidence, now: Moment) {
    match trial {
        Some(trial) => trial.failed(evidence, now),
        None => backend.record_failure(evidence, now),
    }
}

/// Each backend is tried once, so each reason is that of another backend.
fn judge(reasons: impl Iterator<Item = Reason>, settled: Settled) -> Verdict {
    if settled == Settled::Answered {
        return Verdict::Against;
    }
    let kinds: Vec<_> = reasons.map(|reason| std::mem::discriminant(&reason)).collect();
    let alike = kinds.iter().enumerate().any(|(place, kind)| kinds[..place].contains(kind));
    if alike { Verdict::Nothing } else { Verdict::OncePerClient }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reasons: &[Reason], settled: Settled) -> Verdict {
        judge(reasons.iter().copied(), settled)
    }

    #[test]
    fn what_another_backend_answered_is_the_fault_of_those_that_failed() {
        assert_eq!(judged(&[Reason::Reset], Settled::Answered), Verdict::Against);
        assert_eq!(judged(&[Reason::Reset, Reason::Reset], Settled::Answered), Verdict::Against);
    }

    #[test]
    fn what_failed_alike_on_two_and_was_answered_by_none_is_the_fault_of_the_request() {
        assert_eq!(judged(&[Reason::Reset, Reason::Reset], Settled::Unanswered), Verdict::Nothing);
        let three = [Reason::Reset, Reason::Timeout, Reason::Reset];
        assert_eq!(judged(&three, Settled::Unanswered), Verdict::Nothing);
        let statuses = [Reason::Status(500), Reason::Status(502)];
        assert_eq!(judged(&statuses, Settled::Unanswered), Verdict::Nothing);
    }

    #[test]
    fn what_only_one_backend_was_asked_may_be_the_fault_of_either() {
        assert_eq!(judged(&[Reason::Timeout], Settled::Unanswered), Verdict::OncePerClient);
        assert_eq!(judged(&[Reason::Timeout, Reason::Reset], Settled::Unanswered), Verdict::OncePerClient);
    }
}
