//! Which route a request takes, and whether it may.
//!
//! The data path and `explain` ask the same function, `Route::mismatch`: the one for the
//! first route without a mismatch, the other for every mismatch before it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::clock::Moment;
use crate::config::plan::{BasicAuth, HostMatch, Matcher, PathMatch, RoutePlan, ValueMatch};
use crate::http::{self, Field, Known, OtherReadings};
use crate::upstream::basic_auth::Authenticator;
use crate::upstream::rate_limit::RateLimiter;

/// The routes of one configuration, in listed order.
pub struct Routes {
    routes: Vec<Route>,
    /// Some route looks at the path, so that it is worth normalising.
    look_at_path: bool,
}

/// One route: for whom it is, and what is remembered of those who took it.
pub struct Route {
    name: String,
    /// Paths are normalised, as those of requests will be.
    matcher: Matcher,
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    rate_limit: Option<Arc<RateLimiter>>,
    basic_auth: Option<Arc<Authenticator>>,
}

/// What a route looks at in a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The name of the listener that it came through.
    pub listener: &'a str,
    /// The host that it asks for, perhaps with a port; empty if it names none.
    pub host: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its target in origin-form.
    pub target: &'a str,
    /// Its fields.
    pub fields: &'a [Field<'a>],
}

/// Why a route is not for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch<'r> {
    /// It came through another listener.
    Listener,
    /// It asks for another host.
    Host,
    /// It asks for another path.
    Path,
    /// It has another method.
    Method,
    /// This field is missing or says something else.
    Header(&'r ValueMatch),
    /// This cookie is missing or says something else.
    Cookie(&'r ValueMatch),
}

/// Why a request may not take its route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its client's network is not served.
    Network,
    /// Its client has asked too often; after this time it may ask again.
    TooMany(Duration),
    /// It does not prove who it is.
    Credentials,
}

impl Routes {
    /// The routes of a plan. Those that limit or authenticate go on with what `before` knows,
    /// if they still do it in the same way.
    pub fn new(plans: &[RoutePlan], before: Option<&Self>) -> Self {
        let before = before.map_or(&[][..], |before| &before.routes);
        let mut routes: Vec<_> = plans.iter().map(|plan| Route::new(plan, before)).collect();
        limit(&mut routes, plans, before);
        let look_at_path = routes.iter().any(|route| route.matcher.path.is_some());
        Self { routes, look_at_path }
    }

    /// The place of the first route that is for a request.
    pub fn find(&self, request: &Request<'_>) -> Option<u16> {
        self.find_by(request, &self.path_of(request))
    }

    fn find_by(&self, request: &Request<'_>, path: &[u8]) -> Option<u16> {
        let place = self.routes.iter().position(|route| route.mismatch(request, path).is_none())?;
        // LIMIT: a configuration of more than 65 535 routes does not fit into its file.
        Some(place as u16)
    }

    /// Why each route before the one that is found is not for a request.
    pub fn mismatches(&self, request: &Request<'_>) -> Vec<Mismatch<'_>> {
        let path = self.path_of(request);
        self.routes.iter().map_while(|route| route.mismatch(request, &path)).collect()
    }

    /// A route by its place.
    pub fn get(&self, place: u16) -> Option<&Route> {
        self.routes.get(usize::from(place))
    }

    /// The path by which a request's route is found. A backend may read it otherwise than we do,
    /// so a reading that leads to a route that guards counts before one that leads to an open one.
    fn path_of<'a>(&self, request: &Request<'a>) -> Cow<'a, [u8]> {
        if !self.look_at_path {
            return Cow::Borrowed(b"");
        }
        let path = http::split_query(request.target).0;
        let normal = http::normalise(path);
        let Some(OtherReadings { literal, bare }) = http::other_readings(path) else { return normal };
        let guards = |path: &[u8]| {
            let route = self.find_by(request, path).and_then(|place| self.get(place));
            route.map(|route| !route.is_open())
        };
        if guards(&normal) != Some(false) {
            return normal;
        }
        let stricter = [literal, bare].into_iter().find(|other| guards(other) == Some(true));
        stricter.map_or(normal, Cow::Owned)
    }
}

