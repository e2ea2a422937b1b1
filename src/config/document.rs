//! A configuration as it was typed: a tree of JSON in which every value knows its place, so that
//! `check` can point at each mistake. Knows nothing of what the keys mean.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::error::{ConfigErrors, Place};
use super::parse;
use crate::base::limits::CONFIG_BYTES_MAX;
use crate::base::regular_file::open_regular;

/// A configuration that has been read but not checked.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) root: Node,
    /// What relative file names in it start from; empty for the current folder.
    pub(super) folder: PathBuf,
    /// The text it was read from, to show lines of; empty if it was read from none.
    pub(super) text: Arc<str>,
    pub(super) host: Host,
}

/// The host that a configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// This one: the files that it names are here.
    This,
    /// Another one, so its files cannot be checked.
    Another,
}

impl Document {
    /// Reads a file. Errors when it cannot be read or is not JSON.
    pub fn from_file(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        match read(path) {
            Ok(text) => Self::from_json(&name, &text)
                .map(|document| document.in_folder(path.parent().unwrap_or(path))),
            Err(message) => Err(ConfigErrors::one(Place::File { name: name.into() }, message, "")),
        }
    }

    /// The same document, whose relative file names start from this folder: error pages and
    /// the like are beside the file that names them.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    /// Reads standard input to its end. Relative file names in it start from the current folder.
    /// Errors when it cannot be read or is not JSON.
    pub fn from_stdin() -> Result<Self, ConfigErrors> {
        const NAME: &str = "stdin";
        match bounded_text(io::stdin().lock()) {
            Ok(text) => Self::from_json(NAME, &text),
            Err(message) => Err(ConfigErrors::one(Place::File { name: NAME.into() }, message, "")),
        }
    }

    /// The same document, checked for another host than this one: the files that it names are
    /// neither read nor tested. Error pages and tokens are empty in such a plan, so it is for
    /// looking at and not for running.
    #[must_use]
    pub fn for_another_host(mut self) -> Self {
        self.host = Host::Another;
        self
    }

    /// Reads a text; `name` is what errors call it. Relative file names in it start from the
    /// current folder. Errors when it is not JSON.
    pub fn from_json(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        // Editors on Windows put a byte order mark first; RFC 8259 section 8.1 lets us skip it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = parse::parse(name, text)?;
        Ok(Self { root, folder: PathBuf::new(), text: text.into(), host: Host::This })
    }

    /// The document of a value built in code, which has no places to name.
    pub(super) fn from_value(value: Value) -> Self {
        let at = At { place: Place::Code, pointer: String::new() };
        Self { root: Node::new(at, value), folder: PathBuf::new(), text: "".into(), host: Host::This }
    }

    /// The same value without its places.
    pub(super) fn to_value(&self) -> Value {
        self.root.to_value()
    }

    /// An object without keys, for settings that all come from flags.
    pub fn empty() -> Self {
        Self::from_value(Value::Object(serde_json::Map::new()))
    }

    /// Lays the value of a command-line flag over the document: sets the key that `path`
    /// leads to, and makes the objects on the way where there are none.
    pub fn set(&mut self, flag: &'static str, path: &[&str], value: Value) {
        let mut node = &mut self.root;
        for name in path {
            let at = At { place: Place::Flag(flag), pointer: node.at.child(name) };
            node = node.child_mut(name, &at);
        }
        *node = Node::new(At { place: Place::Flag(flag), pointer: node.at.pointer.clone() }, value);
    }

    /// Whether a top-level key holds an object, of which a flag may set a part.
    pub fn holds_object(&self, name: &str) -> bool {
        self.root.child(name).is_some_and(|node| matches!(node.json, Json::Object(_)))
    }

    /// Removes a top-level key that a flag replaces by another.
    pub fn remove(&mut self, name: &str) {
        if let Json::Object(entries) = &mut self.root.json {
            entries.retain(|entry| entry.name != name);
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) json: Json,
}

/// Where a value stands: what a problem with it says first.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) place: Place,
    pub(super) pointer: String,
}

/// JSON, but an object keeps its keys in order, doubles included.
#[derive(Clone, Debug)]
pub(super) enum Json {
    /// null, a boolean, a number or a string.
    Leaf(Value),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key of an object and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Of the key; the value has its own.
    pub(super) at: At,
    pub(super) node: Node,
}

impl At {
    /// The pointer and the position, for a message about something else that names this too.
    pub(super) fn both(&self) -> String {
        match &self.place {
            Place::Text { line, column, .. } => format!("{} ({line}:{column})", self.pointer),
            Place::Flag(flag) => (*flag).to_owned(),
            Place::File { .. } | Place::Code => self.pointer.clone(),
        }
    }

