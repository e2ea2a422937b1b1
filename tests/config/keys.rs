//! The schema and `check` know the same keys, everywhere.

use std::collections::BTreeSet;

use ropewalk::config::{Document, SCHEMA};
use serde_json::{Map, Value, json};

/// A key unlike any other, so that `check` lists the allowed keys.
const UNKNOWN: &str = "zzzzzzzzzzzz";

#[test]
fn the_schema_and_check_know_the_same_keys() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let mut seen = 0;
    visit(&schema, &schema, &mut Vec::new(), &mut |path, properties| {
        let pointer: String = path.iter().map(|part| format!("/{part}")).collect();
        let text = with_unknown_key(path).to_string();
        let document = Document::from_json("c", &text).expect("JSON");
        let errors = document.check().expect_err("an unknown key");
        let unknown =
            errors.problems().iter().find(|problem| problem.pointer == format!("{pointer}/{UNKNOWN}"));
        let message = &unknown.unwrap_or_else(|| panic!("{text}: {errors}")).message;
        let (_, allowed) = message.split_once("allowed here: ").expect(message);
        let allowed: BTreeSet<_> = allowed.split(", ").collect();
        let known: BTreeSet<_> = properties.keys().map(String::as_str).collect();
        assert_eq!(allowed, known, "at {pointer:?}: check allows the first, the schema the second");
        seen += 1;
    });
    assert!(seen > 25, "only {seen} objects were found");
}

/// Calls something with every object whose keys are fixed: the path to one, and its schema.
fn visit(
    root: &Value,
    schema: &Value,
    path: &mut Vec<String>,
    see: &mut impl FnMut(&[String], &Map<String, Value>),
) {
    if let Some(name) = schema["$ref"].as_str() {
        return visit(root, &root["$defs"][name.trim_start_matches("#/$defs/")], path, see);
    }
    if let Some(properties) = schema["properties"].as_object() {
        see(path, properties);
        for (name, property) in properties {
            path.push(name.clone());
            visit(root, property, path, see);
            path.pop();
        }
        return;
    }
    schema["anyOf"].as_array().into_iter().flatten().for_each(|choice| visit(root, choice, path, see));
    for (inside, name) in [(&schema["additionalProperties"], "502"), (&schema["items"], "0")] {
        if inside.is_object() {
            path.push(name.to_owned());
            visit(root, inside, path, see);
            path.pop();
        }
    }
}

/// A document with nothing but an unknown key at the end of a path. Other mistakes in it do not matter:
/// all mistakes are reported.
fn with_unknown_key(path: &[String]) -> Value {
    match path {
        [] => json!({ UNKNOWN: 1 }),
        [first, rest @ ..] if first == "0" => json!([with_unknown_key(rest)]),
        [first, rest @ ..] => Value::Object(Map::from_iter([(first.clone(), with_unknown_key(rest))])),
    }
}

/// Configurations that hold every object that has a key with a default.
fn grounds() -> [Value; 2] {
    let hash =
        "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0";
    [
        json!({
            "log": { "access": "stdout" }, "timeouts": {}, "limits": {}, "health_check": { "type": "http" },
            "rate_limit": { "requests": 5 }, "basic_auth": { "users": { "ann": hash } },
            "backends": [{ "url": "http://a:1" }]
        }),
        json!({
            "pools": { "502": { "backends": [{ "url": "http://a:1" }], "health_check": { "type": "http" } } },
            "routes": [{ "redirect": { "location": "/a" } }]
        }),
    ]
}

#[test]
fn what_the_schema_calls_the_default_is_the_default() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    let plan = |document: &Value| {
        let checked = Document::from_json("c", &document.to_string()).and_then(|document| document.check());
        checked.map(|checked| checked.plan)
    };
    let mut compared = BTreeSet::new();
    for ground in grounds() {
        let without = plan(&ground).expect("a good configuration");
        visit(&schema, &schema, &mut Vec::new(), &mut |path, properties| {
            let pointer: String = path.iter().map(|part| format!("/{part}")).collect();
            for (name, property) in properties {
                let mut with = ground.clone();
                let Some(Value::Object(object)) = with.pointer_mut(&pointer) else { return };
                let Some(default) = property.get("default") else { continue };
                if object.insert(name.clone(), default.clone()).is_some() {
                    continue;
                }
                // Keys of the simple form cannot appear next to the full one.
                let Ok(with) = plan(&with) else { continue };
                assert_eq!(with, without, "{pointer}/{name} is not {default} when left out");
                compared.insert(name.clone());
            }
        });
    }
    assert!(compared.len() > 30, "only {compared:?} were compared");
}
