//! Nothing outside stops the balancer: neither a stalled reader of its stderr nor a hung configuration
//! file.

use std::io::{Read, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

use crossbeam::channel::bounded;
use rustix::fs::{FileType, Mode};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::balancer::{BINARY, Process, free_address, raise_descriptor_limit};
use super::client::{Client, get};
use super::operator::Operated;
use super::origin::Origin;
use super::wait::{self, Enough};

/// The capacity of the pipe behind stderr. It is full when another line does not fit.
const PIPE_BYTES: usize = 4096;
const LINE_BYTES_MAX: u64 = 512;

/// A child that is killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A backend that accepts connections now and then: each change is a diagnostic line.
fn flap(address: SocketAddr, enough: &Enough) {
    while !enough.is() {
        let Ok(listener) = TcpListener::bind(address) else { continue };
        listener.set_nonblocking(true).expect("set non-blocking");
        wait::until("a probe comes", || enough.is() || listener.accept().is_ok());
        drop(listener);
        let refused = || std::net::TcpStream::connect(address).is_err();
        wait::until("the port is closed", || enough.is() || refused());
    }
}

#[test]
fn a_stalled_reader_of_stderr_does_not_delay_requests() {
    raise_descriptor_limit();
    let (front, admin, backend) = (free_address(), free_address(), free_address());
    let folder = tempfile::tempdir().expect("scratch folder");
    let path = folder.path().join("config.json");
    let config = json!({
        "listen": front.to_string(), "admin": admin.to_string(), "log": { "level": "debug" },
        "pools": { "p": {
            "backends": [{ "url": format!("http://{backend}") }],
            "health_check": {
                "interval": "20ms", "timeout": "15ms", "unhealthy_after": 1, "healthy_after": 1,
            },
        } },
        "routes": [
            { "match": { "path": "/own" }, "respond": { "status": 200, "body": "ok" } },
            { "pool": "p" },
        ],
    });
    std::fs::write(&path, config.to_string()).expect("write the configuration");
    let (mut stderr, write_end) = pipe().expect("a pipe");
    fcntl_setpipe_size(&write_end, PIPE_BYTES).expect("a small pipe");
    let child =
        Command::new(BINARY).arg("--config").arg(&path).stdin(Stdio::null()).stderr(write_end).spawn();
    let mut process = Killed(child.expect("start the balancer"));
    let enough = Enough::not_yet();
    thread::scope(|scope| {
        let _end = wait::Saying(&enough);
        wait::until("it listens", || std::net::TcpStream::connect(front).is_ok());
        scope.spawn(|| flap(backend, &enough));
        // Requests add lines from the workers.
        wait::until("nobody has read stderr for long enough", || {
            let _ = Client::connect(front).get("/");
            ioctl_fionread(&stderr).expect("a count") + LINE_BYTES_MAX > PIPE_BYTES as u64
        });
        for _ in 0..200 {
            assert_eq!(get(front, "/own").head.status(), 200);
            // Whatever its outcome, this one is answered.
            let _ = Client::connect(front).get("/");
        }
        let mut client = Client::connect(admin);
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
        assert_eq!(client.response().expect("an answer").head.status(), 200);

        // It also stops in time, and logs what it still can.
        let pid = Pid::from_raw(process.0.id() as i32).expect("a process id");
        kill_process(pid, Signal::TERM).expect("send a signal");
        let status = wait::within(wait::PATIENCE, || process.0.try_wait().expect("wait for a child"));
        assert!(status.expect("it has ended").success());
    });
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("lines");
    assert!(text.contains("listening on"), "{text}");
}

/// How often the test starts the balancer: the moment in question is a few milliseconds long.
const STARTS: usize = 12;

#[test]
fn a_hangup_sent_as_soon_as_the_port_accepts_is_obeyed() {
    for _ in 0..STARTS {
        let front = free_address();
        let mut command = Command::new(BINARY);
        command.args(["--listen", &front.to_string(), "--backend", "http://127.0.0.1:9"]);
        let process = Process::start(&mut command);
        wait::until("the port accepts", || std::net::TcpStream::connect(front).is_ok());
        process.signal(Signal::HUP);
        process.wait_for_line(&["configuration reloaded"]);
    }
}

/// Puts a named pipe in place of the configuration: reading it as a plain file blocks.
fn put_a_pipe(balancer: &Operated) {
    let pipe = balancer.file().with_file_name("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    std::fs::rename(pipe, balancer.file()).expect("put it into its place");
}

#[test]
fn a_pipe_in_place_of_the_configuration_is_refused_and_blocks_nothing() {
    let origin = Origin::named("origin");
    let mut balancer = Operated::start(&json!({
        "listen": free_address().to_string(),
        "backends": [{ "url": format!("http://{}", origin.address()) }],
    }));
    put_a_pipe(&balancer);
    balancer.process().signal(Signal::HUP);
    balancer.process().wait_for_line(&["configuration not reloaded", "is not a regular file"]);
    let answer = balancer.post("/reload");
    assert_eq!(answer.head.status(), 422, "{}", answer.text());
    assert!(answer.text().contains("is not a regular file"), "{}", answer.text());
    assert_eq!(balancer.get("/healthz").head.status(), 200);
    balancer.process().terminate();
    assert!(balancer.process().wait_exit(wait::PATIENCE).success());
}

#[test]
fn a_hung_reload_blocks_neither_probes_nor_admin_commands_nor_shutdown() {
    let plan = |port: u16| {
        let text = json!({
            "listen": format!("127.0.0.1:{port}"), "workers": 2, "admin": "127.0.0.1:0",
            "routes": [{ "respond": { "status": 200, "body": "ok" } }],
        });
        ropewalk::config::Document::from_json("c", &text.to_string())
            .expect("JSON")
            .check()
            .expect("a plan")
            .plan
    };
    let balancer = ropewalk::Balancer::start(plan(0)).expect("start");
    let (front, admin) = (balancer.addresses()[0], balancer.admin_address().expect("an admin listener"));
    let handle = balancer.handle();
    let (entered, has_entered) = bounded(1);
    let (release, released) = bounded::<()>(0);
    handle.set_source(move || {
        let _ = entered.send(());
        // Until the test releases it, like a file on a network that is gone.
        let _ = released.recv();
        Ok(plan(0))
    });
    let ask = |method: &str, path: &str| {
        let mut client = Client::connect(admin);
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n"));
        client
    };
    let (told, first) = bounded(2);
    let second = told.clone();
    handle.request_reload(move |result| drop(told.send(result)));
    has_entered.recv_timeout(wait::PATIENCE).expect("the reload has begun");
    handle.request_reload(move |result| drop(second.send(result)));
    let mut asked = ask("POST", "/reload");
    for path in ["/healthz", "/status", "/metrics"] {
        assert_eq!(ask("GET", path).response().expect("an answer").head.status(), 200);
    }
    assert_eq!(get(front, "/").head.status(), 200);

    // Both that came while it hung share the next reload.
    release.send(()).expect("it hangs");
    assert!(first.recv_timeout(wait::PATIENCE).expect("what came of it").is_ok());
    has_entered.recv_timeout(wait::PATIENCE).expect("another reload has begun");
    release.send(()).expect("it hangs");
    assert!(first.recv_timeout(wait::PATIENCE).expect("what came of it").is_ok());
    assert_eq!(asked.response().expect("an answer").head.status(), 200);
    assert!(has_entered.is_empty(), "a third reload for three requests");

    // And a reload that never ends does not block shutdown.
    handle.request_reload(drop);
    has_entered.recv_timeout(wait::PATIENCE).expect("the reload has begun");
    let (ended, end) = bounded(1);
    let join = thread::spawn(move || {
        balancer.join().expect("no thread has failed");
        let _ = ended.send(());
    });
    handle.drain();
    end.recv_timeout(wait::PATIENCE).expect("it ends while a reload hangs");
    join.join().expect("no panic");
}

#[test]
fn a_thread_that_ends_ends_the_process_with_a_line_that_names_it() {
    let mut balancer = Operated::start(&json!({
        "listen": free_address().to_string(),
        "routes": [{ "respond": { "status": 200, "body": "ok" } }],
    }));
    // poll(2) refuses more descriptors than the process may have: no thread that polls two can
    // continue.
    balancer.process().limit_descriptors(1);
    let status = balancer.process().wait_exit(wait::PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", balancer.process().log());
    balancer.process().wait_for_line(&["ERROR", "thread rw-", "has ended", "poll failed"]);
}
