//! `ropewalk demo`: what it prints can be typed, and nothing outlives it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use super::balancer::BINARY;
use super::client;
use super::wait;

/// The demo's output, line by line, up to the last.
struct Demo {
    child: Child,
    said: Vec<String>,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(BINARY);
        let mut child =
            command.arg("demo").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start it");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut said = Vec::new();
        for line in lines.map_while(Result::ok) {
            let is_last = line.starts_with("Ctrl-C");
            said.push(line);
            if is_last {
                break;
            }
        }
        Self { child, said }
    }

    /// What follows a word at the start of a line.
    fn after(&self, start: &str) -> &str {
        let found = self.said.iter().find_map(|line| line.trim_start().strip_prefix(start));
        found.unwrap_or_else(|| panic!("no {start:?} in {:#?}", self.said)).trim()
    }

    fn address(&self, start: &str) -> std::net::SocketAddr {
        let url = self.after(start).strip_prefix("http://").expect("a URL");
        url.trim_end_matches('/').parse().expect("an address")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A head of 40 fields and 3 KiB of cookies: what a browser sends, and more.
fn browser_request(host: std::net::SocketAddr) -> String {
    let cookie: String = (0..30).map(|index| format!("c{index}={}; ", "v".repeat(100))).collect();
    let more: String = (0..36).map(|index| format!("Sec-Sample-{index}: ?0\r\n")).collect();
    format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\nAccept-Language: en\r\n\
         Cookie: {cookie}\r\n{more}\r\n"
    )
}

fn status_page(admin: std::net::SocketAddr) -> String {
    // It answers only to its own name.
    let mut client = client::Client::connect(admin);
    client.send(format!("GET / HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    client.response().expect("an answer").text()
}

// One test, because two demonstrations at once would want the same ports.
#[test]
fn browsers_are_served_and_a_backend_can_be_killed_without_a_failed_request() {
    let mut demo = Demo::start();
    let (balancer, admin) = (demo.address("The balancer:"), demo.address("The status page:"));
    let mut browser = client::Client::connect(balancer);
    for server in ["server-1", "server-2", "server-3"] {
        browser.send(browser_request(balancer));
        let answer = browser.response().expect("an answer");
        assert_eq!((answer.head.status(), answer.text()), (200, format!("Response from {server}\n")));
    }
    let mut uploader = client::Client::connect(balancer);
    uploader.send(format!("POST /echo HTTP/1.1\r\nHost: {balancer}\r\nContent-Length: 5\r\n\r\nhello"));
    assert_eq!(uploader.response().expect("an answer").text(), "hello");
    let stream = std::net::TcpStream::connect(balancer).expect("connect");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a time limit");
    let (mut socket, _) = tungstenite::client(format!("ws://{balancer}/ws"), stream).expect("a WebSocket");
    socket.send("hello".into()).expect("send");
    assert_eq!(socket.read().expect("its echo"), "hello".into());
    // The third of the round, so that the next begins with the first.
    assert_eq!(client::get(balancer, "/").text(), "Response from server-3\n");
    let names = |count: usize| -> Vec<String> {
        let ask = |_| {
            let answer = client::get(balancer, "/");
            assert_eq!(answer.head.status(), 200);
            answer.text()
        };
        (0..count).map(ask).collect()
    };
    assert_eq!(
        names(3),
        ["Response from server-1\n", "Response from server-2\n", "Response from server-3\n"]
    );
    assert!(status_page(admin).contains("3 of 3 up"));
    let process: i32 = demo.after("kill -9").parse().expect("a process");
    let process = Pid::from_raw(process).expect("a process");
    rustix::process::kill_process(process, Signal::KILL).expect("kill the backend");
    assert!(names(12).iter().all(|name| name != "Response from server-2\n"));
    wait::until("the status page shows it", || status_page(admin).contains("2 of 3 up"));
    // However it is ended, the others go with it, even if it cannot clean up.
    let origins: Vec<_> = ["server-1:", "server-3:"].map(|name| demo.after(name).to_owned()).into();
    let addresses: Vec<std::net::SocketAddr> = origins
        .iter()
        .filter_map(|said| said.strip_prefix("http://")?.split('/').next()?.parse().ok())
        .collect();
    assert_eq!(addresses.len(), 2, "{origins:?}");
    demo.child.kill().expect("kill it");
    for address in addresses {
        wait::until("the origin has ended", || std::net::TcpStream::connect(address).is_err());
    }
}
