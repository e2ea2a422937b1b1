//! A group of backends: strategy, retries, health check, members.
//!
//! In the simple form its keys stand at the top level of the document; the `pools` of the
//! full form will hold the same keys, one object for each, and be read by this same code.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::plan::{BackendPlan, HealthCheck, ListenerPlan, PoolPlan, Probe, Strategy};
use super::super::reader::{self, Fields, Problems, Zero, shown};
use super::super::url::BackendUrl;
use crate::base::limits::{RETRIES_MAX, WEIGHT_MAX};

const STRATEGIES: &[(&str, Strategy)] = &[
    ("round-robin", Strategy::RoundRobin),
    ("weighted-round-robin", Strategy::WeightedRoundRobin),
    ("least-connections", Strategy::LeastConnections),
    ("random", Strategy::Random),
];

/// The pool whose keys stand in `fields`. `None` only after an error has been written down.
pub(super) fn read(
    fields: &mut Fields<'_>,
    listeners: &[ListenerPlan],
    problems: &mut Problems,
) -> Option<(PoolPlan, u32)> {
    let strategy = fields.take("strategy").and_then(|node| reader::word(node, STRATEGIES, problems));
    let strategy = strategy.unwrap_or(Strategy::RoundRobin);
    let retries_node = fields.take("retries");
    let retries = retries_node.and_then(|node| reader::number(node, 0..=u64::from(RETRIES_MAX), problems));
    let retry_on_status = fields.take("retry_on_status").map(|node| error_statuses(node, problems));
    let health_check = health_check(fields.take("health_check"), problems);
    let Some(backends_node) = fields.take("backends") else {
        // The caller may still ask for more keys, but none of them resembles this one.
        if !fields.misspelt("backends") {
            let message = r#"is missing; write "backends": [{"url": "http://127.0.0.1:9001"}]"#;
            problems.error(&fields.at.missing("backends"), message);
        }
        return None;
    };
    let members = backends(backends_node, problems)?;
    for (node, backend) in &members {
        if let Some(listener) = listeners.iter().find(|listener| is_itself(listener, backend)) {
            let message =
                format!("is ropewalk's own address {}: requests would go round for ever", listener.address);
            problems.error(&node.at, message);
        }
    }
    if members.len() == 1
        && let (Some(node), Some(1..)) = (retries_node, retries)
    {
        problems.warn(&node.at, "can never be used: a retry goes to another backend, and there is only one");
    }
    if strategy == Strategy::RoundRobin
        && let Some((node, _)) = members.iter().find(|(_, backend)| backend.weight > 1)
    {
        let message =
            r#"the weight is not used by "round-robin"; did you mean "strategy": "weighted-round-robin"?"#;
        problems.warn(&node.at, message);
    }
    let plan = PoolPlan {
        name: "default".to_owned(),
        strategy,
        retry_on_status: retry_on_status.unwrap_or_default(),
        health_check,
        backends: members.into_iter().map(|(_, backend)| backend).collect(),
    };
    Some((plan, retries.map_or(2, |retries| retries as u32)))
}

/// Statuses that tell of an error.
fn error_statuses(node: &Node, problems: &mut Problems) -> Vec<u16> {
    let nodes = reader::list(node, problems).unwrap_or_default();
    nodes
        .iter()
        .filter_map(|node| reader::number(node, 400..=599, problems))
        .map(|status| status as u16)
        .collect()
}

/// The members, each with the node it was read from. `None` when one of them is wrong, so
/// that nothing is concluded from the rest.
fn backends<'a>(node: &'a Node, problems: &mut Problems) -> Option<Vec<(&'a Node, BackendPlan)>> {
    let nodes = reader::list(node, problems)?;
    if nodes.is_empty() {
        problems.error(&node.at, r#"the list is empty; write [{"url": "http://127.0.0.1:9001"}]"#);
        return None;
    }
    let mut names: HashMap<String, &str> = HashMap::new();
    let mut addresses: HashMap<(String, u16), &str> = HashMap::new();
    let read: Vec<_> = nodes.iter().map(|node| backend(node, problems)).collect();
    for member in read.iter().flatten() {
        let pointer = member.node.at.pointer.as_str();
        let address = (member.plan.host.clone(), member.plan.port);
        // A double URL is also a double default name; one message is enough.
        if let Some(first) = addresses.insert(address, pointer) {
            let message =
                format!("is the same backend as {first}; use \"weight\" to give one a larger share");
            problems.error(&member.url.at, message);
        } else if let Some(first) = names.insert(member.plan.name.clone(), pointer) {
            let message = format!("{:?} is already the name of {first}; names are unique", member.plan.name);
            problems.error(&member.name.unwrap_or(member.node).at, message);
        }
    }
    let members: Option<Vec<_>> =
        read.into_iter().map(|member| member.map(|member| (member.node, member.plan))).collect();
    let members = members?;
    if members.iter().all(|(_, backend)| backend.weight == 0) {
        problems.error(&node.at, "every backend has weight 0, so none would be sent a request");
    }
    Some(members)
}

/// A backend and the nodes that messages about it point to.
struct Member<'a> {
    node: &'a Node,
    url: &'a Node,
    name: Option<&'a Node>,
    plan: BackendPlan,
}

