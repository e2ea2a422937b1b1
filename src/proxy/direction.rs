//! Where a request goes: its route, whether it may take it, and what it becomes on that way.
//!
//! `explain` asks the same functions through [`preview`], so it cannot tell anything else.

use std::net::{IpAddr, SocketAddr};

use crate::base::buffer::{Buffer, Size};
use crate::base::clock::Moment;
use crate::config::plan::{Action, RoutePlan, Template};
use crate::http::{Ambiguous, BodyLength, Method, RequestHead};
use crate::proxy::client_address::client_address;
use crate::proxy::context::{Context, Entrance};
use crate::proxy::failure::Failure;
use crate::proxy::reply::Fixed;
use crate::proxy::rewrite::{self, Changes, From};
use crate::proxy::target;
use crate::proxy::task::{Client, Request, Text};
use crate::upstream::password_queue::Full;
use crate::upstream::route::{self, Clearance, NotFound, Refusal};
use crate::upstream::snapshot::Snapshot;

/// Where a request goes.
pub(super) enum Direction {
    /// To a backend of its route's pool.
    Pool,
    /// Nowhere yet: its password is to be hashed first.
    Password,
    /// Nowhere: the configuration has the answer.
    Answer(Fixed),
}

/// Finds the route of a request, asks whether it may take it, and does what the route says.
pub(super) fn find(
    head: &RequestHead<'_, '_>,
    client: &Client,
    request: &mut Request,
    snapshot: &Snapshot,
    cx: &mut Context,
) -> Result<Direction, Failure> {
    if let Some(failure) = unserved(head) {
        return Err(failure);
    }
    let found = snapshot.routes.find(&asked(&client.entrance.name, head)).map_err(not_found)?;
    let plan = snapshot.route(found.place);
    request.route = Some(found.place);
    if found.guards().next().is_some() {
        let from = client_address(client.peer, &snapshot.plan.trusted_proxies, head.fields);
        let hashed = request.password.as_ref();
        match snapshot.routes.admit(&found, from, head.fields, cx.now, hashed).map_err(refused)? {
            Clearance::Granted(user) => request.user = user,
            Clearance::Pending(authenticator, credentials) => {
                let ticket = cx.shared.passwords.join(&authenticator, credentials, &cx.unpark);
                request.password = Some(ticket.map_err(|Full| Failure::PasswordsBusy)?);
                return Ok(Direction::Password);
            }
        }
    }
    match &plan.action {
        Action::Forward(pool) => {
            // INVARIANT: `check` refuses more pools than a place can tell apart.
            request.pool = u16::try_from(*pool).ok();
            request.tries_left = plan.retries;
            if snapshot.plan.limits.body_rate.is_some() {
                request.too_slow_at = cx.now + plan.timeouts.body_grace;
            }
            request.outbound.prepare(&mut cx.buffers, Size::Small);
            let from = from(snapshot, &client.entrance, client.peer, &client.peer_text);
            rewritten(plan, &from, head, request, &mut cx.rng)?;
            if is_too_large(plan, head) { Err(Failure::BodyTooLarge) } else { Ok(Direction::Pool) }
        }
        Action::Redirect { status, location } => {
            let location = target::filled(location, plan, head).map_err(ambiguous)?;
            Ok(Direction::Answer(Fixed::Redirect { status: *status, location }))
        }
        Action::Respond(_) => Ok(Direction::Answer(Fixed::Respond)),
    }
}

/// Why a request is for no route, whatever the routes are.
fn unserved(head: &RequestHead<'_, '_>) -> Option<Failure> {
    (head.method == Method::Connect).then_some(Failure::Connect)
}

/// The status and the reason with which a request is refused before it is looked for a route.
pub fn refusal(head: &RequestHead<'_, '_>) -> Option<(u16, &'static str)> {
    unserved(head).map(|failure| (failure.row().status, failure.row().text))
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

/// What a backend would be sent for a request of this client, or why it would be sent nothing.
///
/// # Errors
/// The status and the reason: the request goes round in a loop, or its path cannot be rewritten.
pub fn preview(
    snapshot: &Snapshot,
    route: &RoutePlan,
    entrance: &Entrance,
    client: SocketAddr,
    head: &RequestHead<'_, '_>,
) -> Result<String, (u16, &'static str)> {
    let mut request = Request::new(Moment::ZERO);
    request.outbound = Buffer::default();
    let mut peer_text = Text::default();
    peer_text.set(client.ip().to_string().as_bytes());
    let from = from(snapshot, entrance, client, &peer_text);
    // The same request id each time, so that two answers can be compared.
    rewritten(route, &from, head, &mut request, &mut fastrand::Rng::with_seed(0))
        .map_err(|failure| (failure.row().status, failure.row().text))?;
    Ok(String::from_utf8_lossy(request.outbound.bytes()).into_owned())
}

/// Whom the guards take for the client of a request from this peer: a trusted proxy speaks for
/// another.
pub fn client_of(snapshot: &Snapshot, peer: SocketAddr, head: &RequestHead<'_, '_>) -> IpAddr {
    client_address(peer, &snapshot.plan.trusted_proxies, head.fields)
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
    target::filled(template, route, head).map_err(|why| ambiguous(why).row().text)
}

fn from<'t>(snapshot: &Snapshot, entrance: &Entrance, peer: SocketAddr, text: &'t Text<45>) -> From<'t> {
    let trusted = &snapshot.plan.trusted_proxies;
    From {
        peer: text.as_bytes(),
        listener: entrance.address,
        trusted: trusted.iter().any(|network| network.contains(&peer.ip().to_canonical())),
    }
}

fn rewritten(
    route: &RoutePlan,
    from: &From<'_>,
    head: &RequestHead<'_, '_>,
    request: &mut Request,
    rng: &mut fastrand::Rng,
) -> Result<(), Failure> {
    let target = target::rewritten(route, head).map_err(ambiguous)?;
    let changes = Changes { target: target.as_deref(), headers: &route.request_headers };
    rewrite::request(head, from, &changes, request, rng)
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
