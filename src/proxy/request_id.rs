//! Ids for requests that come without one.
//!
//! Ids get used as secrets, for example by a support tool that shows a request to anyone who knows
//! its id. So a client that has seen its own ids must not be able to derive those of others. Each
//! worker hashes a counter with its own private key; the key comes from the system's random source
//! once, and an id costs no system call.

use std::hash::{BuildHasher as _, RandomState};

use crate::proxy::task::Text;

/// Where a worker's ids come from.
pub struct RequestIds {
    /// The standard library's SipHash with a random key.
    key: RandomState,
    made: u64,
}

impl RequestIds {
    /// With a key of its own.
    pub fn new() -> Self {
        Self { key: RandomState::new(), made: 0 }
    }

    /// Makes an id: 128 bits as 32 hexadecimal digits.
    pub(super) fn make(&mut self, id: &mut Text<64>) {
        self.made += 1;
        let half = |which: u8| u128::from(self.key.hash_one((self.made, which)));
        let mut bits = half(0) << 64 | half(1);
        let mut digits = [0_u8; 32];
        for digit in &mut digits {
            *digit = b"0123456789abcdef"[(bits & 15) as usize];
            bits >>= 4;
        }
        id.set(&digits);
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(ids: &mut RequestIds) -> String {
        let mut id = Text::default();
        ids.make(&mut id);
        String::from_utf8(id.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn ids_differ_from_each_other_and_between_workers() {
        let (mut one, mut other) = (RequestIds::new(), RequestIds::new());
        let mut ids: Vec<_> = (0..1_000).flat_map(|_| [next(&mut one), next(&mut other)]).collect();
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 2_000);
    }

    #[test]
    fn about_half_of_the_bits_change_from_one_id_to_the_next() {
        let mut ids = RequestIds::new();
        let mut bits = || u128::from_str_radix(&next(&mut ids), 16).unwrap();
        let changed: u32 = (0..256).map(|_| (bits() ^ bits()).count_ones()).sum();
        // 64 each on average; the chance of being so far off is less than one in 10^20.
        assert!((60 * 256..68 * 256).contains(&changed), "{changed}");
    }
}
