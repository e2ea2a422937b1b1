//! The ways other than normal form in which a backend may read a path.
//!
//! Paths are forwarded as sent, and backends disagree on how to read them: some decode `%2F`, some
//! treat a backslash as a slash, some merge slashes, drop `;parameters`, or read `//host` as a host
//! name. A guard that checks only one reading can be bypassed with another. So if the configuration has
//! guards, a path is looked up in every reading, and a path that cannot be read safely is refused.
//!
//! There are at most 32 readings: five choices with two options each. A path that combines dot segments
//! with any of these choices would have many more, since `..` removes whatever the other choices made a
//! segment. No honest client sends such a path, so it is refused. Letter case, double escapes, a NUL
//! byte that ends the path and malformed UTF-8 are not covered.

use super::path::{Ambiguous, is_plain, resolve, unescaped};

/// A decoded byte of a path, marked with [`ESCAPED`] if it was escaped and could end a segment.
type Unit = u16;

/// Distinguishes `%2F`, `%5C` and `%3B` from the bytes they encode.
const ESCAPED: Unit = 0x100;

const SLASH: Unit = b'/' as Unit;
const BACKSLASH: Unit = b'\\' as Unit;
const SEMICOLON: Unit = b';' as Unit;
const ESCAPED_SLASH: Unit = ESCAPED | SLASH;
const ESCAPED_BACKSLASH: Unit = ESCAPED | BACKSLASH;
const ESCAPED_SEMICOLON: Unit = ESCAPED | SEMICOLON;

/// One way to read a path without dot segments. All other escapes are always decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading(u8);

/// What a unit means in one reading.
enum Meaning {
    Slash,
    Parameters,
    Byte(u8),
    /// An escape that is not decoded.
    Escape(&'static [u8]),
}

impl Reading {
    /// `%2F`, `%5C` and `%3B` are decoded instead of kept as text.
    const DECODED: u8 = 1;
    /// A backslash is a slash, as in WHATWG URLs and on Windows.
    const BACKSLASH: u8 = 2;
    /// Empty segments are dropped.
    const MERGED: u8 = 4;
    /// A segment ends at its first semicolon (RFC 3986, section 3.3).
    const BARE: u8 = 8;
    /// Two leading slashes are followed by a host (RFC 3986, section 4.2).
    const AUTHORITY: u8 = 16;
    /// LIMIT: readings of one path.
    const COUNT: u8 = 32;

    fn has(self, choice: u8) -> bool {
        self.0 & choice != 0
    }

    fn meaning(self, unit: Unit) -> Meaning {
        match unit {
            ESCAPED_SLASH if !self.has(Self::DECODED) => Meaning::Escape(b"%2F"),
            ESCAPED_BACKSLASH if !self.has(Self::DECODED) => Meaning::Escape(b"%5C"),
            ESCAPED_SEMICOLON if !self.has(Self::DECODED) => Meaning::Escape(b"%3B"),
            SLASH | ESCAPED_SLASH => Meaning::Slash,
            BACKSLASH | ESCAPED_BACKSLASH if self.has(Self::BACKSLASH) => Meaning::Slash,
            SEMICOLON | ESCAPED_SEMICOLON if self.has(Self::BARE) => Meaning::Parameters,
            unit => Meaning::Byte(unit.to_le_bytes()[0]),
        }
    }

