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
/// slash for one: some backend will decode it too, and a guard has to assume the worst.
/// What is not a valid escape stays as it is. Allocates only if something changes.
pub fn normalise(path: &str) -> Cow<'_, [u8]> {
    if is_normal(path.as_bytes()) {
        return Cow::Borrowed(path.as_bytes());
    }
    Cow::Owned(resolve(&decode(path.as_bytes())))
}

/// Whether nothing in a path could change. May say no for some that would not.
fn is_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'%' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

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
    decoded
}

/// Takes dot segments and empty segments out. A slash at the end stays one.
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut resolved: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
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
        if last && matches!(segment, b"" | b"." | b"..") {
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
