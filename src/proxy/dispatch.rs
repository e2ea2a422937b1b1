//! Where a request goes: its route, whether it may take it, and what it becomes on that way.
//!
//! `explain` asks the same functions through [`preview`], so it cannot tell anything else.

use std::net::SocketAddr;

use crate::base::buffer::{Buffer, Size};
use crate::config::plan::{Action, Limits, RoutePlan, Template, TemplatePart};
use crate::http::{Ambiguous, BodyLength, HeadError, HeadLimits, Method, RequestHead};
use crate::proxy::client::Client;
use crate::proxy::client_address::origin;
use crate::proxy::context::{Context, ListenerInfo};
use crate::proxy::exchange::Exchange;
use crate::proxy::failure::Failure;
use crate::proxy::forwarded::Sender;
use crate::proxy::reply::Fixed;
use crate::proxy::rewrite::{self, Changes, Dropped};
use crate::proxy::text::Text;
use crate::proxy::{max_forwards, target};
use crate::route::password_queue::Full;
use crate::route::{self, Asker, Clearance, NotFound, Refusal};
use crate::upstream::snapshot::Snapshot;

/// Where a request goes.
pub(super) enum Direction {
    /// To a backend of its route's pool.
    Pool,
    /// Nowhere yet: its password must be hashed first.
    Password,
    /// Nowhere: the configuration has the answer.
    Answer(Fixed),
}

/// The limits on heads, of clients and of backends.
pub fn head_limits(snapshot: &Snapshot) -> HeadLimits {
    let Limits { head, fields, target, .. } = snapshot.plan.limits;
    HeadLimits { bytes: head, fields, target }
}

/// Finds the route of a request, asks whether it may take it, and does what the route says.
pub(super) fn find(
    head: &RequestHead<'_, '_>,
    client: &Client,
    exchange: &mut Exchange,
    cx: &mut Context,
) -> Result<Direction, Failure> {
    let snapshot = &exchange.snapshot;
    let origin = origin(client.peer, &snapshot.plan.trusted_proxies, head.fields);
    exchange.asked.asker = Some(origin.asker);
    if let Some(failure) = unserved(head) {
        return Err(failure);
    }
    let found = snapshot.routes.find(&asked(&client.listener.name, head)).map_err(not_found)?;
    let plan = snapshot.route(found.place);
    exchange.routed.route = Some(found.place);
    if found.guards().next().is_some() {
        let hashed = exchange.routed.password.as_ref();
        match snapshot.routes.admit(&found, origin.asker, head.fields, cx.now, hashed).map_err(refused)? {
            Clearance::Granted(user) => exchange.routed.user = user,
            Clearance::Pending(authenticator, credentials) => {
                let ticket = cx.shared.passwords.join(&authenticator, credentials, &cx.unpark);
                exchange.routed.password = Some(ticket.map_err(|Full| Failure::PasswordsBusy)?);
                return Ok(Direction::Password);
            }
        }
    }
    match &plan.action {
        Action::Forward(_) if max_forwards::is_spent(head) => {
            let message = (head.method == Method::Trace).then(|| max_forwards::traced(head));
            Ok(Direction::Answer(message.map_or(Fixed::Options, Fixed::Trace)))
        }
        Action::Forward(pool) => {
            exchange.routed.pool = Some(pool.get());
            exchange.tries.left = plan.retries;
            if snapshot.plan.limits.body_rate.is_some() {
                exchange.upload.too_slow_at = cx.now + plan.timeouts.body_grace;
            }
            exchange.upload.outbound.prepare(&mut cx.buffers, Size::Small);
            let peer = client.peer.ip().to_canonical();
            let sender = Sender { origin, peer, listener: client.listener.address };
            let dropped =
                rewritten(snapshot, plan, &sender, head, &exchange.asked.id, &mut exchange.upload.outbound)?;
            if dropped.underscored > 0
                && let Some(shard) = cx.shared.shards.get(cx.worker)
            {
                shard.dropped_fields(dropped.underscored);
            }
            if is_too_large(plan, head) { Err(Failure::BodyTooLarge) } else { Ok(Direction::Pool) }
        }
        Action::Redirect { location, .. } if head.host.is_none() && names_host(location) => {
            Err(Failure::BadHead(HeadError::HostMissing))
        }
        Action::Redirect { status, location } => {
            let location = target::filled(location, plan, head).map_err(ambiguous)?;
            Ok(Direction::Answer(Fixed::Redirect { status: *status, location }))
        }
        Action::Respond(_) => Ok(Direction::Answer(Fixed::Respond)),
    }
}

