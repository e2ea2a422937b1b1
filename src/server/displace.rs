//! Room for a newcomer when there are as many connections as there may be.
//!
//! The newcomer takes the place of a connection that is idle: one that waits for its next request,
//! or has not sent a byte of its first. Of those, one of the client goes that holds most, the longest
//! idle first; never one of a client that holds fewer than the newcomer's. So one client that opens
//! every connection there may be keeps nobody else out, and cannot push others out either.
//!
//! Workers keep no list of idle connections, which would cost every request something. Instead the
//! parked ones are looked over when a newcomer finds no room, and what was found is good for as many
//! newcomers as it has connections, or until it is old. It is old after several times what the look
//! took, so looking takes a small share of the poller's time however many newcomers there are.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::base::clock::{self, Moment};
use crate::base::limits::{LOOK_OVER_EVERY_MIN, LOOK_OVER_SHARE};
use crate::net::parking::{Parking, Spot};
use crate::proxy::task::{Task, Unread};
use crate::server::clients::{Client, Clients};

/// Connections that may give way.
pub(super) struct Idle {
    /// The first to go on top. LIMIT: at most as many as are parked.
    found: BinaryHeap<Candidate>,
    /// From when on they are looked for anew.
    old_at: Moment,
}

/// A connection that was idle when it was looked at.
struct Candidate {
    /// How many its client held.
    held: usize,
    since: Reverse<Moment>,
    client: Client,
    spot: Spot,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { found: BinaryHeap::new(), old_at: Moment::ZERO }
    }

    /// Takes out the idle connection that is to give way to a newcomer, if one is. Connections that
    /// turn out to have sent something are handed to `busy`.
    pub(super) fn displace(
        &mut self,
        parking: &Parking<Task>,
        clients: &Clients,
        newcomer: Client,
        mut busy: impl FnMut(Box<Task>),
    ) -> Option<Box<Task>> {
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
            // It may have left since; a connection that was parked anew is not the same.
            let Some(task) = parking.unpark(candidate.spot) else { continue };
            match task.unread() {
                Unread::Nothing => return Some(task),
                Unread::Something => busy(task),
            }
        }
        None
    }

    /// Finds every idle connection that is parked.
    fn look_over(&mut self, parking: &Parking<Task>, clients: &Clients) {
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
