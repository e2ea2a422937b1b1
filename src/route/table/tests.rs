//! Which route requests take, and what its guard says of their clients.

use std::time::Duration;

use super::*;
use crate::base::clock::Moment;
use crate::config::plan::{HostMatch, Matcher, PathMatch, RateLimit, RateLimitKey, Timeouts, ValueMatch};
use crate::http::{Field, Known};
use crate::route::{Clearance, Refusal};

fn field(name: &'static str, value: &'static str) -> Field<'static> {
    Field { name, value: value.as_bytes(), known: Known::of(name) }
}

fn value(name: &str, value: Option<&str>) -> ValueMatch {
    ValueMatch { name: name.to_owned(), value: value.map(str::to_owned) }
}

fn route(matcher: Matcher) -> RoutePlan {
    RoutePlan { matcher, ..RoutePlan::to_first_pool("r", Timeouts::default()) }
}

fn asker(address: &str) -> Asker {
    Asker { address: address.parse().unwrap(), known: true }
}

/// Whether the guard of one route admits a client.
fn admitted(routes: &Routes, place: u16, client: &str) -> Result<Option<User>, Refusal> {
    let found = Found { place, guarded: routes.is_guarded(place), others: Vec::new() };
    match routes.admit(&found, asker(client), &[], Moment::ZERO, None)? {
        Clearance::Granted(user) => Ok(user),
        Clearance::Pending(..) => panic!("no password was sent"),
    }
}

/// Why one route does not match a request.
fn verdict(matcher: Matcher, request: &Request<'_>) -> Option<String> {
    let routes = Routes::new(&[route(matcher)], None);
    let found = routes.find(request);
    let mismatches = routes.mismatches(request);
    assert_eq!(found.is_err(), !mismatches.is_empty());
    mismatches.first().map(Mismatch::to_string)
}

const REQUEST: Request<'static> =
    Request { listener: "l", host: "h", method: "GET", target: "/a/b?c", fields: &[] };

#[test]
fn an_empty_matcher_matches_everything() {
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
fn paths_are_compared_in_normal_form() {
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
        assert_eq!(verdict(matcher, &Request { target, ..REQUEST }).is_none(), matches, "{path:?} {target}");
    }
}

#[test]
fn methods_listeners_fields_and_cookies_must_all_match() {
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
    assert_eq!(said(&Request { method: "get", ..request }), "its method does not match");
    assert_eq!(said(&Request { fields: &good[..1], ..request }), "its field X-A is not \"1\"");
    assert_eq!(said(&Request { fields: &good[..2], ..request }), "it has no field x-b");
    assert_eq!(said(&Request { fields: &good[..3], ..request }), "its cookie c is not \"2\"");
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
    assert_eq!(routes.find(&REQUEST).map(|found| found.place), Ok(1));
    assert_eq!(routes.mismatches(&REQUEST), [Mismatch::Method]);
    assert_eq!(routes.find(&Request { target: "/b", ..REQUEST }).map(|found| found.place), Ok(2));
}

fn at(path: Option<&str>) -> RoutePlan {
    route(Matcher { path: path.map(|path| PathMatch::Prefix(path.to_owned())), ..Matcher::default() })
}

fn named(path: &str) -> RoutePlan {
    route(Matcher { path: Some(PathMatch::Exact(path.to_owned())), ..Matcher::default() })
}

fn guarded(plan: RoutePlan) -> RoutePlan {
    RoutePlan { deny: vec!["0.0.0.0/0".parse().unwrap()], ..plan }
}

/// The route that a target takes, and the guards that it must pass.
fn found(routes: &[RoutePlan], target: &str) -> Result<(u16, Vec<u16>), NotFound> {
    let routes = Routes::new(routes, None);
    let request = Request { target, ..REQUEST };
    let found = routes.find(&request)?;
    // `explain` stops at the same route.
    assert_eq!(routes.mismatches(&request).len(), usize::from(found.place));
    Ok((found.place, found.guards().collect()))
}

#[test]
fn a_path_that_backends_read_differently_does_not_bypass_a_guard() {
    let routes = [guarded(at(Some("/admin"))), at(None)];
    for (target, expected) in [
        ("/admin/x", Ok((0, vec![0]))),
        ("/admin/../public", Ok((1, vec![0]))),
        ("/x/../admin", Ok((0, vec![0]))),
        ("/%61dmin", Ok((0, vec![0]))),
        ("/admin%2fx", Ok((0, vec![0]))),
        ("//admin", Ok((0, vec![0]))),
        ("//h/admin/x", Ok((1, vec![0]))),
        ("///h/admin/x", Ok((1, vec![0]))),
        ("/\\h\\admin", Ok((1, vec![0]))),
        ("/admin;x/y", Ok((1, vec![0]))),
        ("/admin%3bx", Ok((1, vec![0]))),
        ("/public/a%20b;c", Ok((1, vec![]))),
        ("/admin/x/..%2f..%2fpublic", Err(NotFound::Ambiguous)),
        ("/public/..;/admin", Err(NotFound::Ambiguous)),
        ("/public/..%5cadmin", Err(NotFound::Ambiguous)),
    ] {
        assert_eq!(found(&routes, target), expected, "{target}");
    }
    // An open route may come before the guard.
    let routes = [at(Some("/public")), guarded(at(None))];
    assert_eq!(found(&routes, "/admin/../public"), Ok((0, vec![1])));
    // Go's path.Clean leaves no slash where a dot segment was, and this open route needs one.
    let routes = [at(Some("/a/")), guarded(at(None))];
    assert_eq!(found(&routes, "/a/b/.."), Ok((0, vec![1])));
    assert_eq!(found(&routes, "/a/"), Ok((0, vec![])));
}

