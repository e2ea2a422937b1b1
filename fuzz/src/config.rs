//! The configuration: any text is read or refused, and every mistake has a place in it.

use ropewalk::config::{ConfigErrors, Document};

/// Reads and checks `data` as a configuration file.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Document::from_json("config.json", &text).and_then(|document| document.check()) {
        Ok(checked) => {
            let plan = checked.plan;
            assert!(!plan.listeners.is_empty() && plan.workers > 0, "a plan that cannot be run");
            assert!(plan.pools.iter().all(|pool| !pool.backends.is_empty()), "an empty pool");
        }
        Err(errors) => check_places(&errors, &text),
    }
}

fn check_places(errors: &ConfigErrors, text: &str) {
    assert!(!errors.problems().is_empty() && !errors.to_string().is_empty(), "refused without a reason");
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in errors.problems() {
        let (Some(line), Some(column)) = (problem.line(), problem.column()) else {
            panic!("{problem:?} has no place");
        };
        let Some(found) = line.checked_sub(1).and_then(|index| lines.get(index)) else {
            panic!("{problem:?} is behind the last line");
        };
        assert!((1..=found.chars().count() + 2).contains(&column), "{problem:?} is outside its line");
    }
}
