//! The path of a target: how it is read for matching routes, and how a route may change it.
//!
//! Paths are compared in *normal form*, which treats two paths as equal if most backends do. Other ways
//! in which backends read a path are in [`readings`](super::readings). A forwarded path is never
//! normalised: a route that strips a prefix cuts the client's own bytes.

use std::borrow::Cow;

/// Splits a target in origin-form into its path and its query, which keeps the question mark.
pub fn split_query(target: &str) -> (&str, &str) {
    match target.find('?') {
        Some(mark) => target.split_at(mark),
        None => (target, ""),
    }
}

/// Whether a path can be read in only one way: it contains no `%`, `;` or `\`, no dot segments, and no
/// empty segments other than the last.
pub fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut after_slash = false;
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'%' | b';' | b'\\' => return false,
            b'/' if after_slash => return false,
            b'.' if after_slash => {
                let rest = bytes.get(index + 1..).unwrap_or_default();
                if matches!(rest, [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..]) {
                    return false;
                }
                after_slash = false;
            }
            _ => after_slash = byte == b'/',
        }
    }
    true
}

/// The normal form of a path. Escapes are decoded once, backslashes become slashes, empty segments are
/// dropped, and dot segments are resolved (RFC 3986, sections 5.2.4 and 6.2.2), including those with
/// parameters (`..;x`). Invalid escapes and a trailing slash are kept. Allocates only if the path is
/// not plain.
pub fn normalise(path: &str) -> Cow<'_, [u8]> {
    if is_plain(path) {
        return Cow::Borrowed(path.as_bytes());
    }
    Cow::Owned(resolve(&decode(path.as_bytes())))
}

/// The path cannot be stripped or inserted into a template, because backends disagree on what its `..`
/// removes: a segment has a `..` next to `%2F`, `%5C`, `%3B`, `\` or `;`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Resolves the plain dot segments of a path (`.`, `..` and their escapes, RFC 3986, section 5.2.4) and
/// keeps every other byte. `..` also removes empty segments before it, as in normal form.
///
/// # Errors
/// A segment contains a `..` that only some backends see.
pub fn without_dots(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    if path.split('/').any(hides_dots) {
        return Err(Ambiguous);
    }
    if !path.split('/').any(|segment| dots(segment) > 0) {
        return Ok(Cow::Borrowed(path));
    }
    let mut kept = String::with_capacity(path.len());
    // Skips what is before the first slash: nothing, since targets start with one.
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = dots(segment);
        if dots == 0 {
            kept.push('/');
            kept.push_str(segment);
            continue;
        }
        if dots == 2 {
            kept.truncate(kept.trim_end_matches('/').rfind('/').unwrap_or(0));
        }
        // A dot segment names a directory, so the result ends in a slash.
        if segments.peek().is_none() {
            kept.push('/');
        }
    }
    Ok(Cow::Owned(kept))
}

/// Strips a prefix from a path, however the path spells it; `None` if the path is not below the prefix.
/// The prefix is in normal form without a trailing slash. The result starts with a slash and otherwise
/// keeps the path's own bytes.
pub fn without_prefix<'p>(path: &'p str, prefix: &[u8]) -> Option<Cow<'p, str>> {
    let mut rest = path;
    for segment in prefix.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()) {
        let mut inside = after_separator(rest)?;
        while let Some(after) = after_separator(inside) {
            inside = after;
        }
        for wanted in segment {
            let (byte, after) = unescaped(inside.as_bytes())?;
            if byte != *wanted {
                return None;
            }
            // Paths and escapes are ASCII, so this is a character boundary.
            inside = inside.get(inside.len() - after.len()..)?;
        }
        if !inside.is_empty() && after_separator(inside).is_none() {
            return None;
        }
        rest = inside;
    }
    Some(match after_separator(rest) {
        None => Cow::Borrowed("/"),
        Some(_) if rest.starts_with('/') => Cow::Borrowed(rest),
        Some(after) => Cow::Owned(format!("/{after}")),
    })
}

/// Whether a normalised path is `prefix` or below it. A prefix with a trailing slash matches only what
/// is below it.
pub fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || prefix.ends_with(b"/"),
        None => false,
    }
}

/// The first byte of a path, unescaped, and the rest.
pub(super) fn unescaped(path: &[u8]) -> Option<(u8, &[u8])> {
    let (&byte, rest) = path.split_first()?;
    if let (b'%', [high, low, after @ ..]) = (byte, rest)
        && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
    {
        return Some(((high << 4 | low) as u8, after));
    }
    Some((byte, rest))
}

/// The rest of a path that starts with a slash, in any spelling that normal form treats as one.
fn after_separator(path: &str) -> Option<&str> {
    match unescaped(path.as_bytes())? {
        (b'/' | b'\\', after) => path.get(path.len() - after.len()..),
        _ => None,
    }
}

/// 1 for `.`, 2 for `..`, in any spelling; 0 for any other segment.
fn dots(segment: &str) -> usize {
    let mut rest = segment.as_bytes();
    let mut count = 0;
    while let Some((byte, after)) = unescaped(rest) {
        if byte != b'.' || count == 2 {
            return 0;
        }
        count += 1;
        rest = after;
    }
    count
}

/// Whether a segment that is not `..` contains one for a backend that decodes it first and then splits
/// it at `/`, `\` or `;`.
fn hides_dots(segment: &str) -> bool {
    let is_end = |byte: &u8| matches!(byte, b'/' | b'\\' | b';');
    let decoded = decode_escapes(segment.as_bytes());
    decoded.iter().any(is_end) && decoded.split(is_end).any(|part| part == b"..")
}

