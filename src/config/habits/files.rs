//! Files that are no JSON, told by how they begin.

/// Which other format a file is in that is not JSON, and what to do about that.
pub(in super::super) fn of_format(text: &str) -> Option<String> {
    let is_comment = |line: &&str| line.is_empty() || line.starts_with('#');
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_comment(line)).take(40).collect();
    let first = *lines.first()?;
    let word = first.split(|c: char| c.is_whitespace() || c == '{').next().unwrap_or_default();
    let is_block = |line: &&str| line.ends_with('{') && !line.starts_with(['{', '"', '[']);
    let is_key =
        |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.\"'".contains(c));
    let convert = |what: &str| {
        format!(
            "this looks like {what}, but ropewalk's configuration is JSON; docs/migrating.md shows the equivalent for \
             ropewalk"
        )
    };
    if first.starts_with("-----BEGIN") {
        return Some("this is a key or a certificate, not a configuration".to_owned());
    }
    if first.starts_with('<') {
        return Some("this looks like XML or HTML, but ropewalk's configuration is JSON".to_owned());
    }
    // A list of JSON would begin with a bracket too, but then with a value.
    let section =
        first.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(|it| it.trim_matches(['[', ']']));
    let is_section =
        section.is_some_and(|name| is_key(name) && name.starts_with(|c: char| c.is_alphabetic()));
    let is_assigned = first.split_once('=').is_some_and(|(key, _)| is_key(key.trim()));
    if is_section || is_assigned {
        return Some(r#"this looks like TOML, but ropewalk's configuration is JSON: write {"port": 8080, "backends": [{"url": "http://127.0.0.1:9001"}]}"#.to_owned());
    }
    if matches!(word, "global" | "defaults" | "frontend" | "backend" | "listen")
        && !first.contains(['{', ':', ';'])
    {
        return Some(convert("an HAProxy configuration"));
    }
    let is_of_nginx =
        ["http", "server", "upstream", "events", "stream", "worker_processes", "user"].contains(&word);
    if is_of_nginx && lines.iter().any(|line| line.contains(['{', ';'])) {
        return Some(convert("an nginx configuration"));
    }
    let is_of_caddy = |line: &&str| {
        ["reverse_proxy", "respond", "redir", "handle", "encode", "tls"]
            .contains(&line.split(' ').next().unwrap_or_default())
    };
    if lines.iter().any(is_of_caddy) || (is_block(&first) && !first.contains(';')) {
        return Some(convert("a Caddyfile"));
    }
    let yaml_key = first.strip_prefix("- ").unwrap_or(first).split_once(':');
    let is_yaml = yaml_key.is_some_and(|(key, rest)| {
        is_key(key) && !key.starts_with('"') && (rest.is_empty() || rest.starts_with(' '))
    });
    if first == "---" || first.starts_with("%YAML") || is_yaml {
        return Some(r#"this looks like YAML, but ropewalk's configuration is JSON: write {"port": 8080, "backends": [{"url": "http://127.0.0.1:9001"}]}"#.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_told_by_how_they_begin() {
        for (text, part) in [
            ("port: 8080\nbackends:\n  - url: http://a", "YAML"),
            ("---\n# c\nport: 8080", "YAML"),
            ("- url: http://a", "YAML"),
            ("port = 8080\n[[backends]]\nurl = \"x\"", "TOML"),
            ("# c\n[server]\nport = 1", "TOML"),
            ("upstream app {\n  server a:1;\n}\nserver { listen 80; }", "nginx"),
            ("worker_processes 2;\nevents {}", "nginx"),
            ("global\n  daemon\ndefaults\n  mode http", "HAProxy"),
            ("frontend web\n  bind :80", "HAProxy"),
            (":8080 {\n  reverse_proxy a:1 b:1\n}", "Caddyfile"),
            ("example.com\nreverse_proxy a:1", "Caddyfile"),
            ("{\n  email a@b\n}\na.com {\n  reverse_proxy a:1\n}", "Caddyfile"),
            ("<config/>", "XML"),
            ("-----BEGIN CERTIFICATE-----", "certificate"),
        ] {
            let found = of_format(text);
            assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{text}: {found:?}");
        }
        for text in
            ["", "{ port: 8080 }", "{\n  // c\n  \"a\": 1\n}", "[\"a\", ]", "[1]", "\"a\"", "'a'", "x"]
        {
            assert_eq!(of_format(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = of_format(&text);
        }
    }
}
