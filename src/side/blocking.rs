//! Threads for the two things that can only be done blocking: HTTP probes and name look-ups.
//!
//! There are few of them, they carry no requests, and what each does is bounded: a probe by
//! its timeout, a look-up by the system's resolver, which has threads of its own so that a
//! slow one delays no probe.
//!
//! Jobs that are expected to hang have a lane of their own, served by half of the threads at
//! most. So however many backends are known to hang, they delay each other and nobody else.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, select_biased};
use rustix::io::Errno;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::base::clock;
use crate::side::dial::Fault;
use crate::upstream::health::{ProbeResult, Reason};

/// What a helper is asked to do for the backend with this number.
pub(super) enum Job {
    /// An HTTP probe, which may take `timeout` from when a thread begins it.
    Probe { backend: usize, agent: ureq::Agent, url: String, host: String, timeout: Duration },
    /// A name look-up.
    Resolve { backend: usize, host: String, port: u16 },
}

/// What came of it.
pub(super) enum Answer {
    /// The status of the response, or why there is none, and how long it took.
    Probed { backend: usize, status: Result<u16, Fault>, took: Duration },
    /// The addresses of the name; none if it does not resolve.
    Resolved { backend: usize, addresses: Vec<SocketAddr> },
}

/// How long a job is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Not long.
    Prompt,
    /// As long as it may: the last one of its kind did.
    Suspect,
}

/// A group of helper threads that do one kind of job.
pub(super) struct Helpers {
    prompt: Sender<Job>,
    suspect: Sender<Job>,
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
        let (prompt, prompt_jobs): (_, Receiver<Job>) = bounded(queue);
        let (suspect, suspect_jobs): (_, Receiver<Job>) = bounded(queue);
        let answer = Arc::new(answer);
        for number in 0..count {
            let (prompt_jobs, answer) = (prompt_jobs.clone(), Arc::clone(&answer));
            // A lone thread serves both lanes.
            let suspect_jobs = (number >= count / 2).then(|| suspect_jobs.clone());
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                while let Some(job) = take(&prompt_jobs, suspect_jobs.as_ref()) {
                    answer(job.run());
                }
            })?;
        }
        Ok(Self { prompt, suspect })
    }

    /// Hands over a job. Returns false if all are busy and the queue is full.
    pub(super) fn ask(&self, job: Job, lane: Lane) -> bool {
        let jobs = match lane {
            Lane::Prompt => &self.prompt,
            Lane::Suspect => &self.suspect,
        };
        jobs.try_send(job).is_ok()
    }
}

/// Waits for the next job; `None` when there will be no more.
fn take(prompt: &Receiver<Job>, suspect: Option<&Receiver<Job>>) -> Option<Job> {
    let Some(suspect) = suspect else { return prompt.recv().ok() };
    select_biased! {
        recv(prompt) -> job => job.ok(),
        recv(suspect) -> job => job.ok(),
    }
}

impl Job {
    /// Never panics: a thread that did would leave its backend waiting for an answer, unprobed
    /// for ever, and what a backend sends goes through a parser that is not ours.
    fn run(self) -> Answer {
        match self {
            Self::Probe { backend, agent, url, host, timeout } => {
                let began = clock::now();
                let status = catch_unwind(AssertUnwindSafe(|| probe(&agent, &url, &host, timeout)));
                let status = status.unwrap_or(Err(Fault::Theirs(Reason::BadResponse)));
                Answer::Probed { backend, status, took: clock::now().since(began) }
            }
            Self::Resolve { backend, host, port } => {
                let found = catch_unwind(|| (host.as_str(), port).to_socket_addrs());
                let addresses = found.ok().and_then(Result::ok).map(Iterator::collect);
                Answer::Resolved { backend, addresses: addresses.unwrap_or_default() }
            }
        }
    }
}

/// An agent for probes: one connection for each, nothing followed, every status an answer.
pub(super) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("ropewalk/", env!("CARGO_PKG_VERSION"), " health"))
        .proxy(None)
        .build();
    ureq::Agent::with_parts(config, DefaultConnector::default(), AsWritten)
}

/// Takes the address out of the URL, where we have put it. ureq's own resolver starts a
/// thread for every request that has a timeout, even if there is no name to look up, and
/// panics when the system refuses that thread.
#[derive(Debug)]
struct AsWritten;

impl Resolver for AsWritten {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let address = uri.authority().and_then(|authority| authority.as_str().parse().ok());
        let mut found = self.empty();
        found.push(address.ok_or(ureq::Error::HostNotFound)?);
        Ok(found)
    }
}

fn probe(agent: &ureq::Agent, url: &str, host: &str, timeout: Duration) -> Result<u16, Fault> {
    let request = agent.get(url).config().timeout_global(Some(timeout)).build();
    match request.header("Host", host).header("Connection", "close").call() {
        Ok(response) => Ok(response.status().as_u16()),
        Err(ureq::Error::Io(error)) => Err(fault(&error)),
        Err(ureq::Error::Timeout(_)) => Err(Fault::Theirs(Reason::Timeout)),
        Err(ureq::Error::ConnectionFailed) => Err(Fault::Theirs(Reason::Refused)),
        Err(_) => Err(Fault::Theirs(Reason::BadResponse)),
    }
}

fn fault(error: &io::Error) -> Fault {
    if let Some(errno) = Errno::from_io_error(error) {
        return Fault::of(errno);
    }
    // The standard library and ureq make up errors of their own, which have no number.
    Fault::Theirs(match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Reason::Timeout,
        io::ErrorKind::UnexpectedEof => Reason::Reset,
        _ => Reason::BadResponse,
    })
}

/// The verdict on a status.
pub(super) fn judge(status: u16, expected: &[std::ops::RangeInclusive<u16>]) -> ProbeResult {
    if expected.iter().any(|range| range.contains(&status)) {
        ProbeResult::Success
    } else {
        ProbeResult::Failure(Reason::Status(status))
    }
}
