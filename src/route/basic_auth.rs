//! Basic authentication (RFC 7617) against hashed passwords.
//!
//! A hash takes a millisecond or more by design, so a separate thread computes it
//! ([`password_queue`](crate::route::password_queue)), and verified credentials are remembered: a
//! client that sends the same credentials with every request costs one hash. A wrong password costs one
//! each time, so each client gets only a few per second.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use parking_lot::Mutex;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};

use crate::base::clock::Moment;
use crate::base::limits::{CREDENTIALS_KEPT_MAX, HASHES_AT_ONCE, HASHES_PER_SECOND, PASSWORD_BYTES_MAX};
use crate::config::plan::{BasicAuth, RateLimit, RateLimitKey};
use crate::route::rate_limit::RateLimiter;

/// The users of one route.
pub struct Authenticator {
    plan: BasicAuth,
    /// Two hashes with secret keys, so that no one can make a wrong password look verified.
    hashers: [RandomState; 2],
    /// LOCK: guards the remembered credentials for one lookup or insertion; hashing happens outside it.
    verified: Mutex<HashMap<[u64; 2], u16>>,
    /// Limits the hashes per client.
    hashes: RateLimiter,
}

impl Authenticator {
    /// An authenticator with no verified credentials yet.
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

    /// The plan it was built from.
    pub fn plan(&self) -> &BasicAuth {
        &self.plan
    }

    /// Checks an Authorization field as far as possible without a hash.
    pub fn look_up(&self, authorization: &[u8]) -> Proof {
        let encoded = match authorization.split_at_checked(6) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"basic ") => rest.trim_ascii(),
            _ => return Proof::None,
        };
        // Base64 takes four characters for three bytes; anything longer is not one of our passwords.
        if encoded.len() > PASSWORD_BYTES_MAX * 2 {
            return Proof::None;
        }
        let credentials = Credentials {
            key: [self.hashers[0].hash_one(encoded), self.hashers[1].hash_one(encoded)],
            encoded: encoded.into(),
        };
        match self.remembered(&credentials) {
            Some(user) => Proof::User(user),
            None => Proof::Unverified(credentials),
        }
    }

    /// Permission for one more hash.
    ///
    /// # Errors
    /// The client has had too many passwords hashed; it may try again after this time.
    pub fn may_hash(&self, client: IpAddr, now: Moment) -> Result<(), Duration> {
        self.hashes.take(client, now)
    }

    /// Verifies credentials with a hash and remembers them. Returns the index of the user.
    pub fn verify(&self, credentials: &Credentials) -> Option<u16> {
        // The requests of one page arrive together with the same credentials.
        if let Some(user) = self.remembered(credentials) {
            return Some(user);
        }
        let user = self.hash(&credentials.encoded)?;
        let mut verified = self.verified.lock();
        if verified.len() >= CREDENTIALS_KEPT_MAX {
            verified.clear();
        }
        verified.insert(credentials.key, user);
        Some(user)
    }

    fn remembered(&self, credentials: &Credentials) -> Option<u16> {
        self.verified.lock().get(&credentials.key).copied()
    }

    /// The name of a user.
    pub fn name(&self, user: u16) -> Option<&str> {
        self.plan.users.get(usize::from(user)).map(|(name, _)| name.as_str())
    }

    fn hash(&self, encoded: &[u8]) -> Option<u16> {
        let decoded = BASE64_STANDARD.decode(encoded).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        let (name, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
        if password.len() > PASSWORD_BYTES_MAX {
            return None;
        }
        let users = &self.plan.users;
        let place = users.iter().position(|(user, _)| user.as_bytes() == name);
        // An unknown name costs a hash as well: that of a user derived from the name, so that neither
        // the time nor its spread reveals which names exist.
        let instead = || self.hashers[0].hash_one(name) as usize % users.len().max(1);
        let (_, hash) = users.get(place.unwrap_or_else(instead))?;
        let matches = ShaCrypt::default().verify_password(password, hash.as_str()).is_ok();
        place.filter(|_| matches).and_then(|place| u16::try_from(place).ok())
    }
}

/// The result of checking an Authorization field.
#[derive(Debug, PartialEq, Eq)]
pub enum Proof {
    /// It authenticates this user.
    User(u16),
    /// It authenticates no one.
    None,
    /// Unknown until these are hashed.
    Unverified(Credentials),
}

/// A name and a password as a client sent them.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// Identifies them among the verified ones.
    key: [u64; 2],
    /// In base64, as sent.
    encoded: Box<[u8]>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the password.
        f.write_str("Credentials")
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

    /// The user that a field authenticates, at any cost.
    fn user(authenticator: &Authenticator, authorization: &[u8]) -> Option<u16> {
        match authenticator.look_up(authorization) {
            Proof::User(user) => Some(user),
            Proof::None => None,
            Proof::Unverified(credentials) => authenticator.verify(&credentials),
        }
    }

    /// The credentials to hash for this name and password.
    fn credentials(authenticator: &Authenticator, plain: &str) -> Credentials {
        match authenticator.look_up(&basic(plain)) {
            Proof::Unverified(credentials) => credentials,
            proof => panic!("{plain} needs no hash: {proof:?}"),
        }
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
        // The second time needs no hash.
        assert_eq!(authenticator.verified.lock().len(), 2);
        assert_eq!(user(&authenticator, &basic("ann:secret")), Some(0));
    }

    #[test]
    fn anything_else_names_no_user() {
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
    fn each_client_has_its_own_limit_on_hashes() {
        let authenticator = authenticator();
        let now = Moment::from_nanos(1 << 40);
        let allowed = (0..2 * HASHES_AT_ONCE).filter(|_| authenticator.may_hash(CLIENT, now).is_ok()).count();
        assert_eq!(allowed, HASHES_AT_ONCE as usize);
        assert!(authenticator.may_hash(CLIENT, now).is_err());
        assert_eq!(authenticator.may_hash(CLIENT, now + Duration::from_secs(1)), Ok(()));
        let other = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(authenticator.may_hash(other, now), Ok(()));
    }

    #[test]
    fn credentials_are_not_printed() {
        let authenticator = authenticator();
        assert_eq!(format!("{:?}", credentials(&authenticator, "ann:secret")), "Credentials");
    }
}