/// Gives the routes that limit their buckets: those of the route before that was for the same
/// requests, or else of the one that had the same name, if it limited in the same way. No two
/// routes share any.
fn limit(routes: &mut [Route], plans: &[RoutePlan], before: &[Route]) {
    let mut known: Vec<&Route> = before.iter().filter(|route| route.rate_limit.is_some()).collect();
    let same_requests = |new: &Route, old: &Route| new.matcher == old.matcher;
    let same_name = |new: &Route, old: &Route| new.name == old.name;
    let alike: [fn(&Route, &Route) -> bool; 2] = [same_requests, same_name];
    for alike in alike {
        for (route, plan) in routes.iter_mut().zip(plans) {
            let Some(wanted) = plan.rate_limit.as_ref().filter(|_| route.rate_limit.is_none()) else {
                continue;
            };
            let limits_so =
                |old: &Route| old.rate_limit.as_ref().is_some_and(|limiter| limiter.plan() == wanted);
            if let Some(place) = known.iter().position(|old| limits_so(old) && alike(route, old)) {
                route.rate_limit.clone_from(&known.swap_remove(place).rate_limit);
            }
        }
    }
    for (route, plan) in routes.iter_mut().zip(plans).filter(|(route, _)| route.rate_limit.is_none()) {
        route.rate_limit = plan.rate_limit.clone().map(|plan| Arc::new(RateLimiter::new(plan)));
    }
}

impl Route {
    fn new(plan: &RoutePlan, before: &[Self]) -> Self {
        let mut matcher = plan.matcher.clone();
        if let Some(PathMatch::Exact(path) | PathMatch::Prefix(path)) = &mut matcher.path {
            // Written by people, so it is text however it is escaped.
            *path = String::from_utf8_lossy(&http::normalise(path)).into_owned();
        }
        let authenticator = |plan: &BasicAuth| {
            let mut known = before.iter().filter_map(|route| route.basic_auth.as_ref());
            let same = known.find(|authenticator| authenticator.plan() == plan).map(Arc::clone);
            same.unwrap_or_else(|| Arc::new(Authenticator::new(plan.clone())))
        };
        Self {
            name: plan.name.clone(),
            // Who goes on with whose is decided for all of them together.
            rate_limit: None,
            basic_auth: plan.basic_auth.as_ref().map(authenticator),
            allow: plan.allow.clone(),
            deny: plan.deny.clone(),
            matcher,
        }
    }

    /// Why this route is not for a request with this normalised path, if it is not.
    fn mismatch(&self, request: &Request<'_>, path: &[u8]) -> Option<Mismatch<'_>> {
        let Matcher { listeners, hosts, path: path_match, methods, headers, cookies } = &self.matcher;
        if !listeners.is_empty() && !listeners.iter().any(|name| name == request.listener) {
            return Some(Mismatch::Listener);
        }
        if !hosts.is_empty() && !hosts.iter().any(|host| is_host(host, bare_host(request.host))) {
            return Some(Mismatch::Host);
        }
        match path_match {
            Some(PathMatch::Exact(wanted)) if path != wanted.as_bytes() => return Some(Mismatch::Path),
            Some(PathMatch::Prefix(prefix)) if !http::is_below(path, prefix.as_bytes()) => {
                return Some(Mismatch::Path);
            }
            _ => {}
        }
        if !methods.is_empty() && !methods.iter().any(|method| method == request.method) {
            return Some(Mismatch::Method);
        }
        if let Some(wanted) = headers.iter().find(|wanted| !has_header(request.fields, wanted)) {
            return Some(Mismatch::Header(wanted));
        }
        cookies.iter().find(|wanted| !has_cookie(request.fields, wanted)).map(Mismatch::Cookie)
    }

    /// Whether nothing keeps anybody from this route.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty()
            && self.deny.is_empty()
            && self.rate_limit.is_none()
            && self.basic_auth.is_none()
    }

