//! What one configuration changes about another, in lines for people: what a reload reports,
//! and what `ropewalk plan` prints without running anything.
//!
//! Values are compared field by field, and every line shows the old and the new value. Secrets are
//! compared and not shown. A default that many routes inherit is reported once.

mod list;
mod routes;
mod shown;

use std::collections::{HashMap, HashSet};

use super::plan::{
    AccessLogPlan, AdminPlan, BackendPlan, Ejection, HeaderPlan, HealthCheck, Limits, LogPlan, Parts,
    PoolPlan,
};
use crate::base::counted::Counted;
use list::{Changes, compare_fields};
use shown::{Bytes, Shown};

/// Takes effect only at the next start.
const AT_START: &str = "(from the next start on)";

/// Every difference, a line each, in the order of the configuration. Empty if there is none.
pub fn changes(before: &Parts, after: &Parts) -> Vec<String> {
    let mut lines = Vec::new();
    listeners(&mut lines, before, after);
    admin(&mut lines, before.admin.as_ref(), after.admin.as_ref());
    if before.workers != after.workers {
        lines.push(format!("workers: {} -> {} {AT_START}", before.workers, after.workers));
    }
    let mut whole = Changes::default();
    log(&mut whole, &before.log, &after.log);
    // Every field is compared here, above or below.
    let Parts {
        listeners: _,
        admin: _,
        workers: _,
        log: _,
        timeouts: _,
        limits: _,
        trusted_proxies: _,
        headers: _,
        pools: _,
        routes: _,
        error_pages: _,
    } = before;
    routes::timeouts(&mut whole, &before.timeouts, &after.timeouts);
    limits(&mut whole, &before.limits, &after.limits);
    whole.list("trusted_proxies", &before.trusted_proxies, &after.trusted_proxies);
    let HeaderPlan { via, forwarded, underscores } = before.headers;
    whole.value("headers.via", &via, &after.headers.via);
    whole.value("headers.forwarded", &forwarded, &after.headers.forwarded);
    whole.value("headers.underscores", &underscores, &after.headers.underscores);
    routes::error_pages(&mut whole, &before.error_pages, &after.error_pages);
    lines.extend(whole.list.iter().map(ToString::to_string));
    pools(&mut lines, &before.pools, &after.pools);
    routes::routes(&mut lines, before, after, &whole);
    lines
}

fn listeners(lines: &mut Vec<String>, before: &Parts, after: &Parts) {
    let names =
        |plan: &Parts| plan.listeners.iter().map(|listener| listener.name.clone()).collect::<Vec<_>>();
    let (closed, opened) = (names(before), names(after));
    lines.extend(missing(&closed, &opened).map(|name| format!("listener {name}: closed")));
    lines.extend(missing(&opened, &closed).map(|name| format!("listener {name}: opened")));
    for after in &after.listeners {
        let before = before.listeners.iter().find(|before| before.name == after.name);
        if let Some(before) = before.filter(|before| before.address != after.address) {
            lines.push(format!("listener {}: {} -> {}", after.name, before.address, after.address));
        }
    }
}

/// What is in the first list and not in the second.
fn missing<'a>(list: &'a [String], other: &'a [String]) -> impl Iterator<Item = &'a String> {
    let other: HashSet<_> = other.iter().collect();
    list.iter().filter(move |name| !other.contains(name))
}

fn admin(lines: &mut Vec<String>, before: Option<&AdminPlan>, after: Option<&AdminPlan>) {
    let mut changes = Changes::default();
    let address = |admin: Option<&AdminPlan>| match admin {
        Some(AdminPlan { address, token: _ }) => address.to_string(),
        None => "none".to_owned(),
    };
    let (old, new) = (address(before), address(after));
    if old != new {
        changes.say("admin", format!("{old} -> {new}"));
    }
    let token = |admin: Option<&AdminPlan>| admin.and_then(|admin| admin.token.clone());
    changes.secret("admin.token", token(before).as_ref(), token(after).as_ref());
    lines.extend(changes.list.iter().map(|change| format!("{change} {AT_START}")));
}

