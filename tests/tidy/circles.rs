//! No circles between files: if one file imports another, that one imports it neither directly nor
//! by way of others.
//!
//! A circle of files can only be read, tested and moved as one. The imports are read from the text:
//! every path from `crate`, `super`, `self` or `ropewalk`, outside of unit tests. What the head of a
//! folder (`mod.rs`) says of its own files does not count; it is their table of contents.

use std::collections::{BTreeSet, HashMap};

use super::{Source, is_of_word, test_only_files};

/// Files and folders that still have circles, and how many of their files are in one at most. An
/// entry whose files are in no circle fails the test, so this table only shrinks; do not add to it.
const STILL_IN_CIRCLES: [(&str, usize); 5] = [
    ("src/config/check/ejection.rs", 1),
    ("src/config/check/pool.rs", 1),
    ("src/config/document.rs", 1),
    ("src/config/parse.rs", 1),
    ("src/proxy/", 19),
];

/// What is wrong with the circles that there are: files that may not be in one, and entries of the
/// table that are no longer needed.
pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let circles = circles(sources);
    let may = |file: &String| STILL_IN_CIRCLES.iter().any(|(start, _)| file.starts_with(start));
    let unexpected = circles.iter().filter(|circle| !circle.iter().all(may));
    let mut wrong: Vec<_> = unexpected
        .map(|circle| format!("these files import each other in a circle: {}", circle.join(", ")))
        .collect();
    for (start, max) in STILL_IN_CIRCLES {
        match circles.iter().flatten().filter(|file| file.starts_with(start)).count() {
            0 => wrong.push(format!("{start} is in no circle any more; take it out of STILL_IN_CIRCLES")),
            count if count > max => wrong.push(format!("{count} files of {start} are in circles, not {max}")),
            _ => {}
        }
    }
    wrong
}

/// The groups of files that import each other, each sorted, in order.
fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let of_tests = test_only_files(sources);
    let files: Vec<&Source> = sources.iter().filter(|source| !of_tests.contains(&source.path)).collect();
    let numbers: HashMap<Vec<&str>, usize> =
        files.iter().enumerate().map(|(number, file)| (module_path(&file.path), number)).collect();
    let imports: Vec<BTreeSet<usize>> = files
        .iter()
        .enumerate()
        .map(|(number, file)| {
            let paths = paths(file).into_iter();
            paths.filter_map(|path| file_of(&path, &numbers)).filter(|&imported| imported != number).collect()
        })
        .collect();
    let reached: Vec<BTreeSet<usize>> = (0..files.len()).map(|from| reachable(from, &imports)).collect();
    let mut circles = BTreeSet::new();
    for from in 0..files.len() {
        let circle = reached[from].iter().filter(|&&to| reached[to].contains(&from));
        let mut circle: Vec<_> = circle.map(|&to| files[to].path.clone()).collect();
        circle.sort();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// Every file that a file imports, by way of others too. Itself only if it is in a circle.
fn reachable(from: usize, imports: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        next.extend(imports[file].iter().filter(|&&imported| reached.insert(imported)));
    }
    reached
}

/// The module that a file holds, as a path from the crate: `src/net/parking/mod.rs` is
/// `["net", "parking"]`.
fn module_path(file: &str) -> Vec<&str> {
    let mut path: Vec<&str> = file.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    if path.last().is_some_and(|last| ["mod", "lib"].contains(last)) {
        path.pop();
    }
    path
}

/// The file that holds what a path names: that of its longest part which is a module.
fn file_of(path: &[String], numbers: &HashMap<Vec<&str>, usize>) -> Option<usize> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    (1..=path.len()).rev().find_map(|length| numbers.get(&path[..length])).copied()
}

/// Every path in a file, outside of its unit tests, from the root of the crate.
fn paths(source: &Source) -> Vec<Vec<String>> {
    let own: Vec<String> = module_path(&source.path).into_iter().map(str::to_owned).collect();
    let lines = source.code().map(|(_, line)| line);
    let mut text = String::new();
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    // Unit tests are the last thing in a file.
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let text = &text[..end];
    let mut found = Vec::new();
    for root in ["crate", "ropewalk", "super", "self"] {
        for (at, _) in text.match_indices(&format!("{root}::")) {
            let before = &text[..at];
            if before.ends_with(is_of_word) || before.ends_with("::") {
                continue;
            }
            let base = match root {
                "super" => own[..own.len().saturating_sub(1)].to_vec(),
                "self" => own.clone(),
                _ => Vec::new(),
            };
            read(&text[at + root.len() + 2..], &base, &mut found);
        }
    }
    found
}

/// Reads one path, or a group of paths in braces, that begins here. Returns what is behind it.
fn read<'t>(text: &'t str, base: &[String], found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = read(rest, base, found).trim_start();
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c| !is_of_word(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = base.to_vec();
    match name {
        "" => return rest,
        "super" => drop(path.pop()),
        "self" => {}
        _ => path.push(name.to_owned()),
    }
    match rest.strip_prefix("::") {
        Some(rest) => read(rest, &path, found),
        None => {
            found.push(path);
            // `name as other`
            rest.find([',', '}', ';', '\n']).map_or(rest, |end| &rest[end..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_circle_is_seen_however_long_and_however_written() {
        for (a, b, c) in [
            ("use crate::y::b::B;", "use super::a;", ""),
            ("use crate::{base::x, y::{c, b::{A, B as C}}};", "fn f() { crate::y::a::g() }", ""),
            ("use super::b;", "use super::c::{C, D};", "use crate::y::\n    a::X;"),
        ] {
            let sources = [source("src/y/a.rs", a), source("src/y/b.rs", b), source("src/y/c.rs", c)];
            let found = circles(&sources);
            assert_eq!(found.len(), 1, "{a} {b} {c}: {found:?}");
            assert_eq!(found[0].len(), if c.is_empty() { 2 } else { 3 });
            assert!(!check(&sources).is_empty());
        }
    }

    #[test]
    fn what_is_no_circle_is_not_one() {
        let tests = "use super::b;\n#[cfg(test)]\nmod tests {\n    use crate::y::c::C;\n}\n";
        let sources = [
            source("src/y/mod.rs", "pub mod a;\nmod b;\npub use a::A;\n"),
            source("src/y/a.rs", tests),
            source("src/y/b.rs", "// crate::y::a\nuse crate::y::Head;\nuse mycrate::y::a;"),
            source("src/y/c.rs", "use super::a;"),
        ];
        assert_eq!(circles(&sources), Vec::<Vec<String>>::new());
    }
}
