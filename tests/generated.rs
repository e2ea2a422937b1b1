//! Manual pages and shell completions are generated from the definition of the command line, and
//! committed, so that packagers only need to copy them.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` regenerates them; without the variable the test
//! fails if they are out of date. The generators are development dependencies, so the program does not
//! carry them.

// Without the sample origin some commands are missing, and the files are for the full program.
#![cfg(feature = "demo")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

// All of it, since the definition is in several of its files.
#[allow(dead_code, reason = "only the definition is of use here, not what is done with it")]
#[path = "../src/cli/mod.rs"]
mod cli;

/// Where they are, and everything that is there.
const FOLDERS: [&str; 2] = ["packaging/man", "packaging/completions"];

/// The expected contents of the files, by path in the project.
type Files = BTreeMap<PathBuf, Vec<u8>>;

#[test]
fn manual_pages_and_completions_are_what_the_command_line_is() {
    let mut wanted = Files::new();
    manual_pages(&mut wanted);
    completions(&mut wanted);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        write(&wanted);
    }
    let found = committed();
    let of = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(of(&found), of(&wanted), "{REMEDY}");
    for (path, wanted) in &wanted {
        let (found, wanted) = (String::from_utf8_lossy(&found[path]), String::from_utf8_lossy(wanted));
        let differs = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
        assert!(
            found == wanted,
            "{} differs from line {:?}; {REMEDY}",
            path.display(),
            differs.map(|n| n + 1)
        );
    }
}

#[test]
fn every_manual_text_belongs_to_a_command() {
    let program = cli::args::Arguments::command();
    let mut commands: Vec<_> = program.get_subcommands().chain([&program]).map(Command::get_name).collect();
    commands.sort_unstable();
    let texts = fs::read_dir(root().join("tests/manual"))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path());
    let mut texts: Vec<_> = texts.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    texts.sort_unstable();
    assert_eq!(texts, commands);
}

const REMEDY: &str = "write the files anew with UPDATE_GENERATED=1 cargo test --test generated";

/// A page for the program, `ropewalk.1`, and one for each command, `ropewalk-check.1`.
fn manual_pages(files: &mut Files) {
    // `ropewalk help` prints what the pages say.
    let mut program = cli::args::Arguments::command().disable_help_subcommand(true);
    // Gives commands the names that man(1) finds them by.
    program.build();
    for command in program.get_subcommands().chain([&program]) {
        let page = Man::new(command.clone()).source(concat!("ropewalk ", env!("CARGO_PKG_VERSION")));
        let mut bytes = Vec::new();
        render(&page, command, &mut bytes).expect("writing to memory");
        bytes.extend_from_slice(sections(command.get_name()).as_bytes());
        files.insert(Path::new("packaging/man").join(page.get_filename()), bytes);
    }
}

/// The generated sections. Paragraphs below the help text continue in ours.
fn render(page: &Man, command: &Command, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    page.render_title(bytes)?;
    page.render_name_section(bytes)?;
    bytes.extend_from_slice(synopsis(command).as_bytes());
    page.render_description_section(bytes)?;
    page.render_options_section(bytes)?;
    if page.get_filename() == "ropewalk.1" { page.render_subcommands_section(bytes) } else { Ok(()) }
}

/// How to type the command. The generator's own synopsis leaves out the values of options.
fn synopsis(command: &Command) -> String {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).replace('-', " ");
    let mut text = format!(".SH SYNOPSIS\n\\fB{name}\\fR");
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !is_ending(arg));
    let operands = command.get_arguments().filter(|arg| arg.is_positional());
    for arg in options.chain(operands) {
        let value =
            arg.get_value_names().and_then(|names| names.first()).map(|name| format!("\\fI{name}\\fR"));
        let value = value.filter(|_| arg.is_positional() || arg.get_action().takes_values());
        let typed = match (arg.get_long().map(|long| long.replace('-', "\\-")), value) {
            (Some(long), None) => format!("\\fB\\-\\-{long}\\fR"),
            (Some(long), Some(value)) if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => {
                format!("\\fB\\-\\-{long}\\fR[={value}]")
            }
            (Some(long), Some(value)) => format!("\\fB\\-\\-{long}\\fR {value}"),
            (None, value) => value.unwrap_or_default(),
        };
        let typed = if arg.is_required_set() { typed } else { format!("[{typed}]") };
        let more = if matches!(arg.get_action(), ArgAction::Append) { " ..." } else { "" };
        text.push_str(&format!("\n{typed}{more}"));
    }
    if command.has_subcommands() {
        text.push_str(&format!("\n.br\n\\fB{name}\\fR \\fICOMMAND\\fR ..."));
    }
    text.push('\n');
    text
}

/// Whether an option ends the program immediately, so that it is not combined with others.
fn is_ending(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Help | ArgAction::Version)
}

/// Sections of a page that are not generated, kept as manual text next to this test.
fn sections(command: &str) -> String {
    let folder = root().join("tests/manual");
    let own = fs::read_to_string(folder.join(format!("{command}.man")));
    own.unwrap_or_else(|error| panic!("no manual text for {command} in {}: {error}", folder.display()))
}

/// Each under the name that its shell looks for.
fn completions(files: &mut Files) {
    for (shell, name) in
        [(Shell::Bash, "ropewalk.bash"), (Shell::Fish, "ropewalk.fish"), (Shell::Zsh, "_ropewalk")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::args::Arguments::command(), "ropewalk", &mut script);
        files.insert(Path::new("packaging/completions").join(name), script);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> Files {
    let folders = FOLDERS.iter().filter_map(|folder| fs::read_dir(root().join(folder)).ok());
    let entries = folders.flatten().map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| {
            let bytes = fs::read(&path).expect("a file");
            (path.strip_prefix(root()).expect("a path in the project").to_owned(), bytes)
        })
        .collect()
}

/// Writes all files, and removes those of commands that no longer exist.
fn write(wanted: &Files) {
    for path in committed().into_keys().filter(|path| !wanted.contains_key(path)) {
        fs::remove_file(root().join(path)).expect("remove");
    }
    for (path, bytes) in wanted {
        let path = root().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("create");
        fs::write(path, bytes).expect("write");
    }
}