#[test]
fn without_guards_only_the_normal_form_counts() {
    for (target, expected) in [("/b/../a", 0), ("/a;x/y", 1), ("/a/..;x/b", 1), ("//h/..%2fa", 0)] {
        assert_eq!(found(&[at(Some("/a")), at(None)], target), Ok((expected, vec![])), "{target}");
    }
    // A guard on everything is not passed by any spelling, so none is refused.
    assert_eq!(found(&[guarded(at(None))], "/a/..;x/b"), Ok((0, vec![0])));
}

#[test]
fn a_guard_on_one_path_holds_with_and_without_a_trailing_slash() {
    let routes = [guarded(named("/adm")), named("/health"), named("/b"), guarded(at(Some("/b/")))];
    for (target, expected) in [
        ("/adm", Ok((0, vec![0]))),
        ("/adm/x", Err(NotFound::NoRoute)),
        ("/b", Ok((2, vec![3]))),
        ("/b/", Ok((3, vec![3]))),
    ] {
        assert_eq!(found(&routes, target), expected, "{target}");
    }
    let routes = [guarded(named("/adm")), named("/health"), at(Some("/open")), guarded(at(None))];
    for (target, expected) in [
        ("/adm/", Ok((3, vec![0, 3]))),
        ("/adm/.", Ok((3, vec![0, 3]))),
        ("/%61dm/", Ok((3, vec![0, 3]))),
        // A guard on everything does not count for a path that an open route names.
        ("/health", Ok((1, vec![]))),
        ("/open/", Ok((2, vec![]))),
        ("/open", Ok((2, vec![]))),
    ] {
        assert_eq!(found(&routes, target), expected, "{target}");
    }
}

#[test]
fn the_guard_of_another_reading_is_checked_once() {
    let mut limited = at(Some("/a"));
    limited.rate_limit =
        Some(RateLimit { requests: 1, per: Duration::from_secs(60), burst: 1, key: RateLimitKey::Route });
    let routes = Routes::new(&[limited, at(None)], None);
    let may = |target| {
        let found = routes.find(&Request { target, ..REQUEST }).unwrap();
        routes.admit(&found, asker("127.0.0.1"), &[], Moment::ZERO, None).is_ok()
    };
    // Several of its readings lead to the guard; none of those of `/b;x` does.
    assert_eq!([may("//h//a;x%2fb"), may("/b;x"), may("/a")], [true, true, false]);
}

#[test]
fn denied_networks_win_over_allowed_ones() {
    let networks = |list: &[&str]| list.iter().map(|network| network.parse().unwrap()).collect();
    let mut plan = route(Matcher::default());
    plan.allow = networks(&["10.0.0.0/8", "::1/128"]);
    plan.deny = networks(&["10.1.0.0/16"]);
    let routes = Routes::new(&[plan], None);
    for (client, served) in [
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("10.1.0.1", false),
        ("1.1.1.1", false),
        ("::1", true),
    ] {
        assert_eq!(admitted(&routes, 0, client).is_ok(), served, "{client}");
    }
}

#[test]
fn an_unknown_client_is_in_no_allowed_network_and_perhaps_in_a_denied_one() {
    let of = |allow: &[&str], deny: &[&str]| {
        let networks = |list: &[&str]| list.iter().map(|network| network.parse().unwrap()).collect();
        let mut plan = route(Matcher::default());
        (plan.allow, plan.deny) = (networks(allow), networks(deny));
        let routes = Routes::new(&[plan], None);
        let found = Found { place: 0, guarded: routes.is_guarded(0), others: Vec::new() };
        let unknown = Asker { known: false, ..asker("10.0.0.1") };
        routes.admit(&found, unknown, &[], Moment::ZERO, None).is_ok()
    };
    assert!(of(&[], &[]));
    assert!(!of(&["0.0.0.0/0"], &[]));
    assert!(!of(&[], &["192.0.2.0/24"]));
}

#[test]
fn a_reload_does_not_refill_the_buckets() {
    let limit = RateLimit { requests: 1, per: Duration::from_secs(60), burst: 1, key: RateLimitKey::Client };
    let mut plan = route(Matcher::default());
    plan.rate_limit = Some(limit);
    let before = Routes::new(std::slice::from_ref(&plan), None);
    assert_eq!(admitted(&before, 0, "127.0.0.1"), Ok(None));
    let after = Routes::new(&[plan], Some(&before));
    let refused = admitted(&after, 0, "127.0.0.1");
    assert_eq!(refused, Err(Refusal::TooMany(Duration::from_secs(60))));
}

#[test]
fn a_reload_does_not_make_routes_share_their_buckets() {
    let limited = |name: &str, path: &str| {
        let path = Some(PathMatch::Exact(path.to_owned()));
        let mut plan = route(Matcher { path, ..Matcher::default() });
        plan.name = name.to_owned();
        plan.rate_limit =
            Some(RateLimit { requests: 1, per: Duration::from_secs(60), burst: 1, key: RateLimitKey::Route });
        plan
    };
    let may = |routes: &Routes, place| admitted(routes, place, "127.0.0.1").is_ok();
    let before = Routes::new(&[limited("r-1", "/a"), limited("r-2", "/b"), limited("r-3", "/c")], None);
    assert!(may(&before, 1));
    // One route is inserted before the one that was used, one takes another's name, one is gone.
    let after =
        Routes::new(&[limited("r-2", "/new"), limited("r-4", "/b"), limited("r-1", "/a")], Some(&before));
    assert_eq!([may(&after, 0), may(&after, 1), may(&after, 2)], [true, false, true]);
    // The matcher has changed, but not the name.
    let last = Routes::new(&[limited("r-4", "/d")], Some(&after));
    assert!(!may(&last, 0));
}
