//! Opens files to be read whole. Only regular files, which cannot block the reader for ever.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// Opens a regular file for reading. Opening a named pipe would wait for a writer, and a device may
/// block too. The check is on the open file, because the path may point elsewhere a moment later.
///
/// # Errors
/// The system's error; [`io::ErrorKind::InvalidInput`] if it is not a regular file, and
/// [`io::ErrorKind::IsADirectory`] for a directory.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    match FileType::from_raw_mode(fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_pipe_without_a_writer_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(open_regular(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(open_regular(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(open_regular(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(folder.path().join("file"), "text").unwrap();
        assert!(open_regular(&folder.path().join("file")).is_ok());
    }
}