    /// The pointer of a key or an index inside this value (RFC 6901 section 3).
    pub(super) fn child(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    /// A key inside this value that was not written: it is looked for here.
    pub(super) fn missing(&self, name: &str) -> Self {
        Self { place: self.place.clone(), pointer: self.child(name) }
    }
}

impl Node {
    /// A value that has one place for all that is in it.
    fn new(at: At, value: Value) -> Self {
        let child = |name: &str| At { place: at.place.clone(), pointer: at.child(name) };
        let json = match value {
            Value::Array(values) => Json::List(
                values
                    .into_iter()
                    .enumerate()
                    .map(|(index, value)| Self::new(child(&index.to_string()), value))
                    .collect(),
            ),
            Value::Object(values) => Json::Object(
                values
                    .into_iter()
                    .map(|(name, value)| Entry {
                        at: child(&name),
                        node: Self::new(child(&name), value),
                        name,
                    })
                    .collect(),
            ),
            leaf => Json::Leaf(leaf),
        };
        Self { at, json }
    }

    /// The value of a key, if this is an object that has it.
    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        let Json::Object(entries) = &self.json else { return None };
        entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    fn to_value(&self) -> Value {
        match &self.json {
            Json::Leaf(value) => value.clone(),
            Json::List(nodes) => nodes.iter().map(Self::to_value).collect(),
            Json::Object(entries) => {
                entries.iter().map(|entry| (entry.name.clone(), entry.node.to_value())).collect()
            }
        }
    }

    /// The value of a key. Makes it, and makes this value an object, where they are not.
    fn child_mut(&mut self, name: &str, at: &At) -> &mut Node {
        if !matches!(self.json, Json::Object(_)) {
            self.json = Json::Object(Vec::new());
        }
        let Json::Object(entries) = &mut self.json else { unreachable!("made an object just above") };
        let index = entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            entries.push(Entry {
                name: name.to_owned(),
                at: at.clone(),
                node: Self::new(at.clone(), Value::Null),
            });
            entries.len() - 1
        });
        &mut entries[index].node
    }
}

fn read(path: &Path) -> Result<String, String> {
    match open_regular(path) {
        Ok(file) => bounded_text(file),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; check the path that was given".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder; name the file in it, such as config.json".to_owned(),
        io::ErrorKind::InvalidInput => {
            "is not a regular file; a pipe or a device cannot be read again at a reload".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("cannot be read: {error}; give read permission to the user that ropewalk runs as")
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// A text that is no longer than a configuration may be.
fn bounded_text(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    match source.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes) {
        Err(error) => return Err(unreadable(&error)),
        Ok(length) if length as u64 > CONFIG_BYTES_MAX => {
            return Err(format!("is longer than {} MiB", CONFIG_BYTES_MAX / (1024 * 1024)));
        }
        Ok(_) => {}
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("is not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(node: &Node, into: &mut Vec<(String, Place)>) {
        into.push((node.at.pointer.clone(), node.at.place.clone()));
        match &node.json {
            Json::Leaf(_) => {}
            Json::List(nodes) => nodes.iter().for_each(|node| places(node, into)),
            Json::Object(entries) => entries.iter().for_each(|entry| places(&entry.node, into)),
        }
    }

    fn text(line: usize, column: usize) -> Place {
        Place::Text { name: "c".into(), line, column }
    }

    #[test]
    fn every_value_has_its_place() {
        let document = Document::from_json("c", "{\n  \"é\": [1, {\"a/b\" : null}],\n\"b\":  2}\n").unwrap();
        let mut found = Vec::new();
        places(&document.root, &mut found);
        let expected = [
            ("", text(1, 1)),
            ("/é", text(2, 8)),
            ("/é/0", text(2, 9)),
            ("/é/1", text(2, 12)),
            ("/é/1/a~1b", text(2, 21)),
            ("/b", text(3, 7)),
        ];
        assert_eq!(found, expected.map(|(pointer, place)| (pointer.to_owned(), place)));
    }

    #[test]
    fn keys_keep_their_own_place_and_doubles_stay() {
        let document = Document::from_json("c", "{\"a\": 1,\n \"a\": 2}").unwrap();
        let Json::Object(entries) = document.root.json else { panic!("an object") };
        let found: Vec<_> = entries.iter().map(|entry| entry.at.place.clone()).collect();
        assert_eq!(found, [text(1, 2), text(2, 2)]);
    }

    #[test]
    fn a_flag_takes_the_place_of_what_it_overrides() {
        let mut document = Document::from_json("c", r#"{"health_check": "off"}"#).unwrap();
        document.set("--health-interval", &["health_check", "interval"], Value::from("1s"));
        let mut found = Vec::new();
        places(&document.root, &mut found);
        assert_eq!(
            found.last(),
            Some(&("/health_check/interval".to_owned(), Place::Flag("--health-interval")))
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        let text = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let error = Document::from_json("c", &text).unwrap_err().to_string();
        assert!(error.contains("recursion limit exceeded"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Document::from_json("c", &text);
        }

        #[test]
        fn no_nearly_json_text_panics(text in "[\\[\\]{}\",:0-9a\\\\ \n'/é-]{0,40}") {
            let _ = Document::from_json("c", &text);
        }
    }
}
