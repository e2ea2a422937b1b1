//! A backend for a request, and a connection to it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::io::Errno;

use crate::net::stream::Stream;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::exchange::{Exchange, Stage};
use crate::proxy::failure::Failure;
use crate::proxy::link::{Link, Pipes};
use crate::proxy::relay;
use crate::proxy::retry::Tries;
use crate::proxy::step::Step;
use crate::upstream::lease::Lease;
use crate::upstream::queue::Admission;

/// Picks a backend, or queues for one.
pub(super) fn choose(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let Some(pool) = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool)) else {
        return Step::Fail(Failure::NoBackend);
    };
    if let Some(backend) = client.pinned.backend(pool) {
        if backend.weight() > 0 {
            exchange.tries.ask.only = Some(backend.id());
        } else if let Some(stream) = client.pinned.take(pool, backend, cx.now) {
            let lease = Lease::beyond_limit(backend);
            return begin_pinned(exchange, stream, lease, cx);
        }
    }
    match pool.admit(&exchange.tries.ask, &cx.unpark) {
        Admission::Admitted(lease) => begin(client, exchange, lease, cx),
        Admission::Queued(ticket) => {
            exchange.tries.ticket = Some(ticket);
            exchange.tries.queued = cx.now;
            Step::Go(Stage::Queue)
        }
        Admission::Full => Step::Fail(Failure::QueueFull),
        Admission::NoBackend => no_backend(exchange),
    }
}

/// Goes on with the backend that has become free, or waits until one does.
pub(super) fn queue(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let Some(ticket) = &exchange.tries.ticket else { return Step::Go(Stage::Choose) };
    if let Some(lease) = ticket.claim() {
        exchange.tries.ticket = None;
        // While the client had to wait, it could send nothing.
        exchange.record.waited += cx.now.since(exchange.tries.queued);
        exchange.upload.too_slow_at = exchange.upload.too_slow_at + cx.now.since(exchange.tries.queued);
        return begin(client, exchange, lease, cx);
    }
    let refused = ticket.is_refused();
    let Some(pool) = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool)) else {
        return no_backend(exchange);
    };
    if refused {
        // Another request dialled on its behalf, and gave up. If this one failed elsewhere before, that
        // failure is its answer.
        pool.give_up_candidates(&mut exchange.tries.ask);
        return Step::Fail(exchange.tries.failed.unwrap_or(Failure::Refused));
    }
    if !pool.has_candidate(&exchange.tries.ask) {
        return no_backend(exchange);
    }
    relay::probe(client, exchange);
    // Only its leaving is of interest, not what it sends.
    if !client.ended {
        client.stream.want_end();
    }
    let deadline = exchange.tries.queued + exchange.snapshot.timeouts(exchange.routed.route).queue;
    Step::Wait(Wait::until(deadline, Reason::Queue))
}

/// No backend is left for the request. If it was tried, its last failure is the answer.
fn no_backend(exchange: &Exchange) -> Step {
    Step::Fail(exchange.tries.failed.unwrap_or(Failure::NoBackend))
}

/// Takes a connection to the backend that is the client's own or is kept, or begins a new one.
fn begin(client: &mut Client, exchange: &mut Exchange, lease: Lease, cx: &Context) -> Step {
    exchange.upload.moved = cx.now;
    exchange.tries.ask.only = None;
    let pool = exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool));
    if let Some(stream) = pool.and_then(|pool| client.pinned.take(pool, lease.backend(), cx.now)) {
        return begin_pinned(exchange, stream, lease, cx);
    }
    if let Some(stream) = lease.backend().kept_connection(cx.now) {
        exchange.record.attempts.begin(&lease, true, cx.now);
        exchange.link = Some(link(stream, lease, Origin::Kept, cx));
        return Step::Go(Stage::Exchange);
    }
    open(exchange, lease, cx)
}

/// Goes on over the connection that the client has logged in over.
fn begin_pinned(exchange: &mut Exchange, stream: Stream, lease: Lease, cx: &Context) -> Step {
    exchange.upload.moved = cx.now;
    exchange.record.attempts.begin(&lease, true, cx.now);
    exchange.link = Some(link(stream, lease, Origin::Pinned, cx));
    Step::Go(Stage::Exchange)
}

/// Begins a fresh connection to the backend whose kept one turned out to be dead, or to its next
/// address.
pub(super) fn refresh(exchange: &mut Exchange, cx: &mut Context) -> Step {
    exchange.upload.moved = cx.now;
    match exchange.link.take() {
        Some(Link { lease, addresses: Some(addresses), next_address, .. }) => {
            dial(exchange, lease, addresses, next_address, cx)
        }
        Some(Link { lease, .. }) => open(exchange, lease, cx),
        None => Step::Fail(Failure::NoBackend),
    }
}

