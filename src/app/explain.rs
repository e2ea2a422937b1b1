//! What would happen to a request, and why: asked of the same routes, backends and rewriting
//! that requests meet, so that the answer cannot differ from what happens.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::app::operations::address_of;
use crate::config::plan::{Action, Plan, RoutePlan, Timeouts};
use crate::http::{Field, HeadStorage, RequestHead, is_plain, normalise, parse_request, split_query};
use crate::proxy::context::Entrance;
use crate::proxy::direction;
use crate::side::admin::operations::Question;
use crate::upstream::backend::Unusable;
use crate::upstream::route::NotFound;
use crate::upstream::snapshot::Snapshot;

/// Explains what a configuration would do with a request, without running it: every backend
/// is taken to be up unless the question says otherwise.
///
/// # Errors
/// The URL or a field of the question is malformed.
pub fn explain_plan(plan: &Plan, question: &Question) -> Result<String, String> {
    let entrances: Vec<_> = plan
        .listeners
        .iter()
        .map(|listener| {
            let (name, address) = (listener.name.clone(), listener.address);
            Arc::new(Entrance { id: 0, name, address, planned: address })
        })
        .collect();
    explain(&Snapshot::new(plan.clone()), &entrances, question)
}

/// Explains what would happen to a request now.
pub(super) fn explain(
    snapshot: &Snapshot,
    entrances: &[Arc<Entrance>],
    question: &Question,
) -> Result<String, String> {
    let text = head_of(question)?;
    if let Some(unknown) = question.down.iter().find(|name| !snapshot.backends().any(|b| b.name() == **name))
    {
        let names: Vec<_> = snapshot.backends().map(|backend| backend.name()).collect();
        return Err(format!("there is no backend {unknown:?}; there are: {}", names.join(", ")));
    }
    let mut storage = HeadStorage::new();
    let head = parse_request(text.as_bytes(), &mut storage)
        .map_err(|error| format!("this request would be answered {}: {}", error.status(), error.explain()))?;
    let mut out = String::new();
    for entrance in entrances {
        if entrances.len() > 1 {
            push(&mut out, format_args!("Through listener {}:", entrance.name));
        }
        one(snapshot, entrance, question, &head, &mut out);
    }
    Ok(out)
}

/// The request's head as a client would send it.
fn head_of(question: &Question) -> Result<String, String> {
    let Question { method, url, headers, .. } = question;
    let example = "write it like http://example.com/path";
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} has no scheme; {example}"))?;
    if !["http", "https"].contains(&scheme) {
        return Err(format!("{url:?} is neither http nor https; {example}"));
    }
    let path = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(path);
    if host.is_empty() {
        return Err(format!("{url:?} names no host; {example}"));
    }
    let slash = if target.starts_with('/') { "" } else { "/" };
    let target = target.split('#').next().unwrap_or_default();
    let mut head = format!("{method} {slash}{target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        let _ = write!(head, "Host: {host}\r\n");
    }
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    Ok(head)
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = writeln!(out, "{line}");
}

fn one(
    snapshot: &Snapshot,
    entrance: &Entrance,
    question: &Question,
    head: &RequestHead<'_, '_>,
    out: &mut String,
) {
    if let Some((status, reason)) = direction::refusal(head) {
        push(out, format_args!("answered {status}: {reason}"));
        return;
    }
    let asked = direction::asked(&entrance.name, head);
    let found = snapshot.routes.find(&asked);
    reading(asked.target, out);
    if let Err(why @ NotFound::Ambiguous) = found {
        push(out, format_args!("answered 400: {why}, and something is guarded"));
        return;
    }
    for (place, mismatch) in snapshot.routes.mismatches(&asked).iter().enumerate() {
        let name = snapshot.plan.routes.get(place).map_or("", |route| &route.name);
        push(out, format_args!("route {name}: not this one, {mismatch}"));
    }
    let Ok(found) = found else {
        push(out, format_args!("no route matches: 404"));
        return;
    };
    let route = snapshot.route(found.place);
    push(out, format_args!("route {}: matches", route.name));
    admission(route, head.fields, out);
    for &place in found.guards_of_other_readings() {
        let other = snapshot.route(place);
        push(
            out,
            format_args!(
                "route {}: its guards too, as a backend may read the path as one of its",
                other.name
            ),
        );
        admission(other, head.fields, out);
    }
    match &route.action {
        Action::Forward(pool) => forward(snapshot, *pool, route, entrance, question, head, out),
        Action::Redirect { status, location } => match direction::location(location, route, head) {
            Ok(location) => push(out, format_args!("answered {status} with Location: {location}")),
            Err(why) => push(out, format_args!("answered 400: {why}")),
        },
        Action::Respond(response) => {
            push(out, format_args!("answered {} with {} bytes", response.status, response.body.len()));
        }
    }
}

