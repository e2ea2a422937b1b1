//! What a route gives: exactly one of `pool`, `redirect` and `respond`.

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::plan::{Action, FixedResponse, PoolIndex};
use super::super::reader::{self, Fields, Problems, shown};
use super::super::suggest;
use super::attached::{Content, Folder, Need, content};
use super::pool::Pools;
use super::template;

/// Reads the action of a route. `None` only after an error was reported.
pub(super) fn read(
    fields: &mut Fields<'_>,
    pools: &Pools<'_>,
    folder: &Folder<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    let given: Vec<_> = ["pool", "redirect", "respond"]
        .into_iter()
        .filter_map(|name| fields.take(name).map(|node| (name, node)))
        .collect();
    let (name, node) = match given.as_slice() {
        [] => {
            if !["pool", "redirect", "respond"].iter().any(|name| fields.misspelt(name)) {
                let message = r#"this route has no action; add "pool", "redirect" or "respond""#;
                problems.error(fields.at, message);
            }
            return None;
        }
        [(name, node)] => (*name, *node),
        [(first, _), rest @ ..] => {
            for (name, node) in rest {
                let message = format!(
                    "a route has one action, and this one has {first:?} already; remove {name:?}, or write a second route"
                );
                problems.error(&node.at, message);
            }
            return None;
        }
    };
    match name {
        "pool" => pool(node, pools, problems).map(Action::Forward),
        "redirect" => redirect(node, problems),
        _ => respond(node, folder, problems),
    }
}

/// The pool that is named.
fn pool(node: &Node, pools: &Pools<'_>, problems: &mut Problems) -> Option<PoolIndex> {
    let typed = reader::text(node, problems)?;
    let found = pools.index(typed);
    if found.is_none() && pools.are_all {
        let names: Vec<_> = pools.list.iter().map(|pool| pool.name).collect();
        let advice = match names.as_slice() {
            [] => r#"write "pools": {"web": {"backends": [...]}}"#.to_owned(),
            names => suggest::did_you_mean(typed, names),
        };
        problems.error(&node.at, format!("there is no pool {}; {advice}", shown(node)));
    }
    found
}

fn redirect(node: &Node, problems: &mut Problems) -> Option<Action> {
    if let Some(location) = reader::text_of(node) {
        let message =
            format!("expected an object, found a string; did you mean {{\"location\": {location:?}}}?");
        problems.error(&node.at, message);
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let status = match fields.take("status") {
        Some(node) => redirect_status(node, problems),
        None => Some(302),
    };
    let location = fields.take("location");
    if location.is_none() && !fields.misspelt("location") {
        problems.error(
            &node.at,
            r#""location" is missing; write it like "location": "https://{host}{path}{query}""#,
        );
    }
    fields.close(problems);
    let location = template::location(location?, problems);
    Some(Action::Redirect { status: status?, location: location? })
}

fn redirect_status(node: &Node, problems: &mut Problems) -> Option<u16> {
    let status = reader::number(node, 100..=599, problems)?;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        problems.error(
            &node.at,
            format!("{status} is not the status of a redirect; allowed here: 301, 302, 303, 307, 308"),
        );
        return None;
    }
    Some(status as u16)
}

fn respond(node: &Node, folder: &Folder<'_>, problems: &mut Problems) -> Option<Action> {
    let meant = match &node.json {
        Json::Leaf(Value::Number(number)) => Some(format!("{{\"status\": {number}}}")),
        Json::Leaf(Value::String(text)) => Some(format!("{{\"body\": {}}}", reader::quoted(text))),
        _ => None,
    };
    if let Some(meant) = meant {
        problems.error(&node.at, format!("expected an object, found {}; did you mean {meant}?", shown(node)));
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let status_node = fields.take("status");
    let status = match status_node {
        Some(node) => reader::number(node, 200..=599, problems).map(|status| status as u16),
        None => Some(200),
    };
    let content = content(&mut fields, Need::Nothing, "text/plain; charset=utf-8", folder, problems);
    fields.close(problems);
    let (status, Content { content_type, body }) = (status?, content?);
    // RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
    if let (204 | 205 | 304, Some(node)) = (status, status_node)
        && !body.is_empty()
    {
        problems.error(
            &node.at,
            format!("a {status} response has no body; remove the body, or use another status"),
        );
    }
    Some(Action::Respond(FixedResponse { status, content_type, body }))
}
