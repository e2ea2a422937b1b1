//! People write programs against `docs/admin.md`, so it must match the responses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::metrics::FAMILIES;
use crate::wire::Admin;

fn documentation() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/admin.md")).unwrap()
}

/// The first JSON example below a heading.
fn example(heading: &str) -> Value {
    let text = documentation();
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let json = section.split("```json output\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{heading}: {error}"))
}

/// Every key with its path; for lists, those of the first element.
fn keys(value: &Value, lead: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) if lead != "/retries" => {
            for (key, value) in object {
                found.insert(format!("{lead}/{key}"));
                keys(value, &format!("{lead}/{key}"), found);
            }
        }
        Value::Array(list) => list.first().into_iter().for_each(|first| keys(first, lead, found)),
        _ => {}
    }
}

#[test]
fn the_documents_have_the_keys_that_are_documented() {
    let admin = Admin::start();
    for target in ["/status", "/requests"] {
        let (mut documented, mut answered) = (BTreeSet::new(), BTreeSet::new());
        keys(&example(&format!("GET {target}")), "", &mut documented);
        keys(&serde_json::from_str(&admin.get(target).body).unwrap(), "", &mut answered);
        assert_eq!(answered, documented, "{target}");
    }
}

#[test]
fn every_metric_is_documented() {
    let text = documentation();
    for (name, _, labels) in FAMILIES {
        let row = text.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/admin.md"));
        for label in labels.iter().filter(|label| **label != "le") {
            assert!(row.contains(&format!("`{label}`")), "{name}: {label}");
        }
    }
}
