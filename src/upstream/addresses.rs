//! The addresses of a backend's host, the preferred one first.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::base::limits::ADDRESSES_MAX;

/// The addresses of a host; none while its name is not resolved.
#[derive(Debug)]
pub struct Addresses(ArcSwap<Vec<SocketAddr>>);

/// What a new list of addresses changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Kept connections may lead to an address that is gone, or that has stopped answering.
    pub distrusts_kept: bool,
    /// The address in use is gone.
    pub in_use_is_gone: bool,
}

impl Addresses {
    /// The address that the configuration gives, if it gives one.
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self(ArcSwap::from_pointee(address.into_iter().collect()))
    }

    /// The preferred one.
    pub fn first(&self) -> Option<SocketAddr> {
        self.0.load().first().copied()
    }

    /// All, the preferred one first.
    pub fn all(&self) -> Arc<Vec<SocketAddr>> {
        self.0.load_full()
    }

    /// Replaces the list. Addresses beyond [`ADDRESSES_MAX`] are left out.
    pub fn set(&self, addresses: &[SocketAddr]) -> Change {
        let addresses: Vec<_> = addresses.iter().take(ADDRESSES_MAX).copied().collect();
        let before = self.0.load();
        if **before == addresses {
            return Change::default();
        }
        let lost = before.iter().any(|address| !addresses.contains(address));
        let moved = before.first() != addresses.first();
        let in_use_is_gone = before.first().is_some_and(|address| !addresses.contains(address));
        self.0.store(Arc::new(addresses));
        Change { distrusts_kept: lost || moved, in_use_is_gone }
    }

    /// Puts the address first that has just answered, so that the next request does not have to
    /// find out that those before it do not.
    pub fn prefer(&self, address: SocketAddr) {
        let before = self.0.load();
        let Some(place) = before.iter().position(|known| *known == address).filter(|place| *place > 0) else {
            return;
        };
        let mut addresses = Vec::clone(&before);
        addresses.rotate_left(place);
        // If the health thread has set another list meanwhile, that is the better one.
        self.0.compare_and_swap(&before, Arc::new(addresses));
    }
}
