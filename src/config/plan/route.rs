//! Routes: what happens to a request that matches one, and under which conditions.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::bounds::Timeouts;
use super::fields::HeaderOps;
use super::matcher::Matcher;

/// One route: which requests it matches, and what happens to them.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePlan {
    /// What logs and messages call it: the name given, `routes/0` by its place, or `default`
    /// in the simple form.
    pub name: String,
    /// The requests that it matches.
    pub matcher: Matcher,
    /// What happens to them.
    pub action: Action,
    /// What is taken off the front of the path before it is forwarded; begins with `/` and
    /// ends without.
    pub strip_prefix: Option<String>,
    /// The path that is forwarded instead; the query stays.
    pub rewrite: Option<Template>,
    /// What happens to the fields of the request that is forwarded.
    pub request_headers: HeaderOps,
    /// What happens to the fields of the response that is relayed, ours included.
    pub response_headers: HeaderOps,
    /// Deadlines: the route's, or else its pool's, or else those of the whole.
    pub timeouts: Timeouts,
    /// Extra attempts after the first: the route's, or else its pool's. 2.
    pub retries: u32,
    /// Bytes of a request body; `None` for no limit.
    pub body_max: Option<u64>,
    /// Client networks that are served; empty for all.
    pub allow: Vec<IpNet>,
    /// Client networks that are not served, even if `allow` lists them.
    pub deny: Vec<IpNet>,
    /// Users who may log in; `None` for no authentication.
    pub basic_auth: Option<BasicAuth>,
    /// How many requests clients may send in a given time.
    pub rate_limit: Option<RateLimit>,
    /// Bodies of our own error responses: the route's, then those of the top level; the first for a
    /// status counts.
    pub error_pages: Vec<ErrorPage>,
}

impl RoutePlan {
    /// A route that takes every request to the first pool.
    pub fn to_first_pool(name: &str, timeouts: Timeouts) -> Self {
        Self {
            name: name.to_owned(),
            matcher: Matcher::default(),
            action: Action::Forward(PoolIndex(0)),
            strip_prefix: None,
            rewrite: None,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            timeouts,
            retries: 2,
            body_max: None,
            allow: Vec::new(),
            deny: Vec::new(),
            basic_auth: None,
            rate_limit: None,
            error_pages: Vec::new(),
        }
    }
}

/// Which of [`Parts::pools`](super::Parts::pools) a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolIndex(u16);

impl PoolIndex {
    /// Of the pool at this place. `None` if the place is more than a request can keep, which `check`
    /// refuses.
    pub(in crate::config) fn new(place: usize) -> Option<Self> {
        u16::try_from(place).ok().map(Self)
    }

    /// The place of the pool in its list.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is forwarded to a backend of this pool.
    Forward(PoolIndex),
    /// A redirect of the client to another URL.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: Template,
    },
    /// A fixed response.
    Respond(FixedResponse),
}

/// A response in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// Its media type. `text/plain; charset=utf-8`.
    pub content_type: String,
    /// Its body.
    pub body: Arc<[u8]>,
}

/// A text with placeholders for parts of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// Literal text.
    Text(String),
    /// `{host}`: the host that was asked for, without port.
    Host,
    /// `{path}`: the path, after `strip_prefix`.
    Path,
    /// `{query}`: the query with its question mark; nothing if there is none.
    Query,
}

/// Basic authentication (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasicAuth {
    /// The realm that clients are shown. `ropewalk`.
    pub realm: String,
    /// Names and password hashes in crypt form, `$5$` or `$6$`: what `openssl passwd -6` prints.
    pub users: Vec<(String, String)>,
}

/// How many requests clients may send in a given time: a token bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// Requests for each `per`; at least 1.
    pub requests: u32,
    /// The time in which `requests` tokens come back.
    pub per: Duration,
    /// Requests that may come at once; at least 1. As many as `requests`.
    pub burst: u32,
    /// Who shares a bucket. `client`.
    pub key: RateLimitKey,
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    /// Each client address has its own (of an IPv6 address the first 64 bits).
    Client,
    /// The whole route has one.
    Route,
}

/// The body of an error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// For these statuses.
    pub statuses: RangeInclusive<u16>,
    /// Its media type. `text/html; charset=utf-8`.
    pub content_type: String,
    /// The body.
    pub body: Arc<[u8]>,
}
