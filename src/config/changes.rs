//! What one configuration changes about another, in lines for people: what a reload reports,
//! and what `ropewalk plan` prints without running anything.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;

use super::plan::{BackendPlan, Limits, Plan, PoolPlan, RoutePlan, Timeouts};

/// Every difference, a line each, in the order of the configuration. Empty if there is none.
pub fn changes(before: &Plan, after: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    let names = |plan: &Plan| plan.listeners.iter().map(|listener| listener.name.clone()).collect::<Vec<_>>();
    let (closed, opened) = (names(before), names(after));
    lines.extend(missing(&closed, &opened).map(|name| format!("listener {name}: closed")));
    lines.extend(missing(&opened, &closed).map(|name| format!("listener {name}: opened")));
    for after in &after.listeners {
        let before = before.listeners.iter().find(|before| before.name == after.name);
        if let Some(before) = before.filter(|before| before.address != after.address) {
            lines.push(format!("listener {}: {} -> {}", after.name, before.address, after.address));
        }
    }
    differ(&mut lines, "admin (from the next start on)", &before.admin, &after.admin);
    if before.workers != after.workers {
        lines.push(format!("workers: {} -> {} (from the next start on)", before.workers, after.workers));
    }
    if before.log.level != after.log.level {
        lines.push(format!("log level: {} -> {}", before.log.level, after.log.level));
    }
    differ(&mut lines, "access log", &before.log.access, &after.log.access);
    timeouts(&mut lines, "timeouts", &before.timeouts, &after.timeouts);
    limits(&mut lines, &before.limits, &after.limits);
    differ(&mut lines, "trusted_proxies", &before.trusted_proxies, &after.trusted_proxies);
    differ(&mut lines, "error_pages", &before.error_pages, &after.error_pages);
    pools(&mut lines, &before.pools, &after.pools);
    routes(&mut lines, before, after);
    lines
}

/// What is in the first list and not in the second.
fn missing<'a>(list: &'a [String], other: &'a [String]) -> impl Iterator<Item = &'a String> {
    let other: HashSet<_> = other.iter().collect();
    list.iter().filter(move |name| !other.contains(name))
}

/// Says that something is not the same, where it would be long to say how.
fn differ<T: PartialEq>(lines: &mut Vec<String>, what: &str, before: &T, after: &T) {
    if before != after {
        lines.push(format!("{what}: changed"));
    }
}

/// Says how a value has changed.
fn became<T: PartialEq + Debug>(lines: &mut Vec<String>, what: &str, before: &T, after: &T) {
    if before != after {
        let (before, after) = (plain(&format!("{before:?}")), plain(&format!("{after:?}")));
        lines.push(format!("{what}: {before} -> {after}"));
    }
}

/// The `Debug` form of a value as an operator would say it: `none` where there is none.
fn plain(debug: &str) -> String {
    match debug.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')) {
        Some(value) => value.to_owned(),
        None if debug == "None" => "none".to_owned(),
        None => debug.to_owned(),
    }
}

fn pools(lines: &mut Vec<String>, before: &[PoolPlan], after: &[PoolPlan]) {
    let is_in = |pools: &[PoolPlan], name: &str| pools.iter().any(|pool| pool.name == name);
    lines.extend(
        before
            .iter()
            .filter(|pool| !is_in(after, &pool.name))
            .map(|pool| format!("pool {}: removed", pool.name)),
    );
    for pool in after {
        let name = &pool.name;
        let Some(old) = before.iter().find(|old| old.name == *name) else {
            lines.push(format!("pool {name}: added, with {} backends", pool.backends.len()));
            continue;
        };
        became(lines, &format!("pool {name}: strategy"), &old.strategy.name(), &pool.strategy.name());
        became(lines, &format!("pool {name}: retry_on_status"), &old.retry_on_status, &pool.retry_on_status);
        differ(lines, &format!("pool {name}: health_check"), &old.health_check, &pool.health_check);
        backends(lines, old, pool);
    }
}

