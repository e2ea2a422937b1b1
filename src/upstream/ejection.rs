//! Decides when failed requests take a backend out of service, and for how long.
//!
//! Probes check whether a backend is up; this judges the outcome of requests. Failed attempts count as
//! *pieces of evidence* in a sliding window; messages call them failure points. A backend with enough
//! of them is *ejected*: it gets no requests for a while, then one at a time as a *trial*, until one is
//! answered. Caps always keep most of a pool, and its last member, in service: removing every backend
//! is worse than using a bad one.
//!
//! Pure: the time and the standing of the members are passed in. Knows neither sockets nor locks nor
//! requests; `ward.rs` holds it for a pool and publishes its decisions.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::{EVIDENCE_CLIENTS_MAX, TRIAL_IDEMPOTENT_FIRST};
use crate::config::plan::Ejection as Rules;
use crate::route::rate_limit::network_of;
use crate::upstream::health::Reason;
use crate::upstream::recent::{Recent, WINDOW};

/// The ejections of one pool.
#[derive(Debug, Default)]
pub struct Ejections {
    rules: Option<Rules>,
    members: HashMap<u32, Member>,
    /// The latest time that was passed in.
    now: Moment,
}

/// The state of a member apart from ejection.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its id.
    pub id: u32,
    /// Probes find it up, and it is not drained.
    pub serves: bool,
    /// Attempts sent to it since the start.
    pub requests: u64,
}

/// A failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What was wrong.
    pub reason: Reason,
    /// How many pieces of evidence it is worth.
    pub pieces: u8,
    /// The client, if each client may count at most once.
    pub client: Option<IpAddr>,
}

/// Which requests a member may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// All of them.
    Serving,
    /// None.
    Ejected,
    /// One idempotent request, as a trial.
    OpenToIdempotent,
    /// Any one request, as a trial.
    OpenToAny,
}

/// A change that is worth a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It gets no requests for a while.
    Ejected {
        /// For how long.
        time: Duration,
        /// The pieces of evidence and the requests in the window.
        seen: (u64, u64),
        /// The last failure.
        reason: Reason,
    },
    /// Its trial failed.
    Renewed {
        /// For how long it now gets no requests.
        time: Duration,
        /// What was wrong.
        reason: Reason,
    },
    /// It serves again.
    Ended(End),
}

/// Why an ejection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its trial was answered.
    Answered,
    /// No other member was left.
    LastOne,
    /// The configuration turned ejection off.
    TurnedOff,
}

/// The state of one member.
#[derive(Debug, Default)]
struct Member {
    /// Pieces of evidence and requests in the window.
    pieces: Recent,
    requests: Recent,
    /// Its total number of requests at the last look.
    requests_seen: u64,
    clients: Clients,
    ejection: Option<Ejection>,
    /// How long the last ejection was to last, and when it ended.
    last: Option<(Duration, Moment)>,
    /// Ejections so far, which is also the number of the last one.
    epoch: u32,
    /// Ejections by reason, in the order of [`Reason::WORDS`].
    counts: [u64; Reason::WORDS.len()],
}

/// A member that is ejected.
#[derive(Clone, Copy, Debug)]
struct Ejection {
    /// When it was first ejected.
    since: Moment,
    /// Until when it gets no requests at all.
    until: Moment,
    time: Duration,
    reason: Reason,
}

/// The visible part of an ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Until when the member gets no requests at all.
    pub until: Moment,
    /// Why it was ejected.
    pub reason: Reason,
}

impl Ejections {
    /// Adopts these rules and members. Without rules nothing is ejected.
    pub fn adopt(&mut self, rules: Option<Rules>, ids: &[u32]) -> Vec<(u32, Change)> {
        self.members.retain(|id, _| ids.contains(id));
        for &id in ids {
            self.members.entry(id).or_default();
        }
        self.rules = rules;
        if self.rules.is_some() {
            return Vec::new();
        }
        let ejected: Vec<u32> = self.ejected().collect();
        ejected.into_iter().filter_map(|id| self.end(id, End::TurnedOff)).collect()
    }

    /// The rules, if there are any.
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// Which requests a member may get, and the number of its ejection.
    pub fn seat(&self, id: u32) -> (Seat, u32) {
        let Some(member) = self.members.get(&id) else { return (Seat::Serving, 0) };
        let seat = match &member.ejection {
            None => Seat::Serving,
            Some(ejection) if self.now < ejection.until => Seat::Ejected,
            Some(ejection) if self.now < ejection.until + TRIAL_IDEMPOTENT_FIRST => Seat::OpenToIdempotent,
            Some(_) => Seat::OpenToAny,
        };
        (seat, member.epoch)
    }

