//! Ids for requests that come without one.
//!
//! Ids get used as secrets, for example by a support tool that shows a request to anyone who knows
//! its id. So a client that has seen its own ids must not be able to derive those of others. Each
//! worker hashes a counter with its own private key; the key comes from the system's random source
//! once, and an id costs no system call.

use std::hash::{BuildHasher as _, RandomState};

use crate::proxy::text::Text;

/// Where a worker's ids come from.
pub struct RequestIds {
    /// The standard library's SipHash with a random key.
    key: RandomState,
    /// The counter: how many numbers were hashed, two for each id.
    hashed: u64,
}

impl RequestIds {
    /// With a key of its own.
    pub fn new() -> Self {
        Self { key: RandomState::new(), hashed: 0 }
    }

    /// Makes an id: 128 bits as 32 hexadecimal digits.
    pub(super) fn make(&mut self, id: &mut Text<64>) {
        let mut digits = [0_u8; 32];
        for half in digits.chunks_exact_mut(16) {
            self.hashed += 1;
            let bits = self.key.hash_one(self.hashed);
            for (eight, bits) in half.chunks_exact_mut(8).zip([(bits >> 32) as u32, bits as u32]) {
                eight.copy_from_slice(&hex(bits));
            }
        }
        id.set(&digits);
    }
}

/// Eight hexadecimal digits, all at once in the bytes of one number.
fn hex(bits: u32) -> [u8; 8] {
    let mut spread = u64::from(bits);
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    // One in every byte that holds 10 or more: those become letters.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let to_letter = u64::from(b'a' - b'0' - 10);
    (spread + 0x3030_3030_3030_3030 + letters * to_letter).to_be_bytes()
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
    fn digits_are_those_of_the_standard_library() {
        for bits in [0, 0x0123_4567, 0x89ab_cdef, 0xf0e1_d2c3, u32::MAX] {
            assert_eq!(hex(bits), format!("{bits:08x}").as_bytes());
        }
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