    /// Lets a request pass that has taken this route, and says which user it is if the route
    /// wants to know.
    ///
    /// # Errors
    /// The client's network is not served, it has asked too often, or it does not prove who
    /// it is; in this order, so that a wrong password is not cheaper than a request.
    pub fn admit(&self, client: IpAddr, fields: &[Field<'_>], now: Moment) -> Result<Option<u16>, Refusal> {
        if !self.serves(client) {
            return Err(Refusal::Network);
        }
        if let Some(limiter) = &self.rate_limit {
            limiter.take(client, now).map_err(Refusal::TooMany)?;
        }
        let Some(authenticator) = &self.basic_auth else { return Ok(None) };
        let mut named = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
        let (Some(shown), None) = (named.next(), named.next()) else { return Err(Refusal::Credentials) };
        let user = authenticator.user(shown.value, client, now).map_err(Refusal::TooMany)?;
        user.map(Some).ok_or(Refusal::Credentials)
    }

    /// Whether a client's network is served.
    pub fn serves(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let listed = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !listed(&self.deny) && (self.allow.is_empty() || listed(&self.allow))
    }

    /// The name of a user that was admitted.
    pub fn user(&self, user: u16) -> Option<&str> {
        self.basic_auth.as_ref()?.name(user)
    }
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("it came through another listener"),
            Self::Host => f.write_str("it asks for another host"),
            Self::Path => f.write_str("it asks for another path"),
            Self::Method => f.write_str("it has another method"),
            Self::Header(ValueMatch { name, value: None }) => write!(f, "it has no field {name}"),
            Self::Header(ValueMatch { name, value: Some(value) }) => {
                write!(f, "its field {name} does not say {value:?}")
            }
            Self::Cookie(ValueMatch { name, value: None }) => write!(f, "it has no cookie {name}"),
            Self::Cookie(ValueMatch { name, value: Some(value) }) => {
                write!(f, "its cookie {name} does not say {value:?}")
            }
        }
    }
}