fn backend<'a>(node: &'a Node, problems: &mut Problems) -> Option<Member<'a>> {
    if let Json::Leaf(Value::String(url)) = &node.json {
        let advice = match BackendUrl::parse(url) {
            Ok(_) => format!("did you mean {{\"url\": {url:?}}}?"),
            Err(why) => format!("write it like {{\"url\": \"http://127.0.0.1:9001\"}} ({why})"),
        };
        problems.error(&node.at, format!("a string stands here, where an object belongs; {advice}"));
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let name_node = fields.take("name");
    let name = name_node.map(|node| name(node, problems));
    let url_node = fields.take("url");
    let url = url_node.and_then(|node| {
        let url = reader::text(node, problems)?;
        BackendUrl::parse(url).map_err(|why| problems.error(&node.at, why)).ok()
    });
    let weight = match fields.take("weight") {
        Some(node) => reader::number(node, 0..=u64::from(WEIGHT_MAX), problems).map(|weight| weight as u32),
        None => Some(1),
    };
    if url_node.is_none() && !fields.misspelt("url") {
        problems.error(&node.at, r#"has no "url"; give it one like "http://127.0.0.1:9001""#);
    }
    let max_connections = match fields.take("max_connections") {
        Some(node) => reader::number(node, 1..=1_000_000, problems).map(|number| number as u32),
        None => None,
    };
    fields.close(problems);
    let (url, url_node) = (url?, url_node?);
    let name = match name {
        Some(name) => name?,
        None => url.authority(),
    };
    let plan = BackendPlan { name, host: url.host, port: url.port, weight: weight?, max_connections };
    Some(Member { node, url: url_node, name: name_node, plan })
}

/// A name goes into log lines and metric labels, so it is one visible word.
fn name(node: &Node, problems: &mut Problems) -> Option<String> {
    /// LIMIT: characters of a name; a column in a table has an end.
    const NAME_MAX: usize = 64;
    let name = reader::text(node, problems)?;
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message =
            format!("{} is not a name: 1 to {NAME_MAX} visible characters without spaces", shown(node));
        problems.error(&node.at, message);
        return None;
    }
    Some(name.to_owned())
}

/// Whether a backend is certainly the listener itself.
fn is_itself(listener: &ListenerPlan, backend: &BackendPlan) -> bool {
    let own = listener.address.ip();
    let host = backend.host.parse().ok().or_else(|| {
        (backend.host == "localhost" && own.is_ipv4()).then_some(std::net::Ipv4Addr::LOCALHOST.into())
    });
    let same_host = host.is_some_and(|host: std::net::IpAddr| {
        host == own || own.is_unspecified() && own.is_ipv4() == host.is_ipv4() && host.is_loopback()
    });
    same_host && backend.port == listener.address.port()
}

/// What `type` may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
}

const KINDS: &[(&str, Kind)] = &[("tcp", Kind::Tcp), ("http", Kind::Http)];

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(2);

/// How backends are probed; `None` when it is `"off"`. After a mistake anything serves.
fn health_check(node: Option<&Node>, problems: &mut Problems) -> Option<HealthCheck> {
    let mut check = HealthCheck {
        probe: Probe::Tcp,
        port: None,
        interval: INTERVAL,
        timeout: TIMEOUT,
        healthy_after: 2,
        unhealthy_after: 3,
        passive_failures: Some(5),
    };
    let Some(node) = node else { return Some(check) };
    match &node.json {
        Json::Leaf(Value::String(word)) if word == "off" => return None,
        Json::Leaf(leaf) => {
            let advice = match leaf {
                Value::String(word) if KINDS.iter().any(|(kind, _)| kind == word) => {
                    format!("did you mean {{\"type\": {word:?}}}?")
                }
                Value::String(word) if word.eq_ignore_ascii_case("off") => "did you mean \"off\"?".to_owned(),
                Value::Bool(false) | Value::Null => "did you mean \"off\"?".to_owned(),
                _ => r#"write an object like {"type": "http", "path": "/health"}, or "off""#.to_owned(),
            };
            problems.error(&node.at, format!("{} is not a health check; {advice}", shown(node)));
            return None;
        }
        _ => {}
    }
    let mut fields = Fields::open(node, problems)?;
    check.probe = probe(&mut fields, problems);
    if let Some(node) = fields.take("port") {
        check.port = reader::number(node, 1..=u64::from(u16::MAX), problems).map(|port| port as u16);
    }
    (check.interval, check.timeout) = interval_and_timeout(&mut fields, problems);
    let mut count = |name, least, default: u32| match fields.take(name) {
        Some(node) => reader::number(node, least..=1_000, problems).map_or(default, |count| count as u32),
        None => default,
    };
    check.healthy_after = count("healthy_after", 1, check.healthy_after);
    check.unhealthy_after = count("unhealthy_after", 1, check.unhealthy_after);
    check.passive_failures = Some(count("passive_failures", 0, 5)).filter(|count| *count > 0);
    fields.close(problems);
    Some(check)
}

