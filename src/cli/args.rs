//! The command line, and how flags override the file.
//!
//! Flags that are settings stay text here. They go into the same [`Document`] as the file and are
//! checked by the same code, so that all mistakes are reported together, with the flag in place of line
//! and column.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use ropewalk::config::{ConfigErrors, Document};
use ropewalk::internal::config::plan::Strategy;
use serde_json::{Value, json};

use super::document::{is_stdin, read};
use super::format::Format;
use super::operate::Operation;

/// A layer-7 HTTP load balancer on plain OS threads.
#[derive(Debug, Parser)]
#[command(
    name = "ropewalk",
    version,
    args_conflicts_with_subcommands = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

#[cfg(feature = "demo")]
const AFTER_HELP: &str = "Without a command, ropewalk runs. To try it in one command: ropewalk demo
Exit status: 0 fine, 1 failed while running, 2 bad usage or configuration.";

#[cfg(not(feature = "demo"))]
const AFTER_HELP: &str = "Without a command, ropewalk runs.
Exit status: 0 fine, 1 failed while running, 2 bad usage or configuration.";

/// All subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration: list all mistakes, each with its position and a remedy
    Check {
        #[command(flatten)]
        settings: Settings,
        /// The configuration file, as with --config
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// The configuration is for another host: do not read or test the files it names
        #[arg(long)]
        elsewhere: bool,
        /// Output format
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Explain what would happen to a request, and why
    Explain {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        question: QuestionOptions,
    },
    /// Print what a reload from one configuration to another would change
    Plan {
        /// The configuration that is running
        before: PathBuf,
        /// The configuration that would replace it
        after: PathBuf,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Try it: the balancer, three sample origins and a status page, with lines to paste
    #[cfg(feature = "demo")]
    Demo,
    /// Run a sample origin: "Response from NAME" on every path but /health, /echo, /stream and /ws
    #[cfg(feature = "demo")]
    Origin(OriginOptions),
    #[command(flatten)]
    Operate(Operation),
}

/// A request that `explain` is asked about.
#[derive(Debug, Args)]
pub(crate) struct QuestionOptions {
    /// The request method
    pub(crate) method: String,
    /// The request URL, such as http://example.com/path
    pub(crate) url: String,
    /// A header field; repeat for several
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// Treat this backend as down; repeat for several
    #[arg(long, value_name = "NAME")]
    pub(crate) down: Vec<String>,
    /// The client's address [default: an example that the route serves]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client: Option<String>,
}

/// A sample origin.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub(crate) struct OriginOptions {
    /// The port to listen on at 127.0.0.1; 0 picks a free one
    #[arg(long, required_unless_present = "listen", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,
    /// The address to listen on, such as 0.0.0.0:9001, which answers anyone who can reach it
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Its name in responses
    #[arg(long)]
    pub(crate) name: String,
    /// Exit when the process that started it exits
    #[arg(long)]
    pub(crate) end_with_parent: bool,
    /// Delay responses by this time, such as 50ms (except /health)
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) delay: std::time::Duration,
    /// Respond with this status (except /health, which gets 200, and /ws, which gets 101)
    #[arg(long, value_parser = clap::value_parser!(u16).range(200..=599), default_value_t = 200)]
    pub(crate) status: u16,
}

/// Settings of the balancer. Flags override the file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// The configuration file (JSON); - for standard input
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen on this address, such as 127.0.0.1:8080; repeat for several
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Listen on this port on all IPv4 addresses [default: 8080]
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    port: Option<String>,
    /// round-robin, weighted-round-robin, least-connections or random [default: round-robin]
    #[arg(long, value_name = "NAME", value_parser = OfferedNames::of_strategies(), hide_possible_values = true)]
    strategy: Option<String>,
    /// A backend, such as http://127.0.0.1:9001, or with a weight ...:9001=3; repeat for several
    #[arg(long, value_name = "URL[=WEIGHT]")]
    backend: Vec<String>,
    /// Time limit for the response head of a request; 0s for no limit [default: 60s]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<String>,
    /// Time between health probes [default: 5s]
    #[arg(long, value_name = "DURATION")]
    health_interval: Option<String>,
    /// Worker threads [default: one per core, at least 2]
    #[arg(long, value_name = "NUMBER")]
    workers: Option<String>,
    /// Address of the admin listener for status and metrics, such as 127.0.0.1:9900 [default: none]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Reload the configuration when its file changes
    #[arg(long, requires = "config")]
    pub(crate) watch: bool,
    /// off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = OfferedNames::of_levels(), hide_possible_values = true)]
    log_level: Option<String>,
}

