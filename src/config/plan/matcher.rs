//! Which requests a route is for.

/// Which requests a route is for: those for which all that is given holds.
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
    /// Fields that must be there.
    pub headers: Vec<ValueMatch>,
    /// Cookies that must be there.
    pub cookies: Vec<ValueMatch>,
}

/// A host that a route is for. Lower case; an IPv6 address in brackets, as in a Host field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// This host.
    Exact(String),
    /// Every host that ends in this, which begins with a dot: `*.example.com`.
    Suffix(String),
}

/// A path that a route is for. Both it and the path of the request are compared in normal
/// form: percent-escapes decoded, repeated slashes merged, dot segments resolved (RFC 3986,
/// section 6.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and everything below it: `/v1` is for `/v1` and `/v1/a`, not for `/v10`; or,
    /// if it ends in a slash, only what is below. Never `/` alone, which would be every path.
    Prefix(String),
}

/// A field or cookie that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueMatch {
    /// Its name; of a field in any case, of a cookie as it is.
    pub name: String,
    /// What it must say; `None` for anything.
    pub value: Option<String>,
}
