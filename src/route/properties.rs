//! Properties of routes: a guard holds for every reading of a backend, and the index finds the same
//! routes as a search through all of them.

use proptest::prelude::*;
use proptest::sample::select;

use super::matches::Fit;
use super::matches::Request;
use super::readers::READERS;
use super::table::{NotFound, Routes};
use crate::config::plan::{HostMatch, Matcher, PathMatch, RoutePlan, Timeouts, ValueMatch};
use crate::http::{self, Field, Known};

/// Pieces of paths that readers disagree on, and some that they do not.
const PIECES: [&str; 36] = [
    "/",
    "/",
    "/",
    "/",
    "//",
    "///",
    "a",
    "b",
    "adm",
    "h",
    "/a",
    "/b",
    "/adm",
    "%61",
    "%2F",
    "%2f",
    "%5C",
    "%5c",
    "\\",
    ";",
    ";x",
    "%3B",
    "%3b",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "/..",
    "/.",
    "%20",
    "%252e",
    "%252F",
    "%00",
    "%zz",
    "%",
    "%EF%BC%8F",
];

fn a_path() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&PIECES[..]), 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn path_match() -> impl Strategy<Value = Option<PathMatch>> {
    let text = prop::collection::vec(select(&["a", "b", "adm", "h"][..]), 0..4)
        .prop_flat_map(|names| (Just(format!("/{}", names.join("/"))), any::<bool>()))
        .prop_map(|(path, slash)| if slash && path.len() > 1 { path + "/" } else { path });
    prop_oneof![
        1 => Just(None),
        3 => text.clone().prop_map(|path| Some(PathMatch::Exact(path))),
        5 => text.prop_map(|path| Some(PathMatch::Prefix(path))),
    ]
}

fn plan(matcher: Matcher, guarded: bool) -> RoutePlan {
    let deny = if guarded { vec!["0.0.0.0/0".parse().unwrap()] } else { Vec::new() };
    RoutePlan { matcher, deny, ..RoutePlan::to_first_pool("r", Timeouts::default()) }
}

fn request<'a>(host: &'a str, method: &'a str, target: &'a str, fields: &'a [Field<'a>]) -> Request<'a> {
    Request { listener: "l", host, method, target, fields }
}

/// The first route for a literal path, by plain text comparison.
fn first_for(plans: &[RoutePlan], path: &str) -> Option<u16> {
    let place = plans.iter().position(|plan| match &plan.matcher.path {
        None => true,
        Some(PathMatch::Exact(exact)) => exact == path,
        Some(PathMatch::Prefix(prefix)) if prefix.ends_with('/') => path.starts_with(prefix.as_str()),
        Some(PathMatch::Prefix(prefix)) => path == prefix || path.starts_with(&format!("{prefix}/")),
    });
    place.map(|place| u16::try_from(place).unwrap())
}

/// Fails if a backend that reads a path this way serves a request that did not pass the guard.
fn guard_holds(plans: &[RoutePlan], target: &str, read: &str) -> Result<(), String> {
    let Some(place) = first_for(plans, read) else { return Ok(()) };
    if plans[usize::from(place)].deny.is_empty() {
        return Ok(());
    }
    match Routes::new(plans, None).find(&request("h", "GET", target, &[])) {
        Ok(found) if !found.guards().any(|guard| guard == place) => {
            Err(format!("{target:?} is read as {read:?}, and passes the guard {place} as {found:?}"))
        }
        _ => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, ..ProptestConfig::default() })]

    #[test]
    fn a_guard_holds_for_what_any_backend_reads(
        routes in prop::collection::vec((path_match(), any::<bool>()), 1..6),
        target in a_path(),
    ) {
        let plans: Vec<_> = routes
            .into_iter()
            .map(|(path, guarded)| plan(Matcher { path, ..Matcher::default() }, guarded))
            .collect();
        for (name, reader) in READERS {
            let Some(read) = reader(&target) else { continue };
            let held = guard_holds(&plans, &target, &read);
            prop_assert!(held.is_ok(), "{name}: {} of {plans:?}", held.unwrap_err());
        }
    }

    #[test]
    fn without_a_guard_nothing_is_refused(
        routes in prop::collection::vec(path_match(), 1..6),
        target in a_path(),
    ) {
        let plans: Vec<_> =
            routes.into_iter().map(|path| plan(Matcher { path, ..Matcher::default() }, false)).collect();
        let routes = Routes::new(&plans, None);
        let request = request("h", "GET", &target, &[]);
        let found = routes.find(&request);
        prop_assert_ne!(&found, &Err(NotFound::Ambiguous));
        prop_assert_eq!(found.is_ok_and(|found| found.guards().next().is_some()), false);
    }

    #[test]
    fn the_index_finds_what_a_search_finds(
        matchers in prop::collection::vec((a_matcher(), any::<bool>()), 1..24),
        requests in prop::collection::vec((select(&HOSTS[..]), select(&["GET", "PUT"][..]), a_path(), any::<bool>()), 1..16),
    ) {
        let plans: Vec<_> = matchers.into_iter().map(|(matcher, guarded)| plan(matcher, guarded)).collect();
        let routes = Routes::new(&plans, None);
        for (host, method, target, field) in requests {
            let field = [Field { name: "x-a", value: if field { b"1" } else { b"2" }, known: Known::of("x-a") }];
            let request = request(host, method, &target, &field);
            let path = http::normalise(&target);
            let all: Vec<u16> = (0..plans.len()).map(|place| u16::try_from(place).unwrap()).collect();
            let candidates: Vec<u16> = routes.index.candidates(host, &path).collect();
            prop_assert!(candidates.is_sorted_by(|a, b| a < b), "{:?}", candidates);
            let fits = |place: &&u16| {
                let matches = &routes.routes[usize::from(**place)].matches;
                matches.fit(&path) != Fit::None && matches.mismatch_but_path(&request).is_none()
            };
            let searched: Vec<_> = all.iter().filter(fits).collect();
            let indexed: Vec<_> = candidates.iter().filter(fits).collect();
            prop_assert_eq!(&indexed, &searched, "{} {} of {:?}", host, target, plans);
            let first = routes.mismatches(&request).len();
            if let Ok(found) = routes.find(&request) {
                prop_assert_eq!(usize::from(found.place), first);
            }
        }
    }
}

const HOSTS: [&str; 12] = [
    "",
    "x",
    "a.x",
    "A.X:80",
    "b.a.x.",
    "c.b.a.x",
    "c.x",
    "[::1]",
    "[::1]:8080",
    ".x",
    "a..x",
    "very-long-label.a.x",
];

fn a_matcher() -> impl Strategy<Value = Matcher> {
    let exact = |name: &str| HostMatch::Exact(name.to_owned());
    let suffix = |name: &str| HostMatch::Suffix(name.to_owned());
    let hosts = vec![
        exact("x"),
        exact("a.x"),
        exact("b.a.x"),
        exact("[::1]"),
        suffix(".x"),
        suffix(".a.x"),
        suffix(".b.a.x"),
    ];
    let methods = prop::option::weighted(0.2, select(&["GET", "PUT"][..]));
    (prop::collection::vec(select(hosts), 0..3), path_match(), methods, prop::bool::weighted(0.2)).prop_map(
        |(hosts, path, method, field)| Matcher {
            hosts,
            path,
            methods: method.into_iter().map(str::to_owned).collect(),
            headers: if field {
                vec![ValueMatch { name: "X-A".to_owned(), value: Some("1".to_owned()) }]
            } else {
                Vec::new()
            },
            ..Matcher::default()
        },
    )
}
