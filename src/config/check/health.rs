//! How the backends of a pool are probed.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::plan::{HealthCheck, Probe};
use super::super::reader::{self, Fields, Problems, Zero, shown};

/// What `type` may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
}

const KINDS: &[(&str, Kind)] = &[("tcp", Kind::Tcp), ("http", Kind::Http)];

/// `passive_failures`, the old name of `ejection.failures`, and its number if that is right.
pub(super) type Passive<'a> = Option<(&'a Node, Option<u32>)>;

/// How backends are probed; `None` when it is `"off"`. After a mistake anything serves.
pub(super) fn read<'a>(
    node: Option<&'a Node>,
    problems: &mut Problems,
) -> (Option<HealthCheck>, Passive<'a>) {
    let Some(node) = node else { return (Some(HealthCheck::default()), None) };
    let mut passive = None;
    (settings(node, &mut passive, problems), passive)
}

fn settings<'a>(node: &'a Node, passive: &mut Passive<'a>, problems: &mut Problems) -> Option<HealthCheck> {
    let mut check = HealthCheck::default();
    match &node.json {
        Json::Leaf(Value::String(word)) if word == "off" => return None,
        Json::Leaf(leaf) => {
            let advice = match leaf {
                Value::String(word) if KINDS.iter().any(|(kind, _)| kind == word) => {
                    format!("did you mean {{\"type\": {word:?}}}?")
                }
                Value::String(word) if word.eq_ignore_ascii_case("off") => "did you mean \"off\"?".to_owned(),
                Value::Bool(true) => "health checks are on by default, so remove it".to_owned(),
                Value::String(word) if ["on", "true", "yes"].contains(&&*word.to_lowercase()) => {
                    "health checks are on by default, so remove it".to_owned()
                }
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
    (check.interval, check.timeout) = interval_and_timeout(&mut fields, &check, problems);
    let mut count = |name, least, default: u32| match fields.take(name) {
        Some(node) => reader::number(node, least..=1_000, problems).map_or(default, |count| count as u32),
        None => default,
    };
    check.healthy_after = count("healthy_after", 1, check.healthy_after);
    check.unhealthy_after = count("unhealthy_after", 1, check.unhealthy_after);
    if let Some(node) = fields.take("passive_failures") {
        *passive = Some((node, reader::number(node, 0..=1_000, problems).map(|count| count as u32)));
    }
    fields.close(problems);
    Some(check)
}

/// A probe must end before the next begins, or a slow backend gathers more and more of them.
fn interval_and_timeout(
    fields: &mut Fields<'_>,
    usual: &HealthCheck,
    problems: &mut Problems,
) -> (Duration, Duration) {
    let mut read =
        |name| fields.take(name).map(|node| (node, reader::duration(node, Zero::Refused, problems)));
    let (interval, timeout) = (read("interval"), read("timeout"));
    let given = match interval {
        // If the interval is wrong, the timeout cannot be compared with it.
        Some((_, None)) => return (usual.interval, usual.timeout),
        Some((_, Some(interval))) => interval,
        None => usual.interval,
    };
    match timeout {
        Some((node, Some(timeout))) if timeout >= given => {
            let given = humantime::format_duration(given);
            let message = format!(
                "{} is too long: a timeout must be shorter than the interval, which is {given}",
                shown(node)
            );
            problems.error(&node.at, message);
            (usual.interval, usual.timeout)
        }
        Some((_, timeout)) => (given, timeout.unwrap_or(usual.timeout)),
        // "interval": "1s" alone must not be an error about a timeout that is not in the file.
        None => (given, usual.timeout.min(given / 2)),
    }
}

/// `type`, or what the other keys imply: only an HTTP check has a path.
fn probe(fields: &mut Fields<'_>, problems: &mut Problems) -> Probe {
    let kind = fields.take("type").map(|node| reader::word(node, KINDS, problems));
    let (path, host, expect) = (fields.take("path"), fields.take("host"), fields.take("expect_status"));
    let http_only = [path, host, expect];
    if kind == Some(Some(Kind::Tcp)) {
        for node in http_only.into_iter().flatten() {
            problems.error(&node.at, r#"is not used by a "tcp" check; did you mean "type": "http"?"#);
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
    let range = match &node.json {
        Json::Leaf(Value::Number(number)) => reader::status_range(&number.to_string()),
        Json::Leaf(Value::String(text)) => reader::status_range(text),
        _ => None,
    };
    if range.is_none() {
        let message = format!("{} is not a status; write 204, or \"200-399\" for a range", shown(node));
        problems.error(&node.at, message);
        return None;
    }
    range
}