    /// The ejection of a member, if there is one.
    pub fn view(&self, id: u32) -> Option<View> {
        let ejection = self.members.get(&id)?.ejection?;
        Some(View { until: ejection.until, reason: ejection.reason })
    }

    /// How often a member was ejected, in the order of [`Reason::WORDS`].
    pub fn counts(&self, id: u32) -> [u64; Reason::WORDS.len()] {
        self.members.get(&id).map_or([0; Reason::WORDS.len()], |member| member.counts)
    }

    /// When the next seat changes because of time alone.
    pub fn due(&self) -> Moment {
        let ejections = self.members.values().filter_map(|member| member.ejection);
        let moments =
            ejections.flat_map(|ejection| [ejection.until, ejection.until + TRIAL_IDEMPOTENT_FIRST]);
        moments.filter(|&at| at > self.now).min().unwrap_or(Moment::NEVER)
    }

    /// Advances the time, and counts the requests that members have had.
    pub fn tick(&mut self, standing: &[Standing], now: Moment) {
        self.now = self.now.max(now);
        for Standing { id, requests, .. } in standing {
            if let Some(member) = self.members.get_mut(id) {
                member.count_requests(*requests, now);
            }
        }
    }

    /// Counts a failed attempt. Returns the change it caused.
    pub fn failed(
        &mut self,
        id: u32,
        evidence: Evidence,
        standing: &[Standing],
        now: Moment,
    ) -> Option<Change> {
        self.tick(standing, now);
        let rules = self.rules.clone()?;
        let member = self.members.get_mut(&id)?;
        let pieces = match evidence.client {
            Some(client) if !member.clients.is_first(client, now) => return None,
            Some(_) => 1,
            None => evidence.pieces,
        };
        member.pieces.add(u64::from(pieces), now);
        let seen = (member.pieces.sum(now), member.requests.sum(now));
        let enough = seen.0 >= u64::from(rules.failures) && seen.0 * 100 >= seen.1 * u64::from(rules.ratio);
        if member.ejection.is_some() || !enough || !self.may_eject(id, &rules, standing) {
            return None;
        }
        let time = self.eject(id, evidence.reason, &rules, now)?;
        Some(Change::Ejected { time, seen, reason: evidence.reason })
    }

    /// Reports that the trial of ejection number `epoch` was answered.
    pub fn trial_answered(&mut self, id: u32, epoch: u32, now: Moment) -> Option<Change> {
        self.now = self.now.max(now);
        self.is_ejected_since(id, epoch).then(|| self.end(id, End::Answered))?.map(|(_, change)| change)
    }

    /// Reports that the trial of ejection number `epoch` failed. A failure that adds no evidence,
    /// because its client was already counted, proves nothing: the next request may try.
    pub fn trial_failed(&mut self, id: u32, epoch: u32, evidence: Evidence, now: Moment) -> Option<Change> {
        self.now = self.now.max(now);
        let rules = self.rules.clone()?;
        if !self.is_ejected_since(id, epoch) {
            return None;
        }
        let member = self.members.get_mut(&id)?;
        if evidence.client.is_some_and(|client| !member.clients.is_first(client, now)) {
            return None;
        }
        // Ends the ejection at the time of the failure, so that the next one is longer.
        let since = member.ejection.map(|ejection| ejection.since);
        member.last = member.ejection.take().map(|ejection| (ejection.time, now));
        let time = self.eject(id, evidence.reason, &rules, now)?;
        if let (Some(since), Some(ejection)) = (since, self.members.get_mut(&id)?.ejection.as_mut()) {
            ejection.since = since;
        }
        Some(Change::Renewed { time, reason: evidence.reason })
    }

    /// If every serving member is ejected, ends the oldest ejection.
    pub fn settle(&mut self, standing: &[Standing]) -> Option<(u32, Change)> {
        let serving = || standing.iter().filter(|member| member.serves);
        if serving().any(|member| !self.is_ejected(member.id)) {
            return None;
        }
        let since = |id: &u32| self.members.get(id).and_then(|member| member.ejection).map(|e| e.since);
        let oldest = serving().map(|member| member.id).min_by_key(since)?;
        self.end(oldest, End::LastOne)
    }

