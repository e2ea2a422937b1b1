//! The shape of the project, held by a test: what may import what, and what no file may do.
//!
//! ARCHITECTURE.md explains the floors to people; the table here is the same as data, so that
//! a change that breaks the shape fails at once and says how. The checks read the source as
//! text, line by line: they need no compiler, and a rule that text cannot see is not here.

#[path = "tidy/circles.rs"]
mod circles;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors: a module imports from its own folder and from lower floors, from nowhere else.
const FLOORS: [(&str, u8); 17] = [
    ("base", 0),
    ("http", 1),
    ("config", 1),
    ("observe", 1),
    ("net", 2),
    ("route", 3),
    ("upstream", 4),
    ("proxy", 5),
    ("server", 6),
    ("health", 6),
    ("admin", 6),
    ("access_log", 6),
    ("app", 7),
    ("cli", 7),
    ("demo", 7),
    ("lib", 7),
    ("main", 7),
];

/// The floor that wires the others together; its modules may know each other.
const TOP: u8 = 7;

/// Floors that carry requests, where a panic would be a peer's to cause.
const DATA_PATH: [&str; 7] = ["base", "http", "net", "route", "upstream", "proxy", "server"];

/// Names that say nothing about what a file owns.
const SAYS_NOTHING: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "manager", "misc"];

/// LIMIT: lines of one file, its tests included. Longer ones have two reasons to change.
const LINES_MAX: usize = 500;

/// One thing that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Untidy {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Untidy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A source file as the checks see it.
struct Source {
    /// Relative to the project, with `/`.
    path: String,
    text: String,
}