/// Whether a redirect leads to the host that was asked for, which HTTP/1.0 need not name.
fn names_host(location: &Template) -> bool {
    location.0.contains(&TemplatePart::Host)
}

/// Why a request is for no route, whatever the routes are.
fn unserved(head: &RequestHead<'_, '_>) -> Option<Failure> {
    (head.method == Method::Connect).then_some(Failure::Connect)
}

/// The status and the reason with which a request is refused before it is looked for a route.
pub fn refusal(head: &RequestHead<'_, '_>) -> Option<(u16, &'static str)> {
    unserved(head).map(|failure| (failure.row().status, failure.text()))
}

/// Whether a request says that its body is larger than its route allows.
pub fn is_too_large(route: &RoutePlan, head: &RequestHead<'_, '_>) -> bool {
    matches!((head.body, route.body_max), (BodyLength::Fixed(length), Some(max)) if length > max)
}

/// What routes look at in a request.
pub fn asked<'a>(listener: &'a str, head: &'a RequestHead<'_, '_>) -> route::Request<'a> {
    route::Request {
        listener,
        host: head.host.unwrap_or_default(),
        method: head.method_token,
        // Of an absolute target without a path only the query is left.
        target: if head.target_prefix.is_empty() { head.target } else { head.target_prefix },
        fields: head.fields,
    }
}

/// The id in such a preview.
const EXAMPLE_ID: &[u8] = b"00000000000000000000000000000000";

/// What a backend would be sent for a request of this client, or why it would be sent nothing.
///
/// # Errors
/// The status and the reason: the request goes round in a loop, or its path cannot be rewritten.
pub fn preview(
    snapshot: &Snapshot,
    route: &RoutePlan,
    info: &ListenerInfo,
    client: SocketAddr,
    head: &RequestHead<'_, '_>,
) -> Result<String, (u16, &'static str)> {
    let (mut out, mut id) = (Buffer::default(), Text::default());
    // The same request id each time, so that two answers can be compared.
    id.set(EXAMPLE_ID);
    let peer = client.ip().to_canonical();
    let origin = origin(client, &snapshot.plan.trusted_proxies, head.fields);
    let sender = Sender { origin, peer, listener: info.address };
    rewritten(snapshot, route, &sender, head, &id, &mut out)
        .map_err(|failure| (failure.row().status, failure.text()))?;
    Ok(String::from_utf8_lossy(out.bytes()).into_owned())
}

/// The client that guards see for a request from this peer: a trusted proxy forwards for others.
pub fn client_of(snapshot: &Snapshot, peer: SocketAddr, head: &RequestHead<'_, '_>) -> Asker {
    origin(peer, &snapshot.plan.trusted_proxies, head.fields).asker
}

/// Where a template of a route redirects a request to.
///
/// # Errors
/// A sentence: the path cannot be put into the template.
pub fn location(
    template: &Template,
    route: &RoutePlan,
    head: &RequestHead<'_, '_>,
) -> Result<String, &'static str> {
    target::filled(template, route, head).map_err(|why| ambiguous(why).text())
}

fn rewritten(
    snapshot: &Snapshot,
    route: &RoutePlan,
    sender: &Sender,
    head: &RequestHead<'_, '_>,
    id: &Text<64>,
    out: &mut Buffer,
) -> Result<Dropped, Failure> {
    let target = target::rewritten(route, head).map_err(ambiguous)?;
    let headers = &snapshot.plan.headers;
    let changes = Changes { target: target.as_deref(), ops: &route.request_headers, headers };
    rewrite::request(head, sender, &changes, id, out)
}

fn ambiguous(_: Ambiguous) -> Failure {
    Failure::AmbiguousPath
}

fn not_found(why: NotFound) -> Failure {
    match why {
        NotFound::NoRoute => Failure::NoRoute,
        NotFound::Ambiguous => Failure::AmbiguousPath,
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Network => Failure::Forbidden,
        Refusal::Credentials(guard) => Failure::Unauthorized(guard),
        // Rounded up: a client that comes a moment too early has to come again.
        Refusal::TooMany(wait) => {
            Failure::TooMany(u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX))
        }
    }
}
