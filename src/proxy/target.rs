//! The target that is forwarded, and texts that the configuration lets a request fill in.

use std::borrow::Cow;

use crate::config::plan::{RoutePlan, Template, TemplatePart};
use crate::http::{RequestHead, climbs, is_below, normalise, split_query};
use crate::upstream::route::bare_host;

/// The path and the query that a request asks for, in origin-form.
fn asked_for<'b>(head: &RequestHead<'b, '_>) -> (&'b str, &'b str) {
    match split_query(head.target) {
        // An absolute target may name no path, which means the root.
        ("", query) => ("/", query),
        both => both,
    }
}

/// The target that a route forwards instead of the client's own; `None` if it is that.
pub(super) fn rewritten(route: &RoutePlan, head: &RequestHead<'_, '_>) -> Option<String> {
    if route.strip_prefix.is_none() && route.rewrite.is_none() {
        return None;
    }
    let (path, query) = asked_for(head);
    let path = stripped(route, path);
    let path = match &route.rewrite {
        Some(template) => Cow::Owned(fill(template, head.host, &path, "")),
        None => path,
    };
    Some(format!("{path}{query}"))
}

/// What a template becomes for a request.
pub(super) fn filled(template: &Template, route: &RoutePlan, head: &RequestHead<'_, '_>) -> String {
    let (path, query) = asked_for(head);
    fill(template, head.host, &stripped(route, path), query)
}

fn fill(template: &Template, host: Option<&str>, path: &str, query: &str) -> String {
    let mut text = String::new();
    for part in &template.0 {
        text.push_str(match part {
            TemplatePart::Text(text) => text,
            TemplatePart::Host => bare_host(host.unwrap_or_default()),
            TemplatePart::Path => path,
            TemplatePart::Query => query,
        });
    }
    text
}

/// A path without the prefix that its route takes off.
///
/// One that has dot segments is resolved first: put behind the folder that a template names, they
/// would lead out of it again.
fn stripped<'p>(route: &RoutePlan, path: &'p str) -> Cow<'p, str> {
    if climbs(path) {
        let resolved = escaped(&normalise(path));
        return Cow::Owned(without_prefix(route, &resolved).into_owned());
    }
    without_prefix(route, path)
}

fn without_prefix<'p>(route: &RoutePlan, path: &'p str) -> Cow<'p, str> {
    let Some(prefix) = &route.strip_prefix else { return Cow::Borrowed(path) };
    if is_below(path.as_bytes(), prefix.as_bytes())
        && let Some(rest) = path.strip_prefix(prefix.as_str())
    {
        return Cow::Borrowed(if rest.is_empty() { "/" } else { rest });
    }
    // It may be spelt otherwise. Where it ends can then only be told in the normal form.
    let normal = normalise(path);
    match normal.strip_prefix(normalise(prefix).as_ref()) {
        Some(rest) if is_below(&normal, &normalise(prefix)) => {
            Cow::Owned(if rest.is_empty() { "/".to_owned() } else { escaped(rest) })
        }
        _ => Cow::Borrowed(path),
    }
}

/// Bytes of a path as they stand in a target (RFC 3986, section 3.3).
fn escaped(path: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to memory does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Timeouts;
    use crate::http::{HeadStorage, parse_request};

    fn forwarded(strip: Option<&str>, rewrite: Option<Template>, target: &str) -> String {
        let route = RoutePlan {
            strip_prefix: strip.map(str::to_owned),
            rewrite,
            ..RoutePlan::to_pool("r", 0, Timeouts::default())
        };
        let head = format!("GET {target} HTTP/1.1\r\nHost: h:80\r\n\r\n");
        let mut storage = HeadStorage::new();
        let head = parse_request(head.as_bytes(), &mut storage).unwrap();
        rewritten(&route, &head).unwrap_or_else(|| head.target.to_owned())
    }

    #[test]
    fn a_prefix_is_taken_off_however_it_is_spelt() {
        for (target, expected) in [
            ("/v1/a?b", "/a?b"),
            ("/v1", "/"),
            ("/v1?b", "/?b"),
            ("/v1/%7Ea%20b", "/%7Ea%20b"),
            ("/%761/a%20b/%2e/c", "/a%20b/c"),
            ("//v1/a", "/a"),
            ("/v10/a", "/v10/a"),
        ] {
            assert_eq!(forwarded(Some("/v1"), None, target), expected, "{target}");
        }
    }

    #[test]
    fn a_rewrite_replaces_the_path_and_keeps_the_query() {
        let template = |parts: &[TemplatePart]| Some(Template(parts.to_vec()));
        let text = |text: &str| TemplatePart::Text(text.to_owned());
        assert_eq!(forwarded(None, template(&[text("/new")]), "/old?q"), "/new?q");
        let below = template(&[text("/app"), TemplatePart::Path]);
        assert_eq!(forwarded(Some("/v1"), below.clone(), "/v1/a?q"), "/app/a?q");
        assert_eq!(forwarded(None, below, "http://h?q"), "/app/?q");
    }

    #[test]
    fn a_rewritten_path_does_not_climb_out_of_its_folder() {
        let tenant = || Some(Template(vec![TemplatePart::Text("/tenants/a".to_owned()), TemplatePart::Path]));
        for (target, expected) in [
            ("/../b/secret", "/tenants/a/b/secret"),
            ("/x/%2e%2E/%2e%2e/b", "/tenants/a/b"),
            ("/..%2fb", "/tenants/a/b"),
            ("/..;/b", "/tenants/a/b"),
            ("/..\\b", "/tenants/a/b"),
            ("/%252e%252e/b", "/tenants/a/%252e%252e/b"),
        ] {
            assert_eq!(forwarded(None, tenant(), target), expected, "{target}");
        }
        assert_eq!(forwarded(Some("/v1"), tenant(), "/v1/../v1/b?c"), "/tenants/a/b?c");
        assert_eq!(forwarded(Some("/v1"), None, "/v1/../../v1/b"), "/b");
    }

    #[test]
    fn a_template_knows_the_host_the_path_and_the_query() {
        let template = Template(vec![
            TemplatePart::Text("https://".to_owned()),
            TemplatePart::Host,
            TemplatePart::Path,
            TemplatePart::Query,
        ]);
        assert_eq!(fill(&template, Some("a.b:8080"), "/c", "?d"), "https://a.b/c?d");
        assert_eq!(fill(&template, None, "/c", ""), "https:///c");
    }
}