impl Settings {
    /// The file, overridden by the flags; `None` if there is neither a file nor a backend. Fails if the
    /// file cannot be read or is not JSON.
    pub(crate) fn document(&self) -> Result<Option<Document>, ConfigErrors> {
        let mut document = match &self.config {
            Some(path) => read(path)?,
            None if self.backend.is_empty() => return Ok(None),
            None => Document::empty(),
        };
        self.override_file(&mut document);
        Ok(Some(document))
    }

    /// The settings of a file, without flags.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self { config: Some(path), ..Self::default() }
    }

    /// The same settings with a file that was named without `--config`.
    pub(crate) fn or_of_file(self, file: Option<PathBuf>) -> Self {
        Self { config: file.or(self.config), ..self }
    }

    /// The configuration file, if it can be read again.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref().filter(|path| !is_stdin(path))
    }

    /// Whether the configuration comes from standard input, which can be read only once.
    pub(crate) fn is_read_once(&self) -> bool {
        self.config.as_deref().is_some_and(is_stdin)
    }

    /// The name of the configuration in reports.
    pub(crate) fn name(&self) -> String {
        match &self.config {
            Some(path) if is_stdin(path) => "stdin".to_owned(),
            Some(path) => path.display().to_string(),
            None => "command line".to_owned(),
        }
    }

    fn override_file(&self, document: &mut Document) {
        if !self.listen.is_empty() {
            document.remove("port");
            document.set("--listen", &["listen"], json!(self.listen));
        }
        if !self.backend.is_empty() {
            let backends: Vec<_> = self.backend.iter().map(|typed| backend(typed)).collect();
            document.set("--backend", &["backends"], Value::Array(backends));
        }
        if self.port.is_some() {
            document.remove("listen");
        }
        // Keep the file's token with the new address.
        let admin: &[&str] = if document.holds_object("admin") { &["admin", "address"] } else { &["admin"] };
        let flags: [(&'static str, &[&str], &Option<String>); 7] = [
            ("--port", &["port"], &self.port),
            ("--strategy", &["strategy"], &self.strategy),
            ("--request-timeout", &["request_timeout"], &self.request_timeout),
            ("--health-interval", &["health_check", "interval"], &self.health_interval),
            ("--workers", &["workers"], &self.workers),
            ("--admin", admin, &self.admin),
            ("--log-level", &["log", "level"], &self.log_level),
        ];
        for (flag, path, typed) in flags {
            if let Some(typed) = typed {
                document.set(flag, path, number_or_text(typed));
            }
        }
    }
}

/// `URL=WEIGHT`. Backend URLs contain no `=`, so what follows one is a weight.
fn backend(typed: &str) -> Value {
    match typed.rsplit_once('=') {
        Some((url, weight)) if !url.contains(['?', '#']) => {
            json!({ "url": url, "weight": number_or_text(weight) })
        }
        _ => json!({ "url": typed }),
    }
}

/// Values that shell completions offer for a flag. Any value is accepted here: the configuration check
/// refuses wrong ones, suggests the right one, and reports all other mistakes with it.
#[derive(Clone, Debug)]
struct OfferedNames(Vec<&'static str>);

impl OfferedNames {
    fn of_strategies() -> Self {
        Self(Strategy::ALL.map(Strategy::name).into())
    }

    fn of_levels() -> Self {
        Self(vec!["off", "error", "warn", "info", "debug", "trace"])
    }
}

impl TypedValueParser for OfferedNames {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        flag: Option<&clap::Arg>,
        typed: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, flag, typed)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(|name| PossibleValue::new(*name))))
    }
}

/// Flags have no quotes to tell `8080` from `"8080"`.
fn number_or_text(typed: &str) -> Value {
    typed.parse::<i64>().map_or_else(|_| Value::from(typed), Value::from)
}
