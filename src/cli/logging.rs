//! Diagnostics: one line each to stderr, as `2026-11-21T06:40:51.123Z [INFO] text`.
//!
//! Stdout stays free for what a command is asked for. The time is UTC: the local offset
//! cannot be found out safely once threads run, and logs of several machines are compared.

use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

/// Starts logging at a level. Call once, before any thread starts.
pub(crate) fn start(level: LevelFilter) {
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        // The sample origin's server logs an error for every client that closes; ours to
        // tell, if anybody's.
        .add_filter_ignore_str("may")
        .build();
    // Everything that is let through below: a reload may change the level.
    if WriteLogger::init(LevelFilter::Trace, config, std::io::stderr()).is_err() {
        log::warn!("logging was started twice");
    }
    log::set_max_level(level);
}
