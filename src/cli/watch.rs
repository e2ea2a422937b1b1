//! `--watch`: reloads when the configuration file changes.
//!
//! The file is checked once a second rather than watched with inotify: editors, configuration
//! management and Kubernetes replace files by renaming, through links, on file systems that send no
//! events. One check costs a microsecond.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ropewalk::Handle;

use super::exit::spawn_vital;

/// How often to check the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches `file` for as long as the process lives.
pub(crate) fn start(file: PathBuf, handle: Handle) {
    let seen = Version::of(&file);
    let watch = move || {
        let mut seen = seen;
        // A file that is being written keeps changing: reload once it is stable.
        let mut unread = false;
        while !handle.is_stopping() {
            thread::park_timeout(LOOK_EVERY);
            let now = Version::of(&file);
            if now != seen {
                if now.is_none() {
                    log::warn!("{} is missing; the configuration in use stays", file.display());
                }
                seen = now;
                unread = now.is_some();
            } else if std::mem::take(&mut unread) {
                log::info!("{} has changed", file.display());
                // The result is logged.
                handle.request_reload(drop);
            }
        }
    };
    if let Err(error) = spawn_vital("rw-watch", watch) {
        log::error!("cannot watch the configuration file: {error}");
    }
}

/// Identifies a version of the file.
///
/// The modification time alone is not enough: package stores and reproducible images give every file
/// the same one, and a file may be replaced by one of equal length. Programs cannot set the change
/// time, and a replacement has its own inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    modified: (i64, i64),
    length: u64,
}

impl Version {
    /// `None` while there is no file. Follows links.
    fn of(file: &Path) -> Option<Self> {
        fs::metadata(file).ok().map(|data| Self::from(&data))
    }
}

impl From<&Metadata> for Version {
    fn from(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
            changed: (data.ctime(), data.ctime_nsec()),
            modified: (data.mtime(), data.mtime_nsec()),
            length: data.size(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    /// A file as in a package store or a reproducible image: modified one second after 1970.
    fn store(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    }

    #[test]
    fn a_link_to_another_file_of_equal_time_and_length_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        store(&path("one"), "{1}");
        store(&path("two"), "{2}");
        symlink("one", path("config.json")).unwrap();
        let before = Version::of(&path("config.json"));
        assert_eq!(Version::of(&path("config.json")), before);
        symlink("two", path("next")).unwrap();
        fs::rename(path("next"), path("config.json")).unwrap();
        assert_ne!(Version::of(&path("config.json")), before);
    }

    #[test]
    fn text_of_equal_length_that_is_written_in_place_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        store(&path, "{1}");
        let before = Version::of(&path);
        // The kernel's clock for files may stand still for some milliseconds.
        let deadline = SystemTime::now() + Duration::from_secs(10);
        while Version::of(&path) == before {
            assert!(SystemTime::now() < deadline, "the change time does not change");
            store(&path, "{2}");
        }
        assert_eq!(Version::of(&path.join("missing")), None);
    }
}
