//! Makes the schema of the mirror's types and comments, and holds the file to it.

use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::super::file::Config;
use super::notes::Notes;

/// The schema with the comments as they are in the source.
pub(super) fn annotated() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    visit(&mut schema, &mut plain);
    schema
}

/// The schema as it is published.
fn published() -> Value {
    let mut schema = annotated();
    // The comment of a key says whether it is required, so this comes before the comments go.
    visit(&mut schema, &mut |schema| {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = properties.into_iter().flatten().filter(|(_, property)| {
            property.as_object().is_some_and(|property| Notes::of(property).get("Required").is_some())
        });
        let required: Vec<_> = required.map(|(name, _)| name.clone()).collect();
        schema.remove("required");
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
    });
    visit(&mut schema, &mut |schema| Notes::of(schema).apply(schema));
    schema["title"] = json!("Configuration of ropewalk");
    // Words of VS Code's own, which other programs ignore.
    schema["allowComments"] = json!(true);
    schema["allowTrailingCommas"] = json!(true);
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("description");
    }
    schema
}

/// Calls something for every schema in a schema, the innermost first.
fn visit(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = value else { return };
    for (name, inside) in schema.iter_mut() {
        match (name.as_str(), inside) {
            ("properties" | "$defs", Value::Object(several)) => {
                several.values_mut().for_each(|one| visit(one, change));
            }
            ("anyOf", Value::Array(several)) => several.iter_mut().for_each(|one| visit(one, change)),
            ("items" | "additionalProperties", one) => visit(one, change),
            _ => {}
        }
    }
    change(schema);
}

/// Takes out what says how a value is kept in Rust: that an absent one is null or an empty list,
/// and how wide a number is.
fn plain(schema: &mut Map<String, Value>) {
    schema.remove("default");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    let format = schema.remove("format");
    if format.is_some_and(|format| format.as_str().is_some_and(|format| format.starts_with("uint"))) {
        schema.remove("maximum");
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice["type"] != "null");
    // A choice of choices is one choice.
    let flat = choices.drain(..).flat_map(|mut choice| match choice.get_mut("anyOf") {
        Some(Value::Array(inner)) => std::mem::take(inner),
        _ => vec![choice],
    });
    let flat: Vec<_> = flat.collect();
    match <[Value; 1]>::try_from(flat) {
        Ok([Value::Object(only)]) => {
            schema.remove("anyOf");
            for (name, value) in only {
                schema.entry(name).or_insert(value);
            }
        }
        Ok([only]) => schema["anyOf"] = json!([only]),
        Err(several) => schema["anyOf"] = Value::Array(several),
    }
}

/// Compares a file with what it should be, or writes it if `UPDATE_GENERATED` is set.
#[track_caller]
pub(super) fn hold(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, expected).expect("the file can be written");
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{file} is out of date from line {} on; generate it with: UPDATE_GENERATED=1 cargo test --lib config::schema",
        differs.unwrap_or(found.lines().count().min(expected.lines().count())) + 1
    );
}

#[test]
fn the_published_schema_is_up_to_date() {
    let text = serde_json::to_string_pretty(&published()).expect("a schema is JSON");
    hold("docs/config.schema.json", &format!("{text}\n"));
}
