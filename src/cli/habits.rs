//! Command lines that people type out of habit from nginx, HAProxy and others: what to type instead.
//!
//! Nothing here makes such a line work; an error that knows the answer names it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

const RUN: &str = "to run with a configuration file: 'ropewalk --config config.json'";
const CHECK: &str = "to test a configuration: 'ropewalk check config.json'";
const RELOAD: &str = "to reload the configuration: 'ropewalk reload', or send SIGHUP";
const REOPEN: &str = "to reopen the access log after it was rotated, send SIGUSR1";
const STOP: &str = "to stop it, send SIGTERM: it finishes the requests under way first";
const FOREGROUND: &str =
    "ropewalk stays in the foreground; systemd or a container runtime puts it into the background";
const VERSION: &str = "to see the version: 'ropewalk --version'";

/// Adds what to type instead to an error about a command line, if that is known. `typed` is without
/// the program's name.
pub(crate) fn with_remedy(mut error: Error, typed: &[OsString]) -> Error {
    let unknown = matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand);
    if let (true, Some(remedy)) = (unknown, remedy(typed)) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        let remedy = StyledStr::from(remedy);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![remedy]));
    }
    error
}

fn remedy(typed: &[OsString]) -> Option<&'static str> {
    let mut words =
        typed.iter().map(OsString::as_os_str).map(|word| (word, word.to_str().unwrap_or_default()));
    let (first, word) = words.next()?;
    let second = words.next().map_or("", |(_, word)| word);
    match (word, second) {
        ("-c", "-f") => Some(CHECK),
        ("-t" | "-T" | "--test" | "-configtest" | "configtest" | "test" | "validate" | "verify", _) => {
            Some(CHECK)
        }
        ("-s", "reopen") => Some(REOPEN),
        ("-s", "reload") | ("-sf" | "-st" | "restart", _) => Some(RELOAD),
        ("-s", _) | ("stop" | "quit" | "shutdown", _) => Some(STOP),
        ("-f" | "start" | "run" | "serve", _) => Some(RUN),
        ("-D" | "-d" | "-db" | "--daemon" | "--daemonize", _) => Some(FOREGROUND),
        ("-v" | "-vv" | "version", _) => Some(VERSION),
        _ if is_configuration(first) => Some(RUN),
        _ => None,
    }
}

fn is_configuration(word: &OsStr) -> bool {
    let ending = Path::new(word).extension().and_then(OsStr::to_str).unwrap_or_default();
    matches!(ending, "json" | "jsonc" | "conf" | "cfg" | "yaml" | "yml" | "toml")
}
