//! Every message of `check` as data: a configuration, and the output.
//!
//! The cases are in `tests/config/messages/*.txt`. The wording is part of the product, so all of it can
//! be read there, and a change to it is a change to these files. The output is generated:
//! `UPDATE_GENERATED=1 cargo test --test config messages` records what `check` prints now, and the diff
//! is what you review.
//!
//! A case is three parts, and a file is any number of them:
//!
//! ```text
//! === a name that no other case has
//! { "prot": 8080 }
//! ==>
//! c.json:1:3: error: /prot: unknown key "prot"; did you mean "port"?
//! ```
//!
//! To add one, write the first two parts and let the third be generated.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use ropewalk::config::{Document, Severity};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/messages");

const REMEDY: &str =
    "if this is what it should say, run: UPDATE_GENERATED=1 cargo test --test config messages";

/// Added below a mistake that the JSON Schema cannot detect, so that editors do not show it.
const BEYOND_THE_SCHEMA: &str = "(the schema does not see this)";

/// One configuration, and the output.
struct Case {
    name: String,
    config: String,
    said: String,
}

/// One file of cases.
struct Cases {
    path: PathBuf,
    /// The text above the first case.
    preface: String,
    cases: Vec<Case>,
}

#[test]
fn check_says_what_is_written_down() {
    let schema = super::examples::schema();
    for Cases { path, preface, cases } in all() {
        let mut rendered = preface;
        for case in &cases {
            let said = say(case, &schema);
            let Case { name, config, said: expected } = case;
            assert!(
                updating() || said == *expected,
                "{}: {name}\n{config}\n==> expected\n{expected}==> said\n{said}{REMEDY}",
                path.display()
            );
            write!(rendered, "=== {name}\n{config}\n==>\n{said}\n").expect("writing to memory");
        }
        compare(&path, &rendered, REMEDY);
    }
}

/// Checks a file of cases, or updates it.
pub(super) fn compare(path: &Path, rendered: &str, remedy: &str) {
    let rendered = format!("{}\n", rendered.trim_end());
    if updating() {
        fs::write(path, &rendered).expect("a file that can be written");
    }
    let found = fs::read_to_string(path).expect("a file");
    assert_eq!(found, rendered, "{}: {remedy}", path.display());
}

#[test]
fn every_case_has_a_unique_name() {
    let mut names: Vec<_> = all().into_iter().flat_map(|file| file.cases).map(|case| case.name).collect();
    assert!(names.len() > 100, "only {} cases were found", names.len());
    names.sort();
    let double = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(double, None);
}

pub(super) fn updating() -> bool {
    std::env::var_os("UPDATE_GENERATED").is_some()
}

/// What `check` prints for a configuration, a line for each problem.
fn say(case: &Case, schema: &Validator) -> String {
    let mut said = String::new();
    let accepted_by_schema = super::examples::value(&case.config).is_some_and(|it| schema.is_valid(&it));
    let checked = Document::from_json("c.json", &case.config).and_then(|document| document.check());
    let (problems, good) = match &checked {
        Ok(checked) => (checked.warnings.as_slice(), true),
        Err(errors) => (errors.problems(), false),
    };
    let any_error = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(good, !any_error, "{}: an error refuses a configuration, a warning does not", case.name);
    assert!(!good || accepted_by_schema, "{}: check accepts what the schema refuses", case.name);
    for problem in problems {
        writeln!(said, "{problem}").expect("writing to memory");
    }
    if !good && accepted_by_schema {
        writeln!(said, "{BEYOND_THE_SCHEMA}").expect("writing to memory");
    }
    said
}

fn all() -> Vec<Cases> {
    files(FOLDER).into_iter().map(read).collect()
}

/// All files of a folder, in the order of their names.
pub(super) fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn read(path: PathBuf) -> Cases {
    let text = fs::read_to_string(&path).expect("a text");
    let mut parts = text.split("=== ");
    let preface = parts.next().unwrap_or_default().to_owned();
    let cases = parts.map(|part| {
        let (name, rest) = part.split_once('\n').expect("a name and a line break");
        // A case without its third part is new.
        let (config, said) = rest.split_once("\n==>").unwrap_or((rest, ""));
        let (config, said) = (config.trim_end_matches('\n'), said.trim());
        let said = if said.is_empty() { String::new() } else { format!("{said}\n") };
        Case { name: name.trim().to_owned(), config: config.to_owned(), said }
    });
    Cases { path, preface, cases: cases.collect() }
}
