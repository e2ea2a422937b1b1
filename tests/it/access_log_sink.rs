//! The access log's thread and the file it writes to: no line is lost without being counted, and
//! whatever the file does, no thread that appends waits for it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use ropewalk::internal::access_log::AccessLog;
use ropewalk::internal::base::supervisor::Supervisor;
use ropewalk::internal::config::plan::{AccessLogFormat, AccessLogPlan, AccessLogSink};
use ropewalk::internal::observe::batch::Batch;
use ropewalk::internal::observe::record::Record;

use super::wait;

/// More lines than the log can buffer for a stalled sink.
const FAR_TOO_MANY: u64 = 1_000_000;

fn open(path: &Path) -> AccessLog {
    open_counting(path, &Arc::default())
}

fn open_counting(path: &Path, dropped: &Arc<AtomicU64>) -> AccessLog {
    AccessLog::open(&plan(path), dropped, &Supervisor::default()).expect("an access log")
}

fn plan(path: &Path) -> AccessLogPlan {
    AccessLogPlan { sink: AccessLogSink::File(path.to_owned()), format: AccessLogFormat::Json }
}

fn append(batch: &mut Batch, target: &str) {
    batch.append(&Record {
        time: SystemTime::now(),
        id: b"1",
        client: "127.0.0.1".parse().expect("an address"),
        peer: "127.0.0.1:1".parse().expect("an address"),
        listener: "main",
        user: None,
        method: "GET",
        host: "h",
        target,
        version: "HTTP/1.1",
        referer: b"",
        user_agent: b"\xff\"\n",
        status: 200,
        bytes_in: 0,
        bytes_out: 0,
        route: None,
        pool: None,
        attempts: &[],
        queue: Duration::ZERO,
        total: Duration::ZERO,
        end: "completed",
        reason: None,
    });
}

/// The targets of the lines in a file, all of which must be JSON.
fn targets(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file of lines");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect(line));
    lines.map(|line: serde_json::Value| line["target"].as_str().expect("a target").to_owned()).collect()
}

/// A named pipe, and its reading end, which a test need not read from.
fn pipe(folder: &Path) -> (PathBuf, File) {
    let path = folder.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).expect("a pipe");
    // Otherwise opening would wait for a writer.
    let nonblock = rustix::fs::OFlags::NONBLOCK;
    let reader = OpenOptions::new().read(true).custom_flags(nonblock.bits() as i32).open(&path);
    let reader = reader.expect("its reading end");
    rustix::fs::fcntl_setfl(&reader, rustix::fs::OFlags::empty()).expect("an end that waits");
    (path, reader)
}

/// Appends until lines are dropped, and returns how many it took. That this returns at all while
/// nothing reads shows that appending never waits for the reader.
fn append_until_dropped(log: &AccessLog, batch: &mut Batch) -> u64 {
    (1..FAR_TOO_MANY)
        .find(|number| {
            append(batch, &format!("/{number}"));
            log.dropped() > 0
        })
        .expect("dropped lines")
}

#[test]
fn a_line_is_written_even_if_its_worker_only_sleeps() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let log = open(&path);
    let mut batch = log.batch();
    for number in 1..=3 {
        append(&mut batch, "/");
        batch.flush();
        wait::until("the line", || targets_so_far(&path).len() == number);
    }
}

#[test]
fn rotation_loses_no_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = open(&path);
    const LINES: usize = 3_000;
    let rotated = wait::Enough::not_yet();
    thread::scope(|scope| {
        for worker in 0..2 {
            let (mut batch, rotated) = (log.batch(), &rotated);
            scope.spawn(move || {
                for number in 0..LINES {
                    append(&mut batch, &format!("/{worker}/{number}"));
                    // Like a worker with little to do.
                    if number % 100 == 0 {
                        batch.flush();
                    }
                    if number == LINES / 2 {
                        wait::until("the rotation", || rotated.is());
                    }
                }
            });
        }
        wait::until("lines in the old file", || !targets_so_far(&path).is_empty());
        fs::rename(&path, &old).expect("a renamed file");
        log.reopen();
        rotated.say();
    });
    assert_eq!(log.dropped(), 0, "fewer lines than the log keeps");
    drop(log);
    let (before, after) = (targets(&old), targets(&path));
    assert!(!before.is_empty());
    for worker in 0..2 {
        let of_worker: Vec<_> =
            before.iter().chain(&after).filter(|target| target.starts_with(&format!("/{worker}/"))).collect();
        let expected: Vec<_> = (0..LINES).map(|number| format!("/{worker}/{number}")).collect();
        assert!(of_worker.into_iter().eq(&expected), "every line once and in order");
        let last = format!("/{worker}/{}", LINES - 1);
        assert!(after.contains(&last), "what is appended after the rotation is in the new file");
    }
}

/// As [`targets`], for a file that is still being written: its last line may be incomplete.
fn targets_so_far(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(str::to_owned).collect()
}

