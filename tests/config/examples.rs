//! Every example configuration in the project is good, and the schema says so too.

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use ropewalk::config::{Config, Document, SCHEMA};
use serde_json::{Value, json};

#[test]
fn every_example_is_good() {
    let schema = schema();
    let examples = examples();
    assert!(examples.len() > 40, "only {} examples were found", examples.len());
    for (name, example) in examples {
        let told: Vec<_> = schema.iter_errors(&example).map(|error| error.to_string()).collect();
        assert!(told.is_empty(), "{name}: the schema says {told:#?} of {example:#}");
        let text = example.to_string();
        let document = Document::from_json(&name, &text);
        let checked = document.and_then(|document| document.for_another_host().check());
        if let Err(errors) = checked {
            panic!("{name}: {errors}");
        }
    }
}

#[test]
fn every_example_of_a_key_fits_the_key() {
    let root: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let mut seen = 0;
    let objects = root["$defs"].as_object().expect("definitions").values().chain([&root]);
    for object in objects {
        for (name, property) in object["properties"].as_object().into_iter().flatten() {
            // A schema of its own, with the definitions that it refers to.
            let mut alone = property.clone();
            alone["$defs"] = root["$defs"].clone();
            let alone = jsonschema::draft202012::new(&alone).expect("a schema");
            let examples = property["examples"].as_array().expect("an example");
            for value in examples.iter().chain(property.get("default")) {
                assert!(alone.is_valid(value), "{name}: {value} does not fit {property:#}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} values were seen");
}

/// A configuration as plain JSON. `None` if it is none; with comments or trailing commas also if
/// `check` refuses it.
pub(super) fn value(text: &str) -> Option<Value> {
    let plain = serde_json::from_str(text).ok();
    plain.or_else(|| serde_json::to_value(Config::from_json(text).ok()?).ok())
}

pub(super) fn schema() -> Validator {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).expect("the schema can be used")
}

/// Configurations that people will copy, by their place.
fn examples() -> Vec<(String, Value)> {
    let mut examples = Vec::new();
    for path in files(root(), &["target", ".git"]) {
        let name = path.strip_prefix(root()).expect("inside the project").display().to_string();
        let text = || fs::read_to_string(&path).expect("a text");
        let mut add = |text: &str| {
            let example = value(text).unwrap_or_else(|| panic!("{name}: this is not JSON:\n{text}"));
            examples.push((name.clone(), example));
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") if path.file_name().is_some_and(|name| name == "config.json") => add(&text()),
            Some("yaml") => embedded(&text(), "config.json: |", "").iter().for_each(|text| add(text)),
            Some("md") => {
                for begin in ["```json", "```jsonc"] {
                    let blocks = embedded(&text(), begin, "```");
                    blocks.iter().filter(|text| is_whole(text)).for_each(|text| add(text));
                }
            }
            Some("exchange") => embedded(&text(), "config", "").iter().for_each(|text| {
                let text: String = text.lines().map(|line| line.trim_start_matches('|')).collect();
                add(&with_backends(&text).to_string());
            }),
            None if name.starts_with("fuzz/seeds/config/")
                && ["full", "least", "routes", "simple"].contains(&last(&name)) =>
            {
                add(&text());
            }
            _ => {}
        }
    }
    examples
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// All files below a folder, except in folders of these names.
fn files(folder: &Path, without: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            found.push(path);
        } else if !without.iter().any(|name| path.ends_with(name)) {
            found.extend(files(&path, without));
        }
    }
    found
}

/// What stands in a text behind lines that say where a configuration begins: up to a line that
/// says where it ends, or else as long as lines are indented further or begin with a bar.
fn embedded(text: &str, begin: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != begin {
            continue;
        }
        let depth = |line: &str| line.len() - line.trim_start().len();
        let inside = lines.clone().take_while(|inner| match end {
            "" => inner.starts_with('|') || depth(inner) > depth(line),
            end => inner.trim() != end,
        });
        let block: Vec<_> = inside.collect();
        found.push(block.join("\n"));
        for _ in &block {
            lines.next();
        }
    }
    found
}

/// Whether a block of JSON is a configuration, and not a piece of one or something else.
fn is_whole(text: &str) -> bool {
    ["\"backends\"", "\"pools\"", "\"routes\""].iter().any(|key| text.contains(key))
        && text.trim().starts_with(['{', '/'])
}

/// A script lists the keys that it needs, and its runner adds the backends.
fn with_backends(text: &str) -> Value {
    let mut example: Value = serde_json::from_str(text).expect("a script's configuration is JSON");
    if example.get("pools").is_none() {
        example["backends"] = json!([{ "url": "http://127.0.0.1:9001" }, { "url": "http://127.0.0.1:9002" }]);
    }
    example
}
