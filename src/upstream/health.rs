//! The health state of a backend, computed from probe results. No clock, no sockets, no threads.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::PROBES_KEPT_MAX;
use crate::config::plan::HealthCheck;
use crate::http::{ChunkError, HeadError};

/// The health state of one backend, and how it changes.
///
/// A backend starts as up: with nothing known, serving is the better guess. The very first probe
/// decides alone; after it, a change takes as many results in a row as configured. But one success is
/// enough while no probe has succeeded since the start or since the address changed, and while the pool
/// has no usable backend ([`Proof`]).
#[derive(Debug)]
pub struct HealthState {
    rules: Option<Rules>,
    up: bool,
    probed: bool,
    /// Whether a probe has succeeded since the start, or since the address changed.
    proven: bool,
    /// Probes in a row that contradict the state.
    against: u32,
    history: VecDeque<Record>,
    /// Probes since the start: those that succeeded, and those that did not.
    counts: (u64, u64),
    /// What decided the last change.
    evidence: Option<Evidence>,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    healthy_after: u32,
    unhealthy_after: u32,
}

/// How one probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The backend is healthy.
    Success,
    /// It is not.
    Failure(Reason),
}

/// How many successes in a row bring a backend up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// As many as configured.
    AsConfigured,
    /// One: the pool has no usable backend, so trying this one is better than none.
    OneSuccess,
}

/// What is wrong with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Connection refused.
    Refused,
    /// No answer in time.
    Timeout,
    /// There is no route to it.
    Unreachable,
    /// It closed the connection before it answered.
    Reset,
    /// Its name has no address.
    Unresolved,
    /// It answered with a status that does not count as healthy.
    Status(u16),
    /// Its response is not valid HTTP.
    BadResponse,
    /// The head of its response violates this rule.
    BadHead(HeadError),
    /// The body of its response violates this rule.
    BadBody(ChunkError),
    /// It closed the connection before its response was complete.
    Truncated,
    /// It sent too many interim (1xx) responses.
    EndlessInterim,
    /// It answered with an unrequested 101.
    UnaskedUpgrade,
}

/// A finished probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it ended.
    pub at: Moment,
    /// How long it took.
    pub latency: Duration,
    /// How it ended.
    pub result: ProbeResult,
}

/// A change of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The new state.
    pub up: bool,
    /// What caused it.
    pub evidence: Evidence,
}

/// What caused a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// This many good probes in a row.
    GoodProbes(u32),
    /// This many bad probes in a row, the last for this reason.
    BadProbes(u32, Reason),
}

impl HealthState {
    /// An initial state. Without a check it never changes: nothing would ever bring the backend back
    /// up.
    pub fn new(check: Option<&HealthCheck>) -> Self {
        Self {
            rules: check.map(Rules::of),
            up: true,
            probed: false,
            proven: false,
            against: 0,
            history: VecDeque::new(),
            counts: (0, 0),
            evidence: None,
        }
    }

    /// Adopts new rules and keeps the state. If there are no rules any more, the state is reset to the
    /// initial one.
    pub fn adopt(&mut self, check: Option<&HealthCheck>) {
        self.rules = check.map(Rules::of);
        if self.rules.is_none() {
            *self = Self { counts: self.counts, ..Self::new(None) };
        }
    }

    /// Probes since the start: those that succeeded, and those that did not.
    pub fn probes(&self) -> (u64, u64) {
        self.counts
    }

    /// What caused the last change.
    pub fn evidence(&self) -> Option<Evidence> {
        self.evidence
    }

    /// Whether the backend is up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether the last probe contradicts the state, so that the next should come sooner.
    pub fn in_transition(&self) -> bool {
        self.against > 0
    }

    /// Whether a probe has succeeded since the start, or since the address changed.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Called when its name has a new address. The state stays until a probe of that address.
    pub fn address_changed(&mut self) {
        self.proven = false;
    }

