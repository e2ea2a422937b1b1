//! Rate limits: token buckets in a table of fixed size.
//!
//! A bucket is stored as one number, the time at which it will be full again (the generic cell rate
//! algorithm). The table has a fixed number of entries. A client that finds none free takes the entry
//! of the bucket that is nearest to full, which loses the least.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::limits::{RATE_LIMIT_SETS, RATE_LIMIT_WAYS};
use crate::config::plan::{RateLimit, RateLimitKey};

/// The buckets of one route.
pub struct RateLimiter {
    plan: RateLimit,
    /// The time per token.
    token_every: Duration,
    /// How far from full a bucket may be: the burst, less the request in question.
    tolerance: Duration,
    hasher: RandomState,
    /// LOCK: guards the buckets while one of a few is searched and updated.
    buckets: Mutex<Box<[[Bucket; RATE_LIMIT_WAYS]]>>,
}

/// The key of a client, and when its bucket will be full. A key of 0 means that the entry is free.
#[derive(Clone, Copy)]
struct Bucket {
    key: u64,
    full_at: Moment,
}

impl Bucket {
    const FREE: Self = Self { key: 0, full_at: Moment::ZERO };
}

impl RateLimiter {
    /// A limiter with full buckets.
    pub fn new(plan: RateLimit) -> Self {
        let token_every = plan.per / plan.requests.max(1);
        let sets = match plan.key {
            RateLimitKey::Client => RATE_LIMIT_SETS,
            RateLimitKey::Route => 1,
        };
        Self {
            token_every,
            tolerance: token_every * plan.burst.saturating_sub(1),
            hasher: RandomState::new(),
            buckets: Mutex::new(vec![[Bucket::FREE; RATE_LIMIT_WAYS]; sets].into()),
            plan,
        }
    }

    /// The plan it was built from.
    pub fn plan(&self) -> &RateLimit {
        &self.plan
    }

    /// Takes a token for a request.
    ///
    /// # Errors
    /// The bucket is empty. Returns the time until the next token.
    pub fn take(&self, client: IpAddr, now: Moment) -> Result<(), Duration> {
        let key = match self.plan.key {
            RateLimitKey::Client => self.hasher.hash_one(network_of(client)) | 1,
            RateLimitKey::Route => 1,
        };
        let mut buckets = self.buckets.lock();
        let sets = buckets.len();
        // The upper half selects the set, because the lowest bit is always set.
        let Some(set) = buckets.get_mut((key >> 32) as usize % sets) else { return Ok(()) };
        let place = match set.iter().position(|bucket| bucket.key == key) {
            Some(place) => place,
            None => {
                set.iter().zip(0..).min_by_key(|(bucket, _)| bucket.full_at).map_or(0, |(_, place)| place)
            }
        };
        let Some(bucket) = set.get_mut(place) else { return Ok(()) };
        if bucket.key != key {
            *bucket = Bucket { key, full_at: now };
        }
        let full_at = bucket.full_at.max(now);
        let missing = full_at.since(now);
        if missing > self.tolerance {
            return Err(missing - self.tolerance);
        }
        bucket.full_at = full_at + self.token_every;
        Ok(())
    }
}

/// The unit that counts as one client: an IPv4 address, or the /64 network of an IPv6 subscriber.
pub fn network_of(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64 | 1,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn limiter(requests: u32, burst: u32, key: RateLimitKey) -> RateLimiter {
        RateLimiter::new(RateLimit { requests, per: Duration::from_secs(1), burst, key })
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(1 << 40) + Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let limiter = limiter(10, 3, RateLimitKey::Client);
        for _ in 0..3 {
            assert_eq!(limiter.take(CLIENT, at(0)), Ok(()));
        }
        assert_eq!(limiter.take(CLIENT, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(limiter.take(CLIENT, at(60)), Err(Duration::from_millis(40)));
        assert_eq!(limiter.take(CLIENT, at(100)), Ok(()));
        assert!(limiter.take(CLIENT, at(100)).is_err());
        // After a second of silence the bucket is full again, and no fuller.
        let passed = (0..10).filter(|_| limiter.take(CLIENT, at(2_000)).is_ok()).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn each_client_has_its_own_bucket_and_a_route_has_one() {
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let by_client = limiter(1, 1, RateLimitKey::Client);
        assert!(by_client.take(CLIENT, at(0)).is_ok() && by_client.take(other, at(0)).is_ok());
        assert!(by_client.take(other, at(0)).is_err());
        let by_route = limiter(1, 1, RateLimitKey::Route);
        assert!(by_route.take(CLIENT, at(0)).is_ok() && by_route.take(other, at(0)).is_err());
    }

    #[test]
    fn an_ipv6_client_cannot_hide_among_its_own_addresses() {
        let limiter = limiter(1, 1, RateLimitKey::Client);
        let address = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        assert!(limiter.take(address(1), at(0)).is_ok());
        assert!(limiter.take(address(2), at(0)).is_err());
    }

    #[test]
    fn an_ipv4_client_is_the_same_through_an_ipv6_listener() {
        let limiter = limiter(1, 1, RateLimitKey::Client);
        assert!(limiter.take(CLIENT, at(0)).is_ok());
        assert!(limiter.take(IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), at(0)).is_err());
    }

    #[test]
    fn more_clients_than_entries_are_all_served() {
        let limiter = limiter(1, 1, RateLimitKey::Client);
        for number in 0..200_000_u32 {
            let client = IpAddr::V4(Ipv4Addr::from_bits(number));
            assert!(limiter.take(client, at(u64::from(number) / 100)).is_ok());
        }
    }
}
