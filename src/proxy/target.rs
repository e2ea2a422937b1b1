//! The target that is forwarded, and texts that the configuration lets a request fill in.

use std::borrow::Cow;

use crate::config::plan::{RoutePlan, Template, TemplatePart};
use crate::http::{Ambiguous, RequestHead, normalise, split_query, without_dots, without_prefix};
use crate::route::bare_host;

/// The path and the query that a request asks for, in origin-form.
fn asked_for<'b>(head: &RequestHead<'b, '_>) -> (&'b str, &'b str) {
    match split_query(head.target) {
        // An absolute target may name no path, which means the root.
        ("", query) => ("/", query),
        both => both,
    }
}

/// The target that a route forwards instead of the client's own; `None` if it is that.
///
/// # Errors Backends disagree on which folder the path leaves, so it cannot be stripped or inserted
/// into a template.
pub(super) fn rewritten(route: &RoutePlan, head: &RequestHead<'_, '_>) -> Result<Option<String>, Ambiguous> {
    let (path, query) = asked_for(head);
    let path = match (&route.rewrite, &route.strip_prefix) {
        (None, None) => return Ok(None),
        (None, Some(_)) => stripped(route, path)?,
        (Some(template), _) => Cow::Owned(fill(template, route, head.host, path, "")?),
    };
    Ok(Some(format!("{path}{query}")))
}

/// What a template becomes for a request.
///
/// # Errors The template contains the path, and that cannot be inserted safely.
pub(super) fn filled(
    template: &Template,
    route: &RoutePlan,
    head: &RequestHead<'_, '_>,
) -> Result<String, Ambiguous> {
    let (path, query) = asked_for(head);
    fill(template, route, head.host, path, query)
}

fn fill(
    template: &Template,
    route: &RoutePlan,
    host: Option<&str>,
    path: &str,
    query: &str,
) -> Result<String, Ambiguous> {
    let mut text = String::new();
    for part in &template.0 {
        match part {
            TemplatePart::Text(part) => text.push_str(part),
            TemplatePart::Host => text.push_str(bare_host(host.unwrap_or_default())),
            TemplatePart::Path => text.push_str(&stripped(route, path)?),
            TemplatePart::Query => text.push_str(query),
        }
    }
    Ok(text)
}

/// A path without the prefix that its route takes off; all of it, if it does not begin with that.
///
/// Its dot segments are resolved: appended to the folder in a template, they would lead out of it
/// again. Everything else stays as the client wrote it: a backend may tell `%2F` from a slash.
fn stripped<'p>(route: &RoutePlan, path: &'p str) -> Result<Cow<'p, str>, Ambiguous> {
    let path = without_dots(path)?;
    let Some(prefix) = &route.strip_prefix else { return Ok(path) };
    let prefix = normalise(prefix);
    Ok(match path {
        Cow::Borrowed(path) => without_prefix(path, &prefix).unwrap_or(Cow::Borrowed(path)),
        Cow::Owned(path) => match without_prefix(&path, &prefix) {
            Some(rest) => Cow::Owned(rest.into_owned()),
            None => Cow::Owned(path),
        },
    })
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
            ..RoutePlan::to_first_pool("r", Timeouts::default())
        };
        let head = format!("GET {target} HTTP/1.1\r\nHost: h:80\r\n\r\n");
        let mut storage = HeadStorage::new();
        let head = parse_request(head.as_bytes(), &mut storage).unwrap();
        rewritten(&route, &head).map_or_else(
            |Ambiguous| "refused".to_owned(),
            |target| target.unwrap_or_else(|| head.target.to_owned()),
        )
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
            ("/v1/a%2Fb/./c", "/a%2Fb/c"),
            ("/%761/a%2fb//c", "/a%2fb//c"),
            ("/v1/projects/g%2Fp/files/..%2Fx", "refused"),
            ("/v1/http:%2F%2Fx%2Fy/.", "/http:%2F%2Fx%2Fy/"),
            ("/x/../v1/a%2Bb\\c", "/a%2Bb\\c"),
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
        // One that does not name the path has nothing to refuse.
        assert_eq!(forwarded(None, template(&[text("/new")]), "/..%2Fb"), "/new");
    }

    #[test]
    fn a_rewritten_path_does_not_climb_out_of_its_folder() {
        let tenant = || Some(Template(vec![TemplatePart::Text("/tenants/a".to_owned()), TemplatePart::Path]));
        for (target, expected) in [
            ("/../b/secret", "/tenants/a/b/secret"),
            ("/x/%2e%2E/%2e%2e/b", "/tenants/a/b"),
            ("/..%2fb", "refused"),
            ("/..;/b", "refused"),
            ("/..\\b", "refused"),
            ("/x%5C..", "refused"),
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
        let route = RoutePlan::to_first_pool("r", Timeouts::default());
        let fill = |host, path, query| fill(&template, &route, host, path, query);
        assert_eq!(fill(Some("a.b:8080"), "/c", "?d").as_deref(), Ok("https://a.b/c?d"));
        assert_eq!(fill(None, "/c", "").as_deref(), Ok("https:///c"));
    }
}
