//! `Config` mirrors everything that the schema describes: it is read, written and checked identically.

use std::sync::LazyLock;

use proptest::prelude::*;
use ropewalk::Config;
use ropewalk::config::{ConfigErrors, Document, SCHEMA};
use serde_json::{Map, Value};

static ROOT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(SCHEMA).expect("the schema is JSON"));

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_the_same(choices in proptest::collection::vec(any::<u8>(), 0..400)) {
        let document = Choices(choices).value(&ROOT, &ROOT);
        let text = document.to_string();
        let config: Config = serde_json::from_str(&text).expect(&text);
        let written = serde_json::to_value(&config).expect("a configuration is JSON");
        prop_assert_eq!(&written, &document);
        prop_assert_eq!(&serde_json::from_value::<Config>(written).expect("JSON"), &config);

        // Checked as text or as types: the same plan, or the same mistakes.
        let of_text = Document::from_json("c", &text).and_then(|document| document.check());
        match (of_text, config.check()) {
            (Ok(of_text), Ok(of_types)) => prop_assert_eq!(of_text.plan, of_types.plan),
            (Err(of_text), Err(of_types)) => prop_assert_eq!(pointers(&of_text), pointers(&of_types)),
            (of_text, of_types) => prop_assert!(false, "{:?} but {:?}", of_text, of_types),
        }
    }
}

/// The places of the mistakes. The messages may name lines, which only a text has.
fn pointers(errors: &ConfigErrors) -> Vec<String> {
    let mut pointers: Vec<_> = errors.problems().iter().map(|problem| problem.pointer.clone()).collect();
    pointers.sort();
    pointers
}

/// Decisions still to be used; once they run out, each is the first option.
struct Choices(Vec<u8>);

impl Choices {
    /// A number below a bound.
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.pop().unwrap_or_default()) % bound
    }

    /// A value that a schema describes.
    fn value(&mut self, root: &Value, schema: &Value) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            return self.value(root, &root["$defs"][name.trim_start_matches("#/$defs/")]);
        }
        if let Some(properties) = schema["properties"].as_object() {
            return self.object(root, schema, properties);
        }
        if let Some(only) = schema.get("const") {
            return only.clone();
        }
        if let (0, Some(examples)) = (self.below(2), schema["examples"].as_array()) {
            return examples[self.below(examples.len())].clone();
        }
        if let Some(choices) = schema["anyOf"].as_array().or(schema["enum"].as_array()) {
            let choice = &choices[self.below(choices.len())];
            return if schema.get("enum").is_some() { choice.clone() } else { self.value(root, choice) };
        }
        match schema["type"].as_str() {
            // An empty list or object is not written, since it means the same as omitting it.
            Some("array") => (0..=self.below(2)).map(|_| self.value(root, &schema["items"])).collect(),
            Some("object") => {
                let names = ["502", "a", "500-599"].into_iter().take(1 + self.below(3));
                let values =
                    names.map(|name| (name.to_owned(), self.value(root, &schema["additionalProperties"])));
                Value::Object(values.collect())
            }
            Some("integer") => {
                let (least, most) = (schema["minimum"].as_u64(), schema["maximum"].as_u64());
                let number = least.unwrap_or(0) + self.below(4) as u64;
                Value::from(most.map_or(number, |most| number.min(most)))
            }
            Some("boolean") => Value::from(self.below(2) == 1),
            Some("string") => Value::from(["5s", "/a", "a", "10.0.0.0/8", "127.0.0.1:1", ""][self.below(6)]),
            other => panic!("{other:?} is an unknown type"),
        }
    }

    fn object(&mut self, root: &Value, schema: &Value, properties: &Map<String, Value>) -> Value {
        let required =
            |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&name.into()));
        let mut object = Map::new();
        for (name, property) in properties {
            if required(name) || self.below(3) == 1 {
                object.insert(name.clone(), self.value(root, property));
            }
        }
        Value::Object(object)
    }
}
