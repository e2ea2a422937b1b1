//! Manual pages and shell completions are written from the command line's own definition, and
//! the written files are committed: whoever packages ropewalk needs nothing but to copy them.
//!
//! `UPDATE_GENERATED=1 cargo test --test generated` writes them anew; without the variable the
//! test fails when they are not what the command line is. The tools that write them are
//! development dependencies, so the program does not carry them.

// Without the sample origin some commands are missing, and the files are for the program with all.
#![cfg(feature = "demo")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

// All of it, since the definition is in several of its files.
#[allow(dead_code, reason = "only the definition is of use here, not what is done with it")]
#[path = "../src/cli/mod.rs"]
mod cli;

/// Where they are, and everything that is there.
const FOLDERS: [&str; 2] = ["packaging/man", "packaging/completions"];

/// What the files should hold, by their path in the project.
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

const REMEDY: &str = "write the files anew with UPDATE_GENERATED=1 cargo test --test generated";

/// A page for the program, `ropewalk.1`, and one for each command, `ropewalk-check.1`.
fn manual_pages(files: &mut Files) {
    // `ropewalk help` says what the pages say.
    let mut program = cli::args::Arguments::command().disable_help_subcommand(true);
    // Gives commands the names that man(1) finds them by.
    program.build();
    for command in program.get_subcommands().chain([&program]) {
        let page = Man::new(command.clone()).source(concat!("ropewalk ", env!("CARGO_PKG_VERSION")));
        let mut bytes = Vec::new();
        render(&page, &mut bytes).expect("writing to memory");
        let is_program = command.get_name() == program.get_name();
        let rest = if is_program { OF_THE_PROGRAM } else { OF_A_COMMAND };
        bytes.extend_from_slice(rest.as_bytes());
        files.insert(Path::new("packaging/man").join(page.get_filename()), bytes);
    }
}

/// The sections that the definition knows. What stands below the help goes on in ours.
fn render(page: &Man, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    page.render_title(bytes)?;
    page.render_name_section(bytes)?;
    page.render_synopsis_section(bytes)?;
    page.render_description_section(bytes)?;
    page.render_options_section(bytes)?;
    if page.get_filename() == "ropewalk.1" { page.render_subcommands_section(bytes) } else { Ok(()) }
}

/// What a command's page says that its definition does not know.
const OF_A_COMMAND: &str = "\
.SH EXIT STATUS
0 fine, 1 failed while running, 2 bad usage or configuration.
.SH SEE ALSO
ropewalk(1)
";

/// What the program's page says that its definition does not know.
const OF_THE_PROGRAM: &str = "\
.SH EXIT STATUS
0 fine, 1 failed while running, 2 bad usage or configuration.
.SH SIGNALS
.TP
SIGTERM, SIGINT
Let requests in flight finish, then end. A second one ends at once.
.TP
SIGHUP
Read the configuration again. One with a mistake changes nothing.
.TP
SIGUSR1
Open the access log again, after it has been moved away.
.SH ENVIRONMENT
.TP
NOTIFY_SOCKET
Where a service manager is told that clients are served, or that a stop has begun.
.TP
LISTEN_FDS, LISTEN_PID
Sockets that a service manager has bound. Each must be a listener of the configuration.
";

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

/// Writes all, and removes what is there of commands that are no more.
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
