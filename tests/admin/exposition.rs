//! The text format of Prometheus, read strictly.

use std::collections::{BTreeMap, BTreeSet};

/// A scrape: the type of each family, and its samples.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
}

/// Samples under one name.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub samples: Vec<Sample>,
}

/// One line.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Exposition {
    /// Parses a scrape. Panics on anything that a strict parser would refuse.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut helped: Option<String> = None;
        let mut current = String::new();
        let mut seen = BTreeSet::new();
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(help.ends_with('.'), "{line}");
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert_eq!(helped.take().as_deref(), Some(name), "TYPE without its HELP: {line}");
                let family = Family { kind: kind.to_owned(), samples: Vec::new() };
                assert!(found.families.insert(name.to_owned(), family).is_none(), "twice: {line}");
                name.clone_into(&mut current);
            } else {
                let sample = Sample::parse(line);
                assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "twice: {line}");
                let family = found.families.get_mut(&current).unwrap_or_else(|| panic!("no family: {line}"));
                let suffixes: &[&str] =
                    if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(
                    suffixes.iter().any(|suffix| sample.name == format!("{current}{suffix}")),
                    "astray: {line}"
                );
                family.samples.push(sample);
            }
        }
        found
    }

    /// The value of the sample with this name and exactly these labels.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let samples = self.families.values().flat_map(|family| &family.samples);
        let found = samples.into_iter().find(|sample| sample.name == name && sample.labels == labels);
        found.unwrap_or_else(|| panic!("there is no {name}{labels:?}")).value
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let name_ends = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
        let (name, rest) = line.split_at(name_ends);
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
                let (value, after) = quoted(after).unwrap_or_else(|| panic!("no end of a label: {line}"));
                assert!(labels.insert(key.to_owned(), value).is_none(), "a label twice: {line}");
                if let Some(next) = after.strip_prefix(',') {
                    rest = next;
                } else {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("no end of the labels: {line}"));
                    break;
                }
            }
        }
        let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
        Self { name: name.to_owned(), labels, value: value.unwrap_or_else(|| panic!("no number: {line}")) }
    }
}

/// The value of a label up to its quote, and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}