/// Dials the backend again that has refused a connection, when the pause is over.
pub(super) fn redial(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let Some(at) = exchange.tries.redial.as_ref().map(|redial| redial.1) else {
        return Step::Go(Stage::Choose);
    };
    if cx.now < at {
        relay::probe(client, exchange);
        if !client.ended {
            client.stream.want_end();
        }
        return Step::Wait(Wait::until(at, Reason::Redial));
    }
    exchange.upload.moved = cx.now;
    match exchange.tries.unconnected.take() {
        Some(lease) => open(exchange, *lease, cx),
        None => Step::Fail(Failure::NoBackend),
    }
}

fn open(exchange: &mut Exchange, lease: Lease, cx: &Context) -> Step {
    let addresses = lease.backend().addresses();
    dial(exchange, lease, addresses, 0, cx)
}

/// Begins a connection to the first of the addresses from number `from` on that does not refuse
/// it at once.
fn dial(
    exchange: &mut Exchange,
    lease: Lease,
    addresses: Arc<Vec<SocketAddr>>,
    from: u8,
    cx: &Context,
) -> Step {
    let mut failure = Failure::Unresolved;
    for (place, address) in (0..).zip(addresses.iter()).skip(usize::from(from)) {
        exchange.record.attempts.begin(&lease, false, cx.now);
        let stream = match Stream::connect(*address) {
            // What is kept for later, to whichever backend, is worth less than this request.
            Err(Errno::MFILE | Errno::NFILE) => {
                exchange.snapshot.close_unused();
                Stream::connect(*address)
            }
            outcome => outcome,
        };
        match stream.map_err(Failure::connecting) {
            Ok(stream) => {
                let mut link = link(stream, lease, Origin::New, cx);
                if addresses.len() > 1 {
                    link.addresses = Some(addresses);
                    link.next_address = place + 1;
                }
                exchange.link = Some(link);
                return Step::Go(Stage::Exchange);
            }
            Err(found) => failure = found,
        }
        if !failure.concerns_the_address() {
            break;
        }
        exchange.record.attempts.failed(failure);
    }
    if addresses.is_empty() {
        exchange.record.attempts.begin(&lease, false, cx.now);
    }
    exchange.tries.unconnected = Some(Box::new(lease));
    Step::Fail(failure)
}

/// Notes that a connection was established: requests that wait for the backend may use it too, and
/// the next request tries this address first.
pub(super) fn came_to_be(link: &mut Link, tries: &mut Tries) {
    link.connected = true;
    tries.redial = None;
    if let Some(addresses) = link.addresses.take()
        && let Some(place) = usize::from(link.next_address).checked_sub(1)
        && let Some(address) = addresses.get(place)
    {
        link.lease.backend().prefer(*address);
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

fn link(stream: Stream, lease: Lease, origin: Origin, cx: &Context) -> Link {
    let kept = origin != Origin::New;
    Link {
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

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use crate::net::wait::Reason;
    use crate::proxy::scene::{GET, OK, Scene};

    #[test]
    fn a_connection_is_kept_and_used_for_the_next_request() {
        let mut scene = Scene::new();
        scene.client_sends(GET);
        let (_, first) = scene.dialled();
        scene.backend_sends(&first, OK);
        let (_, second) = {
            scene.client_sends(GET);
            scene.dialled()
        };
        // The strategy takes the other backend in turn; the third request finds the first one's again.
        scene.backend_sends(&second, OK);
        scene.client_sends(GET);
        assert!(scene.network.accept().is_none());
        assert_eq!(first.received().matches("GET /x").count(), 2);
    }

    #[test]
    fn a_backend_that_refuses_is_passed_over() {
        let mut scene = Scene::new();
        scene.network.fail_next(Errno::CONNREFUSED);
        scene.client_sends(GET);
        let ((refused, _), (taken, backend)) = (scene.dialled(), scene.dialled());
        assert_ne!(refused, taken);
        scene.backend_sends(&backend, OK);
        assert!(scene.client.received().starts_with("HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn the_last_backend_is_dialled_again_until_the_connect_timeout() {
        let mut scene = Scene::new();
        (0..100).for_each(|_| scene.network.fail_next(Errno::CONNREFUSED));
        scene.client_sends(GET);
        assert_eq!((scene.waits, scene.client.received().as_str()), (Some(Reason::Redial), ""));
        (0..100).for_each(|_| scene.pass(1));
        assert!(scene.client.received().starts_with("HTTP/1.1 502 "));
    }

    #[test]
    fn a_connection_that_does_not_come_to_be_in_time_is_given_up() {
        let mut scene = Scene::new();
        scene.client.send(GET);
        scene.network.fail_next(Errno::AGAIN);
        scene.turn();
        assert_eq!(scene.waits, Some(Reason::Connect));
        scene.pass(60);
        let ((slow, _), (other, backend)) = (scene.dialled(), scene.dialled());
        assert_ne!(slow, other);
        assert!(backend.received().starts_with("GET /x HTTP/1.1\r\n"));
    }
}
