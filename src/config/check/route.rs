//! Routes: which requests they are for, what those get, and under what conditions.
//!
//! In the simple form there is one route for every request, with its conditions at the
//! top level of the document.

use std::collections::HashMap;

use super::super::document::{At, Node};
use super::super::plan::{
    Action, ErrorPage, HeaderOps, Limits, Matcher, PathMatch, RoutePlan, TemplatePart, Timeouts,
};
use super::super::reader::{self, Fields, Problems, shown};
use super::attached::Folder;
use super::bounds::{self, Scope};
use super::header::{self, Head};
use super::listener::Listeners;
use super::pool::{Pool, Pools, RETRIES_OF_ONE};
use super::{access, action, error_page, matcher, network, template};
use crate::base::limits::RETRIES_MAX;

/// Everything that a route may refer to or inherit.
pub(super) struct Surroundings<'a> {
    pub(super) listeners: &'a Listeners,
    pub(super) pools: &'a Pools<'a>,
    pub(super) timeouts: &'a Timeouts,
    pub(super) limits: &'a Limits,
    pub(super) error_pages: &'a [ErrorPage],
    pub(super) folder: Folder<'a>,
}

/// The conditions that may also be at the top level, for the only route.
/// (`error_pages` may be in both places: the top level's are for all routes.)
pub(super) const KEYS: [&str; 6] =
    ["request_headers", "response_headers", "allow", "deny", "basic_auth", "rate_limit"];

/// A route that is right, and where it stands.
pub(super) struct Placed<'a> {
    pub(super) at: &'a At,
    pub(super) plan: RoutePlan,
}

/// The routes of the full form. `None` only after an error was reported.
pub(super) fn read_all<'a>(
    node: &'a Node,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Vec<Placed<'a>>> {
    let nodes = reader::list(node, problems)?;
    if nodes.is_empty() {
        problems.error(&node.at, r#"the list is empty; leave it out, or write [{"pool": "web"}]"#);
        return None;
    }
    bounds::places(&node.at, nodes.len(), "routes", "put hosts that get the same into one list", problems)?;
    let mut names: HashMap<String, &At> = HashMap::new();
    let mut found: Vec<Option<Placed<'_>>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let plan = route(node, index, around, problems);
        if let Some(plan) = &plan {
            if let Some(earlier) = names.get(&plan.name) {
                let message =
                    format!("{:?} is already the name of {}; names are unique", plan.name, earlier.pointer);
                problems.error(node.child("name").map_or(&node.at, |name| &name.at), message);
            } else {
                names.insert(plan.name.clone(), &node.at);
            }
        }
        found.push(plan.map(|plan| Placed { at: &node.at, plan }));
    }
    found.into_iter().collect()
}

fn route(node: &Node, index: usize, around: &Surroundings<'_>, problems: &mut Problems) -> Option<RoutePlan> {
    let mark = problems.mark();
    let mut fields = Fields::open(node, problems)?;
    let name = match fields.take("name") {
        Some(node) => reader::name(node, problems),
        None => Some(format!("routes/{index}")),
    };
    let matcher = match fields.take("match") {
        Some(node) => matcher::read(node, around.listeners, problems),
        None => Some(Matcher::default()),
    };
    let action = action::read(&mut fields, around.pools, &around.folder, problems);
    let pool = match action {
        Some(Action::Forward(pool)) => around.pools.at(pool).and_then(|named| named.pool.as_ref()),
        _ => None,
    };
    let inherited = pool.map_or(around.timeouts, |pool| &pool.timeouts);
    let mut plan = RoutePlan {
        matcher: matcher.clone().unwrap_or_default(),
        timeouts: bounds::timeouts(&mut fields, Scope::Forwarding, inherited, problems),
        retries: retries(&mut fields, pool, problems),
        body_max: bounds::route_body(fields.take("limits"), around.limits.body, problems),
        ..RoutePlan::to_first_pool("", around.timeouts.clone())
    };
    plan.strip_prefix =
        fields.take("strip_prefix").and_then(|node| strip_prefix(node, matcher.as_ref(), problems));
    let rewrite = fields.take("rewrite");
    plan.rewrite = rewrite.and_then(|node| template::path(node, problems));
    if let (Some(node), Some(rewrite), Some(_)) = (rewrite, &plan.rewrite, &plan.strip_prefix)
        && !rewrite.0.contains(&TemplatePart::Path)
    {
        let message = "makes \"strip_prefix\" useless, since it does not contain {path}";
        problems.warn(&node.at, message);
    }
    conditions(&mut fields, &mut plan, problems);
    if let Some(node) = fields.take("error_pages") {
        plan.error_pages = error_page::read(node, &around.folder, problems);
    }
    plan.error_pages.extend_from_slice(around.error_pages);
    warn_of_unused(&mut fields, action.as_ref(), problems);
    if let Some(location) = node.child("location").filter(|_| node.child("status").is_none()) {
        fields.refuse("location", about_location(location));
    }
    fields.close(problems);
    let (name, action) = (name?, action?);
    problems.clean_since(mark).then_some(RoutePlan { name, action, ..plan })
}

