//! How backends read a path: reference implementations, written from their documentation and code.
//!
//! For tests only. They share nothing with `http::path`, so that a mistake there is not repeated here.
//! Each decodes escapes of ordinary characters in the end, as frameworks do before a handler sees a
//! path; they differ in everything else.

/// A backend, and which path it serves; `None` if it refuses it.
pub(super) type Reader = (&'static str, fn(&str) -> Option<String>);

/// The readers.
pub(super) const READERS: [Reader; 17] = [
    ("Node: new URL(req.url, base).pathname", |path| whatwg(path).map(|path| decode_ordinary(&path))),
    ("Node: decodeURIComponent(new URL(req.url, base).pathname)", |path| {
        whatwg(path).map(|path| decode(&path))
    }),
    ("RFC 3986, section 5.2", |path| Some(decode_ordinary(&remove_dots(&unescape_dots(network_path(path)))))),
    ("Go: r.URL.Path", |path| Some(decode(path))),
    ("Go: http.ServeMux", |path| Some(go_mux(&decode(path)))),
    ("Go: path.Clean, as a file server", |path| Some(go_mux(&decode(path).replace('\\', "/")))),
    ("Python: urlsplit(target).path, unquoted", |path| Some(decode(network_path(path)))),
    ("Python: urljoin(base, target), unquoted", |path| Some(decode(&remove_dots(network_path(path))))),
    ("Python: http.server", |path| Some(go_mux(&decode(&format!("/{}", path.trim_start_matches('/')))))),
    ("Tomcat, as delivered", |path| {
        let bare = without_parameters(path);
        let refused = ["%2f", "%2F", "%5c", "%5C", "\\"].iter().any(|text| bare.contains(text));
        (!refused).then(|| folded(&decode(&bare)))
    }),
    ("parameters dropped, nothing else", |path| Some(decode_ordinary(&without_parameters(path)))),
    ("decoded, parameters dropped, folded", |path| Some(folded(&without_parameters(&decode(path))))),
    ("nginx with merge_slashes", |path| Some(folded(&decode(path)))),
    ("nginx without merge_slashes", |path| Some(remove_dots(&decode(path)))),
    ("Windows: backslashes are slashes, after decoding", |path| {
        Some(folded(&decode(path).replace('\\', "/")))
    }),
    ("backslashes are slashes, before decoding", |path| Some(decode_ordinary(&path.replace('\\', "/")))),
    ("nothing but ordinary escapes", |path| Some(decode_ordinary(path))),
];

/// Decodes every valid escape. Bytes become the characters of the same number.
fn decode(path: &str) -> String {
    decode_if(path, |_| true)
}

/// Decodes escapes of characters that do not end a segment.
fn decode_ordinary(path: &str) -> String {
    decode_if(path, |byte| !b"/\\;".contains(&byte))
}

fn decode_if(path: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let digits = rest.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.filter(|_| first == '%').map(|digits| u8::from_str_radix(digits, 16).unwrap());
        match byte.filter(|&byte| wanted(byte)) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[3..];
            }
            None => {
                decoded.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    decoded
}

/// The parser of the WHATWG URL Standard, for a special scheme and a target that begins with a
/// slash: "relative slash state", "special authority ignore slashes state", "path state".
fn whatwg(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let path = match path.strip_prefix("//") {
        None => path.as_str(),
        Some(rest) => {
            let rest = rest.trim_start_matches('/');
            let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
            let decoded = decode(host);
            if host.is_empty() || decoded.contains(|c: char| "%/\\;@:[]^|<> ".contains(c) || c < ' ') {
                return None;
            }
            rest.get(host.len()..)?
        }
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part.to_ascii_lowercase().replace("%2e", ".").as_str() {
            "." if last => segments.push(""),
            "." => {}
            ".." => {
                segments.pop();
                if last {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

/// RFC 3986, section 4.2: what follows `//` is an authority.
fn network_path(path: &str) -> &str {
    match path.strip_prefix("//") {
        None => path,
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
    }
}

/// RFC 3986, section 6.2.2.2, where it affects dot segments.
fn unescape_dots(path: &str) -> String {
    path.replace("%2e", ".").replace("%2E", ".")
}

/// RFC 3986, section 5.2.4, step by step.
fn remove_dots(path: &str) -> String {
    let mut input = path.to_owned();
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") {
            input.replace_range(..2, "");
        } else if input == "/." {
            "/".clone_into(&mut input);
        } else if input.starts_with("/../") || input == "/.." {
            input.replace_range(..3, if input == "/.." { "/" } else { "" });
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |slash| slash + 1);
            output.push_str(&input[..end]);
            input.replace_range(..end, "");
        }
    }
    output
}

/// Go's path.Clean, with the trailing slash that ServeMux puts back.
fn go_mux(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let slash = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}

/// Merges slashes, then resolves dot segments; a trailing dot segment leaves a slash.
fn folded(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    remove_dots(&merged)
}

fn without_parameters(path: &str) -> String {
    let names = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    names.collect::<Vec<_>>().join("/")
}

/// Checks the readers against the examples in their documentation.
#[test]
fn readers_read_as_their_models_do() {
    // Node 20: new URL(path, 'http://x').pathname.
    for (path, expected) in [
        ("/x/../admin//../secret", "/admin/secret"),
        ("/./admin/..%2fsecret", "/admin/..%2fsecret"),
        ("//h/admin/x", "/admin/x"),
        ("/\\h\\admin", "/admin"),
        ("///h/a//b/.", "/a//b/"),
        ("/a/%2E%2e/b", "/b"),
        ("/a;x/..;/b", "/a;x/..;/b"),
    ] {
        assert_eq!(whatwg(path).as_deref(), Some(expected), "{path}");
    }
    // RFC 3986, section 5.4.
    assert_eq!(remove_dots("/b/c/../../../g"), "/g");
    assert_eq!(remove_dots("/a/b/c/./../../g"), "/a/g");
    assert_eq!(remove_dots("/./admin//../secret"), "/admin/secret");
    assert_eq!(network_path("//h/x"), "/x");
    // Go: path.Clean.
    assert_eq!(go_mux("//a/b/../c/"), "/a/c/");
    assert_eq!(go_mux("/a/b/.."), "/a");
    assert_eq!(without_parameters("/a;x=1/b;y"), "/a/b");
    assert_eq!(folded("/a//./b/.."), "/a/");
}