    /// The last probes, oldest first.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Record> {
        self.history.iter()
    }

    /// Counts a probe. `proof` says how many successes bring the backend up.
    pub fn probe(
        &mut self,
        result: ProbeResult,
        latency: Duration,
        at: Moment,
        proof: Proof,
    ) -> Option<Transition> {
        if self.history.len() == PROBES_KEPT_MAX {
            self.history.pop_front();
        }
        self.history.push_back(Record { at, latency, result });
        match result {
            ProbeResult::Success => self.counts.0 += 1,
            ProbeResult::Failure(_) => self.counts.1 += 1,
        }
        let rules = self.rules?;
        let first = !std::mem::replace(&mut self.probed, true);
        let proven = self.proven;
        self.proven |= result == ProbeResult::Success;
        if (result == ProbeResult::Success) == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = match result {
            _ if first => 1,
            ProbeResult::Success if !proven || proof == Proof::OneSuccess => 1,
            ProbeResult::Success => rules.healthy_after,
            ProbeResult::Failure(_) => rules.unhealthy_after,
        };
        if self.against < needed {
            return None;
        }
        let evidence = match result {
            ProbeResult::Success => Evidence::GoodProbes(self.against),
            ProbeResult::Failure(reason) => Evidence::BadProbes(self.against, reason),
        };
        Some(self.turn(evidence))
    }

    fn turn(&mut self, evidence: Evidence) -> Transition {
        self.up = matches!(evidence, Evidence::GoodProbes(_));
        self.against = 0;
        self.evidence = Some(evidence);
        Transition { up: self.up, evidence }
    }
}

impl Rules {
    fn of(check: &HealthCheck) -> Self {
        Self { healthy_after: check.healthy_after, unhealthy_after: check.unhealthy_after }
    }
}

impl Transition {
    /// The log line for a backend, whose name is unique only in its pool.
    pub fn describe(&self, pool: &str, name: &str, address: Option<SocketAddr>) -> String {
        let place = address.map(|address| format!(" ({address})")).unwrap_or_default();
        let state = if self.up { "UP" } else { "DOWN" };
        format!("backend {name}{place} of pool {pool} is {state} after {}", self.evidence)
    }

    /// Logs that line.
    pub fn log(&self, pool: &str, name: &str, address: Option<SocketAddr>) {
        let level = if self.up { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "{}", self.describe(pool, name, address));
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u32| if count == 1 { "" } else { "s" };
        match *self {
            Self::GoodProbes(count) => write!(f, "{count} successful probe{}", plural(count)),
            Self::BadProbes(count, reason) => write!(f, "{count} failed probe{}: {reason}", plural(count)),
        }
    }
}

impl Reason {
    /// The label of each reason in metrics, by its number.
    pub const WORDS: [&str; 7] = [
        "connection_refused",
        "timeout",
        "unreachable",
        "connection_closed",
        "unresolved",
        "status",
        "bad_response",
    ];