/// The message for nginx's `location` in a route, which means the path of a request.
fn about_location(node: &Node) -> String {
    let typed = reader::text_of(node).map(|typed| typed.trim_start_matches(['^', '~', ' ']).trim());
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let is_path = |typed: &&str| typed.starts_with('/') && typed.bytes().all(is_of_path);
    let prefix = typed.filter(is_path).unwrap_or("/api");
    format!(
        "\"location\" is where a \"redirect\" leads; for requests below a path write \
         \"match\": {{\"path_prefix\": {prefix:?}}}"
    )
}

/// Keys that say how something is forwarded, in a route that forwards nothing.
fn warn_of_unused(fields: &mut Fields<'_>, action: Option<&Action>, problems: &mut Problems) {
    let unused: &[&'static str] = match action {
        None | Some(Action::Forward(_)) => &[],
        // A redirect may name the path that is left.
        Some(Action::Redirect { .. }) => {
            &["rewrite", "request_headers", "retries", "timeouts", "request_timeout"]
        }
        Some(Action::Respond(_)) => {
            &["strip_prefix", "rewrite", "request_headers", "retries", "timeouts", "request_timeout"]
        }
    };
    for name in unused {
        if let Some(node) = fields.take(name) {
            problems.warn(&node.at, "is not used: this route does not forward requests");
        }
    }
}

/// The keys that are the same in a route and, in the simple form, at the top level.
pub(super) fn conditions(fields: &mut Fields<'_>, plan: &mut RoutePlan, problems: &mut Problems) {
    let mut operations = |name: &'static str, head: Head, problems: &mut Problems| match fields.take(name) {
        Some(node) => header::operations(node, head, problems),
        None => HeaderOps::default(),
    };
    plan.request_headers = operations("request_headers", Head::Request, problems);
    plan.response_headers = operations("response_headers", Head::Response, problems);
    (plan.allow, plan.deny) = network::allow_and_deny(fields.take("allow"), fields.take("deny"), problems);
    plan.basic_auth = fields.take("basic_auth").and_then(|node| access::basic_auth(node, problems));
    plan.rate_limit = fields.take("rate_limit").and_then(|node| access::rate_limit(node, problems));
}

fn retries(fields: &mut Fields<'_>, pool: Option<&Pool>, problems: &mut Problems) -> u32 {
    let inherited = pool.map_or(2, |pool| pool.retries);
    let Some(node) = fields.take("retries") else { return inherited };
    let Some(retries) = reader::number(node, 0..=u64::from(RETRIES_MAX), problems) else { return inherited };
    if retries > 0 && pool.is_some_and(|pool| pool.plan.backends.len() == 1) {
        problems.warn(&node.at, RETRIES_OF_ONE);
    }
    retries as u32
}

/// A prefix that is taken off: whole segments, so it ends without a slash.
fn strip_prefix(node: &Node, matcher: Option<&Matcher>, problems: &mut Problems) -> Option<String> {
    let typed = reader::text(node, problems)?.trim();
    let bare = typed.trim_end_matches('/');
    if typed.starts_with('/') && bare.is_empty() {
        problems.error(&node.at, format!("{} strips nothing; remove it", shown(node)));
        return None;
    }
    let prefix = matcher::canonical_path(bare, node, problems)?;
    let fits = match matcher.and_then(|matcher| matcher.path.as_ref()) {
        None => true,
        Some(PathMatch::Exact(path)) => is_below(path, &prefix),
        Some(PathMatch::Prefix(path)) => is_below(path, &prefix) || is_below(&prefix, path),
    };
    if !fits {
        let message =
            format!("no path that this route matches begins with {prefix:?}, so nothing is stripped");
        problems.warn(&node.at, message);
    }
    Some(prefix)
}

/// Whether a path is a prefix or lies below it; a prefix that ends in a slash is for what lies
/// below only.
pub(super) fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}
