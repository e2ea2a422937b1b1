//! The command line of ropewalk. What it can do, in the order of `ropewalk --help`:
//!
//! - no command: run the balancer that a file and flags describe (`cli::run`);
//! - `check`: say what is wrong with them, and do nothing else (`cli::check`);
//! - `demo`: run the balancer and three sample origins, to try it (`cli::demo`);
//! - `origin`: run one sample origin (`cli::origin`).
//!
//! Exit status: 0 fine, 1 failed while running, 2 bad usage or configuration.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::args::{Arguments, Command};

fn main() -> ExitCode {
    let Arguments { command, settings } = Arguments::parse();
    let end = match command {
        None => cli::run::run(&settings),
        Some(Command::Check { settings, format }) => cli::check::check(&settings, format),
        #[cfg(feature = "demo")]
        Some(Command::Demo) => cli::demo::demo(),
        #[cfg(feature = "demo")]
        Some(Command::Origin(options)) => cli::origin::origin(options),
    };
    end.into()
}
