//! The command line of ropewalk. What it can do, in the order of `ropewalk --help`:
//!
//! - no command: run the balancer that a file and flags describe (`cli::run`);
//! - `check`: say what is wrong with them, and do nothing else (`cli::check`);
//! - `explain`: say what they would do with a request, and why (`cli::explain`);
//! - `plan`: say what a reload would change (`cli::explain`);
//! - `schema`: print the JSON Schema of the configuration;
//! - `demo`: run the balancer and three sample origins, to try it (`cli::demo`);
//! - `origin`: run one sample origin (`cli::origin`);
//! - `status`, `requests`, `reload`, `drain`, `enable`, `weight`: talk to the admin listener of
//!   a running one (`cli::operate`).
//!
//! Exit status: 0 fine, 1 failed while running, 2 bad usage or configuration.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::args::{Arguments, Command, Settings};

fn main() -> ExitCode {
    let Arguments { command, settings } = Arguments::try_parse().unwrap_or_else(|error| {
        let typed: Vec<_> = std::env::args_os().skip(1).collect();
        cli::habits::with_remedy(error, &typed).exit()
    });
    let end = match command {
        None => cli::run::run(&settings),
        Some(Command::Check { settings, file, elsewhere, format }) => {
            let host = if elsewhere { cli::check::Host::Another } else { cli::check::Host::This };
            cli::check::check(&settings.or_of_file(file), host, format)
        }
        Some(Command::Explain { settings, question }) => cli::explain::explain(&settings, &question),
        Some(Command::Plan { before, after }) => {
            cli::explain::plan(&Settings::of_file(before), &Settings::of_file(after))
        }
        Some(Command::Schema) => {
            // The text ends in a line end of its own.
            cli::exit::say(ropewalk::config::SCHEMA.trim_end());
            cli::exit::Exit::Fine
        }
        #[cfg(feature = "demo")]
        Some(Command::Demo) => cli::demo::demo(),
        #[cfg(feature = "demo")]
        Some(Command::Origin(options)) => cli::origin::origin(options),
        Some(Command::Operate(operation)) => cli::operate::operate(operation),
    };
    cli::logging::flush();
    end.into()
}
