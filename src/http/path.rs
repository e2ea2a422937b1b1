//! The path of a target as routes compare it.
//!
//! What is forwarded is never normalised, but what is compared must be: else a route that
//! guards `/admin` is passed by asking for `/%61dmin`, `//admin` or `/x/../admin`, which the
//! backend may take for the same.

use std::borrow::Cow;

/// The path of a target in origin-form, and its query with the question mark.
pub fn split_query(target: &str) -> (&str, &str) {
    match target.find('?') {
        Some(mark) => target.split_at(mark),
        None => (target, ""),
    }
}

/// A path with every percent-escape decoded, repeated slashes merged and dot segments resolved
/// (RFC 3986, sections 5.2.4 and 6.2.2). More is decoded than equivalence asks for, an escaped
/// slash for one: some backend will decode it too, and a guard has to assume the worst. For the
/// same reason a backslash counts as a slash, and a dot segment stays one with parameters behind
/// it (`..;x`). What is not a valid escape stays as it is. Allocates only if something changes.
pub fn normalise(path: &str) -> Cow<'_, [u8]> {
    if is_normal(path.as_bytes()) {
        return Cow::Borrowed(path.as_bytes());
    }
    Cow::Owned(resolve(&decode(path.as_bytes())))
}

/// What else a backend may take a path for; nothing for the many that can be read in one way only.
#[derive(Debug, PartialEq, Eq)]
pub struct OtherReadings {
    /// By one that knows no dot segments, and so answers for the folder that the path begins with.
    pub literal: Vec<u8>,
    /// By one that drops the parameters of segments (RFC 3986, section 3.3): `/a;x/b` as `/a/b`.
    pub bare: Vec<u8>,
}

/// The other readings of a path, if there are any.
pub fn other_readings(path: &str) -> Option<OtherReadings> {
    if is_normal(path.as_bytes()) {
        return None;
    }
    let decoded = decode(path.as_bytes());
    let (mut literal, mut bare) = (Vec::new(), Vec::new());
    for segment in decoded.split(|&byte| byte == b'/') {
        let name = without_parameters(segment);
        if !segment.is_empty() {
            literal.push(b'/');
            literal.extend_from_slice(segment);
        }
        bare.push(b'/');
        bare.extend_from_slice(name);
    }
    Some(OtherReadings { literal, bare: resolve(&bare) })
}

/// Whether a path has dot segments, in whatever spelling, and so may lead out of a folder that it
/// is put into.
pub fn climbs(path: &str) -> bool {
    let is_dots = |segment: &[u8]| matches!(without_parameters(segment), b"." | b"..");
    !is_normal(path.as_bytes()) && decode(path.as_bytes()).split(|&byte| byte == b'/').any(is_dots)
}

/// A segment up to its first semicolon.
fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|&byte| byte == b';').next().unwrap_or_default()
}

/// Whether nothing in a path could change. May say no for some that would not.
fn is_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'%' | b';' | b'\\' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

/// A path without escapes and backslashes.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, after @ ..]) = (byte, tail)
            && let (Some(high), Some(low)) = ((*high as char).to_digit(16), (*low as char).to_digit(16))
        {
            decoded.push((high << 4 | low) as u8);
            rest = after;
        } else {
            decoded.push(*byte);
        }
    }
    decoded.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    decoded
}

/// Takes dot segments and empty segments out. A slash at the end stays one.
fn resolve(path: &[u8]) -> Vec<u8> {
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
        // These stand for a folder, which a slash at the end says.
        if last && matches!(dots, b"" | b"." | b"..") {
            resolved.push(b'/');
        }
    }
    resolved
}

/// Whether a normalised path is `prefix` or lies below it. A prefix that ends in a slash is for
/// what lies below only.
pub fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with(b"/") || prefix.ends_with(b"/"),
        None => false,
    }
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
    fn a_path_has_other_readings_if_backends_may_differ() {
        assert_eq!(other_readings("/a/b.c"), None);
        for (path, literal, bare) in [
            ("/a/../b", "/a/../b", "/b"),
            ("//a/..%2Fb", "/a/../b", "/b"),
            ("/a;x/b;y", "/a;x/b;y", "/a/b"),
            ("/a/..;x/b", "/a/..;x/b", "/b"),
        ] {
            let expected = OtherReadings { literal: literal.into(), bare: bare.into() };
            assert_eq!(other_readings(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_found_in_every_spelling() {
        for path in ["/..", "/a/./b", "/%2e%2E/a", "/..%2fa", "/..;/a", "/a\\..\\b"] {
            assert!(climbs(path), "{path}");
        }
        for path in ["/", "/a%20b", "/..a", "/...", "//a", "*"] {
            assert!(!climbs(path), "{path}");
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
