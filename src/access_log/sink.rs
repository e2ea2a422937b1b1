//! The file or stream that access log lines are written to, and what happens when it cannot be written.
//!
//! A sink never gives up on a file: while the disk is full or a pipe has no reader, lines are dropped
//! and counted. One diagnostic reports when that starts, another when it is over. If the reader of
//! standard output is gone, it stays gone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::Errno;

use crate::base::clock::Moment;
use crate::base::limits::LOG_RETRY_EVERY;
use crate::config::plan::AccessLogSink;
use crate::observe::batch::lines_in;

/// An open file, or standard output.
pub(super) struct Sink {
    fd: OwnedFd,
    /// `None` for standard output.
    path: Option<PathBuf>,
    state: State,
    /// The last line was cut short, so the next one needs a line end before it.
    torn: bool,
    /// Lines that were lost, here or elsewhere.
    dropped: Arc<AtomicU64>,
}

/// Whether writing works.
enum State {
    Well,
    /// Writing last failed at `failed`; `lost` lines were lost so far; the file was last reopened at
    /// `tried`.
    Failing {
        failed: Moment,
        tried: Moment,
        lost: u64,
    },
    /// Writing can never work again.
    Gone,
}

impl Sink {
    /// Opens the sink. Lines that cannot be written are counted in `dropped`.
    ///
    /// # Errors
    /// The file cannot be opened, or the named pipe has no reader; the error names it.
    pub(super) fn open(sink: &AccessLogSink, dropped: Arc<AtomicU64>) -> io::Result<Self> {
        let (fd, path) = match sink {
            AccessLogSink::Stdout => (io::stdout().as_fd().try_clone_to_owned()?, None),
            AccessLogSink::File(path) => {
                (open_file(path).map_err(|errno| named(path, errno))?, Some(path.clone()))
            }
        };
        Ok(Self { fd, path, state: State::Well, torn: false, dropped })
    }

    /// Reopens the file, which may have been renamed. If that fails, the old one stays open.
    pub(super) fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open_file(path) {
            Ok(fd) => self.take(fd),
            Err(errno) => {
                log::error!("{}; lines continue to go into the old file", named(path, errno));
            }
        }
    }

    /// Writes whole lines and counts those that cannot be written. Blocks as long as the sink does; a
    /// non-blocking sink is waited for until `stop`.
    pub(super) fn write(&mut self, lines: &[u8], now: Moment, stop: &AtomicBool) {
        self.retry_open(now);
        match self.write_all(lines, stop) {
            Ok(()) => self.succeeded(now),
            Err((errno, rest)) => {
                let lost = lines_in(rest);
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                self.failed(errno, lost, now);
            }
        }
    }

    /// Writes everything, or returns the error and what is left.
    fn write_all<'a>(&mut self, lines: &'a [u8], stop: &AtomicBool) -> Result<(), (Errno, &'a [u8])> {
        let mut rest = lines;
        while !rest.is_empty() {
            let bytes = if self.torn { b"\n" } else { rest };
            let written = match self.state {
                State::Gone => Err(Errno::PIPE),
                _ => rustix::io::write(&self.fd, bytes),
            };
            match written {
                Ok(0) => return Err((Errno::IO, rest)),
                Ok(_) if self.torn => self.torn = false,
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // Another process that shares standard output has made it non-blocking.
                Err(Errno::AGAIN) if self.has_room(stop) => {}
                Err(errno) => {
                    self.torn |= is_torn(lines, rest);
                    return Err((errno, rest));
                }
            }
        }
        Ok(())
    }

    /// Waits until the sink is writable; false if there is a stop or an error.
    fn has_room(&self, stop: &AtomicBool) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        loop {
            match poll(&mut fds, Some(&LOOK_EVERY)) {
                Ok(0) | Err(Errno::INTR) if stop.load(Ordering::Relaxed) => return false,
                Ok(0) | Err(Errno::INTR) => {}
                // If this is an error, the next write returns it.
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Reopens a failing file now and then: the old one may be gone, as after a remount.
    fn retry_open(&mut self, now: Moment) {
        if let (State::Failing { tried, .. }, Some(path)) = (&mut self.state, &self.path)
            && now.since(*tried) >= LOG_RETRY_EVERY
        {
            *tried = now;
            if let Ok(fd) = open_file(path) {
                self.take(fd);
            }
        }
    }

    fn take(&mut self, fd: OwnedFd) {
        // An empty file needs no line end first.
        self.torn &= fstat(&fd).is_ok_and(|stat| stat.st_size > 0);
        self.fd = fd;
    }

    fn succeeded(&mut self, now: Moment) {
        // Not immediately, because a disk that keeps filling up would flood the diagnostics.
        if let State::Failing { failed, lost, .. } = self.state
            && now.since(failed) >= LOG_RETRY_EVERY
        {
            log::info!("the access log is written to {} again; {lost} lines are missing", self.name());
            self.state = State::Well;
        }
    }

    fn failed(&mut self, errno: Errno, lost: u64, now: Moment) {
        match &mut self.state {
            State::Gone => {}
            State::Failing { failed, lost: total, .. } => {
                *failed = now;
                *total += lost;
            }
            State::Well if self.path.is_none() && errno == Errno::PIPE => {
                log::error!("standard output has no reader any more: the access log ends here");
                self.state = State::Gone;
            }
            State::Well => {
                self.state = State::Failing { failed: now, tried: now, lost };
                log::error!(
                    "the access log cannot be written to {}: {}; its lines are lost until it can",
                    self.name(),
                    io::Error::from(errno)
                );
            }
        }
    }

    fn name(&self) -> String {
        self.path.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string())
    }
}