fn backends(lines: &mut Vec<String>, before: &PoolPlan, after: &PoolPlan) {
    // A backend is where it is, whatever it is called.
    let same = |a: &BackendPlan, b: &BackendPlan| (&a.host, a.port) == (&b.host, b.port);
    let pool = &after.name;
    for gone in before.backends.iter().filter(|old| !after.backends.iter().any(|new| same(old, new))) {
        lines.push(format!("pool {pool}: backend {} removed; its requests finish", gone.name));
    }
    for backend in &after.backends {
        let BackendPlan { name, host, port, weight, .. } = backend;
        match before.backends.iter().find(|old| same(old, backend)) {
            None => lines.push(format!("pool {pool}: backend {name} added ({host}:{port}, weight {weight})")),
            Some(old) if old != backend => {
                if old.name != *name {
                    lines.push(format!("pool {pool}: backend {} is now called {name}", old.name));
                }
                became(lines, &format!("pool {pool}: backend {name}: weight"), &old.weight, weight);
                let what = format!("pool {pool}: backend {name}: max_connections");
                became(lines, &what, &old.max_connections, &backend.max_connections);
            }
            Some(_) => {}
        }
    }
}

fn routes(lines: &mut Vec<String>, before: &Plan, after: &Plan) {
    let names = |plan: &Plan| plan.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    let (old, new) = (names(before), names(after));
    lines.extend(missing(&old, &new).map(|name| format!("route {name}: removed")));
    lines.extend(missing(&new, &old).map(|name| format!("route {name}: added")));
    let known: HashMap<_, _> = before.routes.iter().map(|route| (&route.name, route)).collect();
    for after_route in &after.routes {
        let name = &after_route.name;
        let Some(before_route) = known.get(name).copied() else { continue };
        // Pools are numbered by their place, which may differ for the same pool.
        let leads_to = |plan: &Plan, route: &RoutePlan| match &route.action {
            super::plan::Action::Forward(pool) => plan.pools.get(*pool).map(|pool| pool.name.clone()),
            _ => None,
        };
        let mut same = before_route.clone();
        if leads_to(before, before_route) == leads_to(after, after_route)
            && leads_to(after, after_route).is_some()
        {
            same.action = after_route.action.clone();
        }
        timeouts(lines, &format!("route {name}: timeouts"), &same.timeouts, &after_route.timeouts);
        same.timeouts = after_route.timeouts.clone();
        differ(lines, &format!("route {name}"), &same, after_route);
    }
    let stayed = |list: &[String], other: &[String]| {
        list.iter().filter(|name| other.contains(name)).cloned().collect::<Vec<_>>()
    };
    if stayed(&old, &new) != stayed(&new, &old) {
        lines.push("routes: in another order".to_owned());
    }
}

fn timeouts(lines: &mut Vec<String>, what: &str, before: &Timeouts, after: &Timeouts) {
    if before != after {
        lines.push(format!("{what}: {}", parts(before, after)));
    }
}

fn limits(lines: &mut Vec<String>, before: &Limits, after: &Limits) {
    if before != after {
        lines.push(format!("limits: {}", parts(before, after)));
    }
}

/// The fields of two values of a flat type that are not the same, as `name old -> new`. Their
/// `Debug` form names every field there is, so none can be forgotten here.
fn parts<T: Debug>(before: &T, after: &T) -> String {
    let (before, after) = (format!("{before:#?}"), format!("{after:#?}"));
    let fields = |text: &str| {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("    ").map(|line| line.split_once(": ")) {
                // A field of the type itself; what is indented further belongs to the last one.
                Some(Some((name, value))) if !name.starts_with(' ') => {
                    fields.push((name.to_owned(), value.to_owned()));
                }
                Some(_) => {
                    if let Some((_, value)) = fields.last_mut() {
                        value.push_str(line.trim());
                    }
                }
                None => {}
            }
        }
        fields
    };
    let changed = fields(&before).into_iter().zip(fields(&after)).filter(|(before, after)| before != after);
    let tidy = |value: &str| plain(&value.trim_end_matches(',').replace(",)", ")"));
    let parts: Vec<_> = changed
        .map(|((name, before), (_, after))| format!("{name} {} -> {}", tidy(&before), tidy(&after)))
        .collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

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
        for line in [
            "listener 0.0.0.0:8080: closed",
            "listener 0.0.0.0:81: opened",
            "timeouts: head 10s -> 1s, request 60s -> 5s",
            "limits: connections 10000 -> 5, tunnels 7500 -> 4, body none -> 1024",
            "pool default: strategy: \"round-robin\" -> \"random\"",
            "pool default: backend a is now called b",
            "pool default: backend b: weight: 1 -> 2",
            "pool default: backend c added (h:2, weight 1)",
            "route default: changed",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line:?} is not in {lines:#?}");
        }
        let back = changes(&other, &plan(ONE));
        assert!(
            back.contains(&"pool default: backend c removed; its requests finish".to_owned()),
            "{back:#?}"
        );
    }
}
