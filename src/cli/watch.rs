//! `--watch`: a reload whenever the configuration file has changed.
//!
//! The file is looked at once a second rather than watched with inotify: editors, configuration
//! management and Kubernetes replace files by renaming, through links, on file systems that
//! tell nobody. One look costs a microsecond.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use ropewalk::Handle;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches `file` for as long as the process lives.
pub(crate) fn start(file: PathBuf, handle: Handle) {
    let seen = stamp(&file);
    let watch = move || {
        let mut seen = seen;
        // A file that is being written changes from look to look: it is read when it has not.
        let mut unread = false;
        while !handle.is_stopping() {
            thread::park_timeout(LOOK_EVERY);
            let now = stamp(&file);
            if now != seen {
                seen = now;
                unread = now.is_some();
            } else if std::mem::take(&mut unread) {
                log::info!("{} has changed", file.display());
                // What came of it is logged.
                let _ = handle.reload_from_source();
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("rw-watch".to_owned()).spawn(watch) {
        log::error!("cannot watch the configuration file: {error}");
    }
}

/// What tells one version of the file from another; `None` while there is none.
fn stamp(file: &PathBuf) -> Option<(SystemTime, u64)> {
    let data = fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}
