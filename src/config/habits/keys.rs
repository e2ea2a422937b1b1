//! Keys of other programs, and keys in the wrong place.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::super::schema::SCHEMA;
use super::SEE;

/// Features of other programs that are missing here: the key, and what people call it.
const NOT_SUPPORTED: &[(&str, &str)] = &[
    ("acme", "ACME"),
    ("alpn", "TLS for clients"),
    ("auth_request", "forward authentication"),
    ("backup", "a standby backend"),
    ("balance_factor", "hashing"),
    ("brotli", "compression"),
    ("cache", "caching"),
    ("ca", "TLS"),
    ("cert", "TLS"),
    ("certificate", "TLS"),
    ("certificates", "TLS"),
    ("compression", "compression"),
    ("cookie", "a sticky cookie"),
    ("cors", "CORS"),
    ("encode", "compression"),
    ("forward_auth", "forward authentication"),
    ("gzip", "compression"),
    ("h2", "HTTP/2"),
    ("h2c", "HTTP/2"),
    ("hash", "hashing"),
    ("http2", "HTTP/2"),
    ("http3", "HTTP/3"),
    ("include", "including other files"),
    ("ip_hash", "hashing"),
    ("mirror", "mirroring"),
    ("private_key", "TLS"),
    ("proxy_cache", "caching"),
    ("proxy_cache_path", "caching"),
    ("protocol", "a choice of protocol"),
    ("proxy_protocol", "the PROXY protocol"),
    ("quic", "HTTP/3"),
    ("query", "matching the query"),
    ("path_regex", "matching by a regular expression"),
    ("regex", "matching by a regular expression"),
    ("resolver", "a resolver of its own"),
    ("root", "serving files"),
    ("session", "a sticky cookie"),
    ("slow_start", "slow start"),
    ("split", "splitting by percentage"),
    ("ssl", "TLS"),
    ("ssl_certificate", "TLS for clients"),
    ("ssl_certificate_key", "TLS for clients"),
    ("static", "serving files"),
    ("sticky", "a sticky cookie"),
    ("tier", "a standby backend"),
    ("tls", "TLS"),
    ("trace", "tracing"),
    ("try_files", "serving files"),
    ("upgrade", "a choice of protocol"),
];

/// Keys of other programs that have no counterpart because none is needed, and why.
const NOT_NEEDED: &[(&str, &str)] = &[
    ("proxy_buffering", "bodies are passed on as they arrive"),
    ("proxy_http_version", "backends are always spoken to in HTTP/1.1"),
    ("proxy_request_buffering", "bodies are passed on as they arrive"),
    ("server_tokens", "ropewalk adds no Server field to responses"),
    ("websocket", "upgrades to WebSocket are always passed on"),
    ("websockets", "upgrades to WebSocket are always passed on"),
];

/// The same for keys that other programs have at the top level only. Further in, they are more
/// likely typing mistakes.
const NOT_NEEDED_AT_TOP: &[(&str, &str)] = &[
    ("daemon", "the program always runs in the foreground"),
    ("pid", "there is no PID file; signals go to the process itself"),
    ("user", "the program runs as the user that starts it"),
];

