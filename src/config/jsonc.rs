//! What a configuration may have that JSON has not: comments, and a comma after the last value.
//!
//! Both become spaces before the text is parsed. Every other byte keeps its offset and every line its
//! number, so the positions in error messages are those of the text as written. Everything else is
//! the JSON parser's business, and that is strict. Nothing fails here: a comment that is not closed
//! stays in the text, and the parser stops at it.

use std::borrow::Cow;
use std::ops::Range;

/// The text with spaces in place of comments and trailing commas. Borrowed if it has neither.
pub(super) fn to_json(text: &str) -> Cow<'_, str> {
    without(text, &blanks(text).0)
}

/// The text with spaces in place of comments, to be shown to people. Behind a `/` that begins no
/// complete comment the rest of the line is left out too: it was probably meant to be one.
pub(super) fn without_comments(text: &str) -> Cow<'_, str> {
    let (mut comments, stopped) = blanks(text);
    comments.retain(|range| text[range.clone()].starts_with('/'));
    if let Some(rest) = text.get(stopped..).filter(|rest| rest.starts_with('/')) {
        let line = rest.find('\n').unwrap_or(rest.len());
        comments.push(stopped + 1..stopped + line);
    }
    without(text, &comments)
}

/// Where comments and trailing commas stand, and how far the text was understood.
fn blanks(text: &str) -> (Vec<Range<usize>>, usize) {
    let bytes = text.as_bytes();
    let mut blanks = Vec::new();
    // The last byte outside of white space and comments.
    let mut last = b' ';
    // A comma after a value. It is a trailing one if a closing bracket comes next.
    let mut comma = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let end = match byte {
            b'"' => string_end(bytes, at),
            b'/' => comment_end(bytes, at),
            _ => Some(at + 1),
        };
        // The parser stops here too.
        let Some(end) = end else { break };
        at = end;
        match byte {
            b'/' => {
                blanks.push(start..end);
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b',' => comma = Some(start).filter(|_| !b" [{,:".contains(&last)),
            b']' | b'}' => blanks.extend(comma.take().map(|comma| comma..comma + 1)),
            _ => comma = None,
        }
        last = byte;
    }
    (blanks, at)
}

/// Where a string ends that begins here. `None` if it does not end on its line, as JSON demands.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut inside = bytes.iter().enumerate().skip(start + 1);
    while let Some((at, byte)) = inside.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(inside.next()),
            b'\n' => return None,
            _ => {}
        }
    }
    None
}

/// Where a comment ends that begins here: before the line break, or behind `*/`. `None` if it does not
/// end, or is no comment.
fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start + 2..)?;
    match bytes.get(start + 1)? {
        b'/' => Some(start + 2 + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        b'*' => Some(start + 2 + rest.windows(2).position(|pair| pair == b"*/")? + 2),
        _ => None,
    }
}

/// Puts a space in place of each byte of these ranges, except line breaks.
fn without<'a>(text: &'a str, blanks: &[Range<usize>]) -> Cow<'a, str> {
    if blanks.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut json = text.as_bytes().to_vec();
    let blanked = blanks.iter().flat_map(|range| range.clone());
    for at in blanked {
        if let Some(byte) = json.get_mut(at).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
    }
    // INVARIANT: comments and commas begin and end with ASCII characters.
    Cow::Owned(String::from_utf8(json).expect("whole characters became spaces"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(&to_json(text)).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn comments_may_stand_wherever_white_space_may() {
        const PARTS: [&str; 13] =
            ["{", "\"a\"", ":", "[", "1", ",", "null", "]", ",", "\"b\"", ":", "\"c\"", "}"];
        let plain = value(&PARTS.concat());
        for comment in ["// é \" { [ , */\n", "/* é \" } ], // \n * / */", "/**/", "/***/", "//\n", "//\r\n"]
        {
            for place in 0..=PARTS.len() {
                let text = [&PARTS[..place], &[comment], &PARTS[place..]].concat().concat();
                assert_eq!(value(&text), plain, "{text}");
                let text = format!("{text}// to the end of the file");
                assert_eq!(value(&text), plain, "{text}");
            }
        }
    }

    #[test]
    fn one_comma_may_follow_the_last_value() {
        for (text, plain) in [
            ("[1,]", "[1]"),
            ("[1 , // why\n ]", "[1]"),
            ("[1, /* a */ /* b */ ]", "[1]"),
            ("{\"a\": \"b\",}", "{\"a\": \"b\"}"),
            ("[[],{},]", "[[],{}]"),
            ("[{\"a\": [1,],},]", "[{\"a\": [1]}]"),
        ] {
            assert_eq!(value(text), serde_json::from_str::<Value>(plain).unwrap(), "{text}");
        }
    }

    #[test]
    fn strings_are_left_alone() {
        for text in
            [r#"["http://x", "/* */", ",]", "\"// ,]", "\\", "é // "]"#, r#"{"//": "/*", "*/": ",}"}"#]
        {
            assert!(matches!(to_json(text), Cow::Borrowed(_)), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_allowed() {
        for text in [
            "[,]",
            "{,}",
            "[1,,]",
            "[,1]",
            "{\"a\":,}",
            "{\"a\",}",
            "[1],",
            ",",
            "[1 2]",
            "['a']",
            "{a: 1}",
            "[0x1]",
            "[+1]",
            "[.5]",
            "[1.]",
            "[NaN]",
            "[01]",
            "[1] # no",
            "[1 / 2]",
            "[1 /]",
            "[1 /* ]",
            "[1 /*/ ]",
            "/",
            "[1]/",
            "[\"a\nb\"]",
            "[\"\\x41\"]",
            "[1\u{a0}]",
            "[1\u{b}]",
            "[\"// ]",
            "[1] // a\r[2]x\n[3]",
        ] {
            assert!(serde_json::from_str::<Value>(&to_json(text)).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_place_stays(text in "[\\[\\]{}\",:0-9a\\\\/* \n'é-]{0,60}") {
            let json = to_json(&text);
            proptest::prop_assert_eq!(json.len(), text.len());
            for (before, after) in text.bytes().zip(json.bytes()) {
                proptest::prop_assert!(after == before || after == b' ' && before != b'\n');
            }
            if serde_json::from_str::<Value>(&text).is_ok() {
                proptest::prop_assert_eq!(&*json, text.as_str());
            }
        }
    }
}
