//! Which requests a route is for: `match`.
//!
//! Requests are compared in normal form, so whatever could never match one is refused here:
//! a host with a port, a path with dot segments, a method in lower case.

use serde_json::Value;

use super::super::document::{Json, Node};
use super::super::plan::{HostMatch, Matcher, PathMatch, ValueMatch};
use super::super::reader::{self, Fields, Problems, quoted, shown};
use super::super::suggest;
use super::listener::Listeners;

/// Reads `match`. `None` only after an error was reported: a matcher without
/// the condition that is wrong would be for other requests than those that were meant.
pub(super) fn read(node: &Node, listeners: &Listeners, problems: &mut Problems) -> Option<Matcher> {
    let mark = problems.mark();
    let mut fields = Fields::open(node, problems)?;
    let mut many = |name: &'static str| {
        let node = fields.take(name)?;
        let nodes = reader::one_or_many(node);
        if nodes.is_empty() {
            // An empty list would match everything, and the author meant nothing.
            problems.error(
                &node.at,
                "the list is empty, so nothing would match; leave it out to match everything",
            );
        }
        Some(nodes)
    };
    let (named, hosts, methods) = (many("listener"), many("host"), many("methods"));
    let matcher = Matcher {
        listeners: all(named, |node| listener(node, listeners, problems)),
        hosts: all(hosts, |node| host(node, problems)),
        path: path(&mut fields, problems),
        methods: all(methods, |node| method(node, problems)),
        headers: fields.take("headers").map(|node| headers(node, problems)).unwrap_or_default(),
        cookies: fields.take("cookies").map(|node| cookies(node, problems)).unwrap_or_default(),
    };
    fields.close(problems);
    problems.clean_since(mark).then_some(matcher)
}

fn all<T>(nodes: Option<&[Node]>, read: impl FnMut(&Node) -> Option<T>) -> Vec<T> {
    nodes.unwrap_or_default().iter().filter_map(read).collect()
}

fn listener(node: &Node, listeners: &Listeners, problems: &mut Problems) -> Option<String> {
    let typed = reader::text(node, problems)?;
    if !listeners.are_all || listeners.list.iter().any(|listener| listener.name == typed) {
        return Some(typed.to_owned());
    }
    let names: Vec<_> = listeners.list.iter().map(|listener| listener.name.as_str()).collect();
    let message = format!("there is no listener {}; {}", shown(node), suggest::did_you_mean(typed, &names));
    problems.error(&node.at, message);
    None
}

/// A host, or `*.` and the end of one.
fn host(node: &Node, problems: &mut Problems) -> Option<HostMatch> {
    let typed = reader::text(node, problems)?.trim();
    let (is_suffix, name) = match typed.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, typed),
    };
    if let Err(why) = host_name(typed, name) {
        problems.error(&node.at, format!("{} {why}", shown(node)));
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(if is_suffix { HostMatch::Suffix(format!(".{name}")) } else { HostMatch::Exact(name) })
}

fn host_name(typed: &str, name: &str) -> Result<(), String> {
    let example = r#"write it like "example.com" or "*.example.com""#;
    if typed == "*" {
        return Err("matches every host; remove \"host\" for that".to_owned());
    }
    if typed == "_" {
        return Err("is nginx's name for every host; remove \"host\" for that".to_owned());
    }
    if typed.starts_with(['~', '^']) || typed.ends_with('$') || typed.contains(['\\', '(', '|']) {
        return Err(format!(
            "looks like a regular expression, which this version does not support; {example}"
        ));
    }
    if let Some((_, rest)) = typed.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(format!("is a URL; did you mean {host:?}?"));
    }
    let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()) {
        return Ok(());
    }
    if name.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!("is an IPv6 address without brackets; did you mean \"[{name}]\"?"));
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(format!(
            "has a port, and hosts are compared without it; did you mean {host:?}? (\"listener\" matches by port)"
        ));
    }
    if !name.is_ascii() {
        return Err(
            "is not what clients send for this name; write its ASCII form, which has parts that begin with xn--".to_owned()
        );
    }
    if let Some(bare) = name.strip_suffix('.') {
        return Err(format!("ends in a dot; did you mean {bare:?}?"));
    }
    if name.contains('*') {
        return Err("has a * that is not the first part; write it like \"*.example.com\"".to_owned());
    }
    if let Some(bare) = name.strip_prefix('.')
        && host_name(bare, bare).is_ok()
    {
        return Err(format!("begins with a dot; did you mean [{bare:?}, \"*.{bare}\"]?"));
    }
    let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    // LIMIT: RFC 1035 section 2.3.4.
    if name.is_empty() || name.len() > 253 || name.starts_with('.') || !name.bytes().all(is_of_host) {
        return Err(format!("is not a host; {example}"));
    }
    Ok(())
}

