//! What would happen to a request, and why: asked of the same routes, backends and rewriting
//! that requests meet, so that the answer cannot differ from what happens.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::admin::operations::Question;
use crate::base::clock;
use crate::base::counted::Counted;
use crate::config::plan::{Action, Plan, PoolIndex, RateLimitKey, RoutePlan, Timeouts};
use crate::http::{Field, HeadStorage, RequestHead, is_plain, normalise, parse_request, split_query};
use crate::proxy::context::ListenerInfo;
use crate::proxy::dispatch;
use crate::route::{Asker, NotFound};
use crate::upstream::backend::{Backend, Unusable};
use crate::upstream::ejection::View;
use crate::upstream::snapshot::Snapshot;

/// Explains what a configuration would do with a request, without running it: every backend
/// is taken to be up unless the question says otherwise.
///
/// # Errors
/// The URL or a field of the question is malformed.
pub fn explain_plan(plan: &Plan, question: &Question) -> Result<String, String> {
    let listeners: Vec<_> = plan
        .listeners
        .iter()
        .map(|listener| {
            let (name, address) = (listener.name.clone(), listener.address);
            Arc::new(ListenerInfo { id: 0, name, address, planned: address })
        })
        .collect();
    explain(&Snapshot::new(plan.clone()), &listeners, question)
}

/// Explains what would happen to a request now.
pub(super) fn explain(
    snapshot: &Snapshot,
    listeners: &[Arc<ListenerInfo>],
    question: &Question,
) -> Result<String, String> {
    let text = head_of(question)?;
    if let Some(unknown) = question.down.iter().find(|name| !snapshot.backends().any(|b| b.name() == **name))
    {
        let names: Vec<_> = snapshot.backends().map(|backend| backend.name()).collect();
        return Err(format!("there is no backend {unknown:?}; there are: {}", names.join(", ")));
    }
    let mut storage = HeadStorage::within(dispatch::head_limits(snapshot));
    let head = parse_request(text.as_bytes(), &mut storage)
        .map_err(|error| format!("this request would be answered {}: {}", error.status(), error.explain()))?;
    let answers = listeners.iter().map(|info| {
        let mut out = String::new();
        one(snapshot, info, question, &head, &mut out);
        (info.name.as_str(), out)
    });
    Ok(together(&answers.collect::<Vec<_>>()))
}

