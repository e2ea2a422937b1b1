//! What a route does to the fields of a head, and which fields are not its to touch.

use super::super::document::{At, Node};
use super::super::habits;
use super::super::plan::HeaderOps;
use super::super::reader::{self, Fields, Problems, quoted};
use crate::base::limits::{HEADER_OPS_MAX, HEADER_VALUE_BYTES_MAX};

/// Which head the operations are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Request,
    Response,
}

/// Fields that frame the message or belong to one connection (RFC 9110, section 7.6.1;
/// RFC 9112, section 6), and Via, by which loops are found. What is done to these decides
/// whether two parties agree on where a message ends, and that is not configurable.
const OURS: [&str; 11] = [
    "Connection",
    "Content-Length",
    "HTTP2-Settings",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "Expect",
];

/// `remove`, `set` and `add`.
pub(super) fn operations(node: &Node, head: Head, problems: &mut Problems) -> HeaderOps {
    let mut operations = HeaderOps::default();
    let Some(mut fields) = Fields::open(node, problems) else { return operations };
    if let Some(node) = fields.take("remove") {
        for node in bounded(reader::one_or_many(node), &node.at, problems) {
            let name = reader::text(node, problems)
                .map(|name| allowed(name, Verb::Remove, head, &node.at, problems));
            operations.remove.extend(name.flatten());
        }
    }
    if let Some(node) = fields.take("set") {
        operations.set = pairs(node, Verb::Set, head, problems);
    }
    if let Some(node) = fields.take("add") {
        operations.add = pairs(node, Verb::Add, head, problems);
    }
    if let Some(removed) = operations.remove.iter().find(|name| has(&operations.set, name)) {
        let message = format!("{removed} is removed and set; \"set\" alone replaces what was there");
        problems.warn(&node.at, message);
    }
    fields.close(problems);
    operations
}

fn has(pairs: &[(String, String)], name: &str) -> bool {
    pairs.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// What is done to a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Remove,
    Set,
    Add,
}

/// Names and values; of a field that is added there may be several values.
fn pairs(node: &Node, verb: Verb, head: Head, problems: &mut Problems) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let entries = reader::entries(node, problems).unwrap_or_default();
    for entry in bounded(entries, &node.at, problems) {
        let Some(name) = allowed(&entry.name, verb, head, &entry.at, problems) else { continue };
        // The same name in the same case has been reported as a key given twice.
        if pairs.iter().any(|(known, _)| *known != name && known.eq_ignore_ascii_case(&name)) {
            problems.error(&entry.at, format!("{name} is given twice: field names are not case-sensitive"));
        }
        let values = match verb {
            Verb::Add => reader::one_or_many(&entry.node),
            Verb::Remove | Verb::Set => std::slice::from_ref(&entry.node),
        };
        for node in values {
            pairs.extend(value(node, &name, problems).map(|value| (name.clone(), value)));
        }
    }
    pairs
}

fn bounded<'a, T>(list: &'a [T], at: &At, problems: &mut Problems) -> &'a [T] {
    if list.len() > HEADER_OPS_MAX {
        problems.error(at, format!("names {} fields; at most {HEADER_OPS_MAX} are allowed", list.len()));
    }
    &list[..list.len().min(HEADER_OPS_MAX)]
}

/// A field name that may be named here.
fn allowed(name: &str, verb: Verb, head: Head, at: &At, problems: &mut Problems) -> Option<String> {
    let message = if !reader::is_token(name) {
        format!("{} is not a field name; write it like \"X-Env\"", quoted(name))
    } else if let Some(ours) = OURS.iter().find(|ours| ours.eq_ignore_ascii_case(name)) {
        match *ours {
            "Via" => r#"only ropewalk writes Via; "headers": {"via": false} leaves it out"#.to_owned(),
            ours => {
                format!("{ours} belongs to the connection or frames the message, so only ropewalk writes it")
            }
        }
    } else if name.eq_ignore_ascii_case("host") && (head, verb) != (Head::Request, Verb::Set) {
        match head {
            Head::Request => "a request has exactly one Host, which \"set\" can replace".to_owned(),
            Head::Response => "a response has no Host".to_owned(),
        }
    } else {
        return Some(name.to_owned());
    };
    problems.error(at, message);
    None
}

/// What the field of this name says.
fn value(node: &Node, name: &str, problems: &mut Problems) -> Option<String> {
    let value = reader::line(node, problems)?;
    if value.len() > HEADER_VALUE_BYTES_MAX {
        problems.error(&node.at, format!("the value is longer than {} KiB", HEADER_VALUE_BYTES_MAX / 1024));
        return None;
    }
    if let Some(why) = habits::of_field_value(value) {
        let remedy = match name.eq_ignore_ascii_case("host") {
            true => "; remove it: Host goes to the backend as the client sent it",
            false => "",
        };
        problems.warn(&node.at, format!("{why}{remedy}"));
    }
    Some(value.to_owned())
}
