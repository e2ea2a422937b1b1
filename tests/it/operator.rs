//! The operator's side: a balancer with an admin listener and a changing configuration on disk, and
//! everything that can be asked of it, over HTTP, by signal and by command.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::balancer::{BINARY, Process, free_address, raise_descriptor_limit};
use super::client::Client;
use super::wait;
use super::wire::Message;

/// A balancer that is operated; killed when dropped.
pub struct Operated {
    process: Process,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

/// How to request a reload.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// By SIGHUP.
    BySignal,
    /// By `POST /reload`.
    OverHttp,
    /// By `ropewalk reload`.
    ByCommand,
}

impl Operated {
    /// Starts it with this configuration, which names its listeners, and an admin listener.
    #[track_caller]
    pub fn start(config: &Value) -> Self {
        Self::start_with(config, &[])
    }

    /// The same with additional command line arguments.
    #[track_caller]
    pub fn start_with(config: &Value, flags: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(flags);
        Self::start_command(config, command)
    }

    /// The same in a process with a limit on descriptors.
    #[track_caller]
    pub fn start_with_descriptors(config: &Value, most: usize) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), BINARY]);
        Self::start_command(config, command)
    }

    #[track_caller]
    fn start_command(config: &Value, mut command: Command) -> Self {
        raise_descriptor_limit();
        let admin = free_address();
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("config.json");
        fs::write(&path, with_admin(config, admin)).expect("write the configuration");
        command.arg("--config").arg(path);
        // Tests of memory want to see what is held, not how glibc spreads it over arenas.
        command.env("MALLOC_ARENA_MAX", "1");
        let mut process = Process::start(&mut command);
        wait::until("the balancer says that it can be operated", || {
            if let Some(status) = process.exited() {
                panic!("the balancer ended at once, {status}, with {config}:\n{}", process.log());
            }
            process.lines_with(&["admin listener on"]) > 0
        });
        Self { process, admin, folder }
    }

    /// The process, for signals, log lines and memory.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// Replaces the configuration file.
    pub fn write(&self, config: &Value) {
        self.write_text(&with_admin(config, self.admin));
    }

    /// Replaces the file with a text: all of it at once, as a careful editor does.
    pub fn write_text(&self, text: &str) {
        let new = self.folder.path().join("config.json.new");
        fs::write(&new, text).expect("write the configuration");
        fs::rename(new, self.file()).expect("put it into its place");
    }

    /// Writes another configuration and applies it.
    #[track_caller]
    pub fn reload(&self, config: &Value, asked: Asked) {
        self.write(config);
        let before = self.status();
        let count = |status: &Value, which: &str| status["reloads"][which].as_u64().expect("a count");
        match asked {
            Asked::BySignal => self.process.signal(Signal::HUP),
            Asked::OverHttp => {
                let answer = self.post("/reload");
                assert_eq!(answer.head.status(), 200, "{}", answer.text());
            }
            Asked::ByCommand => {
                let output = self.command(&["reload"]);
                assert!(output.status.success(), "{output:?}");
            }
        }
        wait::until("the reload is applied", || {
            let after = self.status();
            let refused = count(&after, "refused");
            assert_eq!(refused, count(&before, "refused"), "{}", after["reloads"]);
            count(&after, "applied") > count(&before, "applied")
        });
    }

    /// A view of the admin listener.
    #[track_caller]
    pub fn get(&self, path: &str) -> Message {
        self.ask("GET", path)
    }

    /// A change through the admin listener.
    #[track_caller]
    pub fn post(&self, path: &str) -> Message {
        self.ask("POST", path)
    }

    /// Any request to the admin listener.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str) -> Message {
        let mut client = Client::connect(self.admin);
        // It answers to its own name only.
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", self.admin));
        client.response().expect("an answer")
    }

    /// `/status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.get("/status").body).expect("a JSON document")
    }

    /// What `/status` says of a backend.
    #[track_caller]
    pub fn backend(&self, name: &str) -> Value {
        let status = self.status();
        let pools = status["pools"].as_array().expect("pools");
        let backends = pools.iter().flat_map(|pool| pool["backends"].as_array().expect("backends"));
        let mut named = backends.filter(|backend| backend["name"] == name);
        named.next().unwrap_or_else(|| panic!("no backend {name} in {status}")).clone()
    }

    /// The value of a series in `/metrics`, named as it is written there.
    #[track_caller]
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().expect("a number"))
    }

    /// A `ropewalk` command that talks to it.
    pub fn command(&self, arguments: &[&str]) -> Output {
        let admin = self.admin.to_string();
        Command::new(BINARY).args(arguments).args(["--admin", &admin]).output().expect("run a command")
    }
}

fn with_admin(config: &Value, admin: SocketAddr) -> String {
    let mut config = config.clone();
    config["admin"] = json!(admin.to_string());
    config.to_string()
}