#[test]
fn a_floor_imports_only_lower_floors() {
    let sources = sources(&["src"]);
    assert_tidy(sources.iter().flat_map(check_imports));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let wrong = circles::check(&sources(&["src"]));
    assert!(wrong.is_empty(), "{} untidy:\n{}\n", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_owns_and_is_short() {
    let sources = sources(&["src", "tests", "benches", "examples"]);
    assert_tidy(sources.iter().flat_map(check_file));
}

#[test]
fn names_say_what_a_file_owns() {
    let sources = sources(&["src", "tests", "benches", "examples"]);
    assert_tidy(sources.iter().flat_map(check_names));
}

#[test]
fn unsafe_code_is_in_one_file() {
    let sources = sources(&["src", "tests", "benches", "examples"]);
    // A counting allocator cannot be written without it.
    let may = ["src/net/sys.rs", "tests/allocations.rs"];
    let others = sources.iter().filter(|source| !may.contains(&&*source.path));
    assert_tidy(others.flat_map(|source| {
        source.find(|line| has_word(line, concat!("uns", "afe")), "code that only src/net/sys.rs may hold")
    }));
}

#[test]
fn nothing_is_left_for_later() {
    // Joined from two halves, so that this file does not hold them.
    let banned = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
        concat!("#[ign", "ore"),
    ];
    let sources = sources(&["src", "tests", "benches", "examples"]);
    assert_tidy(sources.iter().flat_map(|source| {
        source.find(|line| banned.iter().any(|banned| line.contains(banned)), "unfinished or switched off")
    }));
}

#[test]
fn nothing_on_the_data_path_panics_without_a_stated_invariant() {
    let sources = sources(&["src"]);
    let test_files = test_only_files(&sources);
    let on_path = sources
        .iter()
        .filter(|source| DATA_PATH.contains(&source.module()) && !test_files.contains(&source.path));
    assert_tidy(on_path.flat_map(check_panics));
}

#[test]
fn tests_wait_for_conditions() {
    let sources = sources(&["tests", "src"]);
    // The delay of the sample origin is what it is asked for.
    let others = sources.iter().filter(|source| source.module() != "demo");
    assert_tidy(others.flat_map(check_sleeps));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert_tidy(check_manifest(&manifest));
}

fn check_imports(source: &Source) -> Vec<Untidy> {
    let module = source.module();
    let Some(floor) = floor_of(module) else {
        return vec![source.untidy(0, format!("`{module}` has no floor; give it one in tests/tidy.rs"))];
    };
    let mut found = Vec::new();
    for (index, line) in source.code() {
        for imported in imports(line) {
            let allowed = match floor_of(imported) {
                _ if imported == module => true,
                Some(lower) => lower < floor || floor == TOP,
                // A name at the root of the crate: its public face, made on the top floor.
                None => floor == TOP,
            };
            if !allowed {
                found.push(source.untidy(index, format!("`{module}` (floor {floor}) imports `{imported}`")));
            }
        }
        if line.contains("super::super::super") {
            found.push(source.untidy(index, "a path that climbs so far is written from `crate`".into()));
        }
    }
    found
}

/// The first segments of all `crate::` and `ropewalk::` paths in a line.
fn imports(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for start in ["crate::", "ropewalk::"] {
        for (at, _) in line.match_indices(start) {
            if line[..at].ends_with(is_of_word) {
                continue;
            }
            let rest = &line[at + start.len()..];
            // `crate::{a, b::c}`: the first segment of each.
            let inside = rest.strip_prefix('{').map(|group| group.split('}').next().unwrap_or(group));
            let paths = inside.map_or(vec![rest], |group| group.split(',').collect());
            found.extend(
                paths.into_iter().map(|path| path.trim().split(|c| !is_of_word(c)).next().unwrap_or("")),
            );
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn check_file(source: &Source) -> Vec<Untidy> {
    let mut found = Vec::new();
    if !source.text.starts_with("//! ") {
        found.push(source.untidy(0, "does not open with what it owns (`//!`)".into()));
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        found.push(source.untidy(LINES_MAX, format!("{lines} lines are more than {LINES_MAX}")));
    }
    found
}

fn check_names(source: &Source) -> Option<Untidy> {
    let path = source.path.trim_end_matches(".rs");
    let bad = path.split('/').find(|part| SAYS_NOTHING.contains(part))?;
    Some(source.untidy(0, format!("`{bad}` does not say what it owns")))
}

fn check_panics(source: &Source) -> Vec<Untidy> {
    let lines: Vec<&str> = source.text.lines().collect();
    let explained = |index: usize| {
        let above = lines[..index].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
        std::iter::once(&lines[index]).chain(above).any(|line| line.contains("INVARIANT:"))
    };
    let panics = ["unwrap()", "expect(\"", "panic!(", "unreachable!("];
    let mut found = Vec::new();
    for (index, line) in source.code() {
        // Unit tests are the last thing in a file.
        if line.trim() == "#[cfg(test)]" && lines.get(index + 1).is_some_and(|next| next.starts_with("mod "))
        {
            if lines[index + 1].ends_with('{') {
                break;
            }
            continue;
        }
        if panics.iter().any(|panic| line.contains(panic)) && !explained(index) {
            found.push(source.untidy(index, "may panic, and no `INVARIANT:` says why it cannot".into()));
        }
    }
    found
}

/// Files that are compiled for tests alone: those behind `#[cfg(test)] mod name;`.
fn test_only_files(sources: &[Source]) -> HashSet<String> {
    let mut files = HashSet::new();
    for source in sources {
        let lines: Vec<&str> = source.text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]") {
            let declared = pair[1].trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            if let Some(name) = declared.strip_prefix("mod ").and_then(|name| name.strip_suffix(';')) {
                // A file that is not the root of a folder has the files of its modules in one of its name.
                let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
                let folder = match file {
                    "mod.rs" | "lib.rs" | "main.rs" => folder,
                    _ => source.path.trim_end_matches(".rs"),
                };
                files.insert(format!("{folder}/{name}.rs"));
            }
        }
    }
    files
}

fn check_sleeps(source: &Source) -> Vec<Untidy> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in source.code() {
        let above = lines[..index].last().copied().unwrap_or("");
        if line.contains(concat!("sle", "ep(")) && !above.contains("PACE:") && !line.contains("PACE:") {
            let what = "sleeps; wait for a condition, or say what is paced with `PACE:`";
            found.push(source.untidy(index, what.into()));
        }
    }
    found
}

fn check_manifest(manifest: &str) -> Vec<Untidy> {
    let mut in_dependencies = false;
    let mut above = "";
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && line.contains('=') && !line.starts_with('#') && !above.starts_with('#') {
            let what = "a dependency without a line above that says what it is for".into();
            found.push(Untidy { file: "Cargo.toml".into(), line: index + 1, what });
        }
        above = line;
    }
    found
}

