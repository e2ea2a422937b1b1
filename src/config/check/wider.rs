//! Which earlier routes may take all requests of a later one, found by hashing instead of comparing
//! every two: ten thousand routes are fifty million pairs.
//!
//! Knows hosts and paths only. It may name routes that do not cover, so the caller compares each;
//! it misses none that does, except beyond the bound on how many it names.

use std::collections::{HashMap, HashSet};

use super::super::plan::{HostMatch, Matcher, PathMatch};
use crate::base::limits::ROUTES_COMPARED_MAX;

/// The routes so far, by what they match.
#[derive(Default)]
pub(super) struct Earlier<'a> {
    routes: HashMap<(Host<'a>, Path<'a>), Vec<usize>>,
    paths: HashSet<Path<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Host<'a> {
    Any,
    Exact(&'a str),
    Suffix(&'a str),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Path<'a> {
    Any,
    Exact(&'a str),
    Prefix(&'a str),
}

impl<'a> Earlier<'a> {
    /// Adds a route at a place behind all that were added before.
    pub(super) fn add(&mut self, place: usize, matcher: &'a Matcher) {
        let path = match &matcher.path {
            None => Path::Any,
            Some(PathMatch::Exact(path)) => Path::Exact(path),
            Some(PathMatch::Prefix(path)) => Path::Prefix(path),
        };
        let hosts = matcher.hosts.iter().map(|host| match host {
            HostMatch::Exact(name) => Host::Exact(name),
            HostMatch::Suffix(suffix) => Host::Suffix(suffix),
        });
        for host in hosts.chain(matcher.hosts.is_empty().then_some(Host::Any)) {
            self.routes.entry((host, path)).or_default().push(place);
        }
        self.paths.insert(path);
    }

    /// The places of routes that may be for every request that `narrow` is for, in listed order.
    pub(super) fn that_may_cover(&self, narrow: &Matcher) -> Vec<usize> {
        let paths = wider_paths(narrow.path.as_ref());
        // Each of its hosts must be covered, so looking up the first one is enough.
        let mut found: Vec<usize> = wider_hosts(narrow.hosts.first())
            .into_iter()
            .flat_map(|host| paths.iter().filter_map(move |&path| self.routes.get(&(host, path))))
            .flat_map(|places| places.iter().take(ROUTES_COMPARED_MAX))
            .copied()
            .collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(ROUTES_COMPARED_MAX);
        found
    }

    /// Whether some route is for this path, of whatever host.
    pub(super) fn is_for(&self, path: &str) -> bool {
        let path = PathMatch::Exact(path.to_owned());
        wider_paths(Some(&path)).iter().any(|wider| self.paths.contains(wider))
    }
}

/// The hosts that are at least as wide.
fn wider_hosts(narrow: Option<&HostMatch>) -> Vec<Host<'_>> {
    let mut wider = vec![Host::Any];
    let (Some(HostMatch::Exact(name)) | Some(HostMatch::Suffix(name))) = narrow else { return wider };
    if let Some(HostMatch::Exact(name)) = narrow {
        wider.push(Host::Exact(name));
    }
    wider.extend(name.match_indices('.').map(|(dot, _)| Host::Suffix(&name[dot..])));
    wider
}

/// The paths that are at least as wide.
fn wider_paths(narrow: Option<&PathMatch>) -> Vec<Path<'_>> {
    let mut wider = vec![Path::Any];
    let (Some(PathMatch::Exact(path)) | Some(PathMatch::Prefix(path))) = narrow else { return wider };
    if let Some(PathMatch::Exact(path)) = narrow {
        wider.push(Path::Exact(path));
    }
    for (slash, _) in path.match_indices('/') {
        wider.extend([Path::Prefix(&path[..slash]), Path::Prefix(&path[..=slash])]);
    }
    wider.push(Path::Prefix(path));
    wider
}
