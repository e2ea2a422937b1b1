//! What an operator is shown of a task: a look at it from outside, which changes nothing.

use crate::base::clock::Moment;
use crate::base::limits::{ADMIN_REQUESTS_MAX, SHOWN_TARGET_BYTES_MAX};
use crate::net::wait::Reason;
use crate::proxy::connection::Connection;
use crate::proxy::exchange::Stage;

/// A request in flight, or a tunnel, as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Its id; empty while the head is arriving, like the next two.
    pub id: String,
    /// The method.
    pub method: String,
    /// The target, as far as it is shown.
    pub target: String,
    /// What it is in the middle of.
    pub stage: &'static str,
    /// The client's address, with its port if it connected itself.
    pub client: String,
    /// The route that it takes, if that is known.
    pub route: Option<String>,
    /// The backend that it is with, if one was chosen.
    pub backend: Option<String>,
    /// When it began.
    pub began: Moment,
    /// When what it waits for will have taken too long.
    pub deadline: Moment,
    /// Tries so far.
    pub attempts: usize,
}

/// Looks at the oldest of many requests.
///
/// LIMIT: holds at most twice as many as are listed, however many there are.
#[derive(Debug, Default)]
pub struct Oldest {
    looks: Vec<(usize, Inspection)>,
    total: usize,
}

impl Oldest {
    /// Adds an inspected task, and the number of its location.
    pub fn add(&mut self, place: usize, look: Inspection) {
        self.total += 1;
        self.looks.push((place, look));
        self.trim();
    }

    /// Adds the findings of another one.
    pub fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.looks.extend(other.looks);
        self.trim();
    }

    /// How many there are, and the oldest of them, oldest first.
    pub fn into_list(mut self) -> (usize, Vec<(usize, Inspection)>) {
        self.looks.sort_by_key(|(_, look)| look.began);
        self.looks.truncate(ADMIN_REQUESTS_MAX);
        (self.total, self.looks)
    }

    fn trim(&mut self) {
        if self.looks.len() >= 2 * ADMIN_REQUESTS_MAX {
            self.looks.select_nth_unstable_by_key(ADMIN_REQUESTS_MAX, |(_, look)| look.began);
            self.looks.truncate(ADMIN_REQUESTS_MAX);
        }
    }
}

/// A target that is not too long to be listed. It is ASCII, as was checked.
fn shown(target: &str) -> String {
    match target.get(..SHOWN_TARGET_BYTES_MAX) {
        Some(start) if start.len() < target.len() => format!("{start}..."),
        _ => target.to_owned(),
    }
}

impl Connection {
    /// A look at the request that it carries; `None` between requests.
    pub fn inspect(&self) -> Option<Inspection> {
        let (client, exchange) = (&self.client, &self.exchange);
        let began = match (exchange.record.begun, client.head_began) {
            (true, _) => exchange.asked.started,
            (false, Some(began)) => began,
            (false, None) => return None,
        };
        let (method, target) = exchange.record.note.as_ref().map_or(("", ""), |note| note.line());
        Some(Inspection {
            id: String::from_utf8_lossy(exchange.asked.id.as_bytes()).into_owned(),
            method: method.to_owned(),
            target: shown(target),
            stage: self.doing(),
            client: match exchange.asked.asker {
                Some(asker) if asker.address != client.peer.ip().to_canonical() => asker.address.to_string(),
                _ => client.peer.to_string(),
            },
            route: match &exchange.kept {
                Some(kept) => kept.route.clone(),
                None => exchange.routed.route.map(|route| exchange.snapshot.route(route).name.clone()),
            },
            backend: exchange.link.as_ref().map(|link| link.lease.backend().name().to_owned()),
            began,
            deadline: self.waits_until_at_most(),
            attempts: exchange.record.attempts.len(),
        })
    }

    /// The deadline of its wait. It may check again earlier.
    fn waits_until_at_most(&self) -> Moment {
        if self.waits_for != Some(Reason::LookAgain) {
            return self.waits_until;
        }
        let exchange = &self.exchange;
        let timeouts = exchange.snapshot.timeouts(exchange.routed.route);
        let whole = timeouts.request.map_or(Moment::NEVER, |limit| exchange.asked.started + limit);
        whole.min(exchange.upload.moved + timeouts.response_head)
    }

    fn doing(&self) -> &'static str {
        match (self.exchange.stage, self.waits_for) {
            (Stage::Tunnel, _) => "tunnel",
            (Stage::Linger, _) => "closing",
            (Stage::Reply, _) => "sending an answer of our own",
            (Stage::Head, _) => "waiting for the rest of the head",
            (Stage::Password, _) => "waiting for its password to be checked",
            (Stage::Redial, _) => "waiting to dial the backend again",
            (Stage::Queue, _) => "waiting for a place at a backend",
            (_, None) => "being worked on",
            (_, Some(Reason::Connect)) => "connecting to the backend",
            (_, Some(Reason::RequestBody)) => "waiting for the client's body",
            (_, Some(Reason::SendRequest)) => "waiting for the backend to take the body",
            (_, Some(Reason::ResponseHead | Reason::WholeRequest | Reason::LookAgain)) => {
                "waiting for the response head"
            }
            (_, Some(Reason::ResponseBody)) => "waiting for the response body",
            (_, Some(Reason::SendResponse)) => "waiting for the client to take the response",
            (_, Some(_)) => "waiting",
        }
    }
}
