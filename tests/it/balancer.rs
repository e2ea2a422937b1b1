//! The program under test: the real binary as its own process, with a configuration on disk, stopped by
//! the same signals that an operator sends.
//!
//! Nothing here knows how the balancer works. A test sees only its port, its log lines, its exit status
//! and its memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::wait;

/// A running balancer; killed when dropped.
pub struct Balancer {
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Balancer {
    /// Starts the balancer with this configuration, on a free port unless it names one, and
    /// returns once it is ready for clients and for signals.
    #[track_caller]
    pub fn start(config: Value) -> Self {
        Self::start_at(free_address(), config)
    }

    /// The same on the caller's port.
    #[track_caller]
    pub fn start_at(address: SocketAddr, mut config: Value) -> Self {
        raise_descriptor_limit();
        config["listen"] = json!(address.to_string());
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).expect("write the configuration");
        let mut process = Process::start(Command::new(BINARY).arg("--config").arg(path));
        // Not just bound: with all its threads running.
        wait::until("the balancer says that it is listening", || {
            if let Some(status) = process.exited() {
                panic!("the balancer ended at once, {status}, with {config}:\n{}", process.log());
            }
            process.lines_with(&["listening on"]) > 0
        });
        Self { process, address, _folder: folder }
    }

    /// Round robin over these backends, everything else at its default.
    #[track_caller]
    pub fn over(backends: &[Value]) -> Self {
        Self::start(json!({ "backends": backends }))
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for signals, log lines and memory.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The binary that Cargo built for this test run.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ropewalk");

/// A child process with its stderr captured; killed when dropped.
pub struct Process {
    child: Child,
    /// LOCK: what the process wrote so far; held to append a line or to search.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_stdin(command, Stdio::null())
    }

    /// The same with something to inherit as descriptor 0.
    #[track_caller]
    pub fn start_with_stdin(command: &mut Command, stdin: Stdio) -> Self {
        let command = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start a process");
        let stderr = child.stderr.take().expect("stderr is piped");
        let lines = Arc::new(Mutex::new(Vec::new()));
        std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    lines.lock().push(line);
                }
            }
        });
        Self { child, lines }
    }

    /// How many log lines so far contain all of `parts`.
    pub fn lines_with(&self, parts: &[&str]) -> usize {
        self.lines.lock().iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// Waits for a log line that contains all of `parts`.
    #[track_caller]
    pub fn wait_for_line(&self, parts: &[&str]) {
        if wait::within(wait::PATIENCE, || (self.lines_with(parts) > 0).then_some(())).is_none() {
            panic!("no log line with {parts:?} in:\n{}", self.log());
        }
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Asks it to stop, as an init system does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Waits for it to exit.
    #[track_caller]
    pub fn wait_exit(&mut self, bound: Duration) -> ExitStatus {
        match wait::within(bound, || self.child.try_wait().expect("wait for a child")) {
            Some(status) => status,
            None => panic!("still running after {bound:?}:\n{}", self.log()),
        }
    }

    /// The most memory it ever had resident, in KiB.
    pub fn peak_resident_kib(&self) -> u64 {
        self.status_field("VmHWM:")
    }

    /// Waits until it has done no work for a while: what was begun is either done or waiting.
    pub fn wait_until_idle(&self) {
        let mut last = (self.processor_ticks(), Instant::now());
        wait::until("the process is idle", || {
            let ticks = self.processor_ticks();
            if ticks != last.0 {
                last = (ticks, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(100)
        });
    }

    /// Processor time it has used, in ticks of the kernel's clock (10 ms).
    fn processor_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("the process is running");
        // The name, in parentheses, may contain spaces; the fields after it do not. User time and
        // system time are the 14th and 15th of all (proc(5)).
        let (_, behind_name) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = behind_name.split_whitespace().skip(11).take(2);
        ticks.map(|field| field.parse::<u64>().expect("a number")).sum()
    }

    /// Threads it has now.
    pub fn threads(&self) -> u64 {
        self.status_field("Threads:")
    }

    /// Its current threads whose names start with this.
    pub fn threads_named(&self, start: &str) -> usize {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it is running");
        // A thread that ends meanwhile no longer has a name.
        let names = threads.flatten().flat_map(|thread| std::fs::read_to_string(thread.path().join("comm")));
        names.filter(|name| name.starts_with(start)).count()
    }

    /// The memory it has resident now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.status_field("VmRSS:")
    }

    /// Descriptors that it holds now.
    pub fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it is running").count() as u64
    }

    /// How many of them are ends of pipes.
    pub fn pipe_descriptors(&self) -> u64 {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it is running");
        // A descriptor that is closed meanwhile no longer leads anywhere.
        let targets = entries.flatten().flat_map(|entry| std::fs::read_link(entry.path()));
        targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count() as u64
    }

    /// Limits how many descriptors it may have from now on.
    pub fn limit_descriptors(&self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        rustix::process::prlimit(Some(self.pid()), Resource::Nofile, limit).expect("limit the descriptors");
    }

    fn status_field(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process is running");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known field");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// From here on it cannot open anything more.
    pub fn forbid_new_descriptors(&self) {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::prlimit(Some(self.pid()), Resource::Nofile, none).expect("limit a child");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("send a signal");
    }

    fn pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `ropewalk origin`: a backend in its own process, so that it can be killed.
#[cfg(feature = "demo")]
pub fn origin_process(address: SocketAddr, name: &str) -> Process {
    let port = address.port().to_string();
    let process = Process::start(Command::new(BINARY).args(["origin", "--port", &port, "--name", name]));
    wait::until("the sample origin accepts connections", || std::net::TcpStream::connect(address).is_ok());
    process
}

/// An address on the loopback interface that nothing uses, kept from other test runs.
///
/// The port is below the ephemeral range of the kernel: one from there could be taken between the
/// choice and the bind, or while a stopped origin is to come back. A socket stays bound to it, so that
/// no other test run on this machine chooses it too; since it never listens and allows reuse, the
/// program under test can still listen there.
pub fn free_address() -> SocketAddr {
    const PORTS: std::ops::Range<u16> = 12_000..30_000;
    /// LOCK: the bound sockets; held to add one.
    static CLAIMS: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    raise_descriptor_limit();
    for _ in 0..PORTS.len() {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(PORTS)));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        if socket.bind(&address.into()).is_ok() {
            socket.set_reuse_address(true).expect("allow reuse");
            CLAIMS.lock().push(socket);
            return address;
        }
    }
    panic!("no free port in {PORTS:?}");
}

/// Lets this process, and the children it starts, hold as many sockets as they are allowed to.
pub fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised).expect("raise the soft limit to the hard one");
}

#[test]
fn a_port_is_kept_from_other_test_runs_and_can_be_listened_on() {
    let address = free_address();
    let other_run = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    assert!(other_run.bind(&address.into()).is_err(), "the port is not kept");
    assert!(std::net::TcpListener::bind(address).is_ok(), "the port cannot be listened on");
}
