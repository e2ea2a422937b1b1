//! The configuration as people meet it: the text of every message, and the schema.
//!
//! A case is a configuration and the lines it must give, all of them and nothing else. The
//! wording is part of the product, so a change of it should be seen here.

mod admin_and_logs;
mod conditions;
mod examples;
mod keys;
mod lints;
mod matches;
mod mirror;
mod pools;
mod routes;
mod simple_form;
mod warnings;

use ropewalk::config::{Document, Severity};

/// A name, the text of `c.json`, and the lines it must give.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// Configurations with mistakes.
fn errors() -> impl Iterator<Item = &'static Case> {
    [
        simple_form::ERRORS,
        pools::ERRORS,
        routes::ERRORS,
        matches::ERRORS,
        conditions::ERRORS,
        admin_and_logs::ERRORS,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn errors_say_where_what_and_what_instead() {
    for (name, text, expected) in errors() {
        let errors = Document::from_json("c.json", text).and_then(|document| document.check());
        let errors = errors.expect_err(name);
        assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), *expected, "{name}");
    }
}

#[test]
fn warnings_do_not_stop_a_start() {
    for (name, text, expected) in warnings::WARNINGS {
        let checked = Document::from_json("c.json", text).and_then(|document| document.check());
        let warnings = checked.unwrap_or_else(|errors| panic!("{name}: {errors}")).warnings;
        assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning), "{name}");
        let lines: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(lines, *expected, "{name}");
    }
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<_> = errors().chain(warnings::WARNINGS).map(|(name, ..)| name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
