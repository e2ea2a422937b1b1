//! Makes the reference in `docs/configuration.md` of the same source as the schema.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use super::generate::{annotated, hold};
use super::notes::Notes;

/// What comes before this line in the file is written by hand.
const MARK: &str = "<!-- Written by a test from the comments in src/config/file; do not edit below. -->\n";

#[test]
fn the_reference_is_up_to_date() {
    const FILE: &str = "docs/configuration.md";
    let found = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE));
    let found = found.unwrap_or_default();
    let (by_people, _) = found.split_once(MARK).unwrap_or((&found, ""));
    hold(FILE, &format!("{by_people}{MARK}{}", reference(&annotated())));
}

/// A table for each object: the top level first, then the others in the order in which they
/// are met.
fn reference(schema: &Value) -> String {
    let mut places: Vec<(String, Vec<String>)> = Vec::new();
    meet(schema, object(schema), "", &mut places);
    let mut text = String::new();
    table("Top level", &[], object(schema), &mut text);
    for (name, at) in &places {
        table(&title(name), at, object(&schema["$defs"][name]), &mut text);
    }
    text
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("a schema is an object")
}

/// Notes each object that is referred to, and the paths that lead to it.
fn meet(root: &Value, schema: &Map<String, Value>, path: &str, places: &mut Vec<(String, Vec<String>)>) {
    if let Some(name) = referred(schema) {
        match places.iter_mut().find(|(known, _)| known == name) {
            // What is in it has been met.
            Some((_, paths)) => return paths.push(path.to_owned()),
            None => places.push((name.to_owned(), vec![path.to_owned()])),
        }
        return meet(root, object(&root["$defs"][name]), path, places);
    }
    let dot = if path.is_empty() { "" } else { "." };
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        meet(root, object(property), &format!("{path}{dot}{name}"), places);
    }
    for choice in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        meet(root, object(choice), path, places);
    }
    if let Some(Value::Object(items)) = schema.get("items") {
        meet(root, items, &format!("{path}[]"), places);
    }
    if let Some(Value::Object(values)) = schema.get("additionalProperties") {
        meet(root, values, &format!("{path}.*"), places);
    }
}

fn referred(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// `HealthSettings`: `Health settings`.
fn title(name: &str) -> String {
    let mut title = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            title.push(' ');
            title.extend(letter.to_lowercase());
        } else {
            title.push(letter);
        }
    }
    title
}

fn link(name: &str) -> String {
    let title = title(name);
    format!("[{}](#{})", title.to_lowercase(), title.to_lowercase().replace(' ', "-"))
}

fn table(title: &str, paths: &[String], schema: &Map<String, Value>, text: &mut String) {
    write!(text, "\n## {title}\n\n").expect("memory");
    let notes = Notes::of(schema);
    if !paths.is_empty() {
        let mut paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
        paths.dedup();
        writeln!(text, "{} Used in {}.\n", notes.meaning, paths.join(", ")).expect("memory");
    }
    for rule in RULES {
        if let Some(keys) = notes.get(rule) {
            writeln!(text, "{rule}: {keys}.\n").expect("memory");
        }
    }
    text.push_str("| key | type | default | meaning | example |\n|---|---|---|---|---|\n");
    let properties: BTreeMap<_, _> = object(&schema["properties"]).iter().collect();
    for (name, property) in properties {
        let property = object(property);
        let notes = Notes::of(property);
        let default = match (notes.get("Default"), notes.get("Required")) {
            (Some(default), None) => default,
            (None, Some(_)) => "(required)",
            _ => panic!("{title}: {name} has a default or is required"),
        };
        let example = notes.get("Example").unwrap_or_else(|| panic!("{title}: {name} has no example"));
        let kind = kind(property);
        assert!(!notes.meaning.is_empty(), "{title}: {name} has no meaning");
        let row = format!("| `{name}` | {kind} | {default} | {} | {example} |", notes.meaning);
        writeln!(text, "{row}").expect("memory");
    }
}

/// What the keys of an object have to do with each other.
const RULES: [&str; 5] =
    ["At least one of", "Exactly one of", "At most one of", "Not beside `pools`", "Not beside `routes`"];

/// What a value is, in words.
fn kind(schema: &Map<String, Value>) -> String {
    let said = Notes::of(schema).get("Type").map(str::to_owned);
    if let Some(name) = referred(schema) {
        return link(name);
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let kinds: Vec<_> = choices.iter().map(|choice| kind(object(choice))).collect();
        let is_list = |choice: &Value| choice["type"] == "array";
        return match (said, choices.iter().any(is_list)) {
            (Some(said), true) => format!("{said}, one or a list"),
            (Some(said), false) => said,
            (None, _) => kinds.join(" or "),
        };
    }
    if let Some(said) = said {
        return said;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("list of {}", kind(object(&schema["items"]))),
        Some("object") => format!("object of {}", kind(object(&schema["additionalProperties"]))),
        Some("integer") => "whole number".to_owned(),
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        other => panic!("{other:?} is an unknown type"),
    }
}
