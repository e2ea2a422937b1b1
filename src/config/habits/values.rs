//! Values that other programs would take: strategies, variables, placeholders.

use super::SEE;

/// The message for a strategy that other programs have.
pub(in super::super) fn of_strategy(typed: &str) -> Option<String> {
    let word = typed.to_ascii_lowercase().replace(['-', ' '], "_");
    Some(match &*word {
        "rr" => r#"did you mean "round-robin"?"#.to_owned(),
        "wrr" | "static_rr" | "weight" => r#"did you mean "weighted-round-robin"?"#.to_owned(),
        "lc" | "wlc" | "leastconn" | "least_request" | "least_requests" | "least_time" => {
            r#"did you mean "least-connections"?"#.to_owned()
        }
        "p2c" | "power_of_two" => r#"did you mean "least-connections", or "random"?"#.to_owned(),
        "ip_hash" | "source" | "uri" | "hash" | "consistent_hash" | "ring_hash" | "maglev" | "header"
        | "uri_hash" | "client_ip_hash" | "url_param" => {
            format!("hashing is not supported by this version; {SEE}")
        }
        "sticky" | "cookie" => format!("a sticky cookie is not supported by this version; {SEE}"),
        "first" => "there is no strategy that fills one backend before the next".to_owned(),
        _ => return None,
    })
}

/// The message for a placeholder that another tool should have replaced, as a shell or Docker
/// Compose replaces `${WEB1}`.
pub(in super::super) fn of_variable(text: &str) -> Option<String> {
    let open = ["${", "{$", "{env.", "$(", "{{"].into_iter().find_map(|open| text.find(open))?;
    let end = text[open..].find(['}', ')']).map_or(text.len(), |end| open + end + 1);
    let name = &text[open..end];
    // Two closing braces of a template.
    let name = if name.starts_with("{{") && text[end..].starts_with('}') { &text[open..=end] } else { name };
    Some(format!(
        "{name:?} is a variable, which this version does not replace; write the value, or run the file through \
         envsubst first"
    ))
}

/// A variable of nginx, HAProxy or Caddy in a text that is sent literally, and what to write
/// instead.
pub(in super::super) fn of_placeholder(text: &str) -> Option<(&str, &'static str)> {
    const PLACEHOLDERS: &[(&str, &str)] = &[
        ("$host", "{host}"),
        ("$http_host", "{host}"),
        ("$server_name", "{host}"),
        ("$request_uri", "{path}{query}"),
        ("$uri", "{path}"),
        ("$document_uri", "{path}"),
        ("$args", "{query}"),
        ("$query_string", "{query}"),
        // Ours has its question mark.
        ("$is_args$args", "{query}"),
        ("{uri}", "{path}{query}"),
        ("{http.request.host}", "{host}"),
        ("{http.request.uri}", "{path}{query}"),
        ("{http.request.uri.path}", "{path}"),
    ];
    let start = text.find('$').or_else(|| text.find("{http.")).or_else(|| text.find("%["))?;
    let rest = &text[start..];
    let end = rest.char_indices().skip(1).find(|(_, c)| !c.is_ascii_alphanumeric() && !"_.[{".contains(*c));
    let end = end.map_or(rest.len(), |(end, c)| if "}]".contains(c) { end + 1 } else { end });
    let found = match rest.starts_with("$is_args$args") {
        true => "$is_args$args",
        false => &rest[..end],
    };
    if found == "$" {
        return None;
    }
    let known = PLACEHOLDERS.iter().find(|(known, _)| *known == found);
    Some((found, known.map_or("", |(_, here)| here)))
}

/// A text with our placeholders for those of other programs; `None` if one of them has none.
pub(in super::super) fn with_our_placeholders(text: &str) -> Option<String> {
    /// LIMIT: placeholders that are replaced, so that a long text costs little.
    const REPLACED_MAX: usize = 16;
    let mut text = text.to_owned();
    for _ in 0..REPLACED_MAX {
        let Some((found, here)) = of_placeholder(&text) else { return Some(text) };
        if here.is_empty() {
            return None;
        }
        text = text.replacen(found, here, 1);
    }
    None
}

/// The message for a field's value with a variable of nginx, HAProxy or Caddy in it.
pub(in super::super) fn of_field_value(text: &str) -> Option<String> {
    const NAMES: [&str; 25] = [
        "args",
        "binary_remote_addr",
        "connection_upgrade",
        "document_uri",
        "host",
        "hostname",
        "https",
        "is_args",
        "proxy_add_x_forwarded_for",
        "proxy_host",
        "query_string",
        "remote_addr",
        "remote_port",
        "remote_user",
        "request",
        "request_id",
        "request_method",
        "request_uri",
        "scheme",
        "server_addr",
        "server_name",
        "server_port",
        "status",
        "upstream_addr",
        "uri",
    ];
    const PREFIXES: [&str; 6] = ["http_", "arg_", "cookie_", "sent_http_", "ssl_", "upstream_"];
    let (found, _) = of_placeholder(text)?;
    let name = found.strip_prefix('$');
    let is_known = name
        .is_none_or(|name| NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
    is_known.then(|| {
        format!(
            "{found:?} is sent literally, since values have no variables; X-Forwarded-For, -Proto, -Host \
             and X-Real-IP are set without being asked for"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_where_they_stand() {
        for (text, expected) in [
            ("${WEB1}", Some("${WEB1}")),
            ("http://${env:HOST}:80", Some("${env:HOST}")),
            ("{$PORT}", Some("{$PORT}")),
            ("{env.PORT}", Some("{env.PORT}")),
            ("{{ .Values.port }}", Some("{{ .Values.port }}")),
            ("${open", Some("${open")),
            ("a$b", None),
            ("{path}{query}", None),
        ] {
            let found = of_variable(text);
            let quoted = expected.map(|name| format!("{name:?}"));
            assert_eq!(found.is_some(), expected.is_some(), "{text}");
            assert!(found.is_none_or(|found| found.contains(&quoted.unwrap())), "{text}");
        }
    }

    #[test]
    fn placeholders_are_found_where_they_stand() {
        for (text, expected) in [
            ("https://$host$request_uri", Some(("$host", "{host}"))),
            ("/a$request_uri", Some(("$request_uri", "{path}{query}"))),
            ("/a$1", Some(("$1", ""))),
            ("%[src]", Some(("%[src]", ""))),
            ("a {http.request.host} b", Some(("{http.request.host}", "{host}"))),
            ("costs 5$", None),
            ("{path}", None),
        ] {
            assert_eq!(of_placeholder(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[${}%\\[\\]a-z.é]{0,12}") {
            let _ = (of_variable(&text), of_placeholder(&text), of_field_value(&text), of_strategy(&text));
        }
    }
}
