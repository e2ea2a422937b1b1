//! Nothing outside stops the balancer: not whoever reads its stderr and has stopped, and not a
//! configuration file that hangs.

use std::io::{Read, pipe};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use serde_json::json;

use super::balancer::{BINARY, free_address, raise_descriptor_limit};
use super::client::{Client, get};
use super::wait::{self, Enough};

/// Bytes that the pipe behind stderr holds. What does not fit another line is full.
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

/// A backend that accepts connections now and then: each change of mind is a line of diagnostics.
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
fn a_stalled_reader_of_stderr_holds_up_no_request() {
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
        // Requests add lines of the workers' own.
        wait::until("nobody has read stderr for long enough", || {
            let _ = Client::connect(front).get("/");
            ioctl_fionread(&stderr).expect("a count") + LINE_BYTES_MAX > PIPE_BYTES as u64
        });
        for _ in 0..200 {
            assert_eq!(get(front, "/own").head.status(), 200);
            // Whatever becomes of this one, it is answered.
            let _ = Client::connect(front).get("/");
        }
        let mut client = Client::connect(admin);
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
        assert_eq!(client.response().expect("an answer").head.status(), 200);

        // It stops in good time, too, and says what it still can.
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(process.0.id() as i32).expect("a process id"),
            rustix::process::Signal::TERM,
        )
        .expect("send a signal");
        let status = wait::within(wait::PATIENCE, || process.0.try_wait().expect("wait for a child"));
        assert!(status.expect("it has ended").success());
    });
    let mut text = String::new();
    stderr.read_to_string(&mut text).expect("lines");
    assert!(text.contains("listening on"), "{text}");
}
