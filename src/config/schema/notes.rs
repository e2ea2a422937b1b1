//! What the comment of a field says: its meaning, and the list that ends it.
//!
//! Comments and not schemars' attributes, since rustdoc shows them to programs that embed ropewalk, and
//! since a default may be prose ("that of the pool").
//!
//! The list holds what the types of the mirror cannot: `Type`, `Default`, `Example`, `Keys`,
//! `Required`, and for an object what its keys have to do with each other.

use serde_json::{Map, Value, json};

/// A comment, taken apart.
pub(super) struct Notes {
    /// What it says before the list, on one line.
    pub(super) meaning: String,
    list: Vec<(String, String)>,
}

impl Notes {
    /// Of the description that a comment became.
    pub(super) fn of(schema: &Map<String, Value>) -> Self {
        let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
        // An example in Rust is for programs that embed us.
        let prose: String = description.split("```").step_by(2).collect();
        let is_noted = |line: &&str| line.starts_with("- ");
        let list = prose.lines().filter(is_noted).map(|line| {
            let noted = line.trim_start_matches("- ").split_once(": ");
            let (name, said) = noted.unwrap_or_else(|| panic!("{line:?} has no colon"));
            (name.to_owned(), said.to_owned())
        });
        let words = prose.lines().filter(|line| !is_noted(line)).flat_map(str::split_whitespace);
        Self { meaning: words.collect::<Vec<_>>().join(" "), list: list.collect() }
    }

    /// What the list says for a name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, said)| said.as_str())
    }

    /// The JSON that the list says for a name, if it is in backticks and nothing else.
    pub(super) fn json(&self, name: &str) -> Option<Value> {
        let said = self.get(name)?.strip_prefix('`')?.strip_suffix('`')?;
        // "`a`, or `b`" is prose, and so is a word.
        serde_json::from_str(said).ok()
    }

    /// Lays everything but the meaning over a schema.
    pub(super) fn apply(&self, schema: &mut Map<String, Value>) {
        for (name, said) in &self.list {
            match name.as_str() {
                "Type" => restrict(schema, said),
                "Default" => drop(self.json(name).map(|value| schema.insert("default".into(), value))),
                "Example" => {
                    let example = self.json(name).unwrap_or_else(|| panic!("{said:?} is not JSON"));
                    schema.insert("examples".into(), json!([example]));
                }
                "Keys" => {
                    schema.insert("propertyNames".into(), json!({ "pattern": keys(said) }));
                }
                "Exactly one of" => drop(schema.insert("oneOf".into(), each_required(said))),
                "At least one of" => drop(schema.insert("anyOf".into(), each_required(said))),
                "At most one of" => drop(schema.insert("not".into(), json!({ "required": words(said) }))),
                "Values" => {
                    assert_eq!(said, "password hashes", "these are unknown values");
                    schema
                        .insert("additionalProperties".into(), json!({ "type": "string", "pattern": HASH }));
                }
                "Empty" => not_empty(schema),
                // The object that holds the field says that it is required.
                "Required" => {}
                other => match other.strip_prefix("Not beside ").map(|key| key.trim_matches('`')) {
                    Some(key) => {
                        let refused: Map<String, Value> =
                            words(said).into_iter().map(|word| (word, Value::Bool(false))).collect();
                        let beside = schema.entry("dependentSchemas").or_insert_with(|| json!({}));
                        beside[key] = json!({ "properties": refused });
                    }
                    None => panic!("{other:?} is unknown"),
                },
            }
        }
        let prose_default = self.get("Default").filter(|_| self.json("Default").is_none());
        let meaning = match prose_default {
            Some(default) => format!("{} Default: {default}.", self.meaning),
            None => self.meaning.clone(),
        };
        if !meaning.is_empty() {
            schema.insert("description".into(), Value::from(meaning));
        }
    }
}

