//! The line that a message is about, with the value in it underlined.
//!
//! Messages end up in terminals, logs and bug reports, so secrets are masked, long lines are
//! cut, and control characters do not reach a terminal. Comments are left out: what is commented out
//! may be a secret. Pure text; knows no key but those whose values are secret.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::jsonc;

/// A line of a configuration as a message shows it.
///
/// ```text
///    7 |     { "url": "localhost:9001" },
///      |              ^^^^^^^^^^^^^^^^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// From 1.
    line: usize,
    /// The line, or the part of it around the value.
    text: String,
    /// Characters of `text` before the value.
    before: usize,
    /// Characters to underline; at least one.
    length: usize,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, text, before, length } = self;
        writeln!(f, "{line:>4} | {text}")?;
        write!(f, "     | {:before$}{}", "", "^".repeat(*length))
    }
}

/// A text whose lines can be shown.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// The same with spaces in place of comments.
    bare: Cow<'a, str>,
    /// Where each line begins.
    starts: Vec<usize>,
    secrets: Vec<Range<usize>>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        let bare = jsonc::without_comments(text);
        Self { text, starts, secrets: secrets(&bare), bare }
    }

    /// The line with a value in it; both numbers count from 1, columns in characters.
    pub(super) fn excerpt(&self, line: usize, column: usize) -> Option<Excerpt> {
        /// LIMIT: characters of a line in a message, and of those before the value. A message
        /// should fit into a terminal, and a configuration may be one line of megabytes.
        const SHOWN_MAX: usize = 96;
        const BEFORE_MAX: usize = 40;
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let whole = self.text[start..].lines().next().unwrap_or_default();
        let skipped = match column - 1 {
            before if whole.chars().nth(SHOWN_MAX).is_none() || before <= BEFORE_MAX => 0,
            before => before - BEFORE_MAX,
        };
        let length = value_length(whole.chars().skip(column - 1)).clamp(1, SHOWN_MAX - BEFORE_MAX);
        let shown = whole.char_indices().skip(skipped).take(SHOWN_MAX);
        let mut text: String = shown.map(|(at, c)| self.shown(start + at, c)).collect();
        let is_cut = whole.chars().nth(skipped + SHOWN_MAX).is_some();
        if !is_cut {
            text.truncate(text.trim_end().len());
        }
        let mut before = column - 1 - skipped;
        if skipped > 0 {
            text.insert_str(0, "...");
            before += 3;
        }
        if is_cut {
            text.push_str("...");
        }
        Some(Excerpt { line, text, before, length })
    }

    /// A character as it is shown: one column wide, and a star where it belongs to a secret.
    fn shown(&self, at: usize, c: char) -> char {
        let after = self.secrets.partition_point(|secret| secret.end <= at);
        match c {
            _ if self.secrets.get(after).is_some_and(|secret| secret.contains(&at)) => '*',
            '\t' => ' ',
            _ if self.bare.as_bytes().get(at) != self.text.as_bytes().get(at) => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        }
    }
}

/// How long the value is that a text begins with: a string with its quotes, a word or a number,
/// or one bracket.
fn value_length(text: impl Iterator<Item = char>) -> usize {
    let mut text = text.peekable();
    if text.next_if_eq(&'"').is_some() {
        let mut length = 1;
        while let Some(c) = text.next() {
            length += 1;
            match c {
                '"' => break,
                '\\' => length += usize::from(text.next().is_some()),
                _ => {}
            }
        }
        return length;
    }
    text.take_while(|c| c.is_alphanumeric() || "+-._".contains(*c)).count()
}

/// Keys whose text must not be shown, and the object whose values are passwords.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // Not the names of files that hold secrets.
    let holds = ["token", "password", "secret"].iter().any(|word| key.contains(word));
    (holds && !key.ends_with("file")) || key.starts_with("user")
}

/// What must not be shown, in order: secret values, and user names and passwords in URLs.
///
/// Reads brackets, strings and colons and nothing else of JSON, so that it also works on a text
/// with a mistake in its syntax.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    // Whether what is in each open bracket is secret.
    let mut open = vec![false];
    let mut last_string: Option<Range<usize>> = None;
    let mut key_is_secret = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let mut end = text.len();
                while let Some((at, byte)) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' | b'\n' => {
                            end = at;
                            break;
                        }
                        _ => {}
                    }
                }
                last_string = Some(at + 1..end);
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b':' => key_is_secret = last_string.take().is_some_and(|key| is_secret(&text[key])),
            b'{' | b'[' => open.push(key_is_secret || open.last() == Some(&true)),
            _ => {}
        }
        // A string that no colon follows is a value.
        if let Some(value) = last_string.take() {
            secrets.extend(secret_of_value(text, value, key_is_secret || open.last() == Some(&true)));
        }
        if matches!(byte, b'}' | b']') && open.len() > 1 {
            open.pop();
        }
        if matches!(byte, b',' | b'{' | b'[' | b'}' | b']') {
            key_is_secret = false;
        }
    }
    if let Some(value) = last_string {
        secrets.extend(secret_of_value(text, value, key_is_secret || open.last() == Some(&true)));
    }
    secrets
}

