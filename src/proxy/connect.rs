//! A backend for a request, and a connection to it.

use crate::net::stream::Stream;
use crate::proxy::advance::Step;
use crate::proxy::context::Context;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::task::{Counted, Stage, Task, Upstream};
use crate::upstream::backend::Lease;

/// Picks a backend and takes a kept connection to it, or begins a new one.
pub(super) fn choose(task: &mut Task, cx: &mut Context) -> Step {
    if task.request.upgrade && task.request.tunnel.is_none() {
        // What may become a tunnel takes its place before a backend is troubled with it.
        let tunnel = Counted::within(&cx.shared.tunnels, task.snapshot.plan.limits.tunnels);
        if tunnel.is_none() {
            return Step::Fail(Failure::TooManyTunnels);
        }
        task.request.tunnel = tunnel;
    }
    let pool = task.request.pool.map(|pool| task.snapshot.pool(pool));
    let Some(lease) = pool.and_then(|pool| pool.pick(&task.request.tried)) else {
        return Step::Fail(Failure::NoBackend);
    };
    task.request.moved = cx.now;
    if let Some(stream) = lease.backend().idle().take(cx.now) {
        task.request.attempts.begin(&lease, true, cx.now);
        task.upstream = Some(upstream(stream, lease, Origin::Kept, cx));
        return Step::Go(Stage::Exchange);
    }
    open(task, lease, cx)
}

/// Begins a fresh connection to the backend whose kept one turned out to be dead.
pub(super) fn refresh(task: &mut Task, cx: &mut Context) -> Step {
    task.request.moved = cx.now;
    match task.upstream.take() {
        Some(Upstream { lease, .. }) => open(task, lease, cx),
        None => Step::Fail(Failure::NoBackend),
    }
}

fn open(task: &mut Task, lease: Lease, cx: &Context) -> Step {
    task.request.attempts.begin(&lease, false, cx.now);
    let stream = match lease.backend().address() {
        Some(address) => Stream::connect(address).map_err(Failure::connecting),
        None => Err(Failure::Unresolved),
    };
    match stream {
        Ok(stream) => {
            task.upstream = Some(upstream(stream, lease, Origin::New, cx));
            Step::Go(Stage::Exchange)
        }
        Err(failure) => {
            // There is no connection to blame, so the backend is told here.
            task.request.tried.insert(lease.index());
            if failure.row().fault == Fault::Backend
                && let Some(transition) = lease.backend().record_failure(failure.health_reason())
            {
                transition.log(lease.backend().name(), lease.backend().address());
            }
            Step::Fail(failure)
        }
    }
}

#[derive(PartialEq, Eq)]
enum Origin {
    Kept,
    New,
}

fn upstream(stream: Stream, lease: Lease, origin: Origin, cx: &Context) -> Upstream {
    let kept = origin == Origin::Kept;
    Upstream {
        stream,
        lease,
        inbound: Default::default(),
        scanned: 0,
        reused: kept,
        connected: kept,
        deaf: false,
        opened: cx.now,
        lifetime: None,
    }
}