    /// Whether `meaning` is a slash. Branch-free, because it runs over long runs of slashes.
    fn is_slash(self, unit: Unit) -> bool {
        let (decoded, backslash) = (self.has(Self::DECODED), self.has(Self::BACKSLASH));
        unit == SLASH
            || decoded & (unit == ESCAPED_SLASH)
            || backslash & (unit == BACKSLASH)
            || decoded & backslash & (unit == ESCAPED_BACKSLASH)
    }
}

/// Calls `visit` with each reading of a path other than normal form, and possibly with normal form too.
/// A plain path has no other readings.
///
/// A long reading is cut a little after `bytes_max` bytes: what follows cannot matter if `bytes_max` is
/// more than one byte longer than every path it is compared with. So the longest path costs as much as
/// reading it a few times, not 32 copies.
///
/// # Errors
/// The path combines dot segments with `%2F`, `%5C`, `%3B`, `\`, `;` or an empty segment.
pub fn other_readings(path: &str, bytes_max: usize, mut visit: impl FnMut(&[u8])) -> Result<(), Ambiguous> {
    if is_plain(path) || !path.starts_with('/') {
        return Ok(());
    }
    let units = units(path.as_bytes());
    let live = live(&units);
    // Uses the reading with the most segments, which has every dot segment that the others have.
    let finest = Reading(Reading::DECODED | Reading::BACKSLASH);
    let is_dots = |segment: &[Unit]| {
        let name = segment.split(|unit| unit & !ESCAPED == SEMICOLON).next().unwrap_or_default();
        matches!(name.len(), 1 | 2) && name.iter().all(|&unit| unit == Unit::from(b'.'))
    };
    if units.split(|&unit| finest.is_slash(unit)).any(is_dots) {
        if live != 0 {
            return Err(Ambiguous);
        }
        // No unit is marked as escaped, so each is a byte.
        let decoded: Vec<u8> = units.iter().map(|unit| unit.to_le_bytes()[0]).collect();
        // First as a backend that ignores dot segments reads it, then as one that resolves them. A
        // trailing dot segment leaves a slash (RFC 3986) or none (Go's path.Clean).
        visit(&decoded);
        let resolved = resolve(&decoded);
        visit(&resolved);
        if let Some(clean) = resolved.strip_suffix(b"/").filter(|clean| !clean.is_empty()) {
            visit(clean);
        }
        return Ok(());
    }
    let mut read = Vec::new();
    for reading in (0..Reading::COUNT).filter(|choices| choices & !live == 0).map(Reading) {
        read.clear();
        apply(reading, &units, bytes_max, &mut read);
        visit(&read);
    }
    Ok(())
}

fn units(path: &[u8]) -> Vec<Unit> {
    let mut units = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, after)) = unescaped(rest) {
        let is_escape = rest.len() - after.len() > 1;
        let ends_segments = matches!(byte, b'/' | b'\\' | b';');
        units.push(Unit::from(byte) | if is_escape && ends_segments { ESCAPED } else { 0 });
        rest = after;
    }
    units
}

/// The choices that make a difference for a path.
fn live(units: &[Unit]) -> u8 {
    let mut live = 0;
    let mut before = 0;
    for &unit in units {
        live |= match unit {
            SLASH if before == SLASH => Reading::MERGED,
            // Each of these may produce an empty segment, so merging matters too.
            BACKSLASH => Reading::BACKSLASH | Reading::MERGED,
            SEMICOLON => Reading::BARE | Reading::MERGED,
            ESCAPED_SLASH => Reading::DECODED | Reading::MERGED,
            ESCAPED_BACKSLASH => Reading::DECODED | Reading::BACKSLASH | Reading::MERGED,
            ESCAPED_SEMICOLON => Reading::DECODED | Reading::BARE | Reading::MERGED,
            _ => 0,
        };
        before = unit;
    }
    let finest = Reading(Reading::DECODED | Reading::BACKSLASH);
    if let [first, second, ..] = *units
        && finest.is_slash(first)
        && finest.is_slash(second)
    {
        // WHATWG skips all slashes before the host, RFC 3986 only two.
        live |= Reading::AUTHORITY | Reading::BACKSLASH;
    }
    live
}

/// Writes out one reading of a path without dot segments.
fn apply(reading: Reading, path: &[Unit], bytes_max: usize, read: &mut Vec<u8>) {
    let rest = if reading.has(Reading::AUTHORITY) { behind_authority(reading, path) } else { path };
    // A bare host has the root as its path.
    let mut units = if rest.is_empty() { &[SLASH] } else { rest }.iter();
    while let Some(&unit) = units.next()
        && read.len() < bytes_max
    {
        // How many of the following units to skip.
        let rest = units.as_slice();
        let skipped = match reading.meaning(unit) {
            Meaning::Slash => {
                // There may have been parameters between this slash and the last.
                if !(reading.has(Reading::MERGED) && read.ends_with(b"/")) {
                    read.push(b'/');
                }
                let another = |unit: &&Unit| reading.is_slash(**unit);
                if reading.has(Reading::MERGED) { rest.iter().take_while(another).count() } else { 0 }
            }
            Meaning::Parameters => rest.iter().position(|&unit| reading.is_slash(unit)).unwrap_or(rest.len()),
            Meaning::Byte(byte) => {
                read.push(byte);
                0
            }
            Meaning::Escape(text) => {
                read.extend_from_slice(text);
                0
            }
        };
        units = rest.get(skipped..).unwrap_or_default().iter();
    }
}

