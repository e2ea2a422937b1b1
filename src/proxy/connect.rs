//! A backend for a request, and a connection to it.

use rustix::io::Errno;

use crate::net::stream::Stream;
use crate::net::wait::{Interest, Reason};
use crate::proxy::advance::Step;
use crate::proxy::context::Context;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::task::{Pipes, Stage, Task, Upstream};
use crate::proxy::{evidence, relay};
use crate::upstream::lease::Lease;
use crate::upstream::queue::Admission;

/// Picks a backend, or queues for one.
pub(super) fn choose(task: &mut Task, cx: &mut Context) -> Step {
    let Some(pool) = task.request.pool.map(|pool| task.snapshot.pool(pool)) else {
        return Step::Fail(Failure::NoBackend);
    };
    match pool.admit(&task.request.ask, &cx.unpark) {
        Admission::Admitted(lease) => begin(task, lease, cx),
        Admission::Queued(ticket) => {
            task.request.ticket = Some(ticket);
            task.request.queued = cx.now;
            Step::Go(Stage::Queue)
        }
        Admission::Full => Step::Fail(Failure::QueueFull),
        Admission::Nobody => nobody(task),
    }
}

/// Goes on with the backend that has become free, or waits until one does.
pub(super) fn queue(task: &mut Task, cx: &mut Context) -> Step {
    let Some(ticket) = &task.request.ticket else { return Step::Go(Stage::Choose) };
    if let Some(lease) = ticket.claim() {
        task.request.ticket = None;
        // While the client had to wait, it could send nothing.
        task.request.waited += cx.now.since(task.request.queued);
        task.request.too_slow_at = task.request.too_slow_at + cx.now.since(task.request.queued);
        return begin(task, lease, cx);
    }
    if !task.request.pool.is_some_and(|pool| task.snapshot.pool(pool).has_candidate(&task.request.ask)) {
        return nobody(task);
    }
    relay::probe(task);
    // Only its leaving is of interest, not what it sends.
    let interest = if task.client.ended { Interest::NONE } else { Interest::END };
    let deadline = task.request.queued + task.snapshot.timeouts(task.request.route).queue;
    Step::Wait(relay::wait_client(interest, deadline, Reason::Queue))
}

/// No backend is left for it. A request that was tried is told what that try came to.
fn nobody(task: &Task) -> Step {
    Step::Fail(task.request.failed.unwrap_or(Failure::NoBackend))
}

/// Takes a kept connection to the backend, or begins a new one.
fn begin(task: &mut Task, lease: Lease, cx: &Context) -> Step {
    task.request.moved = cx.now;
    if let Some(stream) = lease.backend().kept_connection(cx.now) {
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

fn open(task: &mut Task, mut lease: Lease, cx: &Context) -> Step {
    task.request.attempts.begin(&lease, false, cx.now);
    let stream = match lease.backend().address() {
        Some(address) => match Stream::connect(address) {
            // What is kept for later, to whichever backend, is worth less than this request.
            Err(Errno::MFILE | Errno::NFILE) => {
                task.snapshot.close_unused();
                Stream::connect(address)
            }
            outcome => outcome,
        }
        .map_err(Failure::connecting),
        None => Err(Failure::Unresolved),
    };
    match stream {
        Ok(stream) => {
            task.upstream = Some(upstream(stream, lease, Origin::New, cx));
            Step::Go(Stage::Exchange)
        }
        Err(failure) => {
            // There is no connection to blame, so the backend is told here.
            task.request.ask.tried.insert(lease.backend().id());
            if failure.row().fault == Fault::Backend {
                evidence::note(&mut task.request, &mut lease, failure, cx.now);
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
        reads_on: false,
        opened: cx.now,
        pipes: Pipes::default(),
        lifetime: None,
    }
}
