//! Reading a document: what each kind of value must be, and what to say when it is not.
//!
//! Every reader takes a [`Node`] and returns a value, or reports a problem and returns `None`. So the
//! walk in `check` can go on to the next key and find the next mistake. Knows JSON and units, but no
//! key by name.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::document::{At, Entry, Json, Node};
use super::error::{Problem, Severity, finish};
use super::{habits, suggest, units};
use crate::base::limits::DURATION_SECS_MAX;

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn error(&mut self, at: &At, message: impl Into<String>) {
        self.add(at, message.into(), Severity::Error);
    }

    pub(super) fn warn(&mut self, at: &At, message: impl Into<String>) {
        self.add(at, message.into(), Severity::Warning);
    }

    pub(super) fn any_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// In the order of the text, with its lines.
    pub(super) fn into_list(mut self, text: &str) -> Vec<Problem> {
        finish(&mut self.list, text);
        self.list
    }

    /// Marks this point, to check later whether there were errors since.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.list.len())
    }

    /// Whether there were no errors since then, so that the values can be compared: consequences of
    /// an error are not reported.
    pub(super) fn clean_since(&self, mark: Mark) -> bool {
        self.list[mark.0..].iter().all(|problem| problem.severity == Severity::Warning)
    }

    fn add(&mut self, at: &At, message: String, severity: Severity) {
        let At { place, pointer } = at.clone();
        self.list.push(Problem { place, pointer, message, severity, excerpt: None });
    }
}

/// A moment while a configuration is read.
#[derive(Clone, Copy)]
pub(super) struct Mark(usize);

/// The keys of one object. Asking for a key allows it, and `close` reports the others. So the list of
/// allowed keys cannot fall out of step with the code.
pub(super) struct Fields<'a> {
    /// The object itself.
    pub(super) at: &'a At,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    refused: Vec<(&'static str, String)>,
}

impl<'a> Fields<'a> {
    /// The keys of an object. Reports a value that is none, and keys given twice.
    pub(super) fn open(node: &'a Node, problems: &mut Problems) -> Option<Self> {
        let entries = entries(node, problems)?;
        Some(Self { at: &node.at, entries, asked: Vec::new(), refused: Vec::new() })
    }

    /// The value of a key, when it is there.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        self.entries.iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    /// Has `close` say this about a key that is not allowed.
    pub(super) fn refuse(&mut self, name: &'static str, message: String) {
        self.refused.push((name, message));
    }

    /// Whether one of the unknown keys is `name` with a typing mistake. If so, it is not reported as
    /// missing too.
    pub(super) fn misspelt(&self, name: &'static str) -> bool {
        let is_meant = |typed: &str| suggest::closest(typed, &[name]).is_some() || habits::means(typed, name);
        self.unknown().any(|entry| is_meant(&entry.name))
    }

    /// Reports the keys that `take` was not called for.
    pub(super) fn close(self, problems: &mut Problems) {
        for entry in self.unknown() {
            let message = match self.refused.iter().find(|(name, _)| *name == entry.name) {
                Some((_, message)) => message.clone(),
                None => self.unknown_key(&entry.name),
            };
            problems.error(&entry.at, message);
        }
    }

    fn unknown_key(&self, typed: &str) -> String {
        // First the same word in another spelling, then a word of another program, then a typing
        // mistake, then a key that belongs somewhere else.
        let habit = match suggest::closest(typed, &self.asked) {
            Some(meant) if suggest::is_same_word(typed, meant) => None,
            Some(_) => habits::of_key(&self.at.pointer, typed),
            None => {
                habits::of_key(&self.at.pointer, typed).or_else(|| habits::of_place(&self.at.pointer, typed))
            }
        };
        habit.unwrap_or_else(|| {
            format!("unknown key {typed:?}; {}", suggest::did_you_mean(typed, &self.asked))
        })
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| !self.asked.contains(&entry.name.as_str()))
    }
}

/// The entries of an object with arbitrary keys. Reports a value that is no object, and doubled keys.
pub(super) fn entries<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a [Entry]> {
    let Json::Object(entries) = &node.json else {
        problems.error(&node.at, format!("expected an object, found {}", shown(node)));
        return None;
    };
    let mut names = HashSet::new();
    for entry in entries {
        if !names.insert(entry.name.as_str()) {
            problems.error(&entry.at, format!("{:?} is given twice; remove one of the two", entry.name));
        }
    }
    Some(entries)
}

/// A list; a single value is a list of one.
pub(super) fn one_or_many(node: &Node) -> &[Node] {
    match &node.json {
        Json::List(nodes) => nodes,
        _ => std::slice::from_ref(node),
    }
}

/// The members of a list.
pub(super) fn list<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a [Node]> {
    match &node.json {
        Json::List(nodes) => Some(nodes),
        _ => {
            problems.error(&node.at, format!("expected a list, found {}", shown(node)));
            None
        }
    }
}

/// Any string.
pub(super) fn string<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
    let text = text_of(node);
    if text.is_none() {
        problems.error(&node.at, format!("expected a string, found {}", shown(node)));
    }
    text
}

/// A string that is a name, an address or the like, so that it holds no `${VARIABLE}`.
pub(super) fn text<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
    if is_variable(node, problems) { None } else { string(node, problems) }
}

/// Whether a value is an unreplaced placeholder of another tool; if so, that has been reported.
pub(super) fn is_variable(node: &Node, problems: &mut Problems) -> bool {
    let why = text_of(node).and_then(habits::of_variable);
    if let Some(why) = &why {
        problems.error(&node.at, why);
    }
    why.is_some()
}

