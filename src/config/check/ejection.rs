//! When failed requests eject a backend.

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::plan::Ejection;
use super::super::reader::{self, Fields, Problems, Zero, shown};
use super::pool::error_statuses;

/// The rules of ejection; `None` when it is `"off"`. `passive` is `health_check.passive_failures`,
/// the old name of `failures`. After an error the value does not matter.
pub(super) fn read(
    node: Option<&Node>,
    passive: Option<(&Node, Option<u32>)>,
    problems: &mut Problems,
) -> Option<Ejection> {
    let usual = Ejection::default();
    if let (Some(node), Some((old, _))) = (node, passive) {
        let message = format!(
            "cannot be combined with {}, which replaces it; remove it, and write \"failures\" there",
            node.at.pointer
        );
        problems.error(&old.at, message);
    }
    let Some(node) = node else {
        return match passive {
            None => Some(usual),
            Some((old, count)) => {
                let (now, rules) = match count {
                    Some(0) => (r#""ejection": "off""#.to_owned(), None),
                    Some(count) => (
                        format!(r#""ejection": {{"failures": {count}}}"#),
                        Some(Ejection { failures: count, ..usual }),
                    ),
                    None => return Some(usual),
                };
                let message = format!("is an old name; write {now} beside \"health_check\"");
                problems.warn(&old.at, message);
                rules
            }
        };
    };
    match &node.json {
        Json::Leaf(Value::String(word)) if word == "off" => return None,
        Json::Leaf(leaf) => {
            let advice = match leaf {
                Value::String(word) if word.eq_ignore_ascii_case("off") => "did you mean \"off\"?",
                Value::Bool(false) | Value::Null => "did you mean \"off\"?",
                _ => r#"write an object like {"failures": 5, "for": "5s"}, or "off""#,
            };
            problems.error(&node.at, format!("{} is not a setting of ejection; {advice}", shown(node)));
            return None;
        }
        _ => {}
    }
    let mut fields = Fields::open(node, problems)?;
    let mut count = |name, most, default: u32| match fields.take(name) {
        Some(node) => reader::number(node, 1..=most, problems).map_or(default, |count| count as u32),
        None => default,
    };
    let failures = count("failures", 1_000, usual.failures);
    let ratio = count("ratio", 100, usual.ratio);
    let pool_max = count("pool_max", 100, usual.pool_max);
    let mut duration =
        |name| fields.take(name).map(|node| (node, reader::duration(node, Zero::Refused, problems)));
    let (time, time_max) = (duration("for"), duration("for_max"));
    let time = time.and_then(|(_, time)| time).unwrap_or(usual.time);
    let time_max = match time_max {
        Some((node, Some(max))) if max < time => {
            let time = humantime::format_duration(time);
            problems.error(&node.at, format!("{} is shorter than \"for\", {time}", shown(node)));
            time_max.and_then(|(_, max)| max).unwrap_or(usual.time_max)
        }
        Some((_, Some(max))) => max,
        // "for": "5m" alone must not cause an error about a bound that is not in the file.
        _ => usual.time_max.max(time),
    };
    let on_status = fields.take("on_status").map(|node| error_statuses(node, problems)).unwrap_or_default();
    fields.close(problems);
    Some(Ejection { failures, ratio, time, time_max, pool_max, on_status })
}
