//! Values that are valid but make no sense together: a route behind another that takes all
//! its requests, a pool that no route names, a redirect to where it came from.
//!
//! A route is compared with each earlier one alone that may cover it ([`wider`](super::wider)). So what two of them cover only together is
//! not found, but whatever is found is true.

use std::collections::{HashMap, HashSet};

use super::super::document::At;
use super::super::plan::{
    Action, BackendPlan, HostMatch, ListenerPlan, Matcher, PathMatch, RoutePlan, Template, TemplatePart,
    ValueMatch,
};
use super::super::reader::Problems;
use super::pool::{Named, Pools};
use super::route::{Placed, is_below};
use super::wider::Earlier;

/// Warns about all of it.
pub(super) fn warn(
    routes: &[Placed<'_>],
    pools: &Pools<'_>,
    listeners: &[ListenerPlan],
    problems: &mut Problems,
) {
    let mut earlier = Earlier::default();
    for (index, route) in routes.iter().enumerate() {
        let mut candidates =
            earlier.that_may_cover(&route.plan.matcher).into_iter().map(|place| &routes[place]);
        let covered = candidates.find(|other| covers(&other.plan.matcher, &route.plan.matcher, listeners));
        if let Some(first) = covered {
            let what = if is_for_all(&first.plan.matcher, listeners) {
                "takes every request"
            } else {
                "takes every request that this one matches"
            };
            let message = format!("can never be reached: {}, which comes first, {what}", first.at.pointer);
            problems.warn(route.at, message);
        } else if leads_back(&route.plan, &earlier) {
            problems.warn(route.at, "redirects to a path that it matches itself: clients would loop");
        }
        earlier.add(index, &route.plan.matcher);
    }
    let used: HashSet<_> = routes
        .iter()
        .filter_map(|route| match route.plan.action {
            Action::Forward(pool) => Some(usize::from(pool.get())),
            _ => None,
        })
        .collect();
    let mut names = HashMap::new();
    for (index, pool) in pools.list.iter().enumerate() {
        if !used.contains(&index) {
            problems.warn(pool.at, format!("no route leads to the pool {:?}", pool.name));
        }
        warn_of_shared_names(pool, &mut names, problems);
    }
}

/// Whether a route certainly gets the request again that it sends a client to make.
fn leads_back(route: &RoutePlan, earlier: &Earlier<'_>) -> bool {
    let Action::Redirect { location: Template(parts), .. } = &route.action else { return false };
    let ([TemplatePart::Text(text)] | [TemplatePart::Text(text), TemplatePart::Query]) = parts.as_slice()
    else {
        return false;
    };
    // Another host or scheme is another place.
    if !text.starts_with('/') || text.starts_with("//") {
        return false;
    }
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let is_for = |matcher: &Matcher| match &matcher.path {
        None => true,
        Some(PathMatch::Exact(exact)) => exact == path,
        Some(PathMatch::Prefix(prefix)) => is_below(path, prefix),
    };
    is_for(&route.matcher) && !earlier.is_for(path)
}

/// The servers that have had a name so far: the first one, and the first of another address.
type Servers<'a> = HashMap<&'a str, Vec<(&'a BackendPlan, &'a At)>>;

/// Commands and metrics name backends without their pools.
fn warn_of_shared_names<'a>(pool: &'a Named<'a>, names: &mut Servers<'a>, problems: &mut Problems) {
    let backends = pool.pool.iter().flat_map(|pool| &pool.plan.backends);
    let same = |a: &BackendPlan, b: &BackendPlan| (&a.host, a.port) == (&b.host, b.port);
    for backend in backends.clone() {
        let known = names.get(backend.name.as_str()).into_iter().flatten();
        if let Some((_, shared)) = known.clone().find(|(other, _)| !same(other, backend)) {
            let message = format!(
                "its backend {:?} has the same name as another server in {}: commands that name it affect both",
                backend.name, shared.pointer
            );
            problems.warn(pool.at, message);
        }
    }
    for backend in backends {
        let known = names.entry(&backend.name).or_default();
        // Two are enough: any further one differs from one of them.
        if known.len() < 2 && !known.iter().any(|(other, _)| same(other, backend)) {
            known.push((backend, pool.at));
        }
    }
}

fn is_for_all(matcher: &Matcher, listeners: &[ListenerPlan]) -> bool {
    covers(matcher, &Matcher::default(), listeners)
}

/// Whether `wide` is for every request that `narrow` is for. True only if that is certain.
fn covers(wide: &Matcher, narrow: &Matcher, listeners: &[ListenerPlan]) -> bool {
    let listens =
        |matcher: &Matcher, name: &String| matcher.listeners.is_empty() || matcher.listeners.contains(name);
    listeners.iter().all(|listener| !listens(narrow, &listener.name) || listens(wide, &listener.name))
        && all_or(&wide.hosts, &narrow.hosts, covers_host)
        && match (&wide.path, &narrow.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => covers_path(wide, narrow),
        }
        && all_or(&wide.methods, &narrow.methods, |wide, narrow| wide == narrow)
        && needs_no_more(&wide.headers, &narrow.headers, |a, b| a.eq_ignore_ascii_case(b))
        && needs_no_more(&wide.cookies, &narrow.cookies, |a, b| a == b)
}

/// Of two lists that mean everything when they are empty: whether each member of the second is
/// covered by one of the first.
fn all_or<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    let covered = |narrow: &T| wide.iter().any(|wide| covers(wide, narrow));
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(covered))
}

fn covers_host(wide: &HostMatch, narrow: &HostMatch) -> bool {
    match (wide, narrow) {
        (HostMatch::Exact(wide), HostMatch::Exact(narrow)) => wide == narrow,
        (HostMatch::Exact(_), HostMatch::Suffix(_)) => false,
        (HostMatch::Suffix(wide), HostMatch::Exact(narrow) | HostMatch::Suffix(narrow)) => {
            narrow.ends_with(wide.as_str())
        }
    }
}

fn covers_path(wide: &PathMatch, narrow: &PathMatch) -> bool {
    match (wide, narrow) {
        (PathMatch::Exact(wide), PathMatch::Exact(narrow)) => wide == narrow,
        (PathMatch::Exact(_), PathMatch::Prefix(_)) => false,
        (PathMatch::Prefix(wide), PathMatch::Exact(narrow) | PathMatch::Prefix(narrow)) => {
            is_below(narrow, wide)
        }
    }
}

/// Whether whatever `wide` asks for is asked for by `narrow` too.
fn needs_no_more(wide: &[ValueMatch], narrow: &[ValueMatch], same: impl Fn(&str, &str) -> bool) -> bool {
    wide.iter().all(|wide| {
        let asks = |narrow: &ValueMatch| {
            same(&wide.name, &narrow.name) && (wide.value.is_none() || wide.value == narrow.value)
        };
        narrow.iter().any(asks)
    })
}
