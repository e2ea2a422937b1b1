//! The output of commands, as transcripts: a configuration, commands, and what they print.
//!
//! `UPDATE_GENERATED=1 cargo test --test config transcripts` records the current output, and the diff
//! is what you review. A case in `tests/config/transcripts/*.txt` looks like this:
//!
//! ```text
//! === a name that no other case has
//! { "prot": 8080 }
//! $ ropewalk check config.json
//! config.json:1:3: error: /prot: unknown key "prot"; did you mean "port"?
//! ...
//! (exit 2)
//! ```
//!
//! The text above the first `$` becomes config.json in a temporary directory, where the commands run
//! one after the other, in a shell.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/transcripts");

const REMEDY: &str =
    "if this is what it should say, run: UPDATE_GENERATED=1 cargo test --test config transcripts";

#[test]
fn commands_say_what_is_written_down() {
    let mut seen = 0;
    for path in super::messages::files(FOLDER) {
        let text = fs::read_to_string(&path).expect("a text");
        let mut parts = text.split("=== ");
        let mut rendered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let said = run_again(part);
            assert!(
                super::messages::updating() || said.trim_end() == part.trim_end(),
                "{}\n{part}\n=== said\n{said}\n{REMEDY}",
                path.display()
            );
            write!(rendered, "=== {}\n\n", said.trim_end()).expect("writing to memory");
            seen += 1;
        }
        super::messages::compare(&path, &rendered, REMEDY);
    }
    assert!(seen > 3, "only {seen} transcripts were found");
}

/// The same case with what is printed now.
fn run_again(case: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut said = String::new();
    let mut lines = case.lines();
    let is_command = |line: &&str| line.starts_with("$ ");
    let given: Vec<_> = lines.by_ref().take_while(|line| !is_command(line)).collect();
    for line in &given {
        writeln!(said, "{line}").expect("writing to memory");
    }
    fs::write(folder.path().join("config.json"), given[1..].join("\n")).expect("a file");
    for command in case.lines().filter(is_command) {
        writeln!(said, "{command}").expect("writing to memory");
        said.push_str(&run(&command[2..], folder.path()));
    }
    said
}

/// What a shell prints in a directory, and its exit status unless 0.
fn run(command: &str, folder: &Path) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_ropewalk"));
    let path = std::env::var("PATH").expect("a search path");
    let path = format!("{}:{path}", binary.parent().expect("a folder").display());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("ROPEWALK_ADMIN")
        .output()
        .expect("a shell");
    let mut said = String::from_utf8(output.stdout).expect("UTF-8");
    match output.status.code() {
        Some(0) => {}
        Some(code) => writeln!(said, "(exit {code})").expect("writing to memory"),
        None => said.push_str("(ended by a signal)\n"),
    }
    said
}