/// What comes before a star at the end, as a path that `check` would accept.
fn before_star(typed: &str) -> Option<String> {
    typed.strip_suffix('*').map(|before| format!("/{}", before.trim_start_matches('/')))
}

/// Whether a path is written as nginx writes a regular expression, or holds what only those hold.
pub(super) fn is_regular_expression(node: &Node) -> bool {
    let Some(typed) = reader::text_of(node) else { return false };
    let typed = typed.trim();
    typed.starts_with(['~', '^']) || [".*", "[^", "(?", "\\"].iter().any(|it| typed.contains(it))
}

/// `path` or `path_prefix`.
fn path(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<PathMatch> {
    match (fields.take("path"), fields.take("path_prefix")) {
        (None, None) => None,
        (Some(exact), Some(prefix)) => {
            let message = format!(
                r#""path" and "path_prefix" ({}) cannot both be given; keep one of them"#,
                prefix.at.pointer
            );
            problems.error(&exact.at, message);
            None
        }
        (Some(node), None) | (None, Some(node)) if is_regular_expression(node) => {
            let message = format!(
                "{} looks like a regular expression, which this version does not support; write a path, \
                 like \"/api\"",
                shown(node)
            );
            problems.error(&node.at, message);
            None
        }
        (Some(node), None) => {
            let typed = reader::text(node, problems)?.trim();
            if let Some(prefix) = before_star(typed) {
                let message = format!(
                    "{} ends in a *, which is no wildcard in a path; did you mean \"path_prefix\": {prefix:?}?",
                    shown(node)
                );
                problems.error(&node.at, message);
                return None;
            }
            canonical_path(typed, node, problems).map(PathMatch::Exact)
        }
        (None, Some(node)) => {
            let typed = reader::text(node, problems)?.trim();
            if let Some(prefix) = before_star(typed) {
                let message = format!(
                    "{} ends in a *, which a prefix does not need; did you mean {prefix:?}?",
                    shown(node)
                );
                problems.error(&node.at, message);
                return None;
            }
            // Every path is at or below "/".
            let path = canonical_path(typed, node, problems)?;
            (path != "/").then_some(PathMatch::Prefix(path))
        }
    }
}

/// A path in the form that is easiest to read: nothing escaped that need not be, and nothing in
/// it that normalising takes out. Then two of them can be compared as they are.
pub(super) fn canonical_path(typed: &str, node: &Node, problems: &mut Problems) -> Option<String> {
    let odd = typed.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c));
    let why = if !typed.starts_with('/') {
        if typed.is_empty() || odd.is_some() || typed.contains("://") {
            "is not a path; write it like \"/a/b\"".to_owned()
        } else {
            format!("is not a path; did you mean \"/{typed}\"?")
        }
    } else if let Some((path, _)) = typed.split_once(['?', '#']) {
        format!("has a query or a fragment, and only paths are compared; did you mean {path:?}?")
    } else if let Some(odd) = odd {
        format!("contains {odd:?}, which cannot appear in a path; write its percent-encoding")
    } else {
        match canonical(typed) {
            Ok(path) if path == typed => return Some(path),
            Ok(path) => format!("is not in normal form, so it would never match; did you mean {path:?}?"),
            Err(why) => why.to_owned(),
        }
    };
    problems.error(&node.at, format!("{} {why}", quoted(typed)));
    None
}

/// Escapes of what need not be escaped are decoded, and those of a slash too, since they count
/// as one when routes are compared; dot segments and empty ones are taken out. The error says
/// what is wrong with an escape.
fn canonical(path: &str) -> Result<String, &'static str> {
    let mut decoded = String::new();
    let mut bytes = Vec::new();
    let mut rest = path;
    while let Some((text, after)) = rest.split_once('%') {
        decoded.push_str(text);
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?)));
        let (digits, byte) = byte.ok_or("has a % that no two hexadecimal digits follow")?;
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(byte);
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            decoded.push(char::from(byte));
        } else {
            decoded.push('%');
            decoded.push_str(&digits.to_ascii_uppercase());
        }
        rest = &after[2..];
    }
    decoded.push_str(rest);
    // Once decoded, what routes are compared with is text.
    if std::str::from_utf8(&bytes).is_err() {
        return Err("has escapes that are not UTF-8, and would match nothing");
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_folder = matches!(decoded.rsplit('/').next(), Some("" | "." | ".."));
    let end = if is_folder && !segments.is_empty() { "/" } else { "" };
    Ok(format!("/{}{end}", segments.join("/")))
}