/// A segment up to its first semicolon.
fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|&byte| byte == b';').next().unwrap_or_default()
}

/// Decodes all escapes.
fn decode_escapes(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = unescaped(rest) {
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// Decodes all escapes and turns backslashes into slashes.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = decode_escapes(path);
    decoded.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    decoded
}

/// Removes dot segments and empty segments. Keeps a trailing slash.
pub(super) fn resolve(path: &[u8]) -> Vec<u8> {
    let mut resolved: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let dots = match without_parameters(segment) {
            dots @ (b"." | b"..") => dots,
            _ => segment,
        };
        match dots {
            b"" | b"." => {}
            b".." => {
                let parent = resolved.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                resolved.truncate(parent);
            }
            name => {
                resolved.push(b'/');
                resolved.extend_from_slice(name);
            }
        }
        // These name a directory, so the result ends in a slash.
        if last && matches!(dots, b"" | b"." | b"..") {
            resolved.push(b'/');
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn normal(path: &str) -> String {
        String::from_utf8(normalise(path).into_owned()).unwrap()
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        for path in ["/", "/a/b", "/a.b/c", "/a/", "*"] {
            assert!(matches!(normalise(path), Cow::Borrowed(same) if same == path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn many_spellings_are_one_path() {
        for path in
            ["/admin", "/%61dmin", "//admin", "/./admin", "/x/../admin", "/x/%2e%2E/admin", "/../admin"]
        {
            assert_eq!(normal(path), "/admin", "{path}");
        }
        assert_eq!(normal("/a%2Fb"), "/a/b");
        assert_eq!(normal("/a/%2e"), "/a/");
        assert_eq!(normal("/a/.."), "/");
        assert_eq!(normal("/.hidden"), "/.hidden");
        assert_eq!(normal("/50%"), "/50%");
        assert_eq!(normal("/%zz%4"), "/%zz%4");
    }

    #[test]
    fn what_only_some_backends_take_for_a_dot_segment_is_one() {
        for path in ["/x/..;/admin", "/x/..;a=b/admin", "/x\\..\\admin", "/x%5c..%5Cadmin", "/\\admin"] {
            assert_eq!(normal(path), "/admin", "{path}");
        }
        assert_eq!(normal("/a;b/c"), "/a;b/c");
    }

    #[test]
    fn plain_dot_segments_are_resolved_and_the_rest_is_kept() {
        for (path, expected) in [
            ("/a/b%2Fc/%2B", "/a/b%2Fc/%2B"),
            ("/a%2Fb/./c", "/a%2Fb/c"),
            ("/a/%2e%2E/b%20c", "/b%20c"),
            ("/a/.%2e", "/"),
            ("/a/.", "/a/"),
            ("/http:%2F%2Fx%2Fy/.", "/http:%2F%2Fx%2Fy/"),
            ("/../../a", "/a"),
            ("/a//b//../c", "/a//c"),
            ("/a//./b", "/a//b"),
            ("/a;x/../b", "/b"),
            ("/.;x/a%2F./b", "/.;x/a%2F./b"),
            ("/a/..b/...", "/a/..b/..."),
        ] {
            assert_eq!(without_dots(path).as_deref(), Ok(expected), "{path}");
        }
        for path in ["/a/..%2Fb", "/a%2f..", "/..;x", "/..\\b", "/%2e%2e%5Cb", "/a/x%5c..%5cb", "/..%3Bx/b"] {
            assert_eq!(without_dots(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_however_it_is_spelt() {
        let caf = &normalise("/caf%C3%A9").into_owned()[..];
        for (path, prefix, expected) in [
            ("/api/a%2Fb", &b"/api"[..], Some("/a%2Fb")),
            ("/%61pi/a%2Fb//c\\d", b"/api", Some("/a%2Fb//c\\d")),
            ("/caf%c3%a9/a%2Fb", caf, Some("/a%2Fb")),
            ("//api", b"/api", Some("/")),
            ("/api/", b"/api", Some("/")),
            ("/api%2Fa%2Fb", b"/api", Some("/a%2Fb")),
            ("/a\\b/c", b"/a/b", Some("/c")),
            ("/apis", b"/api", None),
            ("/ap", b"/api", None),
            ("/a%2Fb", b"/b", None),
            ("*", b"/api", None),
        ] {
            assert_eq!(without_prefix(path, prefix).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_prefix_ends_where_a_segment_ends() {
        assert!(is_below(b"/v1", b"/v1"));
        assert!(is_below(b"/v1/a", b"/v1"));
        assert!(!is_below(b"/v10", b"/v1"));
        assert!(is_below(b"/v1/a", b"/v1/"));
        assert!(!is_below(b"/v1", b"/v1/"));
        assert!(is_below(b"/anything", b"/"));
    }

    #[test]
    fn a_target_is_a_path_and_a_query() {
        assert_eq!(split_query("/a?b?c"), ("/a", "?b?c"));
        assert_eq!(split_query("/a"), ("/a", ""));
    }

    proptest! {
        #[test]
        fn no_path_climbs_above_the_root(path in "(/[a.%2eE5]{0,4}){1,8}") {
            let normal = normalise(&path);
            prop_assert!(normal.starts_with(b"/"));
            let segments: Vec<_> = normal.split(|&byte| byte == b'/').collect();
            prop_assert!(!segments.contains(&&b".."[..]), "{:?}", path);
        }

        #[test]
        fn what_has_no_escapes_is_normal_after_one_pass(path in "(/[a.]{0,3}){1,8}") {
            let once = normal(&path);
            prop_assert_eq!(normal(&once), once);
        }
    }
}
