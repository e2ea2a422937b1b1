//! Runs the fuzz targets for some seconds, on the stable compiler, as part of every test run.
//!
//! Each target of `fuzz/` gets its seeds unchanged, then mutated seeds. The generator is seeded: inputs
//! come in the same order in every run; a slow machine only gets through fewer. `ROPEWALK_FUZZ_SEED`
//! sets another seed, and `ROPEWALK_FUZZ_SECONDS` another length. libFuzzer, which learns which inputs
//! are worth mutating further, finds more; this finds what broke today.

// `pub` marks what the fuzzer's binaries call; it is unused here.
#![allow(unreachable_pub)]
#![allow(clippy::disallowed_methods, reason = "how long to go on is a matter of the real clock")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, bounded};
use parking_lot::Mutex;

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// How long each target runs. There are seven, and they run side by side.
const RUN_TIME: Duration = Duration::from_secs(2);

/// How much longer a target may take on a busy machine before it counts as stuck.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// The minimum of inputs for a run to prove anything, even on a slow machine.
const RUNS_MIN: usize = 200;

/// Pieces that turn one message into another one, or nearly.
const DICTIONARY: [&[u8]; 36] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0\r\n\r\n",
    b"0",
    b"-1",
    b"ffffffffffffffff",
    b"18446744073709551616",
    b"GET ",
    b"HEAD ",
    b" HTTP/1.0\r\n",
    b" HTTP/1.1\r\n",
    b"HTTP/1.1 ",
    b"Host: h\r\n",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: ",
    b"Upgrade: h2c\r\n",
    b"close",
    b"keep-alive",
    b"http://h",
    b"_",
    b"\xff",
    b"{",
    b"}",
    b"\"",
    b"[",
    b"null",
    b"1e999",
];

#[test]
fn request_heads() {
    smoke("request_head", targets::request_head::run);
}

#[test]
fn response_heads() {
    smoke("response_head", targets::response_head::run);
}

#[test]
fn chunks() {
    smoke("chunks", targets::chunks::run);
}

#[test]
fn trailers() {
    smoke("trailers", targets::trailers::run);
}

#[test]
fn configurations() {
    smoke("config", targets::config::run);
}

#[test]
fn exchanges() {
    smoke("exchange", targets::exchange::run);
}

#[test]
fn responses() {
    smoke("response", targets::response::run);
}

/// Runs a target in its own thread, so that one that never ends is a failure and not a test run that
/// never ends.
fn smoke(name: &'static str, target: fn(&[u8])) {
    let latest = Arc::new(Mutex::new(Vec::new()));
    let (done, finished) = bounded(1);
    let thread = thread::spawn({
        let latest = Arc::clone(&latest);
        move || {
            spoil(name, |input| {
                input.clone_into(&mut latest.lock());
                target(input);
            });
            // If no one receives this, the waiting side has given up.
            let _ = done.send(());
        }
    });
    if finished.recv_timeout(run_time() + GIVE_UP_AFTER) == Err(RecvTimeoutError::Timeout) {
        panic!("{name} does not end on b\"{}\"", latest.lock().escape_ascii());
    }
    if thread.join().is_err() {
        panic!("{name} fails on b\"{}\"", latest.lock().escape_ascii());
    }
}

/// Gives a target the seeds, and then mutations of them.
fn spoil(name: &str, target: impl Fn(&[u8])) {
    let seeds = seeds(name);
    seeds.iter().for_each(|seed| target(seed));
    let mut rng = fastrand::Rng::with_seed(setting("ROPEWALK_FUZZ_SEED").unwrap_or(1));
    let start = Instant::now();
    let mut runs = 0;
    while runs < RUNS_MIN || start.elapsed() < run_time() {
        target(&spoilt(&seeds, &mut rng));
        runs += 1;
    }
}

fn run_time() -> Duration {
    setting("ROPEWALK_FUZZ_SECONDS").map_or(RUN_TIME, Duration::from_secs)
}

/// The committed seeds of a target, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let entries = fs::read_dir(&folder).expect("the folder of seeds");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(paths.len() > 1, "nothing to spoil in {}", folder.display());
    paths.iter().map(|path| fs::read(path).expect("a seed")).collect()
}

/// A seed with up to eight changes.
fn spoilt(seeds: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=8) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len().min(at + 16));
        match rng.u8(..8) {
            0 => input.insert(at, rng.u8(..)),
            1 | 2 => drop(input.splice(at..at, DICTIONARY[rng.usize(..DICTIONARY.len())].iter().copied())),
            3 => drop(input.splice(at..end, DICTIONARY[rng.usize(..DICTIONARY.len())].iter().copied())),
            4 => drop(input.drain(at..end)),
            5 => {
                let piece = input[at..end].to_vec();
                input.splice(at..at, piece);
            }
            6 => {
                let other = &seeds[rng.usize(..seeds.len())];
                let from = rng.usize(..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
    input
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