/// A probe must end before the next begins, or a slow backend gathers more and more of them.
fn interval_and_timeout(fields: &mut Fields<'_>, problems: &mut Problems) -> (Duration, Duration) {
    let mut read =
        |name| fields.take(name).map(|node| (node, reader::duration(node, Zero::Refused, problems)));
    let (interval, timeout) = (read("interval"), read("timeout"));
    let given = interval.and_then(|(_, interval)| interval).unwrap_or(INTERVAL);
    match timeout {
        Some((node, Some(timeout))) if timeout >= given => {
            let given = humantime::format_duration(given);
            let message = format!("{} is not shorter than the interval, {given}", shown(node));
            problems.error(&node.at, message);
            (INTERVAL, TIMEOUT)
        }
        Some((_, timeout)) => (given, timeout.unwrap_or(TIMEOUT)),
        // "interval": "1s" alone must not be an error about a timeout that nobody wrote.
        None => (given, TIMEOUT.min(given / 2)),
    }
}

/// `type`, or what the other keys imply: nobody gives a path to a dial.
fn probe(fields: &mut Fields<'_>, problems: &mut Problems) -> Probe {
    let kind = fields.take("type").map(|node| reader::word(node, KINDS, problems));
    let (path, host, expect) = (fields.take("path"), fields.take("host"), fields.take("expect_status"));
    let http_only = [path, host, expect];
    if kind == Some(Some(Kind::Tcp)) {
        for node in http_only.into_iter().flatten() {
            problems.error(&node.at, r#"means nothing to a "tcp" check; did you mean "type": "http"?"#);
        }
    }
    if kind != Some(Some(Kind::Http)) && http_only.iter().all(Option::is_none) {
        return Probe::Tcp;
    }
    let path = path.and_then(|node| probe_path(node, problems));
    let host = host.and_then(|node| probe_host(node, problems));
    let expect =
        expect.map(|node| reader::one_or_many(node).iter().filter_map(|node| statuses(node, problems)));
    Probe::Http {
        path: path.unwrap_or_else(|| "/health".to_owned()),
        host,
        expect_status: expect.map_or_else(|| vec![200..=299], Iterator::collect),
    }
}

fn probe_path(node: &Node, problems: &mut Problems) -> Option<String> {
    let path = reader::text(node, problems)?;
    let clean = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if clean && path.starts_with('/') {
        return Some(path.to_owned());
    }
    let advice = if clean && !path.contains("://") {
        format!("did you mean \"/{path}\"?")
    } else {
        r#"write it like "/health""#.to_owned()
    };
    problems.error(&node.at, format!("{} is not a path; {advice}", shown(node)));
    None
}

fn probe_host(node: &Node, problems: &mut Problems) -> Option<String> {
    let host = reader::text(node, problems)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(allowed) {
        problems.error(&node.at, format!("{} is not a host; write it like \"example.com\"", shown(node)));
        return None;
    }
    Some(host.to_owned())
}

/// A status (`204`) or a range of them (`"200-399"`).
fn statuses(node: &Node, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
    let read = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let range = match &node.json {
        Json::Leaf(Value::Number(number)) => read(&number.to_string()).map(|status| status..=status),
        Json::Leaf(Value::String(text)) => match text.split_once('-') {
            Some((least, most)) => read(least).zip(read(most)).map(|(least, most)| least..=most),
            None => read(text).map(|status| status..=status),
        },
        _ => None,
    };
    if range.as_ref().is_none_or(RangeInclusive::is_empty) {
        let message = format!("{} is not a status; write 204, or \"200-399\" for a range", shown(node));
        problems.error(&node.at, message);
        return None;
    }
    range
}
