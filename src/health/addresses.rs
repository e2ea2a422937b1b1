//! The addresses of one backend, and which of them a probe tries.
//!
//! A name may have several: `localhost` is commonly `::1` first and `127.0.0.1` second, and a backend
//! that listens on only one of them is still healthy. So a probe that fails at one address tries the
//! next within its timeout, and fails only when all have failed. An address that answers stays first.
//! Pure: it never resolves anything.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::limits::ADDRESSES_MAX;

/// Addresses in the order in which the next probe tries them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: VecDeque<SocketAddr>,
    /// How many of them the current probe has tried.
    tried: usize,
}

impl Addresses {
    /// Takes over the result of a lookup. The first address stays first while the name still has it, so
    /// a resolver that shuffles its answers moves no requests.
    pub(super) fn learn(&mut self, found: impl IntoIterator<Item = SocketAddr>) {
        let current = self.first();
        self.list = found.into_iter().take(ADDRESSES_MAX).collect();
        if let Some(place) = self.list.iter().position(|address| Some(*address) == current) {
            self.list.rotate_left(place);
        }
    }

    /// The address to try first; `None` while the name has none.
    pub(super) fn first(&self) -> Option<SocketAddr> {
        self.list.front().copied()
    }

    /// All addresses, the one to try first at the front.
    pub(super) fn in_order(&self) -> Vec<SocketAddr> {
        self.list.iter().copied().collect()
    }

    /// Starts a new probe, at the first address.
    pub(super) fn begin(&mut self) {
        self.tried = 0;
    }

    /// The address to try next in this probe; `None` once all have been tried.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let address = self.list.get(self.tried).copied()?;
        self.tried += 1;
        Some(address)
    }

    /// Moves an address that answered to the front, if the name still has it.
    pub(super) fn answered(&mut self, address: SocketAddr) {
        let place = self.list.iter().position(|&known| known == address);
        self.rotate(place.unwrap_or(0));
    }

    /// Reports that the probe failed. The next one starts after the addresses that this one tried: an
    /// address that swallows every packet uses up the whole timeout and would otherwise hide the others
    /// for ever.
    pub(super) fn failed(&mut self) {
        self.rotate(self.tried);
    }

    fn rotate(&mut self, by: usize) {
        if !self.list.is_empty() {
            self.list.rotate_left(by % self.list.len());
        }
        self.tried = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn addresses(last: &[u8]) -> Addresses {
        let mut addresses = Addresses::default();
        addresses.learn(last.iter().copied().map(address));
        addresses
    }

    #[test]
    fn a_probe_tries_each_address_once() {
        let mut addresses = addresses(&[1, 2]);
        for _ in 0..2 {
            addresses.begin();
            assert_eq!(addresses.next(), Some(address(1)));
            assert_eq!(addresses.next(), Some(address(2)));
            assert_eq!(addresses.next(), None);
        }
    }

    #[test]
    fn the_address_that_answered_comes_first() {
        let mut addresses = addresses(&[1, 2, 3]);
        addresses.begin();
        addresses.answered(address(2));
        assert_eq!(addresses.first(), Some(address(2)));
        addresses.answered(address(2));
        assert_eq!(addresses.first(), Some(address(2)));
        // A lookup has removed it meanwhile.
        addresses.answered(address(9));
        assert_eq!(addresses.first(), Some(address(2)));
    }

    #[test]
    fn an_address_that_used_up_the_timeout_does_not_hide_the_next() {
        let mut addresses = addresses(&[1, 2]);
        addresses.begin();
        addresses.next();
        addresses.failed();
        assert_eq!(addresses.first(), Some(address(2)));
    }

    #[test]
    fn a_shuffled_answer_moves_nothing_and_a_new_one_does() {
        let mut addresses = addresses(&[1, 2]);
        addresses.learn([address(2), address(1)]);
        assert_eq!(addresses.first(), Some(address(1)));
        addresses.learn([address(3)]);
        assert_eq!(addresses.first(), Some(address(3)));
    }

    #[test]
    fn a_name_without_addresses_gives_none_to_try() {
        let mut addresses = Addresses::default();
        addresses.begin();
        assert_eq!(addresses.next(), None);
        addresses.failed();
        addresses.answered(address(1));
        assert_eq!(addresses.first(), None);
    }
}
