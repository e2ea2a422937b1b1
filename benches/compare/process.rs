//! Child processes: started, waited for, accounted, and ended without fail.
//!
//! Whatever happens to the benchmark, nothing of it may go on running. An error or a
//! panic drops the [`Process`], which ends it. If the benchmark itself is killed, the
//! kernel ends them: each child is started through [`leash`], which asks for that
//! before it becomes the program proper.
//!
//! It must not know what the programs are.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

/// LIMIT: from start to first answer. The slowest of the peers needs 0.1 s.
const START_MAX: Duration = Duration::from_secs(10);
/// LIMIT: from SIGTERM to the end, before SIGKILL.
const STOP_MAX: Duration = Duration::from_secs(2);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often a program that starts is asked: its start is measured too.
const ASK_EVERY: Duration = Duration::from_micros(200);
/// Ports below the range from which the kernel takes those of outgoing connections,
/// or a busy measure might hold the port that the next peer is about to listen on.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// The subcommand that runs [`leash`].
pub const LEASH: &str = "leash";

/// A running program.
pub struct Process {
    child: Child,
    output: PathBuf,
    started: Instant,
}

/// What a program and its worker processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system, of all threads.
    pub cpu: Duration,
    /// The most memory that was ever resident, summed over the processes.
    pub memory_peak_kib: u64,
    /// What is resident now, likewise.
    pub memory_kib: u64,
}

impl Process {
    /// Starts `program`; what it prints goes to a file `NAME.output` in `folder`.
    pub fn start(name: &str, folder: &Path, program: &Path, arguments: &[String]) -> io::Result<Self> {
        let output = folder.join(format!("{name}.output"));
        let file = File::create(&output)?;
        let started = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .arg(LEASH)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Self { child, output, started })
    }

    /// Returns once `address` answers a request with status 200, and how long after the start
    /// that was; or says why not.
    pub fn wait_until_ready(&mut self, address: SocketAddrV4) -> Result<Duration, String> {
        let give_up = self.started + START_MAX;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended at once ({status}){}", self.last_words()));
            }
            match answers(address) {
                Ok(()) => return Ok(self.started.elapsed()),
                Err(error) if Instant::now() >= give_up => {
                    return Err(format!("does not answer: {error}{}", self.last_words()));
                }
                Err(_) => thread::sleep(ASK_EVERY),
            }
        }
    }

    /// The accounts of the process and of its children.
    pub fn usage(&self) -> io::Result<Usage> {
        let own = self.child.id();
        let workers = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        let mut usage = usage_of(&own.to_string())?;
        for worker in workers.split_whitespace() {
            let of_worker = usage_of(worker)?;
            usage.cpu += of_worker.cpu;
            usage.memory_peak_kib += of_worker.memory_peak_kib;
            usage.memory_kib += of_worker.memory_kib;
        }
        Ok(usage)
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().rev().take(3).fold(String::new(), |words, line| format!("; {}{words}", line.trim()))
    }
}

impl Drop for Process {
    /// SIGTERM first: a master process ends its workers, which SIGKILL would orphan.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let give_up = Instant::now() + STOP_MAX;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() >= give_up {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Becomes the given program, which the kernel then ends when its parent ends.
/// Returns only what went wrong.
pub fn leash(arguments: impl IntoIterator<Item = String>) -> io::Error {
    let mut arguments = arguments.into_iter();
    let Some(program) = arguments.next() else {
        return io::Error::other("leash: which program?");
    };
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}

/// The full path of a program on PATH or in the places of system services.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A loopback address on which nothing listens.
pub fn free_address() -> io::Result<SocketAddrV4> {
    // Begins elsewhere in each run and each call, so that two runs at once do not
    // race for the same port.
    let count = PORTS.end - PORTS.start;
    let first = fastrand::u16(0..count);
    (0..count)
        .map(|step| SocketAddrV4::new([127, 0, 0, 1].into(), PORTS.start + (first + step) % count))
        .find(|address| TcpListener::bind(address).is_ok())
        .ok_or_else(|| io::Error::other("every port is taken"))
}

/// Raises the limit of open files to what the system grants; children inherit it.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// How many files a process may have open.
pub fn descriptor_limit() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

fn answers(address: SocketAddrV4) -> io::Result<()> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if status != *b"HTTP/1.1 200" {
        return Err(io::Error::other(String::from_utf8_lossy(&status).into_owned()));
    }
    Ok(())
}

fn usage_of(pid: &str) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let unknown = || io::Error::other("/proc does not tell what it ought to");
    Ok(Usage {
        cpu: cpu_in(&stat).ok_or_else(unknown)?,
        memory_peak_kib: memory_in(&status, "VmHWM:").ok_or_else(unknown)?,
        memory_kib: memory_in(&status, "VmRSS:").ok_or_else(unknown)?,
    })
}

/// utime and stime, fields 14 and 15; the name before them may hold blanks and
/// parentheses of its own.
fn cpu_in(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let ticks = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}

fn memory_in(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 10 0 0 0 150 50 0 0 20 0 3 0 99";
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let told = cpu_in(stat).expect("a good line").as_secs_f64();
        assert!((told - 200.0 / ticks).abs() < 1e-6);
        assert_eq!(cpu_in("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_found() {
        let status = "Name:\tx\nVmHWM:\t    2560 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(memory_in(status, "VmHWM:"), Some(2560));
        assert_eq!(memory_in(status, "VmRSS:"), Some(12));
        assert_eq!(memory_in("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_has_accounts() {
        let usage = usage_of("self").expect("/proc is there");
        assert!(usage.memory_peak_kib > 0);
    }
}
