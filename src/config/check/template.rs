//! Texts with places that the request fills: `https://{host}{path}{query}`.
//!
//! What comes out of one is sent to clients as a place to go, or to backends as a path, so
//! what must not come out of it is refused here, whatever a request fills in.

use super::super::document::Node;
use super::super::plan::{Template, TemplatePart};
use super::super::reader::{self, Problems, quoted};
use super::super::{habits, suggest};
use super::matcher;
use crate::base::limits::TARGET_BYTES_DEFAULT;

/// A place to go: `location`.
pub(super) fn location(node: &Node, problems: &mut Problems) -> Option<Template> {
    let places = [("host", TemplatePart::Host), ("path", TemplatePart::Path), ("query", TemplatePart::Query)];
    let template = template(node, &places, problems)?;
    // A path may begin with two slashes, and "//evil.example" is another host for a browser.
    let leads_away = match template.0.as_slice() {
        [TemplatePart::Path, ..] => true,
        [TemplatePart::Text(text), TemplatePart::Path | TemplatePart::Host, ..] => text == "/",
        _ => false,
    };
    let message = match template.0.first() {
        None => r#"is empty; write it like "/new" or "https://{host}{path}{query}""#.to_owned(),
        _ if leads_away => {
            "would let the client choose the host, since a path may begin with two slashes; write it like \
             \"https://{host}{path}{query}\""
                .to_owned()
        }
        Some(TemplatePart::Text(text)) if text.starts_with('/') || has_scheme(text) => return Some(template),
        Some(_) => match suggestion(node) {
            Some(meant) => {
                format!("{} is neither a path nor a URL; did you mean {meant:?}?", reader::shown(node))
            }
            None => format!(
                r#"{} is neither a path nor a URL; write it like "/new" or "https://{{host}}{{path}}{{query}}""#,
                reader::shown(node)
            ),
        },
    };
    problems.error(&node.at, message);
    None
}

fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "http" | "https"))
}

/// `new` for `/new`, and `example.com/x` or `{host}/x` for the same with a scheme.
fn suggestion(node: &Node) -> Option<String> {
    let typed = reader::text_of(node)?.trim();
    let first = typed.split('/').next().unwrap_or_default();
    if first.contains(':') {
        return None;
    }
    Some(if first.contains('.') || first == "{host}" {
        format!("https://{typed}")
    } else {
        format!("/{typed}")
    })
}

/// The path that is forwarded: `rewrite`. There is no `{host}` in it: what a client calls
/// the host may be `..`, and would climb out of the folder that the rest of the path names.
pub(super) fn path(node: &Node, problems: &mut Problems) -> Option<Template> {
    if matcher::is_regular_expression(node) {
        let message = format!(
            "{} looks like a regular expression, which this version does not support; write the new path, \
             like \"/v2{{path}}\", and use \"strip_prefix\" to remove the beginning of the old one",
            reader::shown(node)
        );
        problems.error(&node.at, message);
        return None;
    }
    let template = template(node, &[("path", TemplatePart::Path)], problems)?;
    let message = match template.0.first() {
        Some(TemplatePart::Text(text)) if !text.starts_with('/') => {
            format!(
                "{} is not a path; did you mean \"/{}\"?",
                reader::shown(node),
                reader::text_of(node)?.trim()
            )
        }
        None => r#"is empty; write it like "/v2{path}""#.to_owned(),
        _ if template
            .0
            .iter()
            .any(|part| matches!(part, TemplatePart::Text(text) if text.contains(['?', '#']))) =>
        {
            "is only a path: the query is forwarded as the client sent it; remove what follows the path"
                .to_owned()
        }
        _ => {
            let doubles = template.0.windows(2).any(
                |pair| matches!(pair, [TemplatePart::Text(text), TemplatePart::Path] if text.ends_with('/')),
            );
            if doubles {
                let meant = reader::text_of(node)?.replace("/{path}", "{path}");
                let message =
                    format!("{{path}} begins with a slash, so this makes two; did you mean {meant:?}?");
                problems.warn(&node.at, message);
            }
            return Some(template);
        }
    };
    problems.error(&node.at, message);
    None
}

/// The parts of a text, in which `{name}` is one of `places`.
fn template(
    node: &Node,
    places: &[(&'static str, TemplatePart)],
    problems: &mut Problems,
) -> Option<Template> {
    let typed = reader::line(node, problems)?;
    let names: Vec<&str> = places.iter().map(|(name, _)| *name).collect();
    let mut parts = Vec::new();
    let mut rest = typed;
    let result = loop {
        let (text, after) = match rest.split_once('{') {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '}') {
            break Err(format!("contains {odd:?}, which cannot appear in a URL; write its percent-encoding"));
        }
        if !text.is_empty() {
            parts.push(TemplatePart::Text(text.to_owned()));
        }
        let Some(after) = after else { break Ok(Template(parts)) };
        let Some((name, after)) = after.split_once('}') else {
            break Err("has a { that is not closed".to_owned());
        };
        match places.iter().find(|(known, _)| *known == name) {
            Some((_, part)) => parts.push(part.clone()),
            None => {
                let known = match suggest::closest(name, &names) {
                    Some(meant) => format!("did you mean {{{meant}}}?"),
                    None => format!("allowed here: {{{}}}", names.join("}, {")),
                };
                break Err(format!("{} is not known here; {known}", quoted(&format!("{{{name}}}"))));
            }
        }
        rest = after;
    };
    if result.is_ok() {
        warn_of_placeholders(node, typed, problems);
    }
    let result = result.and_then(|template| match typed.len() <= TARGET_BYTES_DEFAULT {
        true => Ok(template),
        false => Err(format!("is longer than {} KiB", TARGET_BYTES_DEFAULT / 1024)),
    });
    result.map_err(|why| problems.error(&node.at, why)).ok()
}

/// Variables of other programs, which are sent as they stand, and a `?` that comes twice.
fn warn_of_placeholders(node: &Node, typed: &str, problems: &mut Problems) {
    if let Some((found, _)) = habits::of_placeholder(typed) {
        let advice = match habits::with_our_placeholders(typed) {
            None => "only {host}, {path} and {query} are replaced".to_owned(),
            Some(meant) => format!("did you mean {meant:?}?"),
        };
        problems.warn(&node.at, format!("{found:?} is sent literally; {advice}"));
    }
    if let Some((before, after)) = typed.split_once("{query}")
        && before.contains('?')
    {
        let meant = format!("{}{{query}}{after}", before.trim_end_matches(['?', '&']));
        let advice = match meant.contains('?') {
            true => "put it before the other parameters, or leave one of the two out".to_owned(),
            false => format!("did you mean {meant:?}?"),
        };
        problems.warn(&node.at, format!("{{query}} includes its question mark, so this makes two; {advice}"));
    }
}
