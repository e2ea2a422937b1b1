//! ropewalk against nginx, HAProxy and variants on tokio, on ureq and on coroutines.
//!
//! `cargo bench --bench compare` runs it; docs/benchmarks.md says how to read what it
//! prints. The origin and the three variants are this same program, run again as
//! processes of their own under a subcommand, so that nothing else need be installed
//! and each has its own accounts with the kernel.

#![allow(clippy::disallowed_methods, reason = "a benchmark waits and measures by the real clock")]
#![allow(unreachable_pub, reason = "`pub` here says what a module offers its siblings")]

mod arguments;
mod async_variant;
mod faults;
mod herd;
mod latency;
mod load;
mod machine;
mod may_variant;
mod origin;
mod peers;
mod picture;
mod process;
mod report;
mod response;
mod rounds;
mod scenes;
mod sheet;
mod ureq_variant;

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let done = match command.as_str() {
        process::LEASH => Err(process::leash(arguments).to_string()),
        origin::COMMAND => run_origin(arguments),
        async_variant::COMMAND => run_async(arguments),
        ureq_variant::COMMAND => run_ureq(arguments),
        may_variant::COMMAND => run_may(arguments),
        _ => return compare(),
    };
    finish(done.map(|()| Outcome::Clean))
}

/// How a comparison that ran to its end came out.
enum Outcome {
    Clean,
    Faulty,
}

fn compare() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args().skip(1).collect();
    // Cargo says `--bench` for a benchmark and leaves it out in `cargo test`, which
    // only wants to know that this builds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("Nothing to test here; `cargo bench --bench compare` measures.");
        return ExitCode::SUCCESS;
    }
    arguments.retain(|argument| argument != "--bench");
    match arguments::parse(arguments) {
        Ok(plan) => finish(run(&plan)),
        // A mistake, or `--help`.
        Err(answer) => answer.exit(),
    }
}

fn run(plan: &arguments::Plan) -> Result<Outcome, String> {
    process::raise_descriptor_limit().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Now, because the commit may not be the same when the picture is drawn.
    let source = machine::line(plan);
    let mut text = machine::describe(plan);
    print!("{text}");
    let (mut tables, mut sheets) = (Vec::new(), Vec::new());
    let mut outcome = Outcome::Clean;
    for case in &plan.cases {
        let (section, is_clean) = if case.mode.is_load() {
            let table = rounds::measure(plan, *case, folder.path())?;
            let section = (table.markdown(), table.is_clean());
            tables.push(table);
            section
        } else {
            let sheet = scenes::play(plan, *case, folder.path())?;
            let section = (sheet.markdown(), sheet.is_clean());
            sheets.push(sheet);
            section
        };
        println!("{section}");
        text = text + &section + "\n";
        if !is_clean {
            outcome = Outcome::Faulty;
        }
    }
    if let Some(file) = &plan.out {
        write(file, text)?;
    }
    if let Some(file) = &plan.picture {
        write(file, picture::draw(&tables, &sheets, &source))?;
    }
    Ok(outcome)
}

fn write(file: &Path, text: String) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn finish(done: Result<Outcome, String>) -> ExitCode {
    match done {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Faulty) => {
            eprintln!("There were errors; the report names them.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_origin(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let delay = Duration::from_millis(next(&mut arguments)?);
    let addresses = rest(arguments)?;
    origin::serve(&addresses, delay).map_err(|error| error.to_string())
}

fn run_async(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (address, workers) = (next(&mut arguments)?, next(&mut arguments)?);
    async_variant::serve(address, workers, &rest(arguments)?).map_err(|error| error.to_string())
}

fn run_ureq(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let address = next(&mut arguments)?;
    // Its number of threads is its own; see there.
    let _workers: usize = next(&mut arguments)?;
    ureq_variant::serve(address, &rest(arguments)?).map_err(|error| error.to_string())
}

fn run_may(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (address, workers) = (next(&mut arguments)?, next(&mut arguments)?);
    may_variant::serve(address, workers, &rest(arguments)?).map_err(|error| error.to_string())
}

fn next<T: FromStr>(arguments: &mut impl Iterator<Item = String>) -> Result<T, String> {
    let argument = arguments.next().ok_or("an argument is missing")?;
    argument.parse().map_err(|_| format!("{argument} is not understood"))
}

fn rest(arguments: impl Iterator<Item = String>) -> Result<Vec<SocketAddrV4>, String> {
    arguments.map(|argument| argument.parse().map_err(|_| format!("{argument} is no address"))).collect()
}