/// Skips the host at the start of a path, if it can be read as having one.
fn behind_authority(reading: Reading, path: &[Unit]) -> &[Unit] {
    // A backend that parses before it decodes sees no escaped slash. But if every slash is escaped,
    // something in front must have decoded them first.
    let literal = Reading(reading.0 & !Reading::DECODED);
    for reading in [literal, reading] {
        let is_slash = |&unit: &Unit| reading.is_slash(unit);
        let slashes = path.iter().take_while(|unit| is_slash(unit)).count();
        let skipped = match slashes {
            0 | 1 => continue,
            all if reading.has(Reading::BACKSLASH) => all,
            _ => 2,
        };
        let rest = path.get(skipped..).unwrap_or_default();
        let host = rest.iter().position(is_slash).unwrap_or(rest.len());
        return rest.get(host..).unwrap_or_default();
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distinct readings of a path, as text.
    fn readings(path: &str) -> Result<Vec<String>, Ambiguous> {
        let mut found: Vec<String> = Vec::new();
        other_readings(path, usize::MAX, |reading| {
            found.push(String::from_utf8_lossy(reading).into_owned());
        })?;
        assert!(found.len() <= usize::from(Reading::COUNT), "{path}");
        found.sort();
        found.dedup();
        Ok(found)
    }

    #[test]
    fn a_plain_path_has_no_other_reading() {
        for path in ["/", "/a/b.c", "/a/", "/.well-known/x", "/...", "*", "/a..b/..c"] {
            assert_eq!(readings(path), Ok(vec![]), "{path}");
        }
    }

    #[test]
    fn an_escape_that_ends_no_segment_is_decoded() {
        assert_eq!(readings("/a%20b/%7e"), Ok(vec!["/a b/~".to_owned()]));
        assert_eq!(readings("/%252e%252e/b"), Ok(vec!["/%2e%2e/b".to_owned()]));
        assert_eq!(readings("/50%/%zz"), Ok(vec!["/50%/%zz".to_owned()]));
    }

    #[test]
    fn each_choice_is_made_in_both_ways() {
        for (path, expected) in [
            ("/a%2fb", &["/a%2Fb", "/a/b"][..]),
            ("/a\\b", &["/a/b", "/a\\b"]),
            ("/a%5Cb", &["/a%5Cb", "/a/b", "/a\\b"]),
            ("/a//b", &["/a//b", "/a/b"]),
            ("/a;x/b", &["/a/b", "/a;x/b"]),
            ("/a%3bx/b", &["/a%3Bx/b", "/a/b", "/a;x/b"]),
            ("//h/a", &["//h/a", "/a", "/h/a"]),
            ("///h/a//b", &["///h/a//b", "/a//b", "/a/b", "/h/a//b", "/h/a/b"]),
            ("//h", &["/", "//h", "/h"]),
            ("/\\h\\a", &["/\\h\\a", "//h/a", "/a", "/h/a"]),
            ("/%2Fh/a", &["/%2Fh/a", "//h/a", "/a", "/h/a"]),
            ("/;x/a", &["//a", "/;x/a", "/a"]),
        ] {
            let found = readings(path).unwrap();
            for expected in expected {
                assert!(found.iter().any(|found| found == expected), "{path}: {expected} of {found:?}");
            }
        }
    }

    #[test]
    fn dot_segments_alone_are_resolved_or_not() {
        let expected = |list: &[&str]| Ok(list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(readings("/x/../a"), expected(&["/a", "/x/../a"]));
        assert_eq!(readings("/x/%2e%2E/a%20b"), expected(&["/a b", "/x/../a b"]));
        assert_eq!(readings("/adm/."), expected(&["/adm", "/adm/", "/adm/."]));
        assert_eq!(readings("/.."), expected(&["/", "/.."]));
    }

    #[test]
    fn dot_segments_beside_another_choice_are_refused() {
        for path in [
            "/./admin//../secret",
            "/x/../admin//../secret",
            "/./admin/..%2fsecret",
            "/./admin/..;/x",
            "/x/..;/admin",
            "/x\\..\\admin",
            "/x%5c..%5Cadmin",
            "/..%2fa",
            "/a%2Fb/./c",
            "/a;x/../b",
            "/a/..%3bx",
            "//h/../a",
        ] {
            assert_eq!(readings(path), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn a_slash_is_what_means_one() {
        for reading in (0..Reading::COUNT).map(Reading) {
            for unit in 0..2 * ESCAPED {
                let means = matches!(reading.meaning(unit), Meaning::Slash);
                assert_eq!(reading.is_slash(unit), means, "{unit:#x} in {reading:?}");
            }
        }
    }

    #[test]
    fn a_long_reading_is_cut() {
        let path = format!("//{}/a;{}/b", "h".repeat(4_000), "x".repeat(4_000));
        other_readings(&path, 9, |reading| assert!(reading.len() <= 11, "{}", reading.len())).unwrap();
    }
}