/// Methods that are a mistake in lower case; others may be an application's own.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];

fn method(node: &Node, problems: &mut Problems) -> Option<String> {
    let typed = reader::text(node, problems)?.trim();
    let meant = suggest::closest(typed, &METHODS).filter(|meant| *meant != typed);
    let why = if !reader::is_token(typed) {
        "is not a method; write it like \"GET\"".to_owned()
    } else if METHODS.iter().any(|known| *known != typed && known.eq_ignore_ascii_case(typed)) {
        format!(
            "never matches, since methods are case-sensitive; did you mean {:?}?",
            typed.to_ascii_uppercase()
        )
    } else if let Some(meant) = meant.filter(|_| !METHODS.contains(&typed) && typed.len() > 2) {
        // A warning, since an application may have methods of its own.
        problems.warn(&node.at, format!("{typed:?} is an unusual method; did you mean {meant:?}?"));
        return Some(typed.to_owned());
    } else if typed == "CONNECT" {
        "is never forwarded".to_owned()
    } else {
        return Some(typed.to_owned());
    };
    problems.error(&node.at, format!("{} {why}", shown(node)));
    None
}

fn headers(node: &Node, problems: &mut Problems) -> Vec<ValueMatch> {
    let entries = reader::entries(node, problems).unwrap_or_default();
    let mut found: Vec<ValueMatch> = Vec::new();
    for entry in entries {
        let name = &entry.name;
        let why = if !reader::is_token(name) {
            format!("{} is not a field name; write it like \"X-Beta\"", quoted(name))
        } else if name.eq_ignore_ascii_case("host") {
            r#"is matched by "host", which also knows "*.example.com""#.to_owned()
        } else if name.eq_ignore_ascii_case("cookie") {
            r#"is matched by "cookies", one name at a time"#.to_owned()
        } else if found.iter().any(|known| known.name != *name && known.name.eq_ignore_ascii_case(name)) {
            format!("{name} is given twice: field names are not case-sensitive")
        } else {
            let value = value(&entry.node, problems);
            found.extend(value.map(|value| ValueMatch { name: name.clone(), value }));
            continue;
        };
        problems.error(&entry.at, why);
    }
    found
}

fn cookies(node: &Node, problems: &mut Problems) -> Vec<ValueMatch> {
    let entries = reader::entries(node, problems).unwrap_or_default();
    let mut found = Vec::new();
    for entry in entries {
        if !reader::is_token(&entry.name) {
            problems.error(&entry.at, format!("{} is not a cookie name", quoted(&entry.name)));
            continue;
        }
        let value = value(&entry.node, problems);
        if let Some(Some(value)) = &value
            && let Some(odd) = value.chars().find(|c| !c.is_ascii_graphic() || "\",;\\".contains(*c))
        {
            // RFC 6265, section 4.1.1.
            problems.error(
                &entry.node.at,
                format!("{value:?} contains {odd:?}, which cannot appear in a cookie"),
            );
            continue;
        }
        found.extend(value.map(|value| ValueMatch { name: entry.name.clone(), value }));
    }
    found
}

/// A value that must be there; `true` for any.
fn value(node: &Node, problems: &mut Problems) -> Option<Option<String>> {
    let message = match &node.json {
        Json::Leaf(Value::Bool(true)) => return Some(None),
        Json::Leaf(Value::String(_)) => return Some(Some(reader::line(node, problems)?.to_owned())),
        Json::Leaf(Value::Number(number)) => {
            format!("{number} is a number; did you mean \"{number}\", in quotes?")
        }
        Json::Leaf(Value::Bool(false)) => {
            "false is not possible; to match requests without it, put a route for those with it before this one".to_owned()
        }
        _ => format!("expected a string or true, found {}", shown(node)),
    };
    problems.error(&node.at, message);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths() {
        for (typed, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//a//b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../..", "/"),
            ("/a/.", "/a/"),
            ("/%7ea%2Fb", "/~a/b"),
            ("/a%20b%c3%a9", "/a%20b%C3%A9"),
            ("/%2561", "/%2561"),
        ] {
            assert_eq!(canonical(typed).as_deref(), Ok(expected), "{typed}");
        }
        for bad in ["/%", "/%4", "/%4g", "/%é1", "/%ff"] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_canonical_stays(path in "/[a-c./%0-9A-F]{0,20}") {
            if let Ok(once) = canonical(&path) {
                proptest::prop_assert_eq!(canonical(&once), Ok(once));
            }
        }
    }
}