fn log(changes: &mut Changes, before: &LogPlan, after: &LogPlan) {
    compare_fields!(changes, "log.", LogPlan { level } but { access }, before, after);
    let sink = |log: &LogPlan| log.access.as_ref().map(|access| access.sink.clone());
    changes.value("log.access", &sink(before), &sink(after));
    if let (Some(before), Some(after)) = (&before.access, &after.access) {
        compare_fields!(changes, "log.", AccessLogPlan { format } but { sink }, before, after);
    }
}

fn limits(changes: &mut Changes, before: &Limits, after: &Limits) {
    compare_fields!(
        changes,
        "limits.",
        Limits { connections, connections_per_client, tunnels, fields, requests_per_connection, queue, upstream_idle } but {
            head, target, body, body_rate, response_rate, interim, memory
        },
        before,
        after
    );
    changes.value("limits.head", &Bytes(before.head as u64), &Bytes(after.head as u64));
    changes.value("limits.target", &Bytes(before.target as u64), &Bytes(after.target as u64));
    let sizes = |limits: &Limits| {
        let Limits { body, body_rate, response_rate, interim, memory, .. } = *limits;
        [
            ("body", body),
            ("body_rate", body_rate),
            ("response_rate", response_rate),
            ("interim", interim),
            ("memory", memory),
        ]
    };
    for ((name, before), (_, after)) in sizes(before).into_iter().zip(sizes(after)) {
        changes.value(&format!("limits.{name}"), &before.map(Bytes), &after.map(Bytes));
    }
}

fn pools(lines: &mut Vec<String>, before: &[PoolPlan], after: &[PoolPlan]) {
    let names: HashSet<_> = after.iter().map(|pool| &pool.name).collect();
    let removed = before.iter().filter(|pool| !names.contains(&pool.name));
    lines.extend(removed.map(|pool| format!("pool {}: removed", pool.name)));
    let known: HashMap<_, _> = before.iter().map(|pool| (&pool.name, pool)).collect();
    for pool in after {
        let name = &pool.name;
        let Some(old) = known.get(name).copied() else {
            lines.push(format!("pool {name}: added, with {}", Counted(pool.backends.len(), "backend")));
            continue;
        };
        let mut changes = Changes::default();
        compare_fields!(
            changes,
            "",
            PoolPlan { strategy, retry_on_status } but { name, health_check, ejection, backends },
            old,
            pool
        );
        health_check(&mut changes, old.health_check.as_ref(), pool.health_check.as_ref());
        ejection(&mut changes, old.ejection.as_ref(), pool.ejection.as_ref());
        backends(&mut changes, old, pool);
        lines.extend(changes.list.iter().map(|change| format!("pool {name}: {change}")));
    }
}

fn health_check(changes: &mut Changes, before: Option<&HealthCheck>, after: Option<&HealthCheck>) {
    match (before, after) {
        (Some(before), Some(after)) => compare_fields!(
            changes,
            "health_check.",
            HealthCheck { probe, port, interval, timeout, healthy_after, unhealthy_after } but {},
            before,
            after
        ),
        (None, None) => {}
        (Some(_), None) => changes.say("health_check", "on -> off"),
        (None, Some(after)) => changes.say("health_check", format!("off -> {}", after.probe.shown())),
    }
}

fn ejection(changes: &mut Changes, before: Option<&Ejection>, after: Option<&Ejection>) {
    match (before, after) {
        (Some(before), Some(after)) => {
            let Ejection { failures, ratio, time, time_max, pool_max, on_status } = after;
            changes.value("ejection.failures", &before.failures, failures);
            changes.value("ejection.ratio", &before.ratio, ratio);
            changes.value("ejection.for", &before.time, time);
            changes.value("ejection.for_max", &before.time_max, time_max);
            changes.value("ejection.pool_max", &before.pool_max, pool_max);
            changes.value("ejection.on_status", &before.on_status, on_status);
        }
        (None, None) => {}
        (Some(_), None) => changes.say("ejection", "on -> off"),
        (None, Some(_)) => changes.say("ejection", "off -> on"),
    }
}

