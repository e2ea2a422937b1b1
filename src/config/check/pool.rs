//! Groups of backends: strategy, retries, health check, members.
//!
//! In the simple form the keys of the only pool are at the top level of the document; the
//! `pools` of the full form hold the same keys, one object for each.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::document::{At, Json, Node};
use super::super::habits;
use super::super::plan::{BackendPlan, ListenerPlan, PoolIndex, PoolPlan, Strategy, Timeouts};
use super::super::reader::{self, Fields, Problems};
use super::super::url::BackendUrl;
use super::bounds::{self, Scope};
use super::listener::Listeners;
use super::{ejection, health};
use crate::base::limits::{RETRIES_MAX, WEIGHT_MAX};

/// A pool and what its routes inherit from it.
pub(super) struct Pool {
    pub(super) plan: PoolPlan,
    /// Its own, laid over those of the whole.
    pub(super) timeouts: Timeouts,
    pub(super) retries: u32,
}

/// The pools, as far as they are right.
pub(super) struct Pools<'a> {
    /// One for each that was written, in order.
    pub(super) list: Vec<Named<'a>>,
    /// Their places in it, by name.
    places: HashMap<&'a str, usize>,
    /// Whether the list is complete, so that a name which is not in it is a mistake.
    pub(super) are_all: bool,
}

/// A pool's name and place, and the pool unless something in it is wrong.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) at: &'a At,
    pub(super) pool: Option<Pool>,
}

impl<'a> Pools<'a> {
    pub(super) fn new(list: Vec<Named<'a>>, are_all: bool) -> Self {
        let places = list.iter().enumerate().map(|(place, pool)| (pool.name, place)).collect();
        Self { list, places, are_all }
    }

    /// Which pool has this name.
    pub(super) fn index(&self, name: &str) -> Option<PoolIndex> {
        self.places.get(name).copied().and_then(PoolIndex::new)
    }

    /// The pool that a route leads to.
    pub(super) fn at(&self, index: PoolIndex) -> Option<&Named<'a>> {
        self.list.get(usize::from(index.get()))
    }
}

/// The keys of a pool, which are at the top level in the simple form.
pub(super) const KEYS: [&str; 6] =
    ["strategy", "retries", "retry_on_status", "health_check", "ejection", "backends"];

/// The pools of the full form.
pub(super) fn read_all<'a>(
    node: &'a Node,
    listeners: &Listeners,
    timeouts: &Timeouts,
    problems: &mut Problems,
) -> Pools<'a> {
    let Some(entries) = reader::entries(node, problems) else {
        return Pools::new(Vec::new(), false);
    };
    if entries.is_empty() {
        let message =
            r#"there are no pools in it; write {"web": {"backends": [{"url": "http://127.0.0.1:9001"}]}}"#;
        problems.error(&node.at, message);
    }
    let remedy = "put backends that serve the same into one pool";
    if bounds::places(&node.at, entries.len(), "pools", remedy, problems).is_none() {
        return Pools::new(Vec::new(), false);
    }
    // A doubled name has been reported; from here on it is one pool.
    let mut names = HashSet::new();
    let firsts = entries.iter().filter(|entry| names.insert(&entry.name));
    let list = firsts.map(|entry| {
        reader::is_name(&entry.name, &entry.at, problems);
        let pool = Fields::open(&entry.node, problems).and_then(|mut fields| {
            let timeouts = bounds::timeouts(&mut fields, Scope::Forwarding, timeouts, problems);
            let pool = read(&mut fields, &entry.name, timeouts, listeners, problems);
            fields.close(problems);
            pool
        });
        Named { name: &entry.name, at: &entry.at, pool }
    });
    Pools::new(list.collect(), !entries.is_empty())
}