impl Source {
    /// The module under `src/` that this file belongs to.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// The lines that are not comments, each with its index and without what follows `//`.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(index, line)| {
            // A URL in a string is not a comment.
            let end = line.find(" // ").unwrap_or(line.len());
            (index, &line[..end])
        })
    }

    fn find(&self, is_bad: impl Fn(&str) -> bool, what: &str) -> Vec<Untidy> {
        let bad = self.code().filter(|(_, line)| is_bad(line));
        bad.map(|(index, _)| self.untidy(index, what.into())).collect()
    }

    fn untidy(&self, index: usize, what: String) -> Untidy {
        Untidy { file: self.path.clone(), line: index + 1, what }
    }
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_of_word) && !line[at + word.len()..].starts_with(is_of_word))
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root()).expect("inside the project").to_string_lossy();
                let text = fs::read_to_string(&path).expect("a source file");
                found.push(Source { path: relative.replace('\\', "/"), text });
            }
        }
    }
    assert!(!found.is_empty(), "there is nothing to check");
    found
}

#[track_caller]
fn assert_tidy(found: impl IntoIterator<Item = Untidy>) {
    let mut found: Vec<String> = found.into_iter().map(|untidy| untidy.to_string()).collect();
    found.sort();
    assert!(found.is_empty(), "{} untidy:\n{}\n", found.len(), found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn an_import_from_a_higher_or_equal_floor_is_seen() {
        for bad in [
            "use crate::proxy::advance;",
            "use crate::{base::clock, config::plan::Plan};",
            "pub(crate) use crate::side::x;",
            "let x = crate::Config::new();",
        ] {
            assert_eq!(check_imports(&source("src/http/head.rs", bad)).len(), 1, "{bad}");
        }
        for good in
            ["use crate::base::clock;", "use crate::http::x;", "// see crate::proxy", "use mycrate::proxy;"]
        {
            assert!(check_imports(&source("src/http/head.rs", good)).is_empty(), "{good}");
        }
        assert!(check_imports(&source("src/main.rs", "use ropewalk::config::Plan;")).is_empty());
        assert_eq!(check_imports(&source("src/newfolder/x.rs", "")).len(), 1);
    }

    #[test]
    fn an_unexplained_panic_is_seen_outside_of_tests() {
        let bad = "fn a() {\n    x.unwrap();\n}\n#[cfg(test)]\nmod tests {\n    y.unwrap();\n}\n";
        let found = check_panics(&source("src/net/x.rs", bad));
        assert_eq!(found.iter().map(|untidy| untidy.line).collect::<Vec<_>>(), [2]);
        let good = "// INVARIANT: x was just set,\n// two lines above.\nx.expect(\"set\");\n";
        assert!(check_panics(&source("src/net/x.rs", good)).is_empty());
    }

    #[test]
    fn an_unmarked_sleep_is_seen() {
        let sleep = concat!("thread::sle", "ep(x);\n");
        assert_eq!(check_sleeps(&source("tests/x.rs", sleep)).len(), 1);
        assert!(check_sleeps(&source("tests/x.rs", &format!("// PACE: slow.\n{sleep}"))).is_empty());
    }

    #[test]
    fn a_long_file_a_bare_file_and_an_empty_name_are_seen() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(check_file(&source("src/x.rs", &long)).len(), 1);
        assert_eq!(check_file(&source("src/x.rs", "fn main() {}\n")).len(), 1);
        assert!(check_names(&source("src/net/helpers.rs", "")).is_some());
        assert!(check_names(&source("src/util/x.rs", "")).is_some());
        assert!(check_names(&source("src/net/wait.rs", "")).is_none());
    }

    #[test]
    fn a_dependency_without_a_reason_is_seen() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n";
        assert_eq!(check_manifest(manifest).iter().map(|untidy| untidy.line).collect::<Vec<_>>(), [6]);
    }
}
