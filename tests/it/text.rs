//! The bytes that a line of an exchange script represents.
//!
//! Owns the escapes and braces of the script format, but not its steps. See `tests/exchanges/README.md`
//! for the format from a writer's view.

use std::collections::HashMap;

use super::wire::latin1;

/// Bytes with gaps: what a script line means, to be sent (no gaps) or to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    /// `{any}`: one byte or more.
    Any,
}

/// The values of `{name}` in this run: ports and addresses.
pub type Names = HashMap<&'static str, String>;

impl Text {
    /// Reads one line of a script, without its line end.
    pub fn parse(line: &str, names: &Names) -> Result<Self, String> {
        let mut text = Self::default();
        let mut rest = line.chars();
        while let Some(next) = rest.next() {
            match next {
                '\\' => text.push(&[escape(&mut rest)?]),
                '{' => {
                    let inside: String = rest.by_ref().take_while(|&c| c != '}').collect();
                    text.push_braces(&inside, names)?;
                }
                other => text.push(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Ok(text)
    }

    /// Adds bytes as they are.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(Part::Bytes(last)) = self.parts.last_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.parts.push(Part::Bytes(bytes.to_vec()));
        }
    }

    /// Adds another text.
    pub fn append(&mut self, other: &Self) {
        for part in &other.parts {
            match part {
                Part::Bytes(bytes) => self.push(bytes),
                Part::Any => self.parts.push(Part::Any),
            }
        }
    }

    /// The bytes, if there are no gaps.
    pub fn exact(&self) -> Option<Vec<u8>> {
        match self.parts.as_slice() {
            [] => Some(Vec::new()),
            [Part::Bytes(bytes)] => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Whether `seen` is what this text describes.
    pub fn matches(&self, seen: &[u8]) -> bool {
        matches(&self.parts, seen)
    }

    /// For messages: the bytes as characters, gaps as `{any}`.
    pub fn show(&self) -> String {
        let show = |part: &Part| match part {
            Part::Bytes(bytes) => latin1(bytes),
            Part::Any => "{any}".into(),
        };
        self.parts.iter().map(show).collect()
    }

    fn push_braces(&mut self, inside: &str, names: &Names) -> Result<(), String> {
        if inside == "any" {
            self.parts.push(Part::Any);
        } else if let Some((count, what)) = inside.split_once('*') {
            let count = count.parse().map_err(|_| format!("{{{inside}}} does not begin with a count"))?;
            self.push(what.repeat(count).as_bytes());
        } else if let Some(value) = names.get(inside) {
            self.push(value.as_bytes());
        } else {
            return Err(format!("{{{inside}}} stands for nothing; write \\x7b for a brace"));
        }
        Ok(())
    }
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match rest.next() {
        Some('r') => Ok(b'\r'),
        Some('n') => Ok(b'\n'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is not a byte"))
        }
        other => Err(format!("no such escape: \\{}", other.map(String::from).unwrap_or_default())),
    }
}

fn matches(parts: &[Part], seen: &[u8]) -> bool {
    match parts {
        [] => seen.is_empty(),
        [Part::Bytes(bytes), rest @ ..] => {
            seen.strip_prefix(bytes.as_slice()).is_some_and(|after| matches(rest, after))
        }
        [Part::Any, rest @ ..] => (1..=seen.len()).any(|taken| matches(rest, &seen[taken..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Text {
        Text::parse(line, &Names::from([("port", "8080".into())])).expect("a line")
    }

    #[test]
    fn escapes_names_and_repetitions_become_bytes() {
        assert_eq!(text(r"a\r\n\0\xff\\").exact().expect("bytes"), b"a\r\n\0\xff\\");
        assert_eq!(text("{3*ab}:{port}").exact().expect("bytes"), b"ababab:8080");
    }

    #[test]
    fn a_gap_stands_for_one_byte_or_more() {
        let id = text("id={any};");
        assert_eq!(id.exact(), None);
        assert!(id.matches(b"id=7f;"));
        assert!(!id.matches(b"id=;"));
        assert!(!id.matches(b"id=7f"));
    }

    #[test]
    fn unknown_escapes_and_names_are_errors() {
        for line in ["{nobody}", r"\q", r"\xzz", "{x*y}"] {
            assert!(Text::parse(line, &Names::new()).is_err(), "{line}");
        }
    }
}
