//! How many connections each client address holds.
//!
//! Only the poller accepts, so it alone owns the table and no lock guards it. Each task carries a
//! guard value that uncounts its connection on drop, on any thread. An address whose last
//! connection has closed stays in the table until the next sweep, whose cost is spread over as many
//! accepts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::limits::CLIENT_ADDRESSES_KEPT;
use crate::proxy::counted::Counted;
use crate::route::rate_limit::network_of;

/// Who counts as one client: an IPv4 address, or the /64 network that an IPv6 subscriber is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client(u128);

impl Client {
    pub(super) fn at(address: IpAddr) -> Self {
        Self(network_of(address))
    }
}

/// The connections of each client.
pub(super) struct Clients {
    held: HashMap<Client, Arc<AtomicUsize>>,
    /// The number of entries at which those without connections are dropped.
    sweep_at: usize,
}

impl Clients {
    pub(super) fn new() -> Self {
        Self { held: HashMap::new(), sweep_at: CLIENT_ADDRESSES_KEPT }
    }

    /// How many connections a client holds.
    pub(super) fn held_by(&self, client: Client) -> usize {
        self.held.get(&client).map_or(0, |held| held.load(Ordering::Relaxed))
    }

    /// Counts one more connection of a client for as long as the value lives.
    pub(super) fn count(&mut self, client: Client) -> Counted {
        if self.held.len() >= self.sweep_at {
            self.sweep();
        }
        Counted::new(self.held.entry(client).or_default())
    }

    /// LIMIT: the table has at most twice as many entries as there are clients with connections, and
    /// [`CLIENT_ADDRESSES_KEPT`] more.
    fn sweep(&mut self) {
        self.held.retain(|_, held| held.load(Ordering::Relaxed) > 0);
        self.sweep_at = 2 * self.held.len() + CLIENT_ADDRESSES_KEPT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::at(text.parse().unwrap())
    }

    #[test]
    fn connections_are_counted_for_an_address_or_a_64_network() {
        let mut clients = Clients::new();
        let first = clients.count(client("192.0.2.1"));
        let second = clients.count(client("::ffff:192.0.2.1"));
        let _other = clients.count(client("192.0.2.2"));
        let _six = [clients.count(client("2001:db8::1")), clients.count(client("2001:db8::2:0:0:1"))];
        assert_eq!(clients.held_by(client("192.0.2.1")), 2);
        assert_eq!(clients.held_by(client("2001:db8::3")), 2);
        assert_eq!(clients.held_by(client("2001:db8:0:1::3")), 0);
        drop((first, second));
        assert_eq!(clients.held_by(client("192.0.2.1")), 0);
    }

    #[test]
    fn addresses_that_hold_nothing_are_forgotten() {
        let mut clients = Clients::new();
        let kept = clients.count(client("192.0.2.1"));
        for number in 0..10 * CLIENT_ADDRESSES_KEPT as u32 {
            drop(clients.count(Client(u128::from(number) << 64)));
            assert!(clients.held.len() <= 2 * CLIENT_ADDRESSES_KEPT);
        }
        assert_eq!(clients.held_by(client("192.0.2.1")), 1);
        drop(kept);
    }
}
