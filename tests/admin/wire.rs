//! A listener to test, and a client that reads whole responses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk::internal::admin::AdminThread;
use ropewalk::internal::base::supervisor::Supervisor;

use crate::fake::Fake;

/// How long anything may take before a test calls it "never".
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A listener and the balancer behind it.
pub struct Admin {
    pub fake: Arc<Fake>,
    pub thread: AdminThread,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Admin {
    pub fn start() -> Self {
        Self::with_token(None)
    }

    pub fn with_token(token: Option<&str>) -> Self {
        let fake = Fake::new();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let thread =
            AdminThread::spawn(local, token.map(str::to_owned), fake.clone(), &Supervisor::default())
                .unwrap();
        Self { fake, thread }
    }

    pub fn address(&self) -> SocketAddr {
        self.thread.address()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "")
    }

    pub fn post(&self, target: &str) -> Answer {
        self.ask("POST", target, "")
    }

    /// Asks with further field lines, each with its line end.
    pub fn ask(&self, method: &str, target: &str, fields: &str) -> Answer {
        let host = self.address();
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"))
    }

    /// Sends these bytes and reads the answer.
    pub fn send(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        // A client that is refused early may see a reset here; what counts is the response.
        let _ = stream.write_all(bytes.as_bytes());
        read_answer(&mut stream)
    }
}

/// Reads until the connection ends.
pub fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Answer {
    /// The values of a field, joined with commas.
    pub fn field(&self, name: &str) -> String {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let values: Vec<_> =
            lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect();
        values.join(", ")
    }
}

/// Waits until `look` finds something.
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        // PACE: the gap between two looks at a condition, not a wait for it.
        std::thread::sleep(Duration::from_millis(20));
    }
}