/// Other programs' names for keys, and our name for each.
const CALLED_ELSEWHERE: &[(&str, &str)] = &[
    ("access_log", r#""access" in "log""#),
    ("add_header", r#""response_headers": {"add": {...}}"#),
    ("algorithm", r#""strategy""#),
    ("auth_basic", r#""basic_auth""#),
    ("auth_basic_user_file", r#""basic_auth": {"users": {...}}"#),
    ("balance", r#""strategy""#),
    ("basicauth", r#""basic_auth""#),
    ("bind", r#""listen""#),
    ("client_body_timeout", r#""body_idle" in "timeouts""#),
    ("client_header_timeout", r#""head" in "timeouts""#),
    ("client_max_body_size", r#""body" in "limits""#),
    ("clusters", r#""pools""#),
    ("default_backend", r#"a last route without "match": {"pool": "..."}"#),
    ("disabled", r#""weight": 0"#),
    ("down", r#""weight": 0"#),
    ("endpoints", r#""backends""#),
    ("error", r#""level"; diagnostics go to stderr"#),
    ("error_log", r#""level" in "log"; diagnostics go to stderr"#),
    ("error_page", r#""error_pages""#),
    ("expires", r#""response_headers": {"set": {"Cache-Control": "max-age=3600"}}"#),
    ("fail_timeout", r#""ejection": {"for": "5s"} of the pool"#),
    ("fall", r#""unhealthy_after" in "health_check""#),
    ("frontend", r#""listen" and "routes""#),
    ("frontends", r#""listen" and "routes""#),
    ("handle", r#""routes""#),
    ("health_uri", r#""health_check": {"path": "/health"}"#),
    ("http_check", r#""health_check""#),
    ("httpchk", r#""health_check": {"path": "/health"}"#),
    ("inter", r#""interval" in "health_check""#),
    ("keepalive", r#""upstream_idle" in "limits""#),
    ("keepalive_timeout", r#""keep_alive" in "timeouts""#),
    ("large_client_header_buffers", r#""head" in "limits""#),
    ("lb_policy", r#""strategy""#),
    ("limit_conn", r#""connections_per_client" in "limits""#),
    ("limit_req", r#""rate_limit""#),
    ("listeners", r#""listen""#),
    ("locations", r#""routes": [{"match": {"path_prefix": "/"}, ...}]"#),
    ("log_level", r#""level" in "log""#),
    ("max_conns", r#""max_connections""#),
    ("max_fails", r#""ejection": {"failures": 5} of the pool"#),
    ("maxconn", r#""connections" in "limits", or "max_connections" of a backend"#),
    ("maxconnections", r#""connections" in "limits", or "max_connections" of a backend"#),
    ("nbproc", r#""workers""#),
    ("nbthread", r#""workers""#),
    ("option", r#"a key of its own for each option, such as "health_check""#),
    ("proxy_connect_timeout", r#""connect" in "timeouts""#),
    ("proxy_next_upstream", r#""retries" and "retry_on_status""#),
    ("proxy_next_upstream_tries", r#""retries""#),
    ("proxy_pass", r#""pool" in a route, and "backends" in the pool"#),
    ("proxy_read_timeout", r#""response_head" and "response_body" in "timeouts""#),
    ("proxy_send_timeout", r#""write_idle" in "timeouts""#),
    ("proxy_set_header", r#""request_headers": {"set": {...}}"#),
    ("real_ip_header", r#""trusted_proxies""#),
    ("return", r#""redirect" or "respond" in a route"#),
    ("reverse_proxy", r#""pool" in a route, and "backends" in the pool"#),
    ("rise", r#""healthy_after" in "health_check""#),
    ("rules", r#""routes""#),
    ("server", r#""backends" for where requests go, "listen" for where they come from"#),
    ("server_name", r#""host" in the "match" of a route"#),
    ("servers", r#""backends""#),
    ("services", r#""pools""#),
    ("set_header", r#""request_headers": {"set": {...}}"#),
    ("set_real_ip_from", r#""trusted_proxies""#),
    ("stub_status", r#""admin""#),
    ("targets", r#""backends""#),
    ("threads", r#""workers""#),
    ("trusted_proxy", r#""trusted_proxies""#),
    ("uri", r#""path""#),
    ("underscores_in_headers", r#""underscores" in "headers""#),
    ("upstream", r#""backends", or "pools" for several groups"#),
    ("upstreams", r#""backends", or "pools" for several groups"#),
    ("worker_connections", r#""connections" in "limits""#),
    ("worker_processes", r#""workers""#),
];

/// The message for a ropewalk key in the wrong place.
pub(in super::super) fn of_place(pointer: &str, name: &str) -> Option<String> {
    let places = places_of(pointer, name)?;
    Some(format!("{name:?} does not belong here; it belongs in {places}"))
}

/// The message for an unknown key that people know from other programs.
pub(in super::super) fn of_key(pointer: &str, name: &str) -> Option<String> {
    if PLACES.contains_key(name) {
        return None;
    }
    let is_of_fields = pointer.ends_with("/request_headers") || pointer.ends_with("/response_headers");
    if is_of_fields && (name.contains('-') || name.starts_with(|c: char| c.is_ascii_uppercase())) {
        return Some(format!(
            "fields are named in \"set\", \"add\" or \"remove\"; did you mean {{\"set\": {{{name:?}: ...}}}}?"
        ));
    }
    if let Some(here) = called_here(name) {
        return Some(format!("unknown key {name:?}; use {here}"));
    }
    let key = in_one_spelling(name);
    let at_top = if pointer.is_empty() { NOT_NEEDED_AT_TOP } else { &[] };
    if let Some((_, why)) = NOT_NEEDED.iter().chain(at_top).find(|(known, _)| *known == key) {
        return Some(format!("{name:?} is not needed: {why}"));
    }
    let what = not_supported(&key)?;
    Some(format!("{name:?}: {what} is not supported by this version; {SEE}"))
}

/// What people call the feature that a word of another program asks for and that is missing here.
fn not_supported(word: &str) -> Option<&'static str> {
    NOT_SUPPORTED.iter().find(|(known, _)| *known == word).map(|(_, what)| *what)
}

/// The message for what nginx and HAProxy write behind an address: `443 ssl`. `address` is
/// the same without them.
pub(in super::super) fn of_listen_options(options: &str, address: &str) -> String {
    let words = || options.split_whitespace();
    if let Some(what) = words().find_map(|word| not_supported(&word.to_ascii_lowercase())) {
        return format!("{what} is not supported by this version; {SEE}");
    }
    let advice = match words().next().unwrap_or_default() {
        "default_server" | "default" => {
            "\"default_server\" is not needed: a route without \"match\" takes all requests".to_owned()
        }
        "reuseport" => "\"reuseport\" is not needed".to_owned(),
        _ => "options behind an address are not supported".to_owned(),
    };
    format!("{advice}; did you mean {address:?}?")
}

/// Whether a key is what another program calls one of ours.
pub(in super::super) fn means(name: &str, ours: &str) -> bool {
    called_here(name).is_some_and(|here| here.starts_with(&format!("{ours:?}")))
}

fn called_here(name: &str) -> Option<&'static str> {
    let key = in_one_spelling(name);
    CALLED_ELSEWHERE.iter().find(|(known, _)| *known == key).map(|(_, here)| *here)
}

fn in_one_spelling(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

/// A way to an object: keys, `*` for a name of the user's own, `[]` for a place in a list.
type Path = Vec<String>;

/// Where each key may stand.
static PLACES: LazyLock<HashMap<String, Vec<Path>>> = LazyLock::new(|| {
    let mut places = HashMap::new();
    if let Ok(schema) = serde_json::from_str(SCHEMA) {
        collect_places(&schema, &schema, &mut Vec::new(), &mut places);
    }
    places
});

/// Where a key belongs that is unknown where it stands, as the schema says; `None` if that would
/// be a guess.
fn places_of(pointer: &str, name: &str) -> Option<String> {
    /// LIMIT: places in a message. More are no help.
    const PLACES_MAX: usize = 3;
    let here: Vec<&str> = pointer.split('/').skip(1).collect();
    let all = PLACES.get(name)?;
    // What is inside this place, or close to it, rather than what is far away.
    let shared = |place: &Path| {
        place.iter().zip(&here).take_while(|(a, b)| a == b || matches!(a.as_str(), "*" | "[]")).count()
    };
    let nearest = all.iter().map(shared).max()?;
    let mut places: Vec<_> = all.iter().filter(|place| shared(place) == nearest).collect();
    places.sort_by_key(|place| place.len());
    // Of places with one name, the outermost.
    let mut shown: Vec<(&str, String)> = Vec::new();
    for place in places {
        let (inner, text) = shown_place(place, if nearest == here.len() { nearest } else { 0 });
        if !shown.iter().any(|(other, _)| *other == inner) {
            shown.push((inner, text));
        }
    }
    let texts: Vec<_> = shown.into_iter().map(|(_, text)| text).collect();
    (texts.len() <= PLACES_MAX).then(|| texts.join(" or "))
}

/// The innermost name of a place, as shown to people: `"match" (in "routes")`; without what comes
/// before `from`, where the reader is already.
fn shown_place(place: &Path, from: usize) -> (&str, String) {
    let is_name = |part: &&str| !matches!(*part, "*" | "[]");
    let names: Vec<&str> = place[from..].iter().map(String::as_str).filter(is_name).collect();
    let inner = names.last().copied().unwrap_or_default();
    let is_entry = place.last().is_some_and(|part| !is_name(&part.as_str()));
    let text = match names.as_slice() {
        [] => "the top level".to_owned(),
        [only] if is_entry => format!("an entry of {only:?}"),
        [only] if from == 0 => format!("{only:?} at the top level"),
        [only] => format!("{only:?}"),
        [outer, ..] => format!("{inner:?} (in {outer:?})"),
    };
    (inner, text)
}

/// Every key of every object that a schema describes.
fn collect_places(root: &Value, schema: &Value, path: &mut Path, places: &mut HashMap<String, Vec<Path>>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let definition = &root["$defs"][reference.trim_start_matches("#/$defs/")];
        return collect_places(root, definition, path, places);
    }
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        places.entry(key.clone()).or_default().push(path.clone());
        path.push(key.clone());
        collect_places(root, property, path, places);
        path.pop();
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        collect_places(root, choice, path, places);
    }
    for (inside, part) in [("additionalProperties", "*"), ("items", "[]")] {
        if schema[inside].is_object() {
            path.push(part.to_owned());
            collect_places(root, &schema[inside], path, places);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_place_is_sent_to_the_right_one() {
        for (pointer, name, expected) in [
            ("/routes/0", "path_prefix", Some("\"match\"")),
            ("/pools/web", "interval", Some("\"health_check\"")),
            ("", "interval", Some("\"health_check\" at the top level")),
            ("/pools/web/backends/0", "retries", Some("an entry of \"pools\"")),
            ("/routes/0/timeouts", "drain", Some("\"timeouts\" at the top level")),
            ("", "sticky", None),
        ] {
            assert_eq!(places_of(pointer, name).as_deref(), expected, "{pointer} {name}");
        }
    }

    #[test]
    fn the_tables_are_in_one_spelling_and_name_no_key_of_ours() {
        let tables = [NOT_SUPPORTED, NOT_NEEDED, NOT_NEEDED_AT_TOP, CALLED_ELSEWHERE];
        for (name, _) in tables.into_iter().flatten() {
            assert_eq!(in_one_spelling(name), *name);
            assert!(!PLACES.contains_key(*name), "{name} is a key: take it out of the table");
        }
    }
}
