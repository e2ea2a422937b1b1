//! After an upgrade: bytes both ways, until both sides have finished or fall silent.
//!
//! A tunnel may last for days and outlive many reloads. So it releases the configuration that its
//! request began with, and keeps only its idle timeout and what its record needs.

use std::sync::Arc;
use std::time::Duration;

use crate::base::buffer::{Buffer, BufferPool, Size};
use crate::net::io::Io;
use crate::net::stream::Stream;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::end::End;
use crate::proxy::exchange::Exchange;
use crate::proxy::step::Step;

/// One direction of a tunnel.
enum Way {
    /// Everything was passed on, and the end of it too.
    Ended,
    /// The source has nothing, or the sink takes nothing.
    Open,
    /// The connection is broken.
    Broken,
}

/// What a tunnel keeps of the configuration that it began with.
pub(super) struct Kept {
    /// How long it may be silent.
    idle: Duration,
    /// The route's name.
    pub(super) route: Option<String>,
    /// The pool's number and name.
    pub(super) pool: Option<(u32, String)>,
    /// The user that Basic authentication let in.
    pub(super) user: Option<String>,
    /// The backends that were tried, by their numbers.
    pub(super) backends: Vec<(u32, String)>,
}

/// Releases the configuration.
pub(super) fn begin(exchange: &mut Exchange, cx: &mut Context) {
    let snapshot = &exchange.snapshot;
    let tried = |id: u32| {
        let backend = snapshot.backends().find(|backend| backend.id() == id);
        Some((id, backend?.name().to_owned()))
    };
    exchange.kept = Some(Box::new(Kept {
        idle: snapshot.timeouts(exchange.routed.route).tunnel_idle,
        route: exchange.routed.route.map(|route| snapshot.route(route).name.clone()),
        pool: exchange
            .routed
            .pool
            .map(|pool| (snapshot.pool(pool).id(), snapshot.pool(pool).name().to_owned())),
        user: exchange.routed.user.and_then(|user| snapshot.routes.user(user).map(str::to_owned)),
        backends: exchange.record.attempts.backends().filter_map(tried).collect(),
    }));
    // They are places in the configuration that is no longer there.
    (exchange.routed.route, exchange.routed.pool, exchange.routed.user) = (None, None, None);
    exchange.snapshot = Arc::clone(&cx.shared.bare);
}

/// Relays what there is, in both directions.
pub(super) fn relay(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> Step {
    let Some(link) = &mut exchange.link else {
        return Step::Close;
    };
    let Some(idle) = exchange.kept.as_ref().map(|kept| kept.idle) else { return Step::Close };
    let before = cx.turn.charged();
    exchange.record.end = Some(End::TunnelClosed);
    // What waits for the client is what the backend said; and the other way round.
    let down = pass(&mut link.stream, &mut link.inbound, &mut client.outbound, &mut client.stream, cx);
    let up =
        pass(&mut client.stream, &mut client.inbound, &mut exchange.upload.outbound, &mut link.stream, cx);
    if cx.turn.charged() > before {
        exchange.download.moved = cx.now;
    }
    if cx.turn.is_over() {
        return Step::Yield;
    }
    match (&down, &up) {
        (Way::Broken, _) | (_, Way::Broken) | (Way::Ended, Way::Ended) => return Step::Close,
        _ => {}
    }
    Step::Wait(Wait::until(exchange.download.moved + idle, Reason::Tunnel))
}

/// Moves bytes from `source` to `sink`: first `ahead`, then `queue` and what follows it.
fn pass(
    source: &mut Stream,
    queue: &mut Buffer,
    ahead: &mut Buffer,
    sink: &mut Stream,
    cx: &mut Context,
) -> Way {
    loop {
        while !(ahead.is_empty() && queue.is_empty()) {
            match sink.write_both(ahead.bytes(), queue.bytes()) {
                Ok(Io::Moved(count)) => {
                    let of_ahead = count.min(ahead.len());
                    ahead.consume(of_ahead);
                    queue.consume(count - of_ahead);
                    cx.turn.charge(count);
                }
                Ok(_) => return Way::Open,
                Err(_) => return Way::Broken,
            }
        }
        ahead.release(&mut cx.buffers);
        if cx.turn.is_over() {
            return Way::Open;
        }
        match read(source, queue, &mut cx.buffers) {
            Ok(Io::Moved(_)) => {}
            Ok(Io::Blocked) => return Way::Open,
            Ok(Io::End) => {
                sink.finish_writing();
                return Way::Ended;
            }
            Err(()) => return Way::Broken,
        }
    }
}

fn read(source: &mut Stream, queue: &mut Buffer, pool: &mut BufferPool) -> Result<Io, ()> {
    let outcome = source.read(queue, pool, Size::Large).map_err(|_| ());
    queue.release_if_empty(pool);
    outcome
}
