//! `ropewalk check`: report what is wrong with a configuration, and nothing else.
//!
//! [`load`] is also the first thing that a run does, so a configuration that passes `check` can be run.

use std::fmt;
use std::net::SocketAddr;

use ropewalk::config::{Checked, ConfigErrors, Place, Problem, Severity};
use ropewalk::internal::base::counted::Counted;
use ropewalk::internal::config::memory::{Typical, WorstCase};
use ropewalk::internal::config::plan::Plan;
use serde_json::{Value, json};

use super::args::Settings;
use super::exit::{Exit, complain, say};
use super::format::Format;

/// The host that a configuration is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// This one: the files it names are tested too.
    This,
    /// Another one.
    Another,
}

/// Checks and reports.
pub(crate) fn check(settings: &Settings, host: Host, format: Format) -> Exit {
    match (load_for(settings, host), format) {
        (Ok(checked), Format::Text) => {
            say(format_args!("{}: ok ({})", settings.name(), Summary(&checked)));
            say(format_args!("memory: {}", Typical::of(&checked.plan)));
            say(format_args!("memory: {WHEN_ALL_IS_FULL}: {}", WorstCase::of(&checked.plan)));
            notes(&checked.plan).for_each(say);
            checked.warnings.iter().for_each(|warning| complain(format_args!("{warning:#}")));
            Exit::Fine
        }
        (Ok(checked), Format::Json) => {
            say(report(settings, &checked.warnings, Some(&checked)));
            Exit::Fine
        }
        (Err(Unusable::Unread(errors) | Unusable::Wrong(errors)), Format::Json) => {
            say(report(settings, errors.problems(), None));
            Exit::Refused
        }
        (Err(unusable), _) => {
            complain(format_args!("{unusable:#}"));
            Exit::Refused
        }
    }
}

/// The checked configuration that the settings describe.
pub(crate) fn load(settings: &Settings) -> Result<Checked, Unusable> {
    load_for(settings, Host::This)
}

fn load_for(settings: &Settings, host: Host) -> Result<Checked, Unusable> {
    let document = settings.document().map_err(Unusable::Unread)?.ok_or(Unusable::Missing)?;
    let document = match host {
        Host::This => document,
        Host::Another => document.for_another_host(),
    };
    document.check().map_err(Unusable::Wrong)
}

/// Why there is no usable configuration.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// Neither a file nor a backend was named.
    Missing,
    /// It could not be parsed to the end.
    Unread(ConfigErrors),
    /// It has mistakes.
    Wrong(ConfigErrors),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "{WHAT_TO_TYPE}"),
            Self::Unread(errors) => {
                match f.alternate() {
                    true => write!(f, "{errors:#}")?,
                    false => write!(f, "{errors}")?,
                }
                match errors.problems().iter().any(|problem| problem.line().is_some()) {
                    true => write!(f, "\n1 error; the rest of the file is checked once this is fixed"),
                    false => write!(f, "\n1 error"),
                }
            }
            Self::Wrong(errors) => {
                let count =
                    errors.problems().iter().filter(|problem| problem.severity == Severity::Error).count();
                match f.alternate() {
                    true => write!(f, "{errors:#}\n{}", Counted(count, "error")),
                    false => write!(f, "{errors}\n{}", Counted(count, "error")),
                }
            }
        }
    }
}

#[cfg(feature = "demo")]
const WHAT_TO_TYPE: &str = "\
ropewalk needs backends to send requests to. To try it without any:

    ropewalk demo

To name yours, on the command line or in a file:

    ropewalk --port 8080 --backend http://127.0.0.1:9001 --backend http://127.0.0.1:9002
    ropewalk --config config.json

ropewalk --help lists everything.";

#[cfg(not(feature = "demo"))]
const WHAT_TO_TYPE: &str = "\
ropewalk needs backends to send requests to. Name them on the command line or in a file:

    ropewalk --port 8080 --backend http://127.0.0.1:9001 --backend http://127.0.0.1:9002
    ropewalk --config config.json

ropewalk --help lists everything.";

/// A valid configuration in a few words.
struct Summary<'a>(&'a Checked);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.0.plan;
        let backends = plan.pools.iter().map(|pool| pool.backends.len()).sum();
        write!(
            f,
            "{}, {}, {}",
            Counted(plan.listeners.len(), "listener"),
            Counted(backends, "backend"),
            Counted(plan.workers, "worker")
        )?;
        match self.0.warnings.len() {
            0 => Ok(()),
            warnings => write!(f, ", {}", Counted(warnings, "warning")),
        }
    }
}

const WHEN_ALL_IS_FULL: &str = "with every connection stuck and every buffer full";

/// Notes on what works as intended here but differs from other programs.
fn notes(plan: &Plan) -> impl Iterator<Item = String> {
    let all_of_ipv6 = plan
        .listeners
        .iter()
        .map(|listener| listener.address)
        .filter(|address| address.is_ipv6() && address.ip().is_unspecified() && address.port() != 0);
    let alone = all_of_ipv6.filter(|address| {
        let is_same_port = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        !plan.listeners.iter().any(|listener| is_same_port(&listener.address))
    });
    alone.map(|address| {
        let port = address.port();
        format!("note: {address} accepts IPv6 only; list \"0.0.0.0:{port}\" as well to accept IPv4")
    })
}

/// The report for programs: `ok`, the counts if it is, and the problems.
fn report(settings: &Settings, problems: &[Problem], checked: Option<&Checked>) -> Value {
    let mut report = json!({
        "config": settings.name(),
        "ok": checked.is_some(),
        "problems": problems.iter().map(problem_json).collect::<Vec<_>>(),
    });
    if let Some(Checked { plan, .. }) = checked {
        report["listeners"] = json!(plan.listeners.len());
        report["backends"] = json!(plan.pools.iter().map(|pool| pool.backends.len()).sum::<usize>());
        report["workers"] = json!(plan.workers);
        report["memory"] = memory_json(&WorstCase::of(plan), Typical::of(plan));
    }
    report
}

/// Memory in bytes: typical and worst case.
fn memory_json(worst: &WorstCase, typical: Typical) -> Value {
    let terms = worst
        .terms
        .iter()
        .map(|term| json!({ "name": term.name, "count": term.count, "bytes_each": term.each }));
    json!({ "bytes_typical": typical.bytes, "bytes_max": worst.bytes(), "large_buffers_max": worst.large_buffers, "terms": terms.collect::<Vec<_>>() })
}

fn problem_json(problem: &Problem) -> Value {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let (file, flag) = match &problem.place {
        Place::File { name } | Place::Text { name, .. } => (Some(&**name), None),
        Place::Flag(flag) => (None, Some(*flag)),
        Place::Code => (None, None),
    };
    json!({
        "severity": severity,
        "file": file,
        "line": problem.line(),
        "column": problem.column(),
        "flag": flag,
        "pointer": problem.pointer,
        "message": problem.message,
    })
}
