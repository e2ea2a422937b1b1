//! Others: small requests that the balancer answers itself, one every few milliseconds.
//!
//! A process of its own, so that no attack shares its threads. It must not know which attack is made.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The subcommand that runs [`run`].
pub const COMMAND: &str = "probe";

/// Between the end of one request and the next.
const PACE: Duration = Duration::from_millis(5);

/// What others saw: latencies in nanoseconds, and how many requests were answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    median: u64,
    p99: u64,
    worst: u64,
    pub count: u64,
}

impl Seen {
    /// Column by column the worse of two rounds.
    pub fn worse(self, other: Self) -> Self {
        let fewer = if self.count == 0 { other.count } else { self.count.min(other.count) };
        Self {
            median: self.median.max(other.median),
            p99: self.p99.max(other.p99),
            worst: self.worst.max(other.worst),
            count: fewer,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        write!(f, "{:.2} | {:.1} | {:.1}", ms(self.median), ms(self.p99), ms(self.worst))
    }
}

/// Runs both probes side by side as processes: on a kept connection, and with a connection each.
pub fn measure(program: &Path, target: SocketAddrV4, length: Duration) -> Result<[Seen; 2], String> {
    let start = |mode: &str| {
        Command::new(program)
            .args([COMMAND, mode, &target.to_string(), &length.as_millis().to_string()])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())
    };
    let probes = [start("kept")?, start("new")?];
    let mut seen = [Seen::default(); 2];
    for (seen, probe) in seen.iter_mut().zip(probes) {
        let output = probe.wait_with_output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [median, p99, worst, count] = numbers[..] else {
            return Err(format!("the probe failed: {text}"));
        };
        *seen = Seen { median, p99, worst, count };
    }
    Ok(seen)
}

/// Probes as told: `kept|new ADDRESS MILLISECONDS`.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [mode, target, length] = arguments else { return Err("probe: kept|new ADDRESS MS".to_owned()) };
    let length = Duration::from_millis(length.parse().map_err(|_| "a bad length")?);
    let mut taken = latencies(mode == "kept", target, length).map_err(|error| format!("probe: {error}"))?;
    taken.sort_unstable();
    let at = |share: usize| taken.get((taken.len() * share / 100).min(taken.len() - 1)).copied().unwrap_or(0);
    println!("{} {} {} {}", at(50), at(99), at(100), taken.len());
    Ok(())
}

fn latencies(keep: bool, target: &str, length: Duration) -> io::Result<Vec<u64>> {
    let (end, mut taken, mut kept) = (Instant::now() + length, Vec::new(), None);
    let request = if keep {
        "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n"
    } else {
        "GET /ok HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
    };
    let mut answer = [0; 4096];
    while Instant::now() < end || taken.is_empty() {
        let begin = Instant::now();
        let mut stream: TcpStream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(target)?,
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(request.as_bytes())?;
        let count = stream.read(&mut answer)?;
        taken.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
        if !answer[..count].starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&answer[..count]).into_owned()));
        }
        kept = keep.then_some(stream);
        std::thread::sleep(PACE);
    }
    Ok(taken)
}
