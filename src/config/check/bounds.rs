//! `timeouts` and `limits`: how long and how much, for the whole, a pool or a route.

use std::time::Duration;

use super::super::document::{At, Node};
use super::super::plan::{Limits, Timeouts};
use super::super::reader::{self, Fields, Problems, Zero, shown};
use crate::base::limits::{
    HEAD_FIELDS_DEFAULT, HEAD_FIELDS_MAX, PLACES_MAX, TARGET_BYTES_DEFAULT, TARGET_BYTES_MAX,
};

/// What the timeouts are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    Whole,
    /// What is forwarded: a pool or a route. The waits that are over before a route is known,
    /// or that belong to no request, are not among them.
    Forwarding,
}

/// Refuses a list with more members than a request can tell apart by their places.
pub(super) fn places(at: &At, count: usize, what: &str, remedy: &str, problems: &mut Problems) -> Option<()> {
    if count <= PLACES_MAX {
        return Some(());
    }
    let message = format!("there are {count} {what} here, and the most is {PLACES_MAX}; {remedy}");
    problems.error(at, message);
    None
}

/// `timeouts` and `request_timeout`, laid over those of what this is a part of.
pub(super) fn timeouts(
    fields: &mut Fields<'_>,
    scope: Scope,
    over: &Timeouts,
    problems: &mut Problems,
) -> Timeouts {
    let mut timeouts = over.clone();
    if let Some(node) = fields.take("request_timeout")
        && let Some(limit) = reader::duration(node, Zero::Allowed, problems)
    {
        timeouts.request = Some(limit).filter(|limit| !limit.is_zero());
    }
    let Some(node) = fields.take("timeouts") else { return timeouts };
    let Some(mut fields) = Fields::open(node, problems) else { return timeouts };
    let mut read = |name: &'static str, into: &mut Duration| {
        if let Some(node) = fields.take(name)
            && let Some(duration) = reader::duration(node, Zero::Refused, problems)
        {
            *into = duration;
        }
    };
    if scope == Scope::Whole {
        read("head", &mut timeouts.head);
        read("keep_alive", &mut timeouts.keep_alive);
    }
    read("body_idle", &mut timeouts.body_idle);
    read("body_grace", &mut timeouts.body_grace);
    read("queue", &mut timeouts.queue);
    read("connect", &mut timeouts.connect);
    read("response_head", &mut timeouts.response_head);
    read("response_body", &mut timeouts.response_body);
    read("write_idle", &mut timeouts.write_idle);
    read("tunnel_idle", &mut timeouts.tunnel_idle);
    read("upstream_keep_alive", &mut timeouts.upstream_keep_alive);
    if scope == Scope::Whole {
        read("drain", &mut timeouts.drain);
    } else {
        for name in ["head", "keep_alive", "drain"] {
            let message = format!("{name:?} cannot be set for one pool or route; set it in /timeouts");
            fields.refuse(name, message);
        }
    }
    if let Some(old) = fields.take("upstream_idle") {
        renamed(old, fields.take("response_body"), "response_body", problems);
        timeouts.response_body = reader::duration(old, Zero::Refused, problems).unwrap_or(over.response_body);
    }
    fields.close(problems);
    timeouts
}

/// Warns of a key under its old name, and refuses it beside the new one.
fn renamed(old: &Node, new: Option<&Node>, name: &str, problems: &mut Problems) {
    match new {
        None => problems.warn(&old.at, format!("is an old name; write {name:?} instead")),
        Some(new) => {
            let message = format!("is the old name of {}; remove one of the two", new.at.both());
            problems.error(&old.at, message);
        }
    }
}

