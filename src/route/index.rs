//! Finds the routes that can match a request, out of thousands: an index by host, then by path.
//!
//! Both are trees of segments: the labels of a host from last to first, the segments of a path from
//! first to last. A lookup follows a request as far as some route goes, so its cost depends on the
//! routes that fit and on the depth of the configuration, not on the number of routes or the length of
//! the target. It yields indices in listed order, including routes without host or path. It may yield
//! too many: the caller compares each.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::matches::{Matches, bare_host, stem};
use crate::config::plan::{HostMatch, PathMatch};

/// The indices of routes, by what they match.
#[derive(Default)]
pub(super) struct Index {
    /// Routes without a host.
    any_host: ByPath,
    by_host: Tree<ByHost>,
}

/// Routes for one host, and for everything below it.
#[derive(Default)]
struct ByHost {
    exact: Option<Box<ByPath>>,
    suffix: Option<Box<ByPath>>,
}

/// Routes that do not differ in their host.
#[derive(Default)]
struct ByPath {
    any_path: Vec<u16>,
    tree: Tree<OfPath>,
}

/// Routes for one path, with or without a trailing slash, and for everything below it.
#[derive(Default)]
struct OfPath {
    exact: Vec<u16>,
    prefix: Vec<u16>,
}

/// Values at the nodes of a tree whose edges are segments.
struct Tree<T> {
    nodes: Vec<Node<T>>,
}

struct Node<T> {
    value: T,
    children: HashMap<Box<[u8]>, usize>,
    /// Bytes of the longest child segment, so that longer ones from a peer are never hashed.
    segment_bytes_max: usize,
}

/// The root of every tree.
const ROOT: usize = 0;

impl<T: Default> Default for Tree<T> {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl<T: Default> Default for Node<T> {
    fn default() -> Self {
        Self { value: T::default(), children: HashMap::new(), segment_bytes_max: 0 }
    }
}

impl<T: Default> Tree<T> {
    /// The value at these segments, created if missing.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: nodes are never removed, so every index that was handed out is valid"
    )]
    fn at<'s>(&mut self, segments: impl Iterator<Item = &'s [u8]>) -> &mut T {
        let mut place = ROOT;
        for segment in segments {
            let new = self.nodes.len();
            debug_assert!(place < new);
            let node = &mut self.nodes[place];
            node.segment_bytes_max = node.segment_bytes_max.max(segment.len());
            place = *node.children.entry(segment.into()).or_insert(new);
            if place == new {
                self.nodes.push(Node::default());
            }
        }
        &mut self.nodes[place].value
    }
}

impl<T> Tree<T> {
    fn root(&self) -> Option<&Node<T>> {
        self.nodes.get(ROOT)
    }

    fn child(&self, node: &Node<T>, segment: &[u8]) -> Option<&Node<T>> {
        if segment.len() > node.segment_bytes_max {
            return None;
        }
        self.nodes.get(*node.children.get(segment)?)
    }
}

impl Index {
    /// The index of some routes, in listed order.
    pub(super) fn new<'m>(routes: impl Iterator<Item = &'m Matches>) -> Self {
        let mut index = Self::default();
        for (place, route) in routes.enumerate() {
            let Ok(place) = u16::try_from(place) else { break };
            if route.matcher.hosts.is_empty() {
                index.any_host.insert(route.path(), place);
            }
            for host in &route.matcher.hosts {
                let (HostMatch::Exact(name) | HostMatch::Suffix(name)) = host;
                let name = name.trim_start_matches('.').to_ascii_lowercase();
                let of_host = index.by_host.at(name.rsplit('.').map(str::as_bytes));
                let by_path = match host {
                    HostMatch::Exact(_) => of_host.exact.get_or_insert_default(),
                    HostMatch::Suffix(_) => of_host.suffix.get_or_insert_default(),
                };
                by_path.insert(route.path(), place);
            }
        }
        index
    }

    /// The indices of all routes that can match a request to this host with this path, and of some that
    /// cannot; in listed order, each once.
    pub(super) fn candidates(&self, host: &str, path: &[u8]) -> Candidates<'_> {
        let mut candidates = Candidates { lists: SmallVec::new() };
        self.any_host.collect(path, &mut candidates);
        let Some(mut node) = self.by_host.root().filter(|root| !root.children.is_empty()) else {
            return candidates;
        };
        let mut lower: SmallVec<[u8; 64]> = SmallVec::new();
        let mut labels = bare_host(host).rsplit('.').peekable();
        while let Some(label) = labels.next() {
            if label.len() > node.segment_bytes_max {
                break;
            }
            lower.clear();
            lower.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
            let Some(child) = self.by_host.child(node, &lower) else { break };
            node = child;
            let of_host = match labels.peek() {
                Some(_) => &node.value.suffix,
                None => &node.value.exact,
            };
            if let Some(by_path) = of_host {
                by_path.collect(path, &mut candidates);
            }
        }
        candidates
    }
}

impl ByPath {
    fn insert(&mut self, path: Option<&PathMatch>, place: u16) {
        let list = match path {
            Some(PathMatch::Exact(path)) if path.starts_with('/') => &mut self.of(path).exact,
            Some(PathMatch::Prefix(path)) if path.starts_with('/') => &mut self.of(path).prefix,
            _ => &mut self.any_path,
        };
        // A route may list the same host twice.
        if list.last() != Some(&place) {
            list.push(place);
        }
    }

    fn of(&mut self, path: &str) -> &mut OfPath {
        self.tree.at(segments(path.as_bytes()))
    }

    fn collect<'i>(&'i self, path: &[u8], candidates: &mut Candidates<'i>) {
        candidates.add(&self.any_path);
        if !path.starts_with(b"/") {
            return;
        }
        let Some(mut node) = self.tree.root() else { return };
        candidates.add(&node.value.prefix);
        for segment in segments(path) {
            let Some(child) = self.tree.child(node, segment) else { return };
            node = child;
            candidates.add(&node.value.prefix);
        }
        candidates.add(&node.value.exact);
    }
}

/// The segments of a path, ignoring a trailing slash.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    stem(path).split(|&byte| byte == b'/').skip(1)
}

/// Indices from several lists, each of them in order.
pub(super) struct Candidates<'i> {
    /// No list is empty. On the stack unless a host and a path fit at very many depths.
    lists: SmallVec<[&'i [u16]; 16]>,
}

impl<'i> Candidates<'i> {
    fn add(&mut self, list: &'i [u16]) {
        if !list.is_empty() {
            self.lists.push(list);
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let least = *self.lists.iter().filter_map(|list| list.first()).min()?;
        for list in &mut self.lists {
            if let [first, rest @ ..] = list
                && *first == least
            {
                *list = rest;
            }
        }
        self.lists.retain(|list| !list.is_empty());
        Some(least)
    }
}