    /// Its place in [`Reason::WORDS`].
    pub(super) fn number(self) -> usize {
        match self {
            Self::Refused => 0,
            Self::Timeout => 1,
            Self::Unreachable => 2,
            Self::Reset => 3,
            Self::Unresolved => 4,
            Self::Status(_) => 5,
            Self::BadResponse
            | Self::BadHead(_)
            | Self::BadBody(_)
            | Self::Truncated
            | Self::EndlessInterim
            | Self::UnaskedUpgrade => 6,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Refused => f.write_str("connection refused"),
            Self::Timeout => f.write_str("timeout"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Reset => f.write_str("connection closed before it answered"),
            Self::Unresolved => f.write_str("its name does not resolve"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::BadResponse => f.write_str("bad response"),
            Self::BadHead(error) => write!(f, "bad response: {}", error.explain()),
            Self::BadBody(error) => write!(f, "bad response body: {}", error.explain()),
            Self::Truncated => f.write_str("connection closed within the response"),
            Self::EndlessInterim => f.write_str("more interim responses than limits.interim allows"),
            Self::UnaskedUpgrade => f.write_str("a 101 that was not asked for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Probe;

    const GOOD: ProbeResult = ProbeResult::Success;
    const BAD: ProbeResult = ProbeResult::Failure(Reason::Refused);

    fn judgement() -> HealthState {
        HealthState::new(Some(&HealthCheck {
            probe: Probe::Tcp,
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after: 2,
            unhealthy_after: 3,
        }))
    }

    fn probe(judgement: &mut HealthState, result: ProbeResult) -> Option<Transition> {
        judgement.probe(result, Duration::ZERO, Moment::ZERO, Proof::AsConfigured)
    }

    #[test]
    fn starts_up_and_the_first_probe_alone_can_take_down() {
        let mut judgement = judgement();
        assert!(judgement.is_up());
        let transition = probe(&mut judgement, BAD).unwrap();
        assert_eq!(transition, Transition { up: false, evidence: Evidence::BadProbes(1, Reason::Refused) });
        assert!(!judgement.is_up());
    }

    #[test]
    fn goes_down_on_the_third_failure_in_a_row_and_up_on_the_second_success() {
        let mut judgement = judgement();
        for result in [GOOD, BAD, BAD, GOOD, BAD, BAD] {
            assert_eq!(probe(&mut judgement, result), None);
        }
        assert!(judgement.in_transition());
        assert!(!probe(&mut judgement, BAD).unwrap().up);
        for result in [GOOD, BAD, GOOD] {
            assert_eq!(probe(&mut judgement, result), None);
        }
        let transition = probe(&mut judgement, GOOD).unwrap();
        assert_eq!(transition.evidence, Evidence::GoodProbes(2));
        assert!(judgement.is_up() && !judgement.in_transition());
    }

    #[test]
    fn one_success_brings_up_a_backend_that_no_probe_has_found_up() {
        let mut judgement = judgement();
        probe(&mut judgement, BAD);
        assert_eq!(probe(&mut judgement, GOOD).unwrap().evidence, Evidence::GoodProbes(1));
        // From now on the configured number applies.
        for result in [BAD, BAD, BAD, GOOD] {
            probe(&mut judgement, result);
        }
        assert!(!judgement.is_up());
        judgement.address_changed();
        probe(&mut judgement, BAD);
        assert!(probe(&mut judgement, GOOD).unwrap().up);
    }

    #[test]
    fn one_success_is_enough_where_no_other_backend_is_usable() {
        let mut judgement = judgement();
        for result in [GOOD, BAD, BAD, BAD] {
            probe(&mut judgement, result);
        }
        let transition = judgement.probe(GOOD, Duration::ZERO, Moment::ZERO, Proof::OneSuccess);
        assert_eq!(transition.unwrap().evidence, Evidence::GoodProbes(1));
    }

    #[test]
    fn a_bad_response_names_the_rule_that_it_breaks() {
        let reason = Reason::BadHead(HeadError::TwoFramings).to_string();
        assert_eq!(reason, "bad response: there are both a Content-Length and a Transfer-Encoding");
    }

    #[test]
    fn keeps_only_the_last_probes() {
        let mut judgement = judgement();
        for nanos in 0..100 {
            judgement.probe(GOOD, Duration::ZERO, Moment::from_nanos(nanos), Proof::AsConfigured);
        }
        assert_eq!(judgement.history().len(), PROBES_KEPT_MAX);
        assert_eq!(judgement.history().next().unwrap().at, Moment::from_nanos(100 - PROBES_KEPT_MAX as u64));
    }

    #[test]
    fn a_transition_reads_well() {
        let down = Transition { up: false, evidence: Evidence::BadProbes(3, Reason::Status(503)) };
        assert_eq!(
            down.describe("web", "server-2", Some(([127, 0, 0, 1], 9002).into())),
            "backend server-2 (127.0.0.1:9002) of pool web is DOWN after 3 failed probes: status 503"
        );
        let up = Transition { up: true, evidence: Evidence::GoodProbes(1) };
        assert_eq!(up.describe("web", "a", None), "backend a of pool web is UP after 1 successful probe");
    }
}