/// A string that is repeated to other programs as it is: into a field, a log line, a URL.
/// Blanks around it are dropped, since none of those keeps them.
pub(super) fn line<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
    let line = string(node, problems)?.trim();
    if let Some(why) = habits::of_variable(line) {
        problems.warn(&node.at, format!("{why} (it is used literally for now)"));
    }
    if line.chars().any(char::is_control) {
        let message = format!("{} contains a control character, such as a line break", shown(node));
        problems.error(&node.at, message);
        return None;
    }
    Some(line)
}

/// A name: it goes into log lines and metric labels, so it is one visible word.
pub(super) fn name(node: &Node, problems: &mut Problems) -> Option<String> {
    let name = text(node, problems)?;
    is_name(name, &node.at, problems).then(|| name.to_owned())
}

/// Whether a text can be a name. Reports one that cannot.
pub(super) fn is_name(name: &str, at: &At, problems: &mut Problems) -> bool {
    /// LIMIT: characters of a name; a column in a table has an end.
    const NAME_MAX: usize = 64;
    let good = !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !good {
        let message =
            format!("{} is not a name; use 1 to {NAME_MAX} visible characters without spaces", quoted(name));
        problems.error(at, message);
    }
    good
}

/// One of a few words.
pub(super) fn word<T: Copy>(node: &Node, words: &[(&'static str, T)], problems: &mut Problems) -> Option<T> {
    let typed = text(node, problems)?;
    let found = words.iter().find(|(word, _)| *word == typed).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        problems.error(&node.at, format!("{typed:?} is unknown; {}", suggest::did_you_mean(typed, &names)));
    }
    found
}

/// True or false.
pub(super) fn boolean(node: &Node, problems: &mut Problems) -> Option<bool> {
    if let Json::Leaf(Value::Bool(value)) = &node.json {
        return Some(*value);
    }
    let advice = match text_of(node).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
        Some("true" | "on" | "yes") => "; did you mean true?",
        Some("false" | "off" | "no") => "; did you mean false?",
        _ => "",
    };
    problems.error(&node.at, format!("{} is neither true nor false{advice}", shown(node)));
    None
}

/// A whole number.
pub(super) fn number(node: &Node, allowed: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
    if is_variable(node, problems) {
        return None;
    }
    let found = match &node.json {
        Json::Leaf(Value::Number(number)) => number.as_u64().filter(|number| allowed.contains(number)),
        _ => None,
    };
    if found.is_none() {
        let (least, most) = (allowed.start(), allowed.end());
        // A number in quotes is the commonest mistake.
        let meant = match &node.json {
            Json::Leaf(Value::String(text)) => text.trim().parse().ok().filter(|n| allowed.contains(n)),
            _ => None,
        };
        let message = match meant {
            Some(meant) => format!("{} is a string; did you mean {meant}, without quotes?", shown(node)),
            None => format!("expected a whole number from {least} to {most}, found {}", shown(node)),
        };
        problems.error(&node.at, message);
    }
    found
}

/// Whether a duration of 0 is allowed, where it means "no limit".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Zero {
    Allowed,
    Refused,
}

/// A duration: a string with a unit.
pub(super) fn duration(node: &Node, zero: Zero, problems: &mut Problems) -> Option<Duration> {
    if is_variable(node, problems) {
        return None;
    }
    let read = match &node.json {
        Json::Leaf(Value::String(text)) => units::duration(text),
        Json::Leaf(Value::Number(number)) if number.is_u64() => {
            Err(units::duration_without_unit(&number.to_string()))
        }
        _ => Err(r#"is not a duration; write a string with a number and a unit, like "5s""#.to_owned()),
    };
    let checked = read.and_then(|duration| match duration {
        Duration::ZERO if zero == Zero::Allowed => Ok(duration),
        // Workers wait in whole milliseconds.
        _ if duration < Duration::from_millis(1) => Err("is too short; the shortest is \"1ms\"".to_owned()),
        _ if duration > Duration::from_secs(DURATION_SECS_MAX) => {
            Err(format!("is too long; the longest is \"{}days\"", DURATION_SECS_MAX / 86_400))
        }
        _ => Ok(duration),
    });
    checked.map_err(|why| problems.error(&node.at, format!("{} {why}", shown(node)))).ok()
}

/// A size in bytes: a string with a unit, or 0.
pub(super) fn size(node: &Node, problems: &mut Problems) -> Option<u64> {
    if is_variable(node, problems) {
        return None;
    }
    let read = match &node.json {
        Json::Leaf(Value::String(text)) => units::size(text),
        Json::Leaf(Value::Number(number)) => match number.as_u64() {
            Some(0) => Ok(0),
            Some(number) => Err(units::size_without_unit(number)),
            None => Err(r#"is not a size; write it like "16KiB""#.to_owned()),
        },
        _ => Err(r#"is not a size; write a string with a number and a unit, like "16KiB""#.to_owned()),
    };
    read.map_err(|why| problems.error(&node.at, format!("{} {why}", shown(node)))).ok()
}

/// A value as a message shows it: short, and of a list or an object only the kind.
pub(super) fn shown(node: &Node) -> String {
    match &node.json {
        Json::Leaf(Value::String(text)) => quoted(text),
        Json::Leaf(leaf) => leaf.to_string(),
        Json::List(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

/// A text in quotes, cut if it is long.
pub(super) fn quoted(text: &str) -> String {
    /// LIMIT: characters of a value in a message. A line should stay a line.
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The string that a value is. Reports nothing if it is none.
pub(super) fn text_of(node: &Node) -> Option<&str> {
    match &node.json {
        Json::Leaf(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether a text is a token, as names of fields and methods are (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_of_token)
}

/// `204`, or `200-399` for a range.
pub(super) fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let read = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
    let range = match text.split_once('-') {
        Some((least, most)) => read(least)?..=read(most)?,
        None => read(text)?..=read(text)?,
    };
    (!range.is_empty()).then_some(range)
}
