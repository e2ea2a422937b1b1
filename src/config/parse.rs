//! From a text to a tree of JSON in which every value knows its place.
//!
//! serde stops at the first mistake and forgets where things stood, so it cannot fill the types of
//! the configuration. There is no second JSON parser either: `serde_json` splits each value into
//! borrowed [`RawValue`] slices of the text, and the offset of such a slice is the value's place.
//! Comments and trailing commas are gone by then (`jsonc`).

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::document::{At, Entry, Json, Node};
use super::error::{ConfigErrors, Place};
use super::{habits, jsonc};

/// Parses a text; `name` is what errors call it.
///
/// # Errors
/// It is not JSON, even without its comments and trailing commas.
pub(super) fn parse(name: &str, text: &str) -> Result<Node, ConfigErrors> {
    let json = &*jsonc::to_json(text);
    let mut source = Source { name: name.into(), text, json, cursor: Cursor::START };
    if json.trim().is_empty() {
        let found = if text.trim().is_empty() { "is empty" } else { "holds only comments" };
        let message = format!(
            r#"the file {found}; the shortest configuration is {{"backends": [{{"url": "http://127.0.0.1:9001"}}]}}"#
        );
        return Err(ConfigErrors::one(source.place(0), message, text));
    }
    // This pass judges the syntax and bounds the nesting, which is what makes the recursion in
    // `Source::node` safe.
    let root = serde_json::from_str::<Value>(json)
        .and_then(|_| serde_json::from_str::<&RawValue>(json))
        .and_then(|raw| source.node(String::new(), raw));
    root.map_err(|error| source.syntax_error(&error))
}

/// A text and its name, while it is being read.
struct Source<'a> {
    name: Arc<str>,
    text: &'a str,
    /// The same with spaces in place of comments and trailing commas: every offset is the same.
    json: &'a str,
    cursor: Cursor,
}

/// The last place that was asked for. Values are read in the order of the text, so going on
/// from here makes all their places cost one pass; counting from the top each time would
/// take seconds for thousands of backends.
#[derive(Clone, Copy)]
struct Cursor {
    offset: usize,
    line: usize,
    column: usize,
}

impl Cursor {
    const START: Self = Self { offset: 0, line: 1, column: 1 };
}

impl Source<'_> {
    fn node(&mut self, pointer: String, raw: &RawValue) -> serde_json::Result<Node> {
        let at = At { place: self.place_of(raw), pointer };
        let json = match raw.get().as_bytes().first() {
            Some(b'{') => {
                let mut entries = Vec::new();
                for (key, value) in serde_json::from_str::<RawEntries<'_>>(raw.get())?.0 {
                    let name: Cow<'_, str> = serde_json::from_str(key.get())?;
                    let pointer = at.child(&name);
                    entries.push(Entry {
                        at: At { place: self.place_of(key), pointer: pointer.clone() },
                        node: self.node(pointer, value)?,
                        name: name.into_owned(),
                    });
                }
                Json::Object(entries)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get())?;
                let mut nodes = Vec::new();
                for (index, raw) in items.into_iter().enumerate() {
                    nodes.push(self.node(at.child(&index.to_string()), raw)?);
                }
                Json::List(nodes)
            }
            _ => Json::Leaf(serde_json::from_str(raw.get())?),
        };
        Ok(Node { at, json })
    }

    /// The slice borrows from the JSON, so the distance between their starts is its offset.
    fn place_of(&mut self, raw: &RawValue) -> Place {
        self.place((raw.get().as_ptr() as usize).saturating_sub(self.json.as_ptr() as usize))
    }

    fn place(&mut self, offset: usize) -> Place {
        if offset < self.cursor.offset {
            self.cursor = Cursor::START;
        }
        let Cursor { offset: start, mut line, mut column } = self.cursor;
        for c in self.text.get(start..offset).unwrap_or_default().chars() {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        self.cursor = Cursor { offset, line, column };
        Place::Text { name: self.name.clone(), line, column }
    }

    fn syntax_error(&mut self, error: &serde_json::Error) -> ConfigErrors {
        let offset = self.offset(error.line(), error.column());
        let whole = error.to_string();
        // serde_json puts a position at the end of its message; ours is in front.
        let what = whole.split(" at line ").next().unwrap_or(&whole);
        if let Some(message) = self.is_other_format(offset) {
            return ConfigErrors::one(self.place(0), message, self.text);
        }
        let message = match remedy(what, self.text.get(offset..).unwrap_or_default()) {
            Some(remedy) => format!("{what}: {remedy}"),
            None => format!("{what}: this is not JSON"),
        };
        ConfigErrors::one(self.place(offset), message, self.text)
    }

    /// The message for a text in another format, judged by its beginning.
    fn is_other_format(&self, offset: usize) -> Option<String> {
        // What begins like JSON is JSON, except for a bracket that other formats begin with too.
        let read = self.json.get(..offset).unwrap_or_default().trim();
        let may_be = !self.json.trim_start().starts_with(['{', '"']) || read == "{";
        may_be.then(|| habits::of_format(self.json)).flatten()
    }

    /// The offset of a line (from 1) and a column in bytes (from 1), on a character boundary.
    fn offset(&self, line: usize, column: usize) -> usize {
        let lines = self.text.split_inclusive('\n').take(line.saturating_sub(1));
        let start: usize = lines.map(str::len).sum();
        let mut offset = (start + column.saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

/// What to do about a syntax error; `rest` is the text from the place of the error on.
fn remedy(what: &str, rest: &str) -> Option<&'static str> {
    let remedy = match rest.trim_start().as_bytes() {
        [b'/', b'*', ..] => "this comment is not closed; write */ at its end",
        [b'#' | b'/', ..] => "comments begin with // or stand between /* and */",
        [b'\'', ..] => "strings are in double quotes",
        [b',', ..] if what != "trailing characters" => {
            "this comma is one too many, or a value is missing before it"
        }
        _ => match what {
            "key must be a string" => "write it in double quotes",
            "trailing characters" => "the configuration ends before this, with its last bracket",
            "recursion limit exceeded" => "this is nested deeper than any configuration",
            _ if what.starts_with("EOF") => {
                "the text ends too early; a closing bracket or a closing quote is missing"
            }
            _ if what.starts_with("expected `,`") => "a comma is missing before this",
            _ if what.starts_with("control character") => {
                "a closing quote is missing, or there is a line break inside a string"
            }
            _ if what.starts_with("expected value") => {
                "a value is a string in double quotes, a number, true, false, a list or an object"
            }
            _ => return None,
        },
    };
    Some(remedy)
}

/// The keys and values of an object, in order, doubles included.
struct RawEntries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for RawEntries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = RawEntries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawEntries(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
