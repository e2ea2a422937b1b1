//! Threads for the two things that can only be done blocking: HTTP probes and name look-ups.
//!
//! There are few of them, they carry no requests, and what each does is bounded: a probe by
//! its timeout, a look-up by the system's resolver, which has a thread of its own so that a
//! slow one delays no probe.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use rustix::io::Errno;

use crate::net::stream::is_shortage;
use crate::upstream::health::{ProbeResult, Reason};

/// What a helper is asked to do for the backend with this number.
pub(super) enum Job {
    /// An HTTP probe.
    Probe { backend: usize, agent: ureq::Agent, url: String, host: String },
    /// A name look-up.
    Resolve { backend: usize, host: String, port: u16 },
}

/// What came of it.
pub(super) enum Answer {
    /// The status of the response, or why there is none.
    Probed { backend: usize, status: Result<u16, Reason> },
    /// The addresses of the name; none if it does not resolve.
    Resolved { backend: usize, address: Option<SocketAddr> },
}

/// A group of helper threads that do one kind of job.
pub(super) struct Helpers {
    jobs: Sender<Job>,
}

impl Helpers {
    /// Starts `count` threads. They call `answer` with what they found out, and end when this
    /// is dropped and the job at hand is done: they are not joined, because a blocking call
    /// cannot be cut short, and hold on to nothing that a stop would miss.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(
        name: &str,
        count: usize,
        queue: usize,
        answer: impl Fn(Answer) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver): (_, Receiver<Job>) = bounded(queue);
        let answer = Arc::new(answer);
        for number in 0..count {
            let (jobs, answer) = (receiver.clone(), Arc::clone(&answer));
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                for job in jobs {
                    answer(job.run());
                }
            })?;
        }
        Ok(Self { jobs: sender })
    }

    /// Hands over a job. Returns false if all are busy and the queue is full.
    pub(super) fn ask(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

impl Job {
    fn run(self) -> Answer {
        match self {
            Self::Probe { backend, agent, url, host } => {
                Answer::Probed { backend, status: probe(&agent, &url, &host) }
            }
            Self::Resolve { backend, host, port } => {
                let addresses = (host.as_str(), port).to_socket_addrs();
                Answer::Resolved { backend, address: addresses.ok().and_then(|mut found| found.next()) }
            }
        }
    }
}

/// An agent for probes: one connection for each, nothing followed, every status an answer.
pub(super) fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION"), " health"))
        .proxy(None)
        .build()
        .into()
}

fn probe(agent: &ureq::Agent, url: &str, host: &str) -> Result<u16, Reason> {
    match agent.get(url).header("Host", host).header("Connection", "close").call() {
        Ok(response) => Ok(response.status().as_u16()),
        Err(ureq::Error::Timeout(_)) => Err(Reason::Timeout),
        Err(ureq::Error::Io(error)) if Errno::from_io_error(&error).is_some_and(is_shortage) => {
            Err(Reason::Shortage)
        }
        Err(ureq::Error::Io(error)) => Err(match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Reason::Timeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Reason::Reset,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
            _ => Reason::BadResponse,
        }),
        Err(ureq::Error::ConnectionFailed) => Err(Reason::Refused),
        Err(_) => Err(Reason::BadResponse),
    }
}

/// The verdict on a status.
pub(super) fn judge(status: Result<u16, Reason>, expected: &[std::ops::RangeInclusive<u16>]) -> ProbeResult {
    match status {
        Ok(status) if expected.iter().any(|range| range.contains(&status)) => ProbeResult::Success,
        Ok(status) => ProbeResult::Failure(Reason::Status(status)),
        Err(reason) => ProbeResult::Failure(reason),
    }
}
