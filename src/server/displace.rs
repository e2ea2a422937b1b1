//! Makes room for a new connection at the connection limit.
//!
//! The new connection replaces an idle one: one that waits for its next request, or has not sent a
//! byte of its first. The victim belongs to the client with the most connections, and is its longest
//! idle one; a client with fewer connections than the newcomer is never a victim. So a client that
//! opens every connection cannot lock others out, and cannot displace them either.
//!
//! Workers keep no list of idle connections, because every request would pay for it. Instead the
//! poller scans the parked connections when a new one finds no room, and uses the result until it is
//! used up or too old. It is too old after several times the duration of the scan, so scans take a
//! small share of the poller's time no matter how many connections arrive.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::base::clock::{self, Moment};
use crate::base::limits::{LOOK_OVER_EVERY_MIN, LOOK_OVER_SHARE};
use crate::net::parking::ParkToken;
use crate::net::parking::lot::Parking;
use crate::proxy::connection::{Connection, Unread};
use crate::server::clients::{Client, Clients};

/// Idle connections found by a scan.
pub(super) struct Idle {
    /// The first to go on top. LIMIT: at most as many as are parked.
    found: BinaryHeap<Candidate>,
    /// When the next scan may run.
    old_at: Moment,
}

/// A connection that was idle when it was looked at.
struct Candidate {
    /// How many its client held.
    held: usize,
    since: Reverse<Moment>,
    client: Client,
    spot: ParkToken,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { found: BinaryHeap::new(), old_at: Moment::ZERO }
    }

    /// Takes out the idle connection that a new one displaces, if there is one. Connections that
    /// turn out to have sent something are handed to `busy`.
    pub(super) fn displace(
        &mut self,
        parking: &Parking<Connection>,
        clients: &Clients,
        newcomer: Client,
        mut busy: impl FnMut(Box<Connection>),
    ) -> Option<Box<Connection>> {
        let own = clients.held_by(newcomer);
        if clock::now() >= self.old_at {
            self.look_over(parking, clients);
        }
        while let Some(mut candidate) = self.found.pop() {
            let held = clients.held_by(candidate.client);
            if held < candidate.held {
                // Some of its client's have closed: another's turn may come first.
                candidate.held = held;
                if held > 0 {
                    self.found.push(candidate);
                }
                continue;
            }
            if held < own {
                self.found.push(candidate);
                return None;
            }
            // It may have left since; a connection that was parked again is a different one.
            let Some(task) = parking.unpark(candidate.spot) else { continue };
            match task.unread() {
                Unread::Nothing => return Some(task),
                Unread::Something => busy(task),
            }
        }
        None
    }

    /// Finds every idle connection that is parked.
    fn look_over(&mut self, parking: &Parking<Connection>, clients: &Clients) {
        let began = clock::now();
        let mut found = std::mem::take(&mut self.found).into_vec();
        found.clear();
        parking.survey(|task, spot| {
            if let Some((address, since)) = task.idle_since() {
                let client = Client::at(address);
                let held = clients.held_by(client);
                found.push(Candidate { held, since: Reverse(since), client, spot });
            }
        });
        // In linear time.
        self.found = BinaryHeap::from(found);
        let took = clock::now().since(began);
        self.old_at = began + (took * LOOK_OVER_SHARE).max(LOOK_OVER_EVERY_MIN);
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.held, self.since).cmp(&(other.held, other.since))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
