//! Diagnostics: one line each to stderr, as `2026-11-21T06:40:51.123Z INFO  text`.
//!
//! Stdout stays free for the output of commands. The time is UTC: the local offset cannot be read
//! safely once threads run, and UTC makes logs of several machines comparable. Under journald,
//! which has its own timestamps, a line begins with its priority instead, as sd-daemon(3)
//! describes.
//!
//! Logging never blocks; [`diagnostics`](super::diagnostics) says why and how.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use log::{Level, LevelFilter, Log, Metadata, Record};
use ropewalk::internal::base::limits::DIAGNOSTIC_LINE_BYTES_MAX;
use rustix::fs::fstat;

use super::diagnostics::Queue;

/// The logger. `None` until logging has been started.
static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Turns records into lines and puts them into the queue.
struct Logger {
    queue: Queue,
    style: Style,
}

/// The prefix of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Time and level.
    Time,
    /// `<4>`, for journald.
    Priority,
}

/// Starts logging at a level. From now on panics are logged like everything else.
pub(crate) fn start(level: LevelFilter) {
    let style = Style::of_stderr();
    let missing = move |count| {
        let text = format_args!("{count} diagnostic lines were dropped here: stderr was not read in time");
        line(style, Level::Warn, text)
    };
    let logger = match Queue::start(io::stderr(), missing) {
        Ok(queue) => LOGGER.get_or_init(|| Logger { queue, style }),
        Err(error) => {
            let _ = writeln!(io::stderr(), "ropewalk: cannot start logging: {error}");
            return;
        }
    };
    // Refused only if there is a logger already, which is then this one.
    let _ = log::set_logger(logger);
    log::set_max_level(level);
    panic::set_hook(Box::new(|panic| {
        log::error!("panic in thread {:?}: {panic}", std::thread::current().name().unwrap_or("?"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            backtrace.to_string().lines().for_each(|line| log::error!("  {line}"));
        }
    }));
}

/// Writes text to stderr unchanged. Does not block once logging has started.
pub(crate) fn write(text: &str) {
    match LOGGER.get() {
        Some(logger) => text.lines().for_each(|line| logger.queue.put(format!("{line}\n").into_bytes())),
        None => drop(writeln!(io::stderr(), "{text}")),
    }
}

/// Waits a moment for queued lines to be written. Call this before the process exits.
pub(crate) fn flush() {
    if let Some(logger) = LOGGER.get() {
        logger.queue.flush();
    }
}

/// How many lines were dropped because stderr was not read; `None` if logging has not started.
pub(crate) fn dropped() -> Option<Arc<AtomicU64>> {
    LOGGER.get().map(|logger| logger.queue.dropped())
}

impl Log for Logger {
    /// Only our own records: libraries log their internals at these levels.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target == "ropewalk" || target.starts_with("ropewalk::")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.queue.put(line(self.style, record.level(), *record.args()));
        }
    }

    fn flush(&self) {
        self.queue.flush();
    }
}

impl Style {
    fn of_stderr() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        if is_journal(io::stderr().as_fd(), &journal) { Self::Priority } else { Self::Time }
    }
}

/// Whether a descriptor is the stream that JOURNAL_STREAM names by its device and inode. The variable
/// alone is not enough: redirecting stderr does not change it.
fn is_journal(fd: BorrowedFd<'_>, variable: &str) -> bool {
    fstat(fd).is_ok_and(|stat| variable == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// One line. A record is always one line, so that its content cannot forge another.
fn line(style: Style, level: Level, text: fmt::Arguments<'_>) -> Vec<u8> {
    let mut line = Line { text: String::with_capacity(128) };
    // Writing to a string cannot fail.
    let _ = match style {
        Style::Time => {
            let time = humantime::format_rfc3339_millis(SystemTime::now());
            write!(line.text, "{time} {level:<5} ")
        }
        Style::Priority => write!(line.text, "<{}>", priority(level)),
    };
    let _ = line.write_fmt(text);
    line.text.push('\n');
    line.text.into_bytes()
}

/// The priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Text of bounded length with every control character escaped.
struct Line {
    text: String,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if self.text.len() >= DIAGNOSTIC_LINE_BYTES_MAX {
                // Returning an error stops the formatting; the rest is omitted.
                self.text.push('…');
                return Err(fmt::Error);
            }
            if char.is_control() {
                self.text.extend(char.escape_default());
            } else {
                self.text.push(char);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(style: Style, level: Level, text: fmt::Arguments<'_>) -> String {
        String::from_utf8(line(style, level, text)).unwrap()
    }

    #[test]
    fn every_line_has_its_columns_in_the_same_places() {
        for (level, name) in [
            (Level::Error, " ERROR text\n"),
            (Level::Warn, " WARN  text\n"),
            (Level::Info, " INFO  text\n"),
            (Level::Debug, " DEBUG text\n"),
            (Level::Trace, " TRACE text\n"),
        ] {
            let line = text(Style::Time, level, format_args!("text"));
            let (time, rest) = line.split_at("2026-11-21T06:40:51.123Z".len());
            assert!(humantime::parse_rfc3339(time).is_ok() && time.ends_with('Z'), "{line}");
            assert_eq!(rest, name);
        }
    }

    #[test]
    fn journald_gets_a_priority_and_no_time() {
        assert_eq!(text(Style::Priority, Level::Warn, format_args!("text")), "<4>text\n");
        let (_reader, writer) = io::pipe().unwrap();
        let stat = fstat(&writer).unwrap();
        assert!(is_journal(writer.as_fd(), &format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_journal(writer.as_fd(), &format!("{}:{}", stat.st_dev, stat.st_ino + 1)));
        assert!(!is_journal(writer.as_fd(), ""));
    }

    #[test]
    fn a_record_is_one_line_of_bounded_length() {
        let line = text(Style::Priority, Level::Info, format_args!("a\n<0>b\x1b[2Jc\u{85}"));
        assert_eq!(line, "<6>a\\n<0>b\\u{1b}[2Jc\\u{85}\n");
        let long = "é".repeat(DIAGNOSTIC_LINE_BYTES_MAX);
        let line = text(Style::Priority, Level::Info, format_args!("{long}"));
        assert!(line.len() < DIAGNOSTIC_LINE_BYTES_MAX + 16 && line.ends_with("…\n"), "{}", line.len());
    }
}