    /// Whether the caps allow one more ejection. They count serving members.
    fn may_eject(&self, id: u32, rules: &Rules, standing: &[Standing]) -> bool {
        let serving = || standing.iter().filter(|member| member.serves);
        let count = serving().count();
        let ejected = serving().filter(|member| self.is_ejected(member.id)).count();
        let most = (count * rules.pool_max as usize / 100).max(1).min(count.saturating_sub(1));
        serving().any(|member| member.id == id) && ejected < most
    }

    fn eject(&mut self, id: u32, reason: Reason, rules: &Rules, now: Moment) -> Option<Duration> {
        let member = self.members.get_mut(&id)?;
        let time = match member.last {
            Some((time, ended)) if now.since(ended) <= DOUBLES_WITHIN => (time * 2).min(rules.time_max),
            _ => rules.time,
        };
        // A reload may have changed the minimum.
        let time = time.max(rules.time);
        member.ejection = Some(Ejection { since: now, until: now + time, time, reason });
        member.epoch = member.epoch.wrapping_add(1);
        if let Some(count) = member.counts.get_mut(reason.number()) {
            *count += 1;
        }
        member.forget();
        Some(time)
    }

    fn end(&mut self, id: u32, end: End) -> Option<(u32, Change)> {
        let now = self.now;
        let member = self.members.get_mut(&id)?;
        let ejection = member.ejection.take()?;
        member.last = Some((ejection.time, now));
        member.forget();
        Some((id, Change::Ended(end)))
    }

    fn ejected(&self) -> impl Iterator<Item = u32> {
        self.members.iter().filter(|(_, member)| member.ejection.is_some()).map(|(id, _)| *id)
    }

    fn is_ejected(&self, id: u32) -> bool {
        self.members.get(&id).is_some_and(|member| member.ejection.is_some())
    }

    fn is_ejected_since(&self, id: u32, epoch: u32) -> bool {
        self.members.get(&id).is_some_and(|member| member.ejection.is_some() && member.epoch == epoch)
    }
}

/// If the next ejection begins within this time after the last, it lasts longer.
const DOUBLES_WITHIN: Duration = Duration::from_secs(60);

impl Member {
    fn count_requests(&mut self, total: u64, now: Moment) {
        let before = std::mem::replace(&mut self.requests_seen, total);
        self.requests.add(total.saturating_sub(before), now);
    }

    /// Evidence from before an ejection decides nothing after it. But a client that has counted still
    /// does not count again before its time is over.
    fn forget(&mut self) {
        self.pieces.clear();
        self.requests.clear();
    }
}

/// The clients whose failed request was counted in the window.
#[derive(Debug, Default)]
struct Clients {
    /// Networks in the order they were recorded: at most [`EVIDENCE_CLIENTS_MAX`].
    order: VecDeque<(u128, Moment)>,
    noted: HashMap<u128, ()>,
}

impl Clients {
    /// Records a client. Returns whether it was not yet recorded within the window.
    fn is_first(&mut self, client: IpAddr, now: Moment) -> bool {
        let network = network_of(client);
        while let Some(&(oldest, at)) = self.order.front()
            && (now.since(at) >= WINDOW || self.order.len() >= EVIDENCE_CLIENTS_MAX)
        {
            self.order.pop_front();
            self.noted.remove(&oldest);
        }
        if self.noted.insert(network, ()).is_some() {
            return false;
        }
        self.order.push_back((network, now));
        true
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ejected { time, seen: (pieces, requests), reason } => {
                let (time, plural) = (humantime::format_duration(time), if requests == 1 { "" } else { "s" });
                write!(
                    f,
                    "is EJECTED for {time}: {pieces} failure points in {requests} request{plural} within 10s, the last: {reason}"
                )
            }
            Self::Renewed { time, reason } => {
                let time = humantime::format_duration(time);
                write!(f, "stays EJECTED for {time}: its trial request failed: {reason}")
            }
            Self::Ended(End::Answered) => f.write_str("is no longer EJECTED: it answered a request"),
            Self::Ended(End::LastOne) => f.write_str("is no longer EJECTED: no other backend is left"),
            Self::Ended(End::TurnedOff) => f.write_str("is no longer EJECTED: ejection was turned off"),
        }
    }
}

#[cfg(test)]
mod tests;
