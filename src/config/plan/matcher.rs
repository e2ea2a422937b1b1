//! Which requests a route matches.

/// Which requests a route matches: those that meet every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Names of listeners; empty for all.
    pub listeners: Vec<String>,
    /// Hosts, without port; empty for all.
    pub hosts: Vec<HostMatch>,
    /// The path.
    pub path: Option<PathMatch>,
    /// Methods, as they are sent; empty for all.
    pub methods: Vec<String>,
    /// Fields that the request must have.
    pub headers: Vec<ValueMatch>,
    /// Cookies that the request must have.
    pub cookies: Vec<ValueMatch>,
}

/// A host that a route matches. Lower case; an IPv6 address in brackets, as in a Host field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// This host.
    Exact(String),
    /// Every host that ends in this, which begins with a dot: `*.example.com`.
    Suffix(String),
}

/// A path that a route matches. Both it and the path of the request are compared in normal
/// form: percent-escapes decoded, repeated slashes merged, dot segments resolved (RFC 3986,
/// section 6.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and everything below it: `/v1` matches `/v1` and `/v1/a`, not `/v10`; or,
    /// if it ends in a slash, only what is below. Never `/` alone, which would be every path.
    Prefix(String),
}

/// A field or cookie that the request must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueMatch {
    /// Its name; of a field in any case, of a cookie as it is.
    pub name: String,
    /// The value that it must have; `None` for any.
    pub value: Option<String>,
}
