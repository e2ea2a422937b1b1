//! A backend for a request, and a connection to it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::stream::Stream;
use crate::net::wait::{Interest, Reason};
use crate::proxy::advance::Step;
use crate::proxy::context::Context;
use crate::proxy::failure::Failure;
use crate::proxy::relay;
use crate::proxy::task::{Pipes, Request, Stage, Task, Upstream};
use crate::upstream::lease::Lease;
use crate::upstream::queue::Admission;

/// Picks a backend, or queues for one.
pub(super) fn choose(task: &mut Task, cx: &mut Context) -> Step {
    let Some(pool) = task.request.pool.map(|pool| task.snapshot.pool(pool)) else {
        return Step::Fail(Failure::NoBackend);
    };
    if let Some(backend) = task.pinned.backend(pool) {
        if backend.weight() > 0 {
            task.request.ask.only = Some(backend.id());
        } else if let Some(stream) = task.pinned.take(pool, backend, cx.now) {
            let lease = Lease::beyond_limit(backend);
            return begin_pinned(task, stream, lease, cx);
        }
    }
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
    let refused = ticket.is_refused();
    let Some(pool) = task.request.pool.map(|pool| task.snapshot.pool(pool)) else { return nobody(task) };
    if refused {
        // Another request dialled on its behalf, and gave up. If this one failed elsewhere before, that
        // failure is its answer.
        pool.give_up_candidates(&mut task.request.ask);
        return Step::Fail(task.request.failed.unwrap_or(Failure::Refused));
    }
    if !pool.has_candidate(&task.request.ask) {
        return nobody(task);
    }
    relay::probe(task);
    // Only its leaving is of interest, not what it sends.
    let interest = if task.client.ended { Interest::NONE } else { Interest::END };
    let deadline = task.request.queued + task.snapshot.timeouts(task.request.route).queue;
    Step::Wait(relay::wait_client(interest, deadline, Reason::Queue))
}

/// No backend is left for the request. If it was tried, its last failure is the answer.
fn nobody(task: &Task) -> Step {
    Step::Fail(task.request.failed.unwrap_or(Failure::NoBackend))
}

/// Takes a connection to the backend that is the client's own or is kept, or begins a new one.
fn begin(task: &mut Task, lease: Lease, cx: &Context) -> Step {
    task.request.moved = cx.now;
    task.request.ask.only = None;
    let pool = task.request.pool.map(|pool| task.snapshot.pool(pool));
    if let Some(stream) = pool.and_then(|pool| task.pinned.take(pool, lease.backend(), cx.now)) {
        return begin_pinned(task, stream, lease, cx);
    }
    if let Some(stream) = lease.backend().kept_connection(cx.now) {
        task.request.attempts.begin(&lease, true, cx.now);
        task.upstream = Some(upstream(stream, lease, Origin::Kept, cx));
        return Step::Go(Stage::Exchange);
    }
    open(task, lease, cx)
}

/// Goes on over the connection that the client has logged in over.
fn begin_pinned(task: &mut Task, stream: Stream, lease: Lease, cx: &Context) -> Step {
    task.request.moved = cx.now;
    task.request.attempts.begin(&lease, true, cx.now);
    task.upstream = Some(upstream(stream, lease, Origin::Pinned, cx));
    Step::Go(Stage::Exchange)
}

/// Begins a fresh connection to the backend whose kept one turned out to be dead, or to its next
/// address.
pub(super) fn refresh(task: &mut Task, cx: &mut Context) -> Step {
    task.request.moved = cx.now;
    match task.upstream.take() {
        Some(Upstream { lease, addresses: Some(addresses), next_address, .. }) => {
            dial(task, lease, addresses, next_address, cx)
        }
        Some(Upstream { lease, .. }) => open(task, lease, cx),
        None => Step::Fail(Failure::NoBackend),
    }
}

/// Dials the backend again that has refused a connection, when the pause is over.
pub(super) fn redial(task: &mut Task, cx: &mut Context) -> Step {
    let Some(at) = task.request.redial.as_ref().map(|redial| redial.1) else {
        return Step::Go(Stage::Choose);
    };
    if cx.now < at {
        relay::probe(task);
        let interest = if task.client.ended { Interest::NONE } else { Interest::END };
        return Step::Wait(relay::wait_client(interest, at, Reason::Redial));
    }
    task.request.moved = cx.now;
    match task.unconnected.take() {
        Some(lease) => open(task, *lease, cx),
        None => Step::Fail(Failure::NoBackend),
    }
}

fn open(task: &mut Task, lease: Lease, cx: &Context) -> Step {
    let addresses = lease.backend().addresses();
    dial(task, lease, addresses, 0, cx)
}

/// Begins a connection to the first of the addresses from number `from` on that does not refuse
/// it at once.
fn dial(task: &mut Task, lease: Lease, addresses: Arc<Vec<SocketAddr>>, from: u8, cx: &Context) -> Step {
    let mut failure = Failure::Unresolved;
    for (place, address) in (0..).zip(addresses.iter()).skip(usize::from(from)) {
        task.request.attempts.begin(&lease, false, cx.now);
        let stream = match Stream::connect(*address) {
            // What is kept for later, to whichever backend, is worth less than this request.
            Err(Errno::MFILE | Errno::NFILE) => {
                task.snapshot.close_unused();
                Stream::connect(*address)
            }
            outcome => outcome,
        };
        match stream.map_err(Failure::connecting) {
            Ok(stream) => {
                let mut upstream = upstream(stream, lease, Origin::New, cx);
                if addresses.len() > 1 {
                    upstream.addresses = Some(addresses);
                    upstream.next_address = place + 1;
                }
                task.upstream = Some(upstream);
                return Step::Go(Stage::Exchange);
            }
            Err(found) => failure = found,
        }
        if !failure.concerns_the_address() {
            break;
        }
        task.request.attempts.failed(failure.word());
    }
    if addresses.is_empty() {
        task.request.attempts.begin(&lease, false, cx.now);
    }
    task.unconnected = Some(Box::new(lease));
    Step::Fail(failure)
}

/// Notes that a connection was established: requests that wait for the backend may use it too, and
/// the next request tries this address first.
pub(super) fn came_to_be(upstream: &mut Upstream, request: &mut Request) {
    upstream.connected = true;
    request.redial = None;
    if let Some(addresses) = upstream.addresses.take()
        && let Some(place) = usize::from(upstream.next_address).checked_sub(1)
        && let Some(address) = addresses.get(place)
    {
        upstream.lease.backend().prefer(*address);
    }
}

#[derive(PartialEq, Eq)]
enum Origin {
    /// Unused connections of the backend.
    Kept,
    /// Connections that belong to this client.
    Pinned,
    New,
}

fn upstream(stream: Stream, lease: Lease, origin: Origin, cx: &Context) -> Upstream {
    let kept = origin != Origin::New;
    Upstream {
        stream,
        lease,
        inbound: Default::default(),
        scanned: 0,
        reused: kept,
        pinned: origin == Origin::Pinned,
        connected: kept,
        addresses: None,
        next_address: 0,
        write_closed: false,
        reads_on: false,
        opened: cx.now,
        pipes: Pipes::default(),
        lifetime: None,
    }
}