fn secret_of_value(text: &str, value: Range<usize>, is_secret: bool) -> Option<Range<usize>> {
    if is_secret {
        return Some(value);
    }
    // The last @ of all: a password may hold one.
    let at = text[value.clone()].rfind('@')?;
    let start = text[value.clone()].find("://").map_or(0, |at| at + 3).min(at);
    Some(value.start + start..value.start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> String {
        Lines::of(text).excerpt(line, column).unwrap().to_string()
    }

    #[test]
    fn the_value_is_underlined() {
        for (line, column, expected) in [
            (1, 1, "   1 | {\n     | ^"),
            (2, 8, "   2 |   \"é\": \"a\\\"b\" ,\n     |        ^^^^^^"),
            (3, 8, "   3 |  \"x\":  -12.5,\n     |        ^^^^^"),
            (4, 1, "   4 | \n     | ^"),
        ] {
            assert_eq!(shown("{\n  \"é\": \"a\\\"b\" ,\r\n\t\"x\":  -12.5,\n", line, column), expected);
        }
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides() {
        let text = format!("{{ \"a\": [{}], \"b\": 5, \"c\": [{}] }}", "1, ".repeat(99), "2, ".repeat(99));
        let column = text.find('5').unwrap() + 1;
        let shown = shown(&text, 1, column);
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.starts_with("   1 | ...") && line.ends_with("..."), "{shown}");
        assert_eq!(line.chars().nth(caret.find('^').unwrap()), Some('5'), "{shown}");
    }

    #[test]
    fn secrets_are_masked() {
        let text = r#"{ "admin": {"token": "s3cret", "token_file": "f"}, "users": {"ann": "s3cret"}, "x": {
            "password" : "s3cret", "url": "http://me:s3cret@host", "list": ["me:s3cret@host"] , "end": "s3cret@"#;
        let lines = Lines::of(text);
        for (line, length) in text.lines().zip(1..) {
            for column in 1..=line.chars().count() {
                let shown = lines.excerpt(length, column).unwrap().to_string();
                assert!(!shown.contains("s3"), "{shown}");
            }
        }
        let masked: Vec<_> = lines.secrets.iter().map(|secret| &text[secret.clone()]).collect();
        assert_eq!(masked, ["s3cret", "s3cret", "s3cret", "me:s3cret", "me:s3cret", "s3cret"]);
    }

    #[test]
    fn comments_are_left_out_and_hide_no_secret_from_the_mask() {
        let text = "{ /* é, \" */ \"token\": /* a: b */ \"s3cret\", // \"token\": \"s3cret\"\n\"users\": { // {\n\"ann\": \"s3cret\" } }";
        let lines = Lines::of(text);
        let shown = |line| lines.excerpt(line, 1).unwrap().to_string().lines().next().unwrap().to_owned();
        let blank = |comment: &str| " ".repeat(comment.chars().count());
        let first =
            format!("   1 | {{ {} \"token\": {} \"******\",", blank("/* é, \" */"), blank("/* a: b */"));
        assert_eq!(
            [shown(1), shown(2), shown(3)],
            [&first, "   2 | \"users\": {", "   3 | \"ann\": \"******\" } }"]
        );
    }

    #[test]
    fn a_comment_behind_a_mistake_is_left_out_too() {
        for text in ["{ \"a\": 1 /* old token hunter2 }", "{ \"a\": 1 / 2, // old token hunter2\n}"] {
            let shown = Lines::of(text).excerpt(1, 10).unwrap().to_string();
            assert!(shown.contains("\"a\": 1 /") && !shown.contains("hunter2"), "{shown}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", line in 0usize..3, column in 1usize..99) {
            let _ = Lines::of(&text).excerpt(line, column).map(|excerpt| excerpt.to_string());
        }

        #[test]
        fn no_nearly_json_text_panics(text in "[\\[\\]{}\",:0-9a@\\\\ \n\té/]{0,200}", column in 1usize..99) {
            for line in 1..5 {
                let _ = Lines::of(&text).excerpt(line, column).map(|excerpt| excerpt.to_string());
            }
        }
    }
}
