//! Basic authentication (RFC 7617) against hashed passwords.
//!
//! A hash takes a millisecond or more by design, so what has been verified is remembered: a
//! client that sends the same credentials with every request costs one hash. A wrong password
//! costs one each time, and a worker that hashes does nothing else; so a route's rate limit is
//! asked first, and whether there is one or not, no client gets more than a few hashes a second.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::Mutex;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};

use crate::base::clock::Moment;
use crate::base::limits::{CREDENTIALS_KEPT_MAX, HASHES_AT_ONCE, HASHES_PER_SECOND, PASSWORD_BYTES_MAX};
use crate::config::plan::{BasicAuth, RateLimit, RateLimitKey};
use crate::upstream::rate_limit::RateLimiter;

/// The users of one route.
pub struct Authenticator {
    plan: BasicAuth,
    /// Two hashes with secret keys, so that nobody can make a wrong password look verified.
    hashers: [RandomState; 2],
    /// LOCK: guards the remembered credentials for one look-up or insertion; hashing happens
    /// outside it.
    verified: Mutex<HashMap<[u64; 2], u16>>,
    /// The hashes that clients have had.
    hashes: RateLimiter,
}

impl Authenticator {
    /// Nobody has been verified yet.
    pub fn new(plan: BasicAuth) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        let hashes = RateLimiter::new(RateLimit {
            requests: HASHES_PER_SECOND,
            per: Duration::from_secs(1),
            burst: HASHES_AT_ONCE,
            key: RateLimitKey::Client,
        });
        Self { plan, hashers, verified: Mutex::new(HashMap::new()), hashes }
    }

    /// What it was made from.
    pub fn plan(&self) -> &BasicAuth {
        &self.plan
    }

    /// The place of the user whom the value of an Authorization field proves to be there; `None`
    /// if it proves nothing.
    ///
    /// # Errors
    /// The client has had too many passwords hashed; after this time it may have another one.
    pub fn user(&self, authorization: &[u8], client: IpAddr, now: Moment) -> Result<Option<u16>, Duration> {
        let encoded = match authorization.split_at_checked(6) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"basic ") => rest.trim_ascii(),
            _ => return Ok(None),
        };
        // Four characters stand for three bytes; a longer one is no password of ours.
        if encoded.len() > PASSWORD_BYTES_MAX * 2 {
            return Ok(None);
        }
        let key = [self.hashers[0].hash_one(encoded), self.hashers[1].hash_one(encoded)];
        let known = self.verified.lock().get(&key).copied();
        if known.is_some() {
            return Ok(known);
        }
        self.hashes.take(client, now)?;
        let Some(user) = self.verify(encoded) else { return Ok(None) };
        let mut verified = self.verified.lock();
        if verified.len() >= CREDENTIALS_KEPT_MAX {
            verified.clear();
        }
        verified.insert(key, user);
        Ok(Some(user))
    }

    /// The name of a user.
    pub fn name(&self, user: u16) -> Option<&str> {
        self.plan.users.get(usize::from(user)).map(|(name, _)| name.as_str())
    }

    fn verify(&self, encoded: &[u8]) -> Option<u16> {
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let (name, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let place = self.plan.users.iter().position(|(user, _)| user.as_bytes() == name);
        // An unknown user costs a hash like a known one, so that time does not tell them apart.
        let (_, hash) = self.plan.users.get(place.unwrap_or(0))?;
        let matches = ShaCrypt::default().verify_password(password, hash.as_str()).is_ok();
        place.filter(|_| matches).map(|place| place as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl passwd -6 -salt abcdefgh secret` and `-5` print.
    const SHA512: &str =
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    const SHA256: &str = "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.";

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Whom a client proves to be that is in no hurry.
    fn user(authenticator: &Authenticator, authorization: &[u8]) -> Option<u16> {
        authenticator.user(authorization, CLIENT, Moment::NEVER).unwrap()
    }

    fn authenticator() -> Authenticator {
        let users = vec![("ann".to_owned(), SHA512.to_owned()), ("bob".to_owned(), SHA256.to_owned())];
        Authenticator::new(BasicAuth { realm: "r".to_owned(), users })
    }

    fn basic(credentials: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(credentials)).into_bytes()
    }

    #[test]
    fn the_right_password_names_the_user() {
        let authenticator = authenticator();
        assert_eq!(user(&authenticator, &basic("ann:secret")), Some(0));
        assert_eq!(user(&authenticator, &basic("bob:secret")), Some(1));
        assert_eq!(authenticator.name(1), Some("bob"));
        // The second time without a hash.
        assert_eq!(authenticator.verified.lock().len(), 2);
        assert_eq!(user(&authenticator, &basic("ann:secret")), Some(0));
    }

    #[test]
    fn anything_else_names_nobody() {
        let authenticator = authenticator();
        for wrong in ["ann:Secret", "ann:", "carl:secret", "ann", ":secret", ""] {
            assert_eq!(user(&authenticator, &basic(wrong)), None, "{wrong}");
        }
        for wrong in [&b"Bearer YW5uOnNlY3JldA=="[..], b"Basic", b"Basic ", b"Basic !!!", b"", b"Basic \xff"]
        {
            assert_eq!(user(&authenticator, wrong), None, "{wrong:?}");
        }
        let long = basic(&format!("ann:{}", "x".repeat(100_000)));
        assert_eq!(user(&authenticator, &long), None);
        assert!(authenticator.verified.lock().is_empty());
    }

    #[test]
    fn a_client_gets_few_hashes_and_whoever_is_known_needs_none() {
        let authenticator = authenticator();
        let now = Moment::from_nanos(1 << 40);
        let ann = basic("ann:secret");
        assert_eq!(authenticator.user(&ann, CLIENT, now), Ok(Some(0)));
        // Without a colon, so that the test need not wait for hashes.
        let wrong = |number: u32| basic(&number.to_string());
        let allowed =
            (0..HASHES_AT_ONCE).filter(|&n| authenticator.user(&wrong(n), CLIENT, now).is_ok()).count();
        assert_eq!(allowed, HASHES_AT_ONCE as usize - 1);
        assert!(authenticator.user(&basic("bob:secret"), CLIENT, now).is_err());
        assert_eq!(authenticator.user(&ann, CLIENT, now), Ok(Some(0)));
        // Another client has its own, and time brings them back.
        let other = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(authenticator.user(&basic("bob:secret"), other, now), Ok(Some(1)));
        assert_eq!(authenticator.user(&wrong(0), CLIENT, now + Duration::from_secs(1)), Ok(None));
    }
}