#[test]
fn lines_that_follow_a_reopening_are_in_the_new_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = open(&path);
    let mut batch = log.batch();
    append(&mut batch, "/before");
    batch.flush();
    fs::rename(&path, &old).expect("a renamed file");
    log.reopen();
    append(&mut batch, "/after");
    drop(batch);
    drop(log);
    // The first line may be in either file: the thread may not have written it when it was told to
    // reopen.
    let (before, after) = (targets(&old), targets(&path));
    assert_eq!([before, after.clone()].concat(), ["/before", "/after"]);
    assert_eq!(after.last().map(String::as_str), Some("/after"));
}

#[test]
fn a_file_is_reopened_even_if_there_are_no_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = open(&path);
    let mut batch = log.batch();
    // Whether the thread has just written or has been idle for long.
    for _ in 0..10 {
        fs::rename(&path, &old).expect("a renamed file");
        log.reopen();
        wait::until("the new file", || path.exists());
        append(&mut batch, "/");
        batch.flush();
        wait::until("the line", || targets_so_far(&path).len() == 1);
    }
}

#[test]
fn a_stop_ends_the_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..10 {
        let folder = folder.path().join(number.to_string());
        fs::create_dir(&folder).expect("a folder");
        let (path, reader) = pipe(&folder);
        let log = open(&path);
        let mut batch = log.batch();
        append(&mut batch, "/");
        batch.flush();
        let (mut reader, mut line) = (BufReader::new(reader), String::new());
        // Its thread has only just written, or not even that.
        if number % 2 == 0 {
            reader.read_line(&mut line).expect("a line");
        }
        drop(batch);
        drop(log);
        // If the thread had been left behind, it could still write.
        rustix::fs::fcntl_setfl(reader.get_ref(), rustix::fs::OFlags::NONBLOCK).expect("no waiting");
        reader.read_to_string(&mut line).expect("the end");
        assert_eq!(line.lines().count(), 1);
    }
}

#[test]
fn lines_lost_to_a_sleeping_reader_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, reader) = pipe(folder.path());
    let dropped = Arc::new(AtomicU64::new(0));
    let log = open_counting(&path, &dropped);
    let mut batch = log.batch();
    let mut appended = append_until_dropped(&log, &mut batch);

    // The reader wakes up, and lines get through again.
    let is_through = Arc::new(AtomicBool::new(false));
    let saw = Arc::clone(&is_through);
    let reading = thread::spawn(move || {
        let mut read = 0;
        for line in BufReader::new(reader).lines() {
            let line: serde_json::Value =
                serde_json::from_str(&line.expect("a line")).expect("a line that is whole");
            saw.fetch_or(line["target"] == "/again", Ordering::Relaxed);
            read += 1;
        }
        read
    });
    wait::until("a line that gets through", || {
        append(&mut batch, "/again");
        batch.flush();
        appended += 1;
        is_through.load(Ordering::Relaxed)
    });
    drop(batch);
    drop(log);
    let read: u64 = reading.join().expect("a reader");
    assert_eq!(read + dropped.load(Ordering::Relaxed), appended, "every line is read or counted");
}

#[test]
fn a_reader_that_never_reads_does_not_hold_up_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, reader) = pipe(folder.path());
    let dropped = Arc::new(AtomicU64::new(0));
    let log = open_counting(&path, &dropped);
    let mut batch = log.batch();
    append_until_dropped(&log, &mut batch);
    let before = log.dropped();
    drop(batch);
    let stopping = thread::spawn(move || drop(log));
    wait::until("the end", || stopping.is_finished());
    assert!(dropped.load(Ordering::Relaxed) > before, "what waited to be written is counted as lost");
    drop(reader);
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let log = open(Path::new("/dev/full"));
    let mut batch = log.batch();
    for number in 1..=3 {
        append(&mut batch, "/");
        batch.flush();
        wait::until("the count of lost lines", || log.dropped() == number);
    }
}

#[test]
fn a_log_takes_over_from_another_without_losing_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("first.log"), folder.path().join("second.log"));
    let old = open(&first);
    let mut batch = old.batch();
    append(&mut batch, "/1");
    let new = open(&second);
    old.retire();
    // Its worker does not know of the new one yet.
    append(&mut batch, "/2");
    batch = new.batch();
    append(&mut batch, "/3");
    drop(batch);
    drop(new);
    assert_eq!(targets(&second), ["/3"]);
    wait::until("what the retired one was given", || targets_so_far(&first).len() == 2);
    assert_eq!(targets(&first), ["/1", "/2"]);
}

#[test]
fn a_log_that_cannot_be_opened_is_named_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("access.log");
    let error = AccessLog::open(&plan(&path), &Arc::default(), &Supervisor::default())
        .err()
        .expect("an error")
        .to_string();
    assert!(error.contains(path.to_str().expect("a name")), "{error}");
    assert!(error.contains("create it first"), "{error}");
}
