//! Which requests a route matches: by host, path, method, fields and cookies.
//!
//! Paths are passed in as one of their readings; which one, and what else they may mean, is up to the
//! caller.

use std::fmt;

use crate::config::plan::{HostMatch, Matcher, PathMatch, RoutePlan, ValueMatch};
use crate::http::{self, Field, Known};

/// What a route checks in a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name of the listener that accepted it.
    pub listener: &'a str,
    /// Its host, possibly with a port; empty if it names none.
    pub host: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its target in origin-form.
    pub target: &'a str,
    /// Its fields.
    pub fields: &'a [Field<'a>],
}

/// Which requests one route matches.
pub(super) struct Matches {
    pub(super) name: String,
    /// Its path is in normal form, like those of requests.
    pub(super) matcher: Matcher,
}

/// Why a route does not match a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch<'r> {
    /// It came through another listener.
    Listener,
    /// It has another host.
    Host,
    /// It has another path.
    Path,
    /// It has another method.
    Method,
    /// This field is missing or has another value.
    Header(&'r ValueMatch),
    /// This cookie is missing or has another value.
    Cookie(&'r ValueMatch),
}

/// Whether a path matches as it is, and whether it would with a trailing slash added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    None,
    AsItIs,
    WithOtherSlash,
    Both,
}

impl Matches {
    pub(super) fn new(plan: &RoutePlan) -> Self {
        let mut matcher = plan.matcher.clone();
        if let Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) = &mut matcher.path {
            // The configuration is text, so this is too, however it is escaped.
            *path = String::from_utf8_lossy(&http::normalise(path)).into_owned();
        }
        Self { name: plan.name.clone(), matcher }
    }

    /// Whether it matches every request.
    pub(super) fn takes_all(&self) -> bool {
        self.matcher == Matcher::default()
    }

    pub(super) fn path(&self) -> Option<&PathMatch> {
        self.matcher.path.as_ref()
    }

    /// The length of its path.
    pub(super) fn path_bytes(&self) -> usize {
        match self.path() {
            Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) => path.len(),
            None => 0,
        }
    }

    /// Why this route does not match a request with this reading of its path, if it does not.
    pub(super) fn mismatch(&self, request: &Request<'_>, path: &[u8]) -> Option<Mismatch<'_>> {
        match self.mismatch_but_path(request) {
            found @ Some(Mismatch::Listener | Mismatch::Host) => found,
            _ if matches!(self.fit(path), Fit::None | Fit::WithOtherSlash) => Some(Mismatch::Path),
            found => found,
        }
    }

    /// Why this route does not match a request, apart from its path.
    pub(super) fn mismatch_but_path(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        let Matcher { listeners, hosts, path: _, methods, headers, cookies } = &self.matcher;
        if !listeners.is_empty() && !listeners.iter().any(|name| name == request.listener) {
            return Some(Mismatch::Listener);
        }
        if !hosts.is_empty() && !hosts.iter().any(|host| is_host(host, bare_host(request.host))) {
            return Some(Mismatch::Host);
        }
        if !methods.is_empty() && !methods.iter().any(|method| method == request.method) {
            return Some(Mismatch::Method);
        }
        if let Some(wanted) = headers.iter().find(|wanted| !has_header(request.fields, wanted)) {
            return Some(Mismatch::Header(wanted));
        }
        cookies.iter().find(|wanted| !has_cookie(request.fields, wanted)).map(Mismatch::Cookie)
    }

    /// How one reading of a path fits.
    pub(super) fn fit(&self, path: &[u8]) -> Fit {
        let named = |wanted: &[u8]| match (wanted == path, stem(wanted) == stem(path)) {
            (true, _) => Fit::AsItIs,
            (false, true) => Fit::WithOtherSlash,
            (false, false) => Fit::None,
        };
        match self.path() {
            None => Fit::Both,
            Some(PathMatch::Exact(exact)) => named(exact.as_bytes()),
            // A prefix that ends in a slash distinguishes the path with a slash from the one without.
            Some(PathMatch::Prefix(prefix)) if prefix.len() > 1 && stem(path) == stem(prefix.as_bytes()) => {
                if prefix.ends_with('/') {
                    named(prefix.as_bytes())
                } else {
                    Fit::Both
                }
            }
            Some(PathMatch::Prefix(prefix)) if http::is_below(path, prefix.as_bytes()) => Fit::Both,
            Some(PathMatch::Prefix(_)) => Fit::None,
        }
    }
}

/// A path without its trailing slash.
pub(super) fn stem(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("it came through another listener"),
            Self::Host => f.write_str("its host does not match"),
            Self::Path => f.write_str("its path does not match"),
            Self::Method => f.write_str("its method does not match"),
            Self::Header(ValueMatch { name, value: None }) => write!(f, "it has no field {name}"),
            Self::Header(ValueMatch { name, value: Some(value) }) => {
                write!(f, "its field {name} is not {value:?}")
            }
            Self::Cookie(ValueMatch { name, value: None }) => write!(f, "it has no cookie {name}"),
            Self::Cookie(ValueMatch { name, value: Some(value) }) => {
                write!(f, "its cookie {name} is not {value:?}")
            }
        }
    }
}

/// A host without its port and without the trailing dot of a fully qualified name.
pub fn bare_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn is_host(wanted: &HostMatch, host: &str) -> bool {
    match wanted {
        HostMatch::Exact(name) => host.eq_ignore_ascii_case(name),
        HostMatch::Suffix(suffix) => {
            let begins = host.len().checked_sub(suffix.len()).filter(|&begins| begins > 0);
            begins.and_then(|begins| host.get(begins..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
    }
}

fn has_header(fields: &[Field<'_>], wanted: &ValueMatch) -> bool {
    let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(&wanted.name));
    named.any(|field| wanted.value.as_ref().is_none_or(|value| value.as_bytes() == field.value))
}

/// RFC 6265, section 4.2.1: pairs between semicolons.
fn has_cookie(fields: &[Field<'_>], wanted: &ValueMatch) -> bool {
    let cookies = fields.iter().filter(|field| field.known == Known::Cookie);
    let mut pairs = cookies.flat_map(|field| field.value.split(|&byte| byte == b';'));
    pairs.any(|pair| {
        let pair = pair.trim_ascii();
        let equals = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(equals);
        let value = value.strip_prefix(b"=").unwrap_or_default();
        name == wanted.name.as_bytes()
            && wanted.value.as_ref().is_none_or(|wanted| wanted.as_bytes() == value)
    })
}