fn backends(changes: &mut Changes, before: &PoolPlan, after: &PoolPlan) {
    // A backend is identified by its address, not by its name.
    fn address(backend: &BackendPlan) -> (&str, u16) {
        (&backend.host, backend.port)
    }
    let new: HashSet<_> = after.backends.iter().map(address).collect();
    let known: HashMap<_, _> = before.backends.iter().map(|backend| (address(backend), backend)).collect();
    for gone in before.backends.iter().filter(|old| !new.contains(&address(old))) {
        changes.say(&format!("backend {}", gone.name), "removed; its requests finish");
    }
    for backend in &after.backends {
        let BackendPlan { name, host, port, weight, max_connections: _ } = backend;
        let what = format!("backend {name}");
        match known.get(&address(backend)) {
            None => changes.say(&what, format!("added ({host}:{port}, weight {weight})")),
            Some(old) => {
                if old.name != *name {
                    changes.say(&format!("backend {}", old.name), format!("now called {name}"));
                }
                changes.value(&format!("{what}: weight"), &old.weight, weight);
                changes.value(
                    &format!("{what}: max_connections"),
                    &old.max_connections,
                    &backend.max_connections,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use crate::config::plan::Plan;

    fn plan(text: &str) -> Plan {
        let checked = Document::from_json("c", text).and_then(|document| document.check());
        checked.unwrap_or_else(|errors| panic!("{errors}")).plan
    }

    const ONE: &str = r#"{ "backends": [ { "name": "a", "url": "http://h:1" } ] }"#;

    #[test]
    fn the_same_configuration_changes_nothing() {
        assert!(changes(&plan(ONE), &plan(ONE)).is_empty());
    }

    #[test]
    fn each_difference_is_a_line() {
        let other = plan(
            r#"{ "port": 81, "strategy": "random", "request_timeout": "5s", "retries": 1,
                 "timeouts": { "head": "1s" }, "limits": { "connections": 5, "body": "1KiB" },
                 "backends": [ { "name": "b", "url": "http://h:1", "weight": 2 },
                               { "name": "c", "url": "http://h:2" } ] }"#,
        );
        let lines = changes(&plan(ONE), &other);
        let expected = [
            "listener 0.0.0.0:8080: closed",
            "listener 0.0.0.0:81: opened",
            "timeouts.head: 10s -> 1s",
            "request_timeout: 1m -> 5s",
            "limits.connections: 10000 -> 5",
            "limits.tunnels: 7500 -> 4",
            "limits.body: none -> 1KiB",
            "pool default: strategy: round-robin -> random",
            "pool default: backend a: now called b",
            "pool default: backend b: weight: 1 -> 2",
            "pool default: backend c: added (h:2, weight 1)",
            "route default: retries: 2 -> 1",
        ];
        assert_eq!(lines, expected);
        let back = changes(&other, &plan(ONE));
        assert!(
            back.contains(&"pool default: backend c: removed; its requests finish".to_owned()),
            "{back:#?}"
        );
    }

    const ROUTES: &str = r#"{ "pools": { "web": { "backends": [ { "name": "a", "url": "http://h:1" } ] } }, "routes": [
        { "name": "login", "match": { "path": "/login" }, "pool": "web", "rate_limit": { "requests": 5 } },
        { "name": "old", "match": { "host": ["a.com", "b.com"] }, "redirect": { "location": "/new" } },
        { "name": "down", "match": { "path_prefix": "/down" }, "respond": { "body": "one" } },
        { "name": "www", "pool": "web" } ] }"#;

    fn difference(replacements: &[(&str, &str)]) -> Vec<String> {
        let mut text = ROUTES.to_owned();
        for (from, to) in replacements {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        changes(&plan(ROUTES), &plan(&text))
    }

    #[test]
    fn a_line_says_what_was_and_what_is() {
        for (from, to, expected) in [
            (r#""/login""#, r#""/sign-in""#, "route login: match.path: /login -> /sign-in"),
            (r#""requests": 5"#, r#""requests": 6, "burst": 5"#, "route login: rate_limit.requests: 5 -> 6"),
            (r#", "rate_limit": { "requests": 5 }"#, "", "route login: rate_limit: removed"),
            (r#""b.com""#, r#""c.com""#, "route old: match.host: removed b.com; added c.com"),
            (
                r#""/new""#,
                r#""/new{query}""#,
                "route old: action: redirect 302 to /new -> redirect 302 to /new{query}",
            ),
            (
                r#""one""#,
                r#""two""#,
                "route down: action: respond 200 with 3 bytes of text/plain; charset=utf-8, with another body",
            ),
            (r#""www","#, r#""www", "allow": "10.0.0.0/8","#, "route www: allow: added 10.0.0.0/8"),
            (
                r#""www","#,
                r#""www", "request_headers": {"set": {"Authorization": "Basic x"}},"#,
                "route www: request_headers.set.Authorization: added",
            ),
            (
                r#""www","#,
                r#""www", "error_pages": {"502": {"body": "x"}},"#,
                "route www: error_pages.502: added",
            ),
            (
                r#""www","#,
                r#""www", "limits": {"body": "1MiB"}, "retries": 2,"#,
                "route www: limits.body: none -> 1MiB",
            ),
            (
                r#""www", "pool": "web""#,
                r#""www", "respond": {}"#,
                "route www: action: pool web -> respond 200 with 0 bytes of text/plain; charset=utf-8",
            ),
            (
                r#"{ "backends""#,
                r#"{ "health_check": { "path": "/h" }, "backends""#,
                "pool web: health_check.probe: tcp -> http /h, healthy with 200-299",
            ),
            (
                r#"{ "backends""#,
                r#"{ "health_check": "off", "backends""#,
                "pool web: health_check: on -> off",
            ),
        ] {
            assert_eq!(difference(&[(from, to)]), [expected], "{from} {to}");
        }
    }

    #[test]
    fn what_routes_inherit_is_said_where_it_was_changed() {
        let top =
            [(r#"{ "pools""#, r#"{ "limits": { "body": "1KiB" }, "timeouts": { "connect": "3s" }, "pools""#)];
        assert_eq!(difference(&top), ["timeouts.connect: 2s -> 3s", "limits.body: none -> 1KiB"]);
        let of_pool = [(r#"{ "backends""#, r#"{ "timeouts": { "connect": "3s" }, "backends""#)];
        assert_eq!(difference(&of_pool), ["routes login, www: timeouts.connect: 2s -> 3s"]);
    }

    #[test]
    fn secrets_are_compared_and_not_shown() {
        let hash = |salt: char| format!("$6${salt}${}", "a".repeat(86));
        let text = |salt, token: &str, field: &str| {
            plan(&format!(
                r#"{{ "admin": {{ "address": "127.0.0.1:1", "token": "{token}" }}, "backends": [ {{ "url": "http://h:1" }} ],
                     "basic_auth": {{ "users": {{ "ann": "{}" }} }}, "request_headers": {{ "set": {{ "A": "{field}" }} }} }}"#,
                hash(salt)
            ))
        };
        let lines =
            changes(&text('s', "first-s3cret-token", "s3cret1"), &text('t', "other-s3cret-token", "s3cret2"));
        let expected = [
            "admin.token: another one (not shown) (from the next start on)",
            "route default: request_headers.set.A: another one (not shown)",
            "route default: basic_auth.users.ann: another one (not shown)",
        ];
        assert_eq!(lines, expected);
    }
}