/// The words in backticks.
fn words(said: &str) -> Vec<String> {
    said.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn each_required(said: &str) -> Value {
    words(said).into_iter().map(|word| json!({ "required": [word] })).collect()
}

const DURATION: &str = r"^\s*0\s*$|^(\s*[0-9]+\s*[A-Za-zµ]+)+\s*$";
const SIZE: &str = r"^\s*(0+|[0-9]+\s*(B|KiB|MiB|GiB|kB|KB|MB|GB))\s*$";
const STATUSES: &str = r"^\s*[1-5][0-9]{2}\s*(-\s*[1-5][0-9]{2}\s*)?$";
const PATH: &str = r"^\s*/([^?#%\s\x22<>\\^`{|}]|%[0-9A-Fa-f]{2})*\s*$";
const MEDIA_TYPE: &str = r"^\s*[A-Za-z0-9!#$%&'*+.^_`|~-]+/[A-Za-z0-9!#$%&'*+.^_`|~-]+\s*(;|$)";
const HASH: &str = r"^\s*\$(5\$(rounds=[0-9]+\$)?[!-#%-~]{0,16}\$[./0-9A-Za-z]{43}|6\$(rounds=[0-9]+\$)?[!-#%-~]{0,16}\$[./0-9A-Za-z]{86})\s*$";
const TOKEN: &str = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
const NAME: &str = r"^[!-~]{1,64}$";

/// Narrows a schema to a type that the mirror has no Rust type for.
fn restrict(schema: &mut Map<String, Value>, said: &str) {
    let (strings, numbers) = match said {
        "true" => return drop(schema.insert("const".into(), Value::Bool(true))),
        "name" => (json!({ "pattern": NAME }), json!({})),
        "address" => (json!({ "pattern": r":[0-9]+\s*$" }), json!({})),
        "url" => (json!({ "pattern": r"^\s*[Hh][Tt][Tt][Pp]://[^/?#@\s]+/?\s*$" }), json!({})),
        "path without query" => (json!({ "pattern": PATH }), json!({})),
        "media type" => (json!({ "pattern": MEDIA_TYPE }), json!({})),
        "path" => (json!({ "pattern": r"^\s*/" }), json!({})),
        "networks" => (json!({ "pattern": r"^\s*[0-9A-Fa-f:.]+(/[0-9]{1,3})?\s*$" }), json!({})),
        "hosts" => (json!({ "pattern": r"^\s*(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])\s*$" }), json!({})),
        "statuses or ranges of statuses" => {
            (json!({ "pattern": STATUSES }), json!({ "minimum": 100, "maximum": 599 }))
        }
        _ if said.starts_with("duration") => (json!({ "pattern": DURATION }), json!({})),
        _ if said.starts_with("size") => (json!({ "pattern": SIZE }), json!({ "const": 0 })),
        _ => match said.strip_prefix("one of ") {
            Some(list) if list.contains('`') => (json!({ "enum": words(list) }), json!({})),
            Some(list) => {
                let numbers: Vec<u16> = list.split(", ").map(|n| n.parse().expect("a number")).collect();
                (json!({}), json!({ "enum": numbers }))
            }
            None => {
                let range = said.rsplit_once(" from ").and_then(|(_, range)| range.split_once(" to "));
                let (least, most) = range.unwrap_or_else(|| panic!("{said:?} is an unknown type"));
                let number = |text: &str| text.parse::<u64>().expect("a number");
                (json!({}), json!({ "minimum": number(least), "maximum": number(most) }))
            }
        },
    };
    narrow(schema, &strings, &numbers);
}

/// Adds to the schemas of all strings and numbers inside.
fn narrow(schema: &mut Map<String, Value>, strings: &Value, numbers: &Value) {
    let added = match schema.get("type").and_then(Value::as_str) {
        Some("string") => strings.as_object(),
        Some("integer") => numbers.as_object(),
        _ => None,
    };
    let added = added.cloned().unwrap_or_default();
    if added.contains_key("enum") || added.contains_key("const") {
        schema.remove("minimum");
        schema.remove("maximum");
    }
    schema.extend(added);
    for inside in ["anyOf", "items"] {
        match schema.get_mut(inside) {
            Some(Value::Array(several)) => {
                several
                    .iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|one| narrow(one, strings, numbers));
            }
            Some(Value::Object(one)) => narrow(one, strings, numbers),
            _ => {}
        }
    }
}

/// Refuses a list or an object with nothing in it.
fn not_empty(schema: &mut Map<String, Value>) {
    let refuse = |schema: &mut Map<String, Value>| match schema.get("type").and_then(Value::as_str) {
        Some("array") => drop(schema.insert("minItems".into(), json!(1))),
        Some("object") => drop(schema.insert("minProperties".into(), json!(1))),
        _ => {}
    };
    refuse(schema);
    let choices = schema.get_mut("anyOf").and_then(Value::as_array_mut);
    choices.into_iter().flatten().filter_map(Value::as_object_mut).for_each(refuse);
}

/// The pattern of keys that the user chooses.
fn keys(said: &str) -> &'static str {
    match said {
        "names" => NAME,
        "statuses" => r"^\s*[45][0-9]{2}\s*(-\s*[45][0-9]{2}\s*)?$",
        "field names" | "cookie names" => TOKEN,
        "user names" => "^[^:]+$",
        _ => panic!("{said:?} are unknown keys"),
    }
}