/// How often to check for a stop.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Opens or creates a file to append to, readable only by its owner and group.
fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    // NONBLOCK: a named pipe without a reader fails to open instead of blocking.
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let fd = open(path, flags, Mode::from_raw_mode(0o640))?;
    // After that, its thread may block.
    fcntl_setfl(&fd, fcntl_getfl(&fd)? - OFlags::NONBLOCK)?;
    Ok(fd)
}

fn named(path: &Path, errno: Errno) -> io::Error {
    let remedy = match errno {
        Errno::NXIO => ": this pipe has no reader; start it first",
        Errno::NOENT => ": its folder does not exist; create it first",
        _ => "",
    };
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("cannot open the access log {}: {error}{remedy}", path.display()))
}

/// Whether the part of `lines` before `rest` ends inside a line.
fn is_torn(lines: &[u8], rest: &[u8]) -> bool {
    let written = lines.strip_suffix(rest).unwrap_or_default();
    written.last().is_some_and(|last| *last != b'\n')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    static GO_ON: AtomicBool = AtomicBool::new(false);

    fn at(ms: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(ms)
    }

    fn file(path: &Path) -> (Sink, Arc<AtomicU64>) {
        let dropped = Arc::new(AtomicU64::new(0));
        (Sink::open(&AccessLogSink::File(path.to_owned()), Arc::clone(&dropped)).unwrap(), dropped)
    }

    /// Standard output as a pipe, and the pipe's other end.
    fn stdout() -> (Sink, Arc<AtomicU64>, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        let dropped = Arc::new(AtomicU64::new(0));
        let sink =
            Sink { fd: writer, path: None, state: State::Well, torn: false, dropped: Arc::clone(&dropped) };
        (sink, dropped, reader)
    }

    #[test]
    fn a_file_is_created_for_its_owner_and_group_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        for line in ["one\n", "two\n"] {
            file(&path).0.write(line.as_bytes(), at(0), &GO_ON);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        // The umask may remove more.
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777 & !0o640, 0);
    }

    #[test]
    fn an_error_names_the_file_and_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let open = |path: PathBuf| {
            let error =
                Sink::open(&AccessLogSink::File(path.clone()), Arc::default()).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            error
        };
        assert!(open(folder.path().join("missing/access.log")).contains("create it first"));
        assert!(open(folder.path().to_owned()).contains("directory"));
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::from_raw_mode(0o600)).unwrap();
        assert!(open(pipe).contains("start it first"));
    }

    #[test]
    fn lines_are_lost_only_while_the_disk_is_full() {
        let (mut sink, dropped) = file(Path::new("/dev/full"));
        sink.write(b"one\ntwo\n", at(0), &GO_ON);
        sink.write(b"three\n", at(10), &GO_ON);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        assert!(matches!(sink.state, State::Failing { lost: 3, .. }));

        let folder = tempfile::tempdir().unwrap();
        sink.path = Some(folder.path().join("access.log"));
        sink.write(b"four\n", at(20), &GO_ON);
        assert_eq!(dropped.load(Ordering::Relaxed), 4, "it is not reopened immediately");
        sink.write(b"five\n", at(2_000), &GO_ON);
        assert!(matches!(sink.state, State::Well));
        assert_eq!(fs::read_to_string(folder.path().join("access.log")).unwrap(), "five\n");
        assert_eq!(dropped.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn standard_output_without_a_reader_stays_gone() {
        let (mut sink, dropped, reader) = stdout();
        sink.write(b"one\n", at(0), &GO_ON);
        drop(reader);
        sink.write(b"two\n", at(10), &GO_ON);
        sink.write(b"three\nfour\n", at(5_000), &GO_ON);
        assert!(matches!(sink.state, State::Gone));
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_line_that_was_cut_short_does_not_spoil_the_next() {
        let (mut sink, dropped, reader) = stdout();
        // The capacity of a pipe is not a multiple of seven.
        let lines = "012345\n".repeat(100_000);
        // The pipe is non-blocking and a stop is pending: what does not fit is lost.
        sink.write(lines.as_bytes(), at(0), &AtomicBool::new(true));
        assert!(sink.torn);
        let mut reader = fs::File::from(reader);
        let mut seen = vec![0; lines.len()];
        let written = reader.read(&mut seen).unwrap();
        assert_eq!(lines_in(&seen[..written]) + dropped.load(Ordering::Relaxed), 100_000);
        assert_ne!(seen[written - 1], b'\n');

        sink.write(b"next\n", at(0), &GO_ON);
        let written = reader.read(&mut seen).unwrap();
        assert_eq!(&seen[..written], b"\nnext\n");
        assert!(!sink.torn);
    }

    #[test]
    fn a_write_that_ends_inside_a_line_is_recognised() {
        let lines = b"one\ntwo\n";
        assert!(!is_torn(lines, lines));
        assert!(is_torn(lines, b"ne\ntwo\n"));
        assert!(!is_torn(lines, b"two\n"));
        assert!(is_torn(lines, b"\n"));
    }

    #[test]
    fn a_slow_reader_of_a_non_blocking_output_is_waited_for() {
        let (mut sink, dropped, reader) = stdout();
        let lines = "0123456\n".repeat(100_000);
        let length = lines.len();
        let reading = std::thread::spawn(move || {
            let (mut reader, mut total) = (fs::File::from(reader), 0);
            let mut piece = [0; 8 * 1024];
            while total < length {
                match reader.read(&mut piece) {
                    Ok(count @ 1..) => total += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        std::thread::yield_now();
                    }
                    other => panic!("{other:?} after {total}"),
                }
            }
        });
        sink.write(lines.as_bytes(), at(0), &GO_ON);
        reading.join().unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }
}
