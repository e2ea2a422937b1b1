//! What `check` says about routes is true of the routes that run.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use ropewalk::config::{Document, Problem};
use ropewalk::internal::config::plan::Plan;
use ropewalk::internal::http::{HeadStorage, parse_request};
use ropewalk::internal::route::{Request, Routes};
use serde_json::{Map, Value, json};

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_route_that_is_called_unreachable_gets_no_request(matches in prop::collection::vec(a_match(), 2..5)) {
        let routes: Vec<_> = matches.iter().map(|it| json!({ "match": it, "respond": {} })).collect();
        let (plan, warnings) = check(&routes);
        let unreachable = |place: u16| {
            let pointer = format!("/routes/{place}");
            warnings.iter().any(|warning| warning.pointer == pointer && warning.message.contains("never be reached"))
        };
        let running = Routes::new(&plan.routes, None);
        for heads in HOSTS.iter().flat_map(|host| heads(host)) {
            for listener in ["l1", "l2"] {
                if let Some(place) = found(&running, &heads, listener) {
                    prop_assert!(!unreachable(place), "{place} gets {heads:?} of {routes:#?}");
                }
            }
        }
    }

    #[test]
    fn a_path_that_is_accepted_is_for_itself(path in "/[a-c/.~%0-9A-F]{0,12}", below in "[a-c]{1,3}") {
        let exact = json!({ "match": { "path": path }, "respond": {} });
        let prefix = json!({ "match": { "path_prefix": path }, "respond": {} });
        for (route, target) in [(exact, path.clone()), (prefix, format!("{}/{below}", path.trim_end_matches('/')))] {
            let text = json!({ "listen": LISTEN.clone(), "routes": [route] }).to_string();
            let Ok(checked) = Document::from_json("c", &text).and_then(|document| document.check()) else { continue };
            let head = format!("GET {target} HTTP/1.1\r\nHost: a.x\r\n\r\n");
            prop_assert_eq!(found(&Routes::new(&checked.plan.routes, None), &head, "l1"), Some(0), "{}", target);
        }
    }
}

static LISTEN: std::sync::LazyLock<Value> = std::sync::LazyLock::new(
    || json!([{ "name": "l1", "address": "127.0.0.1:1" }, { "name": "l2", "address": "127.0.0.1:2" }]),
);

/// Few values of each kind, so that they meet.
fn a_match() -> impl Strategy<Value = Value> {
    let list = |values: &'static [&'static str]| {
        subsequence(values, 1..=values.len().min(2)).prop_map(|list| json!(list))
    };
    let some = |key: &'static str, value: BoxedStrategy<Value>| {
        prop::option::weighted(0.3, value.prop_map(move |value| (key, value)))
    };
    let one = |key: &'static str, values: &'static [&'static str]| {
        some(key, select(values).prop_map(Value::from).boxed())
    };
    let named = |name: &'static str| {
        let value = prop_oneof![Just(json!(true)), Just(json!("1")), Just(json!("2"))];
        value.prop_map(move |value| json!({ name: value })).boxed()
    };
    (
        some("listener", list(&["l1", "l2"]).boxed()),
        some("host", list(&["x", "a.x", "b.a.x", "*.x", "*.a.x"]).boxed()),
        one("path", &["/a", "/a/", "/a/b"]),
        one("path_prefix", &["/", "/a", "/a/", "/a/b"]),
        some("methods", list(&["GET", "POST"]).boxed()),
        some("headers", prop_oneof![named("X-A"), named("x-a")].boxed()),
        some("cookies", named("c")),
    )
        .prop_map(|(listener, host, path, prefix, methods, headers, cookies)| {
            // At most one of the two path conditions.
            let prefix = prefix.filter(|_| path.is_none());
            let given = [listener, host, path, prefix, methods, headers, cookies].into_iter().flatten();
            Value::Object(given.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
        })
}

fn check(routes: &[Value]) -> (Plan, Vec<Problem>) {
    let text = json!({ "listen": LISTEN.clone(), "routes": routes }).to_string();
    let checked = Document::from_json("c", &text).and_then(|document| document.check());
    let checked = checked.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    (checked.plan, checked.warnings)
}

const HOSTS: [&str; 6] = ["x", "a.x:80", "b.a.x", "c.b.a.x", "c.x", "A.X"];

/// Every request to a host that the matches can distinguish, and some that they must not.
fn heads(host: &str) -> Vec<String> {
    let mut heads = Vec::new();
    for method in ["GET", "POST"] {
        for path in ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/%61/b", "//a/./b?c"] {
            for header in ["", "X-A: 1\r\n", "x-a: 2\r\n"] {
                for cookie in ["", "Cookie: c=1\r\n", "Cookie: d=1; c=2\r\n"] {
                    heads.push(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{header}{cookie}\r\n"));
                }
            }
        }
    }
    heads
}

fn found(routes: &Routes, head: &str, listener: &str) -> Option<u16> {
    let mut storage = HeadStorage::new();
    let head = parse_request(head.as_bytes(), &mut storage).expect("a request");
    let host = head.host.unwrap_or_default();
    let method = head.method_token;
    routes
        .find(&Request { listener, host, method, target: head.target, fields: head.fields })
        .ok()
        .map(|found| found.place)
}

#[test]
fn more_routes_than_a_request_can_tell_apart_are_refused() {
    let routes = |count: usize| {
        let routes = vec![json!({ "respond": {} }); count];
        json!({ "routes": routes }).to_string()
    };
    let said = |text: &str| match Document::from_json("c", text).and_then(|document| document.check()) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    };
    let message = said(&routes(65_536));
    assert!(message.contains("/routes"), "{message}");
    assert!(message.contains("there are 65536 routes here, and the most is 65535"), "{message}");

    let backends: Vec<_> = (0..65_536).map(|n| json!({ "url": format!("http://h:{n}") })).collect();
    let message = said(&json!({ "backends": backends }).to_string());
    assert!(message.contains("there are 65536 backends here"), "{message}");
    let pools: Map<_, _> = (0..65_536).map(|n| (format!("p{n}"), json!({}))).collect();
    let message = said(&json!({ "pools": pools }).to_string());
    assert!(message.contains("there are 65536 pools here"), "{message}");
    let users: Map<_, _> = (0..65_536).map(|n| (format!("u{n}"), json!("$5$"))).collect();
    let message =
        said(&json!({ "routes": [{ "respond": {}, "basic_auth": { "users": users } }] }).to_string());
    assert!(message.contains("there are 65536 users here"), "{message}");
}

/// Comparing every pair would take minutes here.
#[test]
fn many_routes_are_checked_and_the_last_is_found() {
    let hosts = (0..30_000).map(|n| json!({ "match": { "host": format!("h{n}.x") }, "respond": {} }));
    let paths = (0..30_000).map(|n| json!({ "match": { "path_prefix": format!("/a/{n}") }, "respond": {} }));
    let covered = json!({ "match": { "host": "h7.x", "path": "/b" }, "respond": {} });
    let last = json!({ "match": { "path": "/b" }, "respond": {} });
    let routes: Vec<_> = hosts.chain(paths).chain([covered, last]).collect();
    let (plan, warnings) = check(&routes);
    let warned: Vec<_> = warnings.iter().map(|warning| warning.pointer.as_str()).collect();
    assert_eq!(warned, ["/routes/60000"]);
    let running = Routes::new(&plan.routes, None);
    for (host, path, place) in [("h29999.x", "/b", 29_999), ("x", "/a/29999/b", 59_999), ("x", "/b", 60_001)]
    {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(found(&running, &head, "l1"), Some(place), "{host}{path}");
    }
}
