//! What is logged, and where to.

use log::LevelFilter;
use serde_json::Value;

use super::super::document::Host;
use super::super::document::{Json, Node};
use super::super::plan::{AccessLogFormat, AccessLogPlan, AccessLogSink, LogPlan};
use super::super::reader::{self, Fields, Problems, shown};
use super::super::suggest;
use super::attached::Folder;
use super::writable;

const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

const FORMATS: &[(&str, AccessLogFormat)] =
    &[("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)];

/// `log`. Without it, diagnostics from `info` on and no access log.
pub(super) fn read(node: Option<&Node>, folder: &Folder<'_>, problems: &mut Problems) -> LogPlan {
    let mut plan = LogPlan { level: LevelFilter::Info, access: None };
    let Some(node) = node else { return plan };
    if let Some(typed) = reader::text_of(node) {
        let message = format!("expected an object, found {}; {}", shown(node), meant_by_word(typed.trim()));
        problems.error(&node.at, message);
        return plan;
    }
    let Some(mut fields) = Fields::open(node, problems) else { return plan };
    let level = fields.take("level").and_then(|node| reader::word(node, LEVELS, problems));
    plan.level = level.unwrap_or(plan.level);
    let access = fields.take("access");
    let is_off = access.is_none_or(|node| reader::text_of(node).is_some_and(|text| text.trim() == "off"));
    let sink = access.and_then(|node| sink(node, folder, problems));
    let format_node = fields.take("format");
    let format = format_node.and_then(|node| format(node, problems));
    if let (true, Some(node)) = (is_off, format_node) {
        let message = r#"is not used: there is no access log; did you mean to add "access": "stdout"?"#;
        problems.warn(&node.at, message);
    }
    plan.access = sink.map(|sink| AccessLogPlan { sink, format: format.unwrap_or(AccessLogFormat::Json) });
    fields.close(problems);
    plan
}

/// What a string in place of `log` may mean: a level, a format, or where an access log goes.
fn meant_by_word(typed: &str) -> String {
    let names: Vec<_> = LEVELS.iter().map(|(name, _)| *name).collect();
    let word = typed.to_ascii_lowercase();
    let level = suggest::closest(&word, &names).filter(|_| !word.contains(['/', '.']));
    if let Some(level) = level {
        return format!("did you mean {{\"level\": {level:?}}}?");
    }
    match &*word {
        "json" | "combined" => {
            format!("did you mean {{\"access\": \"stdout\", \"format\": {word:?}}}?")
        }
        "stderr" => "remove it: diagnostics always go to stderr".to_owned(),
        "" | "-" | "stdout" => "did you mean {\"access\": \"stdout\"}?".to_owned(),
        _ => format!("did you mean {{\"access\": {typed:?}}}?"),
    }
}

/// `"stdout"`, `"off"`, or a file that need not be there yet.
fn sink(node: &Node, folder: &Folder<'_>, problems: &mut Problems) -> Option<AccessLogSink> {
    if reader::is_variable(node, problems) {
        return None;
    }
    let advice = match &node.json {
        Json::Leaf(Value::String(text)) => match text.trim() {
            "off" => return None,
            "stdout" => return Some(AccessLogSink::Stdout),
            "" => "write \"stdout\", \"off\" or the name of a file",
            word if ["stdout", "off", "-"].contains(&&*word.to_lowercase()) => {
                "did you mean \"stdout\" or \"off\"?"
            }
            "stderr" => "diagnostics go there; write \"stdout\" or the name of a file",
            name => return Some(file(name, node, folder, problems)),
        },
        Json::Leaf(Value::Bool(true)) => "did you mean \"stdout\"?",
        Json::Leaf(Value::Bool(false) | Value::Null) => "did you mean \"off\"?",
        _ => "write \"stdout\", \"off\" or the name of a file",
    };
    problems.error(&node.at, format!("{} is not a destination for the access log; {advice}", shown(node)));
    None
}

fn format(node: &Node, problems: &mut Problems) -> Option<AccessLogFormat> {
    if reader::text_of(node).is_some_and(|typed| typed.contains(['$', '%'])) {
        let message = "formats of your own are not supported by this version; write \"json\" or \"combined\"";
        problems.error(&node.at, message);
        return None;
    }
    reader::word(node, FORMATS, problems)
}

fn file(name: &str, node: &Node, folder: &Folder<'_>, problems: &mut Problems) -> AccessLogSink {
    let path = folder.path(name);
    if folder.host == Host::This
        && let Some(why) = writable::refusal(&path)
    {
        problems.error(&node.at, format!("{} {why}", shown(node)));
    }
    AccessLogSink::File(path)
}
