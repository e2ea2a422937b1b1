//! What is wrong with a configuration, where, and how bad it is.
//!
//! One [`Problem`] is one line for a person to act on. Its text is written where the
//! mistake is found (`check`, `document`); this file owns only how it is shown, and that
//! problems come in the order of the text.

use std::fmt;
use std::sync::Arc;

use super::excerpt::{Excerpt, Lines};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A whole file: it could not be read.
    File {
        /// Its name, as it was given.
        name: Arc<str>,
    },
    /// A position in a file.
    Text {
        /// Its name, as it was given.
        name: Arc<str>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// A command-line flag, such as `--port`.
    Flag(&'static str),
    /// A [`Config`](super::Config) built in code.
    Code,
}

/// Whether a problem stops a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but it is worth knowing.
    Warning,
}

/// One mistake in a configuration.
///
/// Shown as `config.json:7:18: error: /backends/1/url: "localhost:9001" has no scheme; …`, and in
/// the alternate form (`{:#}`) with the line of the file below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was written.
    pub place: Place,
    /// The JSON pointer (RFC 6901) of the value; empty for the whole document.
    pub pointer: String,
    /// What was found, what is allowed, and a suggestion.
    pub message: String,
    /// Whether it stops a start.
    pub severity: Severity,
    /// The line of the file that it is about; `None` for what is not written in a file.
    pub excerpt: Option<Excerpt>,
}

impl Problem {
    /// Where it is: `config.json:7:18: /backends/1/url: `, with as much of it as is known.
    fn fmt_place(&self, f: &mut fmt::Formatter<'_>, severity: &str) -> fmt::Result {
        match &self.place {
            Place::File { name } => write!(f, "{name}: ")?,
            Place::Text { name, line, column } => write!(f, "{name}:{line}:{column}: ")?,
            Place::Flag(flag) => write!(f, "{flag}: ")?,
            Place::Code => {}
        }
        f.write_str(severity)?;
        // After a flag, the pointer would only repeat in JSON what the flag says already.
        if !self.pointer.is_empty() && !matches!(self.place, Place::Flag(_)) {
            write!(f, "{}: ", self.pointer)?;
        }
        Ok(())
    }

    /// The problem without its severity, for a log that has a column for that.
    pub fn for_log(&self) -> impl fmt::Display + '_ {
        struct ForLog<'a>(&'a Problem);
        impl fmt::Display for ForLog<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt_place(f, "")?;
                f.write_str(&self.0.message)
            }
        }
        ForLog(self)
    }

    /// The line, from 1, when the value was written in a file.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::Text { line, .. } => Some(line),
            _ => None,
        }
    }

    /// The column in characters, from 1, when the value was written in a file.
    pub fn column(&self) -> Option<usize> {
        match self.place {
            Place::Text { column, .. } => Some(column),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: severity: pointer: message`, which editors and CI systems parse. The
    /// alternate form (`{:#}`) shows the line of the file below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        };
        self.fmt_place(f, severity)?;
        f.write_str(&self.message)?;
        match &self.excerpt {
            Some(excerpt) if f.alternate() => write!(f, "\n{excerpt}"),
            _ => Ok(()),
        }
    }
}

/// Puts problems into the order of the text that they are about, and adds its lines.
pub(super) fn finish(problems: &mut [Problem], text: &str) {
    if problems.is_empty() {
        return;
    }
    let lines = Lines::of(text);
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    for problem in problems {
        if let Place::Text { line, column, .. } = problem.place {
            problem.excerpt = lines.excerpt(line, column);
        }
    }
}

/// Everything that is wrong with a configuration: at least one error, and the warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Problems that [`finish`] has been called with. INVARIANT: at least one of them is an error.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        debug_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
        Self { problems }
    }

    /// The only problem there is: an error that keeps a text from being read.
    pub(super) fn one(place: Place, message: String, text: &str) -> Self {
        let severity = Severity::Error;
        let mut problems = vec![Problem { place, pointer: String::new(), message, severity, excerpt: None }];
        finish(&mut problems, text);
        Self::new(problems)
    }

    /// Every problem, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigErrors {
    /// One problem on each line; in the alternate form (`{:#}`) with the lines of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match f.alternate() {
                true => write!(f, "{problem:#}")?,
                false => write!(f, "{problem}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