/// The limits of the whole.
pub(super) fn limits(node: Option<&Node>, problems: &mut Problems) -> Limits {
    /// A head must hold a request line and a few fields, and is kept whole in memory.
    const HEAD: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024;
    /// Fewer would refuse browsers.
    const FIELDS: std::ops::RangeInclusive<u64> = 16..=HEAD_FIELDS_MAX as u64;
    const TARGET: std::ops::RangeInclusive<u64> = 256..=TARGET_BYTES_MAX as u64;
    const CONNECTIONS: usize = 10_000;
    let tunnels_of = |connections: usize| (connections * 3).div_ceil(4);
    let mut limits = Limits {
        connections: CONNECTIONS,
        connections_per_client: None,
        tunnels: tunnels_of(CONNECTIONS),
        head: 32 * 1024,
        interim: Some(64 * 1024),
        fields: HEAD_FIELDS_DEFAULT,
        target: TARGET_BYTES_DEFAULT,
        body: None,
        body_rate: Some(500),
        response_rate: Some(500),
        requests_per_connection: Some(1_000),
        queue: 1_000,
        upstream_idle: 64,
        memory: None,
    };
    let Some(mut fields) = node.and_then(|node| Fields::open(node, problems)) else { return limits };
    if let Some(node) = fields.take("connections") {
        let read = reader::number(node, 1..=1_000_000, problems);
        limits.connections = read.map_or(limits.connections, |number| number as usize);
    }
    if let Some(node) = fields.take("connections_per_client") {
        let read = reader::number(node, 1..=1_000_000, problems);
        limits.connections_per_client = read.map(|number| number as usize);
    }
    limits.tunnels = tunnels_of(limits.connections);
    if let Some(node) = fields.take("tunnels") {
        let read = reader::number(node, 0..=1_000_000, problems);
        limits.tunnels = read.map_or(limits.tunnels, |number| number as usize);
    }
    if let Some(node) = fields.take("head") {
        match reader::size(node, problems) {
            Some(size) if HEAD.contains(&size) => limits.head = size as usize,
            Some(_) => {
                problems.error(
                    &node.at,
                    format!(r#"{} is out of range; allowed is "1KiB" to "1MiB""#, shown(node)),
                );
            }
            None => {}
        }
    }
    if let Some(node) = fields.take("interim") {
        limits.interim = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("fields") {
        let read = reader::number(node, FIELDS, problems);
        limits.fields = read.map_or(limits.fields, |number| number as usize);
    }
    if let Some(node) = fields.take("target") {
        match reader::size(node, problems) {
            Some(size) if TARGET.contains(&size) && size <= limits.head as u64 => {
                limits.target = size as usize
            }
            Some(size) if TARGET.contains(&size) => {
                let head = limits.head;
                let message = format!("{} is more than \"head\" allows, {head} bytes", shown(node));
                problems.error(&node.at, message);
            }
            Some(_) => {
                problems.error(&node.at, format!(r#"{} is not a size from "256B" to "64KiB""#, shown(node)));
            }
            None => {}
        }
    }
    if let Some(node) = fields.take("body") {
        limits.body = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("body_rate") {
        limits.body_rate = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("response_rate") {
        limits.response_rate = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("requests_per_connection") {
        let read = reader::number(node, 0..=u64::from(u32::MAX), problems);
        limits.requests_per_connection = read.filter(|number| *number > 0);
    }
    if let Some(node) = fields.take("queue") {
        let read = reader::number(node, 0..=1_000_000, problems);
        limits.queue = read.map_or(limits.queue, |number| number as usize);
    }
    if let Some(node) = fields.take("upstream_idle") {
        let read = reader::number(node, 0..=65_535, problems);
        limits.upstream_idle = read.map_or(limits.upstream_idle, |number| number as usize);
    }
    if let Some(node) = fields.take("memory") {
        limits.memory = reader::size(node, problems).filter(|size| *size > 0);
    }
    fields.close(problems);
    limits
}

/// The limit on bodies of a route, which is that of the whole where it says nothing.
pub(super) fn route_body(node: Option<&Node>, whole: Option<u64>, problems: &mut Problems) -> Option<u64> {
    let Some(mut fields) = node.and_then(|node| Fields::open(node, problems)) else { return whole };
    let body = match fields.take("body") {
        Some(node) => reader::size(node, problems).filter(|size| *size > 0),
        None => whole,
    };
    fields.close(problems);
    body
}
