//! What is logged, and where.

use std::path::PathBuf;

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Least severe level of diagnostics, which go to stderr. Info.
    pub level: log::LevelFilter,
    /// One line for each request; `None` for no access log, which is the default.
    pub access: Option<AccessLogPlan>,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogPlan {
    /// Where its lines go.
    pub sink: AccessLogSink,
    /// What a line looks like. JSON.
    pub format: AccessLogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogSink {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and reopened on SIGUSR1.
    File(PathBuf),
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object with everything that is known of the request.
    Json,
    /// Combined Log Format, as Apache and nginx write it.
    Combined,
}