/// A host without its port and without the dot that ends a full name.
pub fn bare_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::{RateLimit, RateLimitKey, Timeouts};

    fn field(name: &'static str, value: &'static str) -> Field<'static> {
        Field { name, value: value.as_bytes(), known: Known::of(name) }
    }

    fn value(name: &str, value: Option<&str>) -> ValueMatch {
        ValueMatch { name: name.to_owned(), value: value.map(str::to_owned) }
    }

    fn route(matcher: Matcher) -> RoutePlan {
        RoutePlan { matcher, ..RoutePlan::to_pool("r", 0, Timeouts::default()) }
    }

    /// What one route says to a request.
    fn verdict(matcher: Matcher, request: &Request<'_>) -> Option<String> {
        let routes = Routes::new(&[route(matcher)], None);
        let found = routes.find(request);
        let mismatches = routes.mismatches(request);
        assert_eq!(found.is_none(), !mismatches.is_empty());
        mismatches.first().map(Mismatch::to_string)
    }

    const REQUEST: Request<'static> =
        Request { listener: "l", host: "h", method: "GET", target: "/a/b?c", fields: &[] };

    #[test]
    fn an_empty_matcher_is_for_everything() {
        assert_eq!(verdict(Matcher::default(), &REQUEST), None);
    }

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let hosts =
            vec![HostMatch::Exact("example.com".to_owned()), HostMatch::Suffix(".example.org".to_owned())];
        for (host, matches) in [
            ("example.com", true),
            ("EXAMPLE.com:8080", true),
            ("example.com.", true),
            ("www.example.com", false),
            ("a.Example.org:1", true),
            ("a.b.example.org", true),
            ("example.org", false),
            (".example.org", false),
            ("badexample.org", false),
            ("", false),
        ] {
            let matcher = Matcher { hosts: hosts.clone(), ..Matcher::default() };
            assert_eq!(verdict(matcher, &Request { host, ..REQUEST }).is_none(), matches, "{host}");
        }
        let hosts = vec![HostMatch::Exact("[::1]".to_owned())];
        let matcher = Matcher { hosts, ..Matcher::default() };
        assert_eq!(verdict(matcher, &Request { host: "[::1]:80", ..REQUEST }), None);
    }

    #[test]
    fn paths_are_compared_as_they_are_meant() {
        let exact = |path: &str| Some(PathMatch::Exact(path.to_owned()));
        let below = |path: &str| Some(PathMatch::Prefix(path.to_owned()));
        for (path, target, matches) in [
            (exact("/a/b"), "/a/b", true),
            (exact("/a/b"), "/a/b?c", true),
            (exact("/a/b"), "/a/b/", false),
            (exact("/a/b"), "//a/%62", true),
            (exact("/a%20b"), "/a%20b", true),
            (exact("/a b"), "/a%20b", true),
            (below("/a"), "/a/b", true),
            (below("/a"), "/ab", false),
            (below("/a"), "/x/../a/b", true),
            (below("/a"), "/a/../b", false),
            (below("/"), "/b", true),
            (below("/"), "*", false),
        ] {
            let matcher = Matcher { path: path.clone(), ..Matcher::default() };
            assert_eq!(
                verdict(matcher, &Request { target, ..REQUEST }).is_none(),
                matches,
                "{path:?} {target}"
            );
        }
    }

    #[test]
    fn methods_listeners_fields_and_cookies_must_all_be_right() {
        let matcher = || Matcher {
            listeners: vec!["l".to_owned()],
            methods: vec!["GET".to_owned()],
            headers: vec![value("X-A", Some("1")), value("x-b", None)],
            cookies: vec![value("c", Some("2")), value("d", None)],
            ..Matcher::default()
        };
        let good = [field("x-a", "0"), field("X-A", "1"), field("X-B", ""), field("Cookie", "b=1; c=2;d")];
        let request = Request { fields: &good, ..REQUEST };
        assert_eq!(verdict(matcher(), &request), None);
        let said = |request: &Request<'_>| verdict(matcher(), request).unwrap_or_default();
        assert_eq!(said(&Request { listener: "m", ..request }), "it came through another listener");
        assert_eq!(said(&Request { method: "get", ..request }), "it has another method");
        assert_eq!(said(&Request { fields: &good[..1], ..request }), "its field X-A does not say \"1\"");
        assert_eq!(said(&Request { fields: &good[..2], ..request }), "it has no field x-b");
        assert_eq!(said(&Request { fields: &good[..3], ..request }), "its cookie c does not say \"2\"");
        let other = [good[1], good[2], field("Cookie", "c=2"), field("Cookie", "e=d")];
        assert_eq!(said(&Request { fields: &other, ..request }), "it has no cookie d");
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let routes = [
            route(Matcher { methods: vec!["POST".to_owned()], ..Matcher::default() }),
            route(Matcher { path: Some(PathMatch::Prefix("/a".to_owned())), ..Matcher::default() }),
            route(Matcher::default()),
        ];
        let routes = Routes::new(&routes, None);
        assert_eq!(routes.find(&REQUEST), Some(1));
        assert_eq!(routes.mismatches(&REQUEST), [Mismatch::Method]);
        assert_eq!(routes.find(&Request { target: "/b", ..REQUEST }), Some(2));
    }

    #[test]
    fn a_guard_is_not_passed_by_a_path_that_backends_read_otherwise() {
        let at = |path: Option<&str>| {
            route(Matcher { path: path.map(|path| PathMatch::Prefix(path.to_owned())), ..Matcher::default() })
        };
        let guarded = |path| RoutePlan { deny: vec!["0.0.0.0/0".parse().unwrap()], ..at(path) };
        let find = |routes: &[RoutePlan], target| {
            let routes = Routes::new(routes, None);
            let request = Request { target, ..REQUEST };
            // What `explain` tells ends at the same route.
            let found = routes.find(&request);
            assert_eq!(routes.mismatches(&request).len(), found.map_or(routes.routes.len(), usize::from));
            found
        };
        let spellings = [
            "/admin/../public",
            "/admin/x/..%2f..%2fpublic",
            "/public/..;/admin",
            "/public/..\\admin",
            "/public/..%5cadmin",
            "/admin;x/y",
            "/admin%3bx",
        ];
        for target in spellings {
            assert_eq!(find(&[guarded(Some("/admin")), at(None)], target), Some(0), "{target}");
        }
        for target in ["/admin/../public", "/public/..;/admin", "/public/..%5cadmin"] {
            assert_eq!(find(&[at(Some("/public")), guarded(None)], target), Some(1), "{target}");
        }
        // Where nothing is guarded, a path means what it says.
        for (target, expected) in [("/b/../a", 0), ("/a;x/y", 1), ("/a/..;x/b", 1)] {
            assert_eq!(find(&[at(Some("/a")), at(None)], target), Some(expected), "{target}");
        }
        assert_eq!(find(&[guarded(Some("/admin")), at(None)], "/public/a%20b;c"), Some(1));
    }

    #[test]
    fn denied_networks_win_over_allowed_ones() {
        let networks = |list: &[&str]| list.iter().map(|network| network.parse().unwrap()).collect();
        let mut plan = route(Matcher::default());
        plan.allow = networks(&["10.0.0.0/8", "::1/128"]);
        plan.deny = networks(&["10.1.0.0/16"]);
        let route = Route::new(&plan, &[]);
        for (client, served) in [
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("10.1.0.1", false),
            ("1.1.1.1", false),
            ("::1", true),
        ] {
            let admitted = route.admit(client.parse().unwrap(), &[], Moment::ZERO);
            assert_eq!(admitted.is_ok(), served, "{client}");
        }
    }

    #[test]
    fn a_reload_does_not_fill_the_buckets() {
        let limit =
            RateLimit { requests: 1, per: Duration::from_secs(60), burst: 1, key: RateLimitKey::Client };
        let mut plan = route(Matcher::default());
        plan.rate_limit = Some(limit);
        let before = Routes::new(std::slice::from_ref(&plan), None);
        let client = "127.0.0.1".parse().unwrap();
        assert_eq!(before.get(0).unwrap().admit(client, &[], Moment::ZERO), Ok(None));
        let after = Routes::new(&[plan], Some(&before));
        let refused = after.get(0).unwrap().admit(client, &[], Moment::ZERO);
        assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(60))));
    }

    #[test]
    fn a_reload_does_not_make_routes_share_their_buckets() {
        let limited = |name: &str, path: &str| {
            let path = Some(PathMatch::Exact(path.to_owned()));
            let mut plan = route(Matcher { path, ..Matcher::default() });
            plan.name = name.to_owned();
            plan.rate_limit = Some(RateLimit {
                requests: 1,
                per: Duration::from_secs(60),
                burst: 1,
                key: RateLimitKey::Route,
            });
            plan
        };
        let client = "127.0.0.1".parse().unwrap();
        let may =
            |routes: &Routes, place| routes.get(place).unwrap().admit(client, &[], Moment::ZERO).is_ok();
        let before = Routes::new(&[limited("r-1", "/a"), limited("r-2", "/b"), limited("r-3", "/c")], None);
        assert!(may(&before, 1));
        // One is inserted before the one that was used, one takes another's name, one is gone.
        let after =
            Routes::new(&[limited("r-2", "/new"), limited("r-4", "/b"), limited("r-1", "/a")], Some(&before));
        assert_eq!([may(&after, 0), may(&after, 1), may(&after, 2)], [true, false, true]);
        // What a route is for has changed, and its name has not.
        let last = Routes::new(&[limited("r-4", "/d")], Some(&after));
        assert!(!may(&last, 0));
    }
}
