//! The differences between routes. A change that several routes share is reported once, and an
//! inherited change is reported where it was made.

use std::collections::{HashMap, HashSet};

use super::list::{Change, Changes, compare_fields};
use super::shown::{Bytes, Shown};
use crate::config::plan::{
    Action, BasicAuth, ErrorPage, HeaderOps, Matcher, Parts, RateLimit, RoutePlan, Timeouts,
};

/// Adds a line for each difference. `inherited` was reported for the top level.
pub(super) fn routes(lines: &mut Vec<String>, before: &Parts, after: &Parts, inherited: &Changes) {
    let names = |plan: &Parts| plan.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    let (old, new) = (names(before), names(after));
    let (in_old, in_new): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
    for route in before.routes.iter().filter(|route| !in_new.contains(&route.name)) {
        lines.push(format!("route {}: removed ({})", route.name, action(before, route)));
    }
    for route in after.routes.iter().filter(|route| !in_old.contains(&route.name)) {
        lines.push(format!("route {}: added ({})", route.name, action(after, route)));
    }
    // Each difference, and the routes that have it.
    let mut shared: Vec<(Change, Vec<&str>)> = Vec::new();
    let mut places: HashMap<Change, usize> = HashMap::new();
    let known: HashMap<_, _> = before.routes.iter().map(|route| (&route.name, route)).collect();
    let mut stayed = 0;
    for route in &after.routes {
        let Some(earlier) = known.get(&route.name).copied() else { continue };
        stayed += 1;
        for change in differences(before, earlier, after, route).without(inherited).list {
            let place = *places.entry(change.clone()).or_insert(shared.len());
            match shared.get_mut(place) {
                Some((_, names)) => names.push(&route.name),
                None => shared.push((change, vec![&route.name])),
            }
        }
    }
    for (change, names) in shared {
        lines.push(match names.as_slice() {
            [only] => format!("route {only}: {change}"),
            all if all.len() == stayed => format!("all {stayed} routes: {change}"),
            some => format!("routes {}: {change}", listed(some)),
        });
    }
    let in_both = |list: &[String], other: &HashSet<&String>| {
        list.iter().filter(|name| other.contains(name)).cloned().collect::<Vec<_>>()
    };
    let (before_order, after_order) = (in_both(&old, &in_new), in_both(&new, &in_old));
    if before_order != after_order {
        lines.push(format!("routes: in another order: {}", listed(&after_order)));
    }
}