/// The answers for several listeners in one text: lines that they share are printed once.
fn together(answers: &[(&str, String)]) -> String {
    let [(_, first), rest @ ..] = answers else { return String::new() };
    if rest.is_empty() {
        return first.clone();
    }
    let names =
        |answers: &[(&str, String)]| answers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let is_alike = rest.iter().all(|(_, other)| other.lines().count() == first.lines().count());
    let mut out = String::new();
    if !is_alike {
        for (name, text) in answers {
            push(&mut out, format_args!("Through listener {name}:\n{}", text.trim_end()));
        }
        return out;
    }
    push(&mut out, format_args!("Through each of the listeners {}:", names(answers)));
    for (place, line) in first.lines().enumerate() {
        let of = |text: &str| text.lines().nth(place).unwrap_or_default().to_owned();
        if rest.iter().all(|(_, other)| of(other) == line) {
            push(&mut out, format_args!("{line}"));
            continue;
        }
        for (name, text) in answers {
            push(&mut out, format_args!("{} (through {name})", of(text)));
        }
    }
    out
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
    info: &ListenerInfo,
    question: &Question,
    head: &RequestHead<'_, '_>,
    out: &mut String,
) {
    if let Some((status, reason)) = dispatch::refusal(head) {
        push(out, format_args!("answered {status}: {reason}"));
        return;
    }
    let asked = dispatch::asked(&info.name, head);
    let found = snapshot.routes.find(&asked);
    reading(asked.target, out);
    if let Err(why @ NotFound::Ambiguous) = found {
        push(out, format_args!("answered 400: {why}, and a route has guards"));
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
    let guards: Vec<_> =
        std::iter::once(found.place).chain(found.guards_of_other_readings().iter().copied()).collect();
    let peer = SocketAddr::new(question.client.unwrap_or_else(|| example(snapshot, &guards)), EXAMPLE_PORT);
    let client = dispatch::client_of(snapshot, peer, head);
    let mut refused = admission(route, client, question, head.fields, out);
    for &place in found.guards_of_other_readings() {
        if refused.is_some() {
            break;
        }
        let other = snapshot.route(place);
        push(
            out,
            format_args!(
                "route {}: its guards too, as a backend may read the path as one of its",
                other.name
            ),
        );
        refused = admission(other, client, question, head.fields, out);
    }
    if let Some(status) = refused {
        push(out, format_args!("answered {status}"));
        return;
    }
    match &route.action {
        Action::Forward(pool) => forward(snapshot, *pool, route, &Asked { info, question, peer, head }, out),
        Action::Redirect { status, location } => match dispatch::location(location, route, head) {
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

/// A documentation address (RFC 5737), so that no real client is meant.
const EXAMPLE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const EXAMPLE_PORT: u16 = 50_000;

/// A client that all of these routes serve, if one is easily found.
fn example(snapshot: &Snapshot, places: &[u16]) -> IpAddr {
    let networks = places.iter().flat_map(|&place| &snapshot.route(place).allow);
    let firsts = networks.filter_map(|network| network.hosts().next());
    let mut candidates = std::iter::once(EXAMPLE).chain(firsts);
    let is_served = |client: &IpAddr| {
        let asker = Asker { address: *client, known: true };
        places.iter().all(|&place| snapshot.routes.serves(place, asker))
    };
    candidates.find(is_served).unwrap_or(EXAMPLE)
}

/// What a route asks of its clients, and the status of one that is refused.
fn admission(
    route: &RoutePlan,
    client: Asker,
    question: &Question,
    fields: &[Field<'_>],
    out: &mut String,
) -> Option<u16> {
    let mut refused = None;
    networks(route, client, question, &mut refused, out);
    // Who is refused by address is not counted, and not asked for a password.
    if refused.is_some() {
        return refused;
    }
    if let Some(limit) = &route.rate_limit {
        let per = humantime::format_duration(limit.per);
        let whose = match limit.key {
            RateLimitKey::Client => "each client",
            RateLimitKey::Route => "all clients together",
        };
        push(
            out,
            format_args!(
                "  rate_limit: counted: {whose} may make {} per {per}, and {} at once; more get 429",
                Counted(limit.requests as usize, "request"),
                limit.burst
            ),
        );
    }
    if let Some(auth) = &route.basic_auth {
        let verdict = match user(fields) {
            None => {
                refused = refused.or(Some(401));
                "this request has no \"Authorization: Basic\" and gets 401".to_owned()
            }
            Some(name) if auth.users.iter().any(|(known, _)| *known == name) => {
                format!("the password of {name:?} is checked; a wrong one gets 401")
            }
            Some(name) => {
                refused = refused.or(Some(401));
                format!("there is no user {name:?}, so this request gets 401")
            }
        };
        push(out, format_args!("  basic_auth: a user of {:?} is needed: {verdict}", auth.realm));
    }
    refused
}

/// What `allow` and `deny` say. Without a client, only what they say about clients other than the
/// example.
fn networks(
    route: &RoutePlan,
    Asker { address: client, known }: Asker,
    question: &Question,
    refused: &mut Option<u16>,
    out: &mut String,
) {
    let list = |list: &[ipnet::IpNet]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let find = |list: &[ipnet::IpNet]| list.iter().find(|network| network.contains(&client)).copied();
    if !known {
        if !(route.deny.is_empty() && route.allow.is_empty()) {
            push(
                out,
                format_args!(
                    "  allow and deny: a trusted proxy names no address for its client, which gets 403"
                ),
            );
            *refused = Some(403);
        }
        return;
    }
    if question.client.is_none() {
        if !route.deny.is_empty() {
            push(out, format_args!("  deny: clients from {} get 403", list(&route.deny)));
        }
        if !route.allow.is_empty() {
            push(
                out,
                format_args!("  allow: only clients from {} are served; others get 403", list(&route.allow)),
            );
        }
        return;
    }
    if let Some(network) = find(&route.deny) {
        push(out, format_args!("  deny: {client} is in {network} and gets 403"));
        *refused = Some(403);
    } else if !route.deny.is_empty() {
        push(out, format_args!("  deny: {client} is in none of {}", list(&route.deny)));
    }
    if let Some(network) = find(&route.allow) {
        push(out, format_args!("  allow: {client} is in {network}"));
    } else if !route.allow.is_empty() {
        push(out, format_args!("  allow: {client} is in none of {} and gets 403", list(&route.allow)));
        *refused = Some(403);
    }
}

/// The user that a request names, if it names one as Basic authentication does.
fn user(fields: &[Field<'_>]) -> Option<String> {
    let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    let only = named.next().filter(|_| named.next().is_none())?;
    let (scheme, encoded) = only.value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(String::from_utf8_lossy(decoded.get(..colon)?).into_owned())
}

/// Why a backend is not a candidate that is ejected, or only for one request.
fn ejected(backend: &Backend) -> String {
    let Some(View { until, reason }) = backend.ejection() else {
        return format!("candidate, weight {}, {} in flight", backend.weight(), backend.active());
    };
    let now = clock::now();
    if until > now {
        let left = humantime::format_duration(Duration::from_secs(until.since(now).as_secs() + 1));
        return format!("not a candidate: ejected for {left} more after failed requests: {reason}");
    }
    format!("candidate for one request at a time: ejected after failed requests: {reason}")
}

/// The request that is asked about, as it arrives.
struct Asked<'a> {
    info: &'a ListenerInfo,
    question: &'a Question,
    peer: SocketAddr,
    head: &'a RequestHead<'a, 'a>,
}

fn forward(snapshot: &Snapshot, pool: PoolIndex, route: &RoutePlan, asked: &Asked<'_>, out: &mut String) {
    let Asked { info, question, peer, head } = *asked;
    let pool = snapshot.pool(pool.get());
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
            Err(Unusable::Ejected) => ejected(backend),
            Err(Unusable::Drained) => "not a candidate: drained (weight 0)".to_owned(),
        };
        push(out, format_args!("  {} ({}): {state}", backend.name(), address_of(backend)));
    }
    let usable = |name: &str| !question.down.iter().any(|down| down == name);
    if !pool.backends().iter().any(|backend| backend.is_usable() && usable(backend.name())) {
        push(out, format_args!("  no backend can be used: 503"));
    }
    let Timeouts { connect, response_head, response_body, request, .. } = &route.timeouts;
    let shown = |time: &std::time::Duration| humantime::format_duration(*time).to_string();
    push(
        out,
        format_args!(
            "deadlines: connect {}, response head {}, between two bytes of a response {}, in all {}",
            shown(connect),
            shown(response_head),
            shown(response_body),
            request.as_ref().map_or_else(|| "none".to_owned(), shown)
        ),
    );
    push(out, format_args!("tries: 1, and {} more where a retry can do no harm", route.retries));
    if let Some(max) = route.body_max {
        let verdict = if dispatch::is_too_large(route, head) { ", as this one does" } else { "" };
        push(out, format_args!("a body over {max} bytes gets 413{verdict}"));
    }
    let whose = match question.client {
        Some(_) => "",
        None => " (an example; --client names another)",
    };
    push(out, format_args!("what the backend is sent, by a client at {}{whose}:", peer.ip()));
    match dispatch::preview(snapshot, route, info, peer, head) {
        Ok(text) => {
            for line in text.trim_end().lines() {
                push(out, format_args!("  {line}"));
            }
        }
        Err((status, why)) => push(out, format_args!("  nothing: answered {status}: {why}")),
    }
}

/// Host and port as they are written: an IPv6 address in brackets.
pub(super) fn address_of(backend: &Backend) -> String {
    let (host, port) = (backend.host(), backend.port());
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