/// The pool with the keys in `fields`. `None` only after an error was reported.
pub(super) fn read(
    fields: &mut Fields<'_>,
    name: &str,
    timeouts: Timeouts,
    listeners: &Listeners,
    problems: &mut Problems,
) -> Option<Pool> {
    let mark = problems.mark();
    let strategy = fields.take("strategy").and_then(|node| {
        if let Some((typed, why)) = reader::text_of(node).and_then(|it| Some((it, habits::of_strategy(it)?)))
        {
            problems.error(&node.at, format!("{typed:?} is unknown; {why}"));
            return None;
        }
        let strategies = Strategy::ALL.map(|strategy| (strategy.name(), strategy));
        reader::word(node, &strategies, problems)
    });
    let strategy = strategy.unwrap_or(Strategy::RoundRobin);
    let retries_node = fields.take("retries");
    let retries = retries_node.and_then(|node| reader::number(node, 0..=u64::from(RETRIES_MAX), problems));
    let statuses_node = fields.take("retry_on_status");
    let retry_on_status = statuses_node.map(|node| error_statuses(node, problems)).unwrap_or_default();
    let (health_check, passive) = health::read(fields.take("health_check"), problems);
    let ejection = ejection::read(fields.take("ejection"), passive, problems);
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
        if let Some(listener) = listeners.list.iter().find(|listener| is_itself(listener, backend)) {
            let message = format!(
                "is ropewalk's own address {}, so requests would loop; write the address of the backend",
                listener.address
            );
            problems.error(&node.at, message);
        }
    }
    // A wrong value is not compared with others.
    if !problems.clean_since(mark) {
        return None;
    }
    if members.len() == 1
        && let (Some(node), Some(1..)) = (retries_node, retries)
    {
        problems.warn(&node.at, RETRIES_OF_ONE);
    }
    if let (Some(node), Some(0), [_, ..]) = (statuses_node, retries, retry_on_status.as_slice()) {
        problems.warn(&node.at, "can never be used: \"retries\" is 0");
    }
    if strategy == Strategy::RoundRobin
        && let Some((node, _)) = members.iter().find(|(_, backend)| backend.weight > 1)
    {
        let message = r#""round-robin" ignores weights; did you mean "strategy": "weighted-round-robin"?"#;
        problems.warn(&node.at, message);
    }
    let plan = PoolPlan {
        name: name.to_owned(),
        strategy,
        retry_on_status,
        health_check,
        ejection,
        backends: members.into_iter().map(|(_, backend)| backend).collect(),
    };
    Some(Pool { plan, timeouts, retries: retries.map_or(2, |retries| retries as u32) })
}

/// What to say of retries where there is one backend.
pub(super) const RETRIES_OF_ONE: &str =
    "can only redial a refused connection: a retry goes to another backend, and there is only one";

/// Statuses that tell of an error.
pub(super) fn error_statuses(node: &Node, problems: &mut Problems) -> Vec<u16> {
    let nodes = reader::one_or_many(node).iter();
    nodes.filter_map(|node| reader::number(node, 400..=599, problems)).map(|status| status as u16).collect()
}

/// The members, each with the node it was read from. `None` when one of them is wrong, so
/// that nothing is concluded from the rest.
fn backends<'a>(node: &'a Node, problems: &mut Problems) -> Option<Vec<(&'a Node, BackendPlan)>> {
    if let Some(typed) = reader::text_of(node) {
        let url = if BackendUrl::parse(typed).is_ok() { typed } else { "http://127.0.0.1:9001" };
        problems.error(&node.at, format!("expected a list, found a string; write [{{\"url\": {url:?}}}]"));
        return None;
    }
    if matches!(node.json, Json::Object(_)) {
        let message =
            r#"expected a list, found an object; write [{"name": "web1", "url": "http://127.0.0.1:9001"}]"#;
        problems.error(&node.at, message);
        return None;
    }
    let nodes = reader::list(node, problems)?;
    if nodes.is_empty() {
        problems.error(&node.at, r#"the list is empty; write [{"url": "http://127.0.0.1:9001"}]"#);
        return None;
    }
    bounds::places(&node.at, nodes.len(), "backends", "divide them among several pools", problems)?;
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
        problems.error(&node.at, "every backend has weight 0, so no request could be served; give one of them a weight of at least 1");
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
        problems.error(&node.at, format!("expected an object, found a string; {advice}"));
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    if let Some(meant) = in_two_parts(node) {
        problems.error(&node.at, format!("a backend is one URL; did you mean {{\"url\": {meant:?}}}?"));
        return None;
    }
    let name_node = fields.take("name");
    let name = name_node.map(|node| reader::name(node, problems));
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
        problems.error(&node.at, r#""url" is missing; write it like "url": "http://127.0.0.1:9001""#);
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

/// The URL of a backend with host and port in keys of their own, as in other programs.
fn in_two_parts(node: &Node) -> Option<String> {
    let text = |name: &str| match &node.child(name)?.json {
        Json::Leaf(Value::String(text)) => Some(text.clone()),
        Json::Leaf(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let host = ["host", "hostname", "ip", "address", "addr", "server"].into_iter().find_map(text)?;
    if node.child("url").is_some() {
        return None;
    }
    let authority = match text("port") {
        Some(port) => format!("{host}:{port}"),
        None => host,
    };
    let url = format!("http://{}", authority.trim_start_matches("http://"));
    BackendUrl::parse(&url).ok().map(|_| url)
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