/// Names in one line, and how many more there are.
fn listed<T: AsRef<str>>(names: &[T]) -> String {
    /// LIMIT: names in a line. There may be ten thousand routes.
    const NAMES_MAX: usize = 12;
    let shown: Vec<_> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn differences(before: &Parts, old: &RoutePlan, after: &Parts, new: &RoutePlan) -> Changes {
    let mut changes = Changes::default();
    compare_fields!(
        changes,
        "",
        RoutePlan { strip_prefix, rewrite, retries } but {
            name, matcher, action, request_headers, response_headers, timeouts, body_max, allow, deny,
            basic_auth, rate_limit, error_pages
        },
        old,
        new
    );
    matcher(&mut changes, &old.matcher, &new.matcher);
    let (leads, led) = (action(after, new), action(before, old));
    if leads != led {
        changes.say("action", format!("{led} -> {leads}"));
    } else if !matches!((&old.action, &new.action), (Action::Forward(_), Action::Forward(_)))
        && old.action != new.action
    {
        changes.say("action", format!("{leads}, with another body"));
    }
    fields(&mut changes, "request_headers", &old.request_headers, &new.request_headers);
    fields(&mut changes, "response_headers", &old.response_headers, &new.response_headers);
    timeouts(&mut changes, &old.timeouts, &new.timeouts);
    changes.value("limits.body", &old.body_max.map(Bytes), &new.body_max.map(Bytes));
    changes.list("allow", &old.allow, &new.allow);
    changes.list("deny", &old.deny, &new.deny);
    users(&mut changes, old.basic_auth.as_ref(), new.basic_auth.as_ref());
    rate_limit(&mut changes, old.rate_limit.as_ref(), new.rate_limit.as_ref());
    error_pages(&mut changes, &old.error_pages, &new.error_pages);
    changes
}

/// What a route does, in a few words. A place means another pool in another plan, so names are compared.
fn action(plan: &Parts, route: &RoutePlan) -> String {
    match &route.action {
        Action::Forward(pool) => {
            format!("pool {}", plan.pools.get(usize::from(pool.get())).map_or("", |pool| pool.name.as_str()))
        }
        Action::Redirect { status, location } => format!("redirect {status} to {}", location.shown()),
        Action::Respond(response) => {
            format!(
                "respond {} with {} bytes of {}",
                response.status,
                response.body.len(),
                response.content_type
            )
        }
    }
}

fn matcher(changes: &mut Changes, old: &Matcher, new: &Matcher) {
    compare_fields!(changes, "match.", Matcher { path } but { listeners, hosts, methods, headers, cookies }, old, new);
    changes.list("match.listener", &old.listeners, &new.listeners);
    changes.list("match.host", &old.hosts, &new.hosts);
    changes.list("match.methods", &old.methods, &new.methods);
    changes.list("match.headers", &old.headers, &new.headers);
    changes.list("match.cookies", &old.cookies, &new.cookies);
}

/// Fields that are set or added may be credentials for the backend, so their values are not shown.
fn fields(changes: &mut Changes, key: &str, old: &HeaderOps, new: &HeaderOps) {
    let HeaderOps { remove: _, set: _, add: _ } = old;
    changes.list(&format!("{key}.remove"), &old.remove, &new.remove);
    for (verb, old, new) in [("set", &old.set, &new.set), ("add", &old.add, &new.add)] {
        for name in names(old, new) {
            let values = |list: &[(String, String)]| {
                let values: Vec<_> = list.iter().filter(|(known, _)| *known == name).cloned().collect();
                (!values.is_empty()).then_some(values)
            };
            changes.secret(&format!("{key}.{verb}.{name}"), values(old).as_ref(), values(new).as_ref());
        }
    }
}

/// Each name of two lists once.
fn names(old: &[(String, String)], new: &[(String, String)]) -> Vec<String> {
    let mut names: Vec<_> = old.iter().chain(new).map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn users(changes: &mut Changes, old: Option<&BasicAuth>, new: Option<&BasicAuth>) {
    let (Some(old), Some(new)) = (old, new) else {
        return changes.secret("basic_auth", old, new);
    };
    compare_fields!(changes, "basic_auth.", BasicAuth { realm } but { users }, old, new);
    for name in names(&old.users, &new.users) {
        let hash = |auth: &BasicAuth| auth.users.iter().find(|(user, _)| *user == name).cloned();
        changes.secret(&format!("basic_auth.users.{name}"), hash(old).as_ref(), hash(new).as_ref());
    }
}

fn rate_limit(changes: &mut Changes, old: Option<&RateLimit>, new: Option<&RateLimit>) {
    match (old, new) {
        (None, None) => {}
        (Some(old), Some(new)) => {
            compare_fields!(changes, "rate_limit.", RateLimit { requests, per, burst, key } but {}, old, new);
        }
        (_, None) => changes.say("rate_limit", "removed"),
        (None, Some(new)) => {
            changes.say("rate_limit", format!("added: {} per {}", new.requests, new.per.shown()));
        }
    }
}

/// Bodies of answers of our own.
pub(super) fn error_pages(changes: &mut Changes, old: &[ErrorPage], new: &[ErrorPage]) {
    let statuses = |pages: &[ErrorPage]| pages.iter().map(|page| page.statuses.clone()).collect::<Vec<_>>();
    let mut all = statuses(old);
    all.extend(statuses(new).into_iter().filter(|it| !all.contains(it)).collect::<Vec<_>>());
    for range in all {
        // The first that is for a status counts.
        let page = |pages: &[ErrorPage]| pages.iter().find(|page| page.statuses == range).cloned();
        let key = format!("error_pages.{}", range.shown());
        match (page(old), page(new)) {
            (None, Some(_)) => changes.say(&key, "added"),
            (Some(_), None) => changes.say(&key, "removed"),
            (Some(old), Some(new)) if old != new => {
                let of = |page: &ErrorPage| format!("{} bytes of {}", page.body.len(), page.content_type);
                changes.say(&key, format!("another body ({} -> {})", of(&old), of(&new)));
            }
            _ => {}
        }
    }
}

pub(super) fn timeouts(changes: &mut Changes, old: &Timeouts, new: &Timeouts) {
    compare_fields!(
        changes,
        "timeouts.",
        Timeouts {
            head, keep_alive, body_idle, body_grace, queue, connect, response_head, response_body, write_idle,
            tunnel_idle, upstream_keep_alive, drain,
        } but { request },
        old,
        new
    );
    changes.value("request_timeout", &old.request, &new.request);
}
