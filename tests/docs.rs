//! Every configuration in the documentation and the packages passes `check`.
//!
//! A block that opens with `json` is a whole configuration and nothing else. JSON of other kinds
//! has a second word, such as `json output`, and only has to be JSON.

use std::fs;
use std::path::{Path, PathBuf};

use ropewalk::config::Document;

/// A text that should be a configuration, or at least JSON.
struct Snippet {
    /// Its place: a file and a line.
    place: String,
    is_configuration: bool,
    text: String,
}

#[test]
fn every_configuration_in_the_documentation_is_right() {
    let mut files = vec![root().join("README.md")];
    files.extend(files_in("docs", "md"));
    let snippets: Vec<_> = files.iter().flat_map(|file| snippets(file)).collect();
    let configurations = snippets.iter().filter(|snippet| snippet.is_configuration).count();
    assert!(configurations > 10, "only {configurations} were found");
    let wrong: Vec<_> = snippets.iter().filter_map(mistakes).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_configurations_of_the_packages_are_right() {
    let image = read(&root().join("packaging/docker/config.json"));
    let compose = root().join("packaging/docker/compose/config.json");
    let map = read(&root().join("packaging/kubernetes/configmap.yaml"));
    let of_map = block_of_yaml(&map, "config.json");
    assert!(of_map.contains("token_file"), "the manifest's configuration was not found");
    for (place, text) in [("image", image), ("configmap", of_map)] {
        let snippet = Snippet { place: place.to_owned(), is_configuration: true, text };
        assert_eq!(mistakes(&snippet), None);
    }
    // Its token is next to it.
    let checked = Document::from_file(&compose).and_then(|document| document.check());
    let checked = checked.unwrap_or_else(|errors| panic!("{errors}"));
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let names: Vec<_> = checked.plan.pools[0].backends.iter().map(|backend| &*backend.name).collect();
    let services = read(&root().join("packaging/docker/compose.yaml"));
    for name in names {
        assert!(services.contains(&format!("--name, {name}]")), "compose.yaml has no origin {name}");
    }
}

/// The memory limits of ropewalk and of its container are in two files.
#[test]
fn the_container_has_twice_the_memory_that_the_configuration_allows() {
    let map = block_of_yaml(&read(&root().join("packaging/kubernetes/configmap.yaml")), "config.json");
    let map: serde_json::Value = serde_json::from_str(&map).expect("the configuration");
    let allowed = map["limits"]["memory"].as_str().expect("a size").strip_suffix("MiB").expect("MiB");
    let deployment = read(&root().join("packaging/kubernetes/deployment.yaml"));
    let limit =
        deployment.split("limits:").nth(1).and_then(|rest| rest.split("memory: ").nth(1)).expect("a limit");
    let limit = limit.split("Mi").next().expect("Mi");
    let bytes = |text: &str| text.parse::<u64>().expect("a number");
    assert_eq!(bytes(limit), 2 * bytes(allowed));
}

/// What is wrong with a snippet.
fn mistakes(snippet: &Snippet) -> Option<String> {
    let Snippet { place, is_configuration, text } = snippet;
    if !is_configuration {
        return serde_json::from_str::<serde_json::Value>(text)
            .err()
            .map(|error| format!("{place}: {error}"));
    }
    let checked = Document::from_json(place, text).and_then(|document| document.for_another_host().check());
    let warnings = match checked {
        Err(errors) => return Some(errors.to_string()),
        Ok(checked) => checked.warnings,
    };
    // Directories of the machine that an example is for.
    let warnings = warnings.iter().map(ToString::to_string).filter(|text| !text.contains("is not there"));
    let warnings: Vec<_> = warnings.collect();
    (!warnings.is_empty()).then(|| warnings.join("\n"))
}

/// The blocks of a Markdown file that are marked as JSON, in lists and quotations too.
fn snippets(file: &Path) -> Vec<Snippet> {
    let name = file.strip_prefix(root()).unwrap_or(file).display().to_string();
    let text = read(file);
    let mut lines = text.lines().zip(1..);
    let mut found = Vec::new();
    while let Some((line, number)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let block: Vec<_> =
            lines.by_ref().map(|(line, _)| line).take_while(|line| line.trim_start() != "```").collect();
        let mut words = info.split_whitespace();
        if words.next() == Some("json") {
            let is_configuration = words.next().is_none();
            found.push(Snippet {
                place: format!("{name}:{number}"),
                is_configuration,
                text: block.join("\n"),
            });
        }
    }
    found
}

/// The text of a `key: |` in YAML: what follows and stands deeper than the key.
fn block_of_yaml(yaml: &str, key: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = yaml.lines().skip_while(|line| line.trim() != format!("{key}: |"));
    let depth = lines.next().map_or(0, indent);
    lines.take_while(|line| line.trim().is_empty() || indent(line) > depth).collect::<Vec<_>>().join("\n")
}

fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_snippet_is_seen() {
        let snippet = |text: &str, is_configuration| {
            mistakes(&Snippet { place: "x".to_owned(), is_configuration, text: text.to_owned() })
        };
        let good = r#"{ "backends": [{ "url": "http://a:1" }] }"#;
        assert_eq!(snippet(good, true), None);
        assert!(snippet(&good.replace("backends", "backend"), true).is_some());
        let idle = r#"{ "retries": 1, "backends": [{ "url": "http://a:1" }] }"#;
        assert!(
            snippet(idle, true).is_some_and(|text| text.contains("can only redial a refused connection"))
        );
        assert_eq!(snippet(r#"{ "anything": 1 }"#, false), None);
        assert!(snippet("{ ... }", false).is_some());
    }
}