/// How the path is read when routes are compared with it, if that is not as it stands.
fn reading(target: &str, out: &mut String) {
    let path = split_query(target).0;
    if !is_plain(path) {
        let normal = String::from_utf8_lossy(&normalise(path)).into_owned();
        push(out, format_args!("the path is compared as {normal}"));
    }
}

/// What stands between the client and its route.
fn admission(route: &RoutePlan, fields: &[Field<'_>], out: &mut String) {
    let networks =
        |list: &[ipnet::IpNet]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !route.deny.is_empty() {
        push(out, format_args!("  clients from {} get 403", networks(&route.deny)));
    }
    if !route.allow.is_empty() {
        push(out, format_args!("  only clients from {} are served; others get 403", networks(&route.allow)));
    }
    if let Some(limit) = &route.rate_limit {
        let per = humantime::format_duration(limit.per);
        let whose = match limit.key {
            crate::config::plan::RateLimitKey::Client => "each client",
            crate::config::plan::RateLimitKey::Route => "all clients together",
        };
        push(
            out,
            format_args!(
                "  {whose}: {} requests per {per}, {} at once; more get 429",
                limit.requests, limit.burst
            ),
        );
    }
    if let Some(auth) = &route.basic_auth {
        let says = fields.iter().any(|field| field.name.eq_ignore_ascii_case("authorization"));
        let verdict = if says { "the password would be checked" } else { "this request gets 401" };
        push(out, format_args!("  a user of {:?} is needed: {verdict}", auth.realm));
    }
}

fn forward(
    snapshot: &Snapshot,
    pool: usize,
    route: &RoutePlan,
    entrance: &Entrance,
    question: &Question,
    head: &RequestHead<'_, '_>,
    out: &mut String,
) {
    // INVARIANT: the plan was checked, so its routes name pools that are there.
    let pool = &snapshot.pools[pool];
    push(out, format_args!("pool {}: {}, in listed order:", pool.name(), pool.strategy().name()));
    for backend in pool.backends() {
        let state = match backend.usability() {
            _ if question.down.iter().any(|name| name == backend.name()) => {
                "not a candidate: taken for down".to_owned()
            }
            Ok(()) => format!("candidate, weight {}, {} in flight", backend.weight(), backend.active()),
            Err(Unusable::Down) => {
                let reason = backend.health(|judgement| judgement.evidence().map(|why| why.to_string()));
                format!(
                    "not a candidate: down after {}",
                    reason.unwrap_or_else(|| "a failed probe".to_owned())
                )
            }
            Err(Unusable::Drained) => "not a candidate: drained (weight 0)".to_owned(),
        };
        push(out, format_args!("  {} ({}): {state}", backend.name(), address_of(backend)));
    }
    let usable = |name: &str| !question.down.iter().any(|down| down == name);
    if !pool.backends().iter().any(|backend| backend.is_usable() && usable(backend.name())) {
        push(out, format_args!("  nobody is left: 503"));
    }
    let Timeouts { connect, response_head, upstream_idle, request, .. } = &route.timeouts;
    let shown = |time: &std::time::Duration| humantime::format_duration(*time).to_string();
    push(
        out,
        format_args!(
            "deadlines: connect {}, response head {}, between two bytes of a response {}, in all {}",
            shown(connect),
            shown(response_head),
            shown(upstream_idle),
            request.as_ref().map_or_else(|| "none".to_owned(), shown)
        ),
    );
    push(out, format_args!("tries: 1, and {} more where a retry can do no harm", route.retries));
    if let Some(max) = route.body_max {
        let verdict = if direction::is_too_large(route, head) { ", as this one does" } else { "" };
        push(out, format_args!("a body over {max} bytes gets 413{verdict}"));
    }
    push(out, format_args!("what the backend is sent, by a client at 192.0.2.1:"));
    // An address that is for documentation (RFC 5737), so that nobody takes it for theirs.
    let client = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 50_000);
    match direction::preview(snapshot, route, entrance, client, head) {
        Ok(text) => {
            for line in text.trim_end().lines() {
                push(out, format_args!("  {line}"));
            }
        }
        Err((status, why)) => push(out, format_args!("  nothing: answered {status}: {why}")),
    }
}
