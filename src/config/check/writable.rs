//! Whether a file could be opened to append to, with the rights of this user and without touching
//! anything: nothing is created, opened or changed.
//!
//! Startup opens the access log, and would fail on everything that is refused here. What shows only
//! at startup is not checked, such as whether a named pipe has a reader at that moment.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// Why a file could not be appended to or created; `None` if it could.
pub(super) fn refusal(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some("is a folder; name a file in it".to_owned()),
        Ok(found) if found.file_type().is_socket() => Some("is a socket, which is not a file".to_owned()),
        Ok(_) => {
            let denied = access(path, Access::WRITE_OK).err()?;
            Some(format!(
                "cannot be written by {}: {}{}",
                this_user(),
                io::Error::from(denied),
                remedy(denied)
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => cannot_be_created(&target(path)),
        Err(error) => Some(format!("cannot be reached: {error}")),
    }
}

/// Why a file could not be created in its folder.
fn cannot_be_created(path: &Path) -> Option<String> {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Some("is not the name of a file".to_owned()),
    };
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => return Some(format!("cannot be created: {shown} is not a folder")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(format!("cannot be created: its folder {shown} does not exist; create it first"));
        }
        Err(error) => {
            return Some(format!("cannot be created: its folder {shown} cannot be reached: {error}"));
        }
    }
    let denied = access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!(
        "cannot be created in {shown} by {}: {}{}",
        this_user(),
        io::Error::from(denied),
        remedy(denied)
    ))
}

/// The target of a dangling link: the file that would be created.
fn target(path: &Path) -> PathBuf {
    /// LIMIT: links that are followed, as the kernel has one.
    const LINKS_MAX: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    path
}

/// Asks for the effective user, who is the one that a start opens files as.
fn access(path: &Path, access: Access) -> Result<(), Errno> {
    accessat(CWD, path, access, AtFlags::EACCESS)
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => "; give that user write permission, or run ropewalk as another one",
        Errno::ROFS => "; name a place that can be written",
        _ => "",
    }
}

fn this_user() -> String {
    format!("user {}", rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_a_start_could_open_is_accepted_and_nothing_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old.log"), "").unwrap();
        symlink("new.log", at("link.log")).unwrap();
        for name in ["old.log", "new.log", "link.log"] {
            assert_eq!(refusal(&at(name)), None, "{name}");
        }
        let found = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(found, 2, "something was created");
    }

    #[test]
    fn the_rights_of_this_user_count() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old.log"), "").unwrap();
        for path in [at("old.log"), folder.path().to_owned()] {
            let mode = if path.is_dir() { 0o555 } else { 0o444 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let found = as_anyone_but_root(|| [refusal(&at("old.log")), refusal(&at("new.log"))]);
        let [old, new] = found.map(Option::unwrap_or_default);
        assert!(old.contains("cannot be written by user") && old.contains("give that user"), "{old}");
        assert!(new.contains("cannot be created in") && new.contains("give that user"), "{new}");
        // So that it can be removed.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Root may write everywhere, so a test that runs as root switches a thread to another user.
    fn as_anyone_but_root<T: Send>(ask: impl FnOnce() -> T + Send) -> T {
        let in_thread = || {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            ask()
        };
        std::thread::scope(|scope| scope.spawn(in_thread).join().unwrap())
    }

    #[test]
    fn what_a_start_could_not_open_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("none/a.log", at("link.log")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, part) in [
            (folder.path().to_owned(), "is a folder"),
            (at("socket"), "is a socket"),
            (at("none/a.log"), "does not exist; create it first"),
            (at("link.log"), "does not exist; create it first"),
            (at("file/a.log"), "cannot be reached"),
        ] {
            let found = refusal(&path).unwrap_or_default();
            assert!(found.contains(part), "{}: {found}", path.display());
        }
    }
}
