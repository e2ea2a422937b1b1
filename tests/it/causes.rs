//! What the access log says about requests in the chaos test: one line for each, with the cause.
//!
//! An origin's faults follow from its seed, so the possible outcomes of each attempt are known: what
//! that fault does, or what happens if the origin is killed or stopped meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::chaos::{End, Outcome, misdeed};

/// What a killed or stopped process does to a request, whatever it was about to do.
const OF_A_DEAD_PROCESS: [&str; 10] = [
    "connection_refused",
    "connection_reset",
    "connection_closed",
    "connect_timeout",
    "send_timeout",
    "response_head_timeout",
    "request_timeout",
    "response_truncated",
    "response_body_timeout",
    "client_left",
];

/// Compares the log of a chaos run with what its clients saw. `backends` maps names in the log to
/// origin numbers. Returns how often each reason occurs.
#[track_caller]
pub fn check(
    log: &Path,
    outcomes: &[Outcome],
    backends: &HashMap<String, usize>,
    seed: u64,
) -> BTreeMap<String, usize> {
    let reasons = closed_list();
    let text = fs::read_to_string(log).expect("the access log");
    let mut lines: HashMap<u64, Value> = HashMap::new();
    let mut ends = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON object on each line");
        let target = line["target"].as_str().expect("every request was well-formed");
        if let Some(id) = target.strip_prefix('/').and_then(|id| id.parse().ok()) {
            let end = line["end"].as_str().expect("an end").to_owned();
            *ends.entry(end).or_default() += 1;
            let twice = lines.insert(id, line);
            assert!(twice.is_none(), "two lines: {twice:?} and {}", lines[&id]);
        }
    }
    for outcome in outcomes {
        let line = lines.remove(&outcome.id).unwrap_or_else(|| panic!("no line for {outcome:?}"));
        let fault = fault(&line, outcome, &reasons, backends, seed);
        assert!(fault.is_none(), "{}: {outcome:?}, and the log says {line}", fault.unwrap_or_default());
    }
    assert!(lines.is_empty(), "lines for requests that were never made: {lines:?}");
    ends
}

/// What is wrong with a line, if anything.
fn fault(
    line: &Value,
    outcome: &Outcome,
    reasons: &HashSet<String>,
    backends: &HashMap<String, usize>,
    seed: u64,
) -> Option<String> {
    let (status, end) = (line["status"].as_u64()?, line["end"].as_str()?);
    let attempts = line["attempts"].as_array()?;
    if line["method"] != outcome.method {
        return Some("another method".to_owned());
    }
    if !reasons.contains(end) {
        return Some(format!("{end} is in no list"));
    }
    let seen = match &outcome.end {
        End::Served => status == 200 && end == "completed",
        End::Refused(code) => status == u64::from(*code) && end != "completed",
        End::Cut => status == 200 && end != "completed",
        // A client that did not wait may still have been answered.
        End::Left => (status == 499) == (end == "client_left" && status != 200),
        End::Wrong(_) => false,
    };
    if !seen {
        return Some(format!("{status} {end} is not what the client saw"));
    }
    let named = match status {
        502 => attempts.last().is_some_and(|last| last["outcome"] == end),
        504 => end == "request_timeout" || attempts.last().is_some_and(|last| last["outcome"] == end),
        503 => end == "no_backend",
        _ => !attempts.is_empty(),
    };
    if !named {
        return Some("the last attempt does not explain the status".to_owned());
    }
    attempts.iter().find_map(|attempt| {
        let (backend, was) = (attempt["backend"].as_str()?, attempt["outcome"].as_str()?);
        let number = *backends.get(backend)? as u64;
        let does = misdeed(seed ^ number, outcome.id);
        let expected = does.outcomes().contains(&was) || OF_A_DEAD_PROCESS.contains(&was);
        (!expected).then(|| format!("{was} does not come from {does:?} of {backend}"))
    })
}

/// The reasons that the documentation lists.
fn closed_list() -> HashSet<String> {
    let page = include_str!("../../docs/access-log.md");
    let (_, list) = page.split_once("## Why a request ended").expect("the section");
    let (list, _) = list.split_once("\n## ").expect("another section");
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let reasons: HashSet<_> = rows.map(|(reason, _)| reason.to_owned()).collect();
    assert!(reasons.len() > 30, "{reasons:?}");
    reasons
}
