//! All views except the page and the metrics.

use serde_json::Value;

use crate::fake::{Call, durations, in_flight};
use crate::wire::{Admin, until_some};

#[test]
fn every_view_has_a_content_type_and_forbids_caching() {
    let admin = Admin::start();
    for (target, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/status", "application/json"),
        ("/status?format=text", "text/plain; charset=utf-8"),
        ("/requests", "application/json"),
        ("/requests?format=text", "text/plain; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/explain?url=http://a/", "text/plain; charset=utf-8"),
    ] {
        let answer = admin.get(target);
        assert_eq!((answer.status, answer.field("content-type").as_str()), (200, kind), "{target}");
        assert_eq!(answer.field("cache-control"), "no-store", "{target}");
        assert_eq!(answer.field("x-content-type-options"), "nosniff", "{target}");
        assert_eq!(answer.field("connection"), "close", "{target}");
        assert_eq!(answer.field("content-length"), answer.body.len().to_string(), "{target}");
        assert!(answer.body.ends_with('\n') || target == "/", "{target}");
        let head = admin.ask("HEAD", target, "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{target}");
    }
}

#[test]
fn unknown_paths_are_not_found() {
    let admin = Admin::start();
    for target in ["/x", "/status/", "//", "/backends", "/backends/api-1", "/backends/api-1/stop", "/Status"]
    {
        assert_eq!(admin.get(target).status, 404, "{target}");
    }
    assert_eq!(admin.get("/status?fromat=text").status, 400);
    assert_eq!(admin.get("/status?format=xml").status, 400);
}

#[test]
fn the_status_is_json_for_programs() {
    let admin = Admin::start();
    let status: Value = serde_json::from_str(&admin.get("/status").body).unwrap();
    assert_eq!((&status["ready"], &status["draining"]), (&Value::from(true), &Value::from(false)));
    assert_eq!(status["pools"][0]["backends"][1]["name"], "api-2");
    assert_eq!(status["pools"][0]["backends"][1]["up"], false);
    assert_eq!(status["pools"][0]["backends"][1]["probes"][23]["text"], "connection refused");
    assert_eq!(status["pools"][0]["backends"][2]["override_left_s"], 252);
    assert_eq!(status["connections"]["limit"], 10_000);
    assert_eq!(status["retries"]["connection_refused"], 41);
    assert_eq!(status["requests"][1]["code"], 502);
    assert_eq!(status["recent"]["backends"][4]["name"], "web-2");
}

#[test]
fn the_status_is_a_table_for_people() {
    let admin = Admin::start();
    admin.fake.change(|status| status.reloads.last_error = "config.json:1:1  a\nb\n".into());
    for answer in [admin.get("/status?format=text"), admin.ask("GET", "/status", "Accept: text/plain\r\n")] {
        let lines: Vec<&str> = answer.body.lines().collect();
        assert!(lines[0].starts_with("ropewalk     0.1.0, ready, up 3d 2h, pid 4121"), "{}", answer.body);
        assert!(lines.contains(&"             last error: config.json:1:1  a; b"), "{}", answer.body);
        assert!(lines.contains(&"pool api: least-connections, 1 of 3 up"), "{}", answer.body);
        let row = |name| lines.iter().find(|line| line.starts_with(name)).unwrap();
        assert!(
            row("api-2 ").contains(" DOWN ") && row("api-2 ").ends_with("  96       37  connection refused"),
            "{}",
            row("api-2")
        );
        // There was no request since the first sample, and blanks would be a poor way to say so.
        assert!(lines.contains(&"requests     none in the last minute"), "{}", answer.body);
        assert!(lines.contains(
            &"connections  1284 open of 10000 allowed; 61 watched by workers, 1214 by the poller; 17 tunnels"
        ), "{}", answer.body);
        assert!(lines.contains(&"workers      1 running, 3 idle, 2 connections queued"), "{}", answer.body);
        assert!(row("api-3 ").contains(" DRAINED  0 (of 1) "), "{}", row("api-3"));
        assert!(row("api-3 ").ends_with("  weight set by hand for another 4m 12s"), "{}", row("api-3"));
    }
}

#[test]
fn rates_and_latencies_are_recent() {
    let admin = Admin::start();
    // What came before the first sample is not recent.
    let status = until_some("a first sample", || {
        let status: Value = serde_json::from_str(&admin.get("/status").body).unwrap();
        status["recent"]["total"]["p50_ms"].is_null().then_some(status)
    });
    assert_eq!(status["recent"]["total"]["requests_per_s"], 0.0);
    admin.fake.change(|status| {
        let web = &mut status.pools[1].backends[0];
        web.requests += 500;
        web.durations.add(&durations(500, 40));
        status.requests[2].count += 500;
        status.durations[1].1.add(&durations(500, 40));
    });
    let recent = until_some("a rate", || {
        let mut status: Value = serde_json::from_str(&admin.get("/status").body).unwrap();
        let recent = status["recent"].take();
        (recent["total"]["requests_per_s"].as_f64() > Some(0.0)).then_some(recent)
    });
    let web_1 = &recent["backends"][3];
    assert_eq!(web_1["name"], "web-1");
    for figures in [web_1, &recent["total"]] {
        assert!(figures["requests_per_s"].as_f64().unwrap() > 0.0, "{figures}");
        // The bucket that 40 ms fall into, and that of the one in a hundred.
        assert!((25.0..=50.0).contains(&figures["p50_ms"].as_f64().unwrap()), "{figures}");
    }
    assert_eq!(
        (&recent["backends"][4]["requests_per_s"], &recent["backends"][4]["p50_ms"]),
        (&Value::from(0.0), &Value::Null)
    );
}

#[test]
fn requests_in_flight_come_oldest_first() {
    let admin = Admin::start();
    let list: Value = serde_json::from_str(&admin.get("/requests").body).unwrap();
    assert_eq!((&list["total"], &list["requests"][0]["id"]), (&Value::from(2), &Value::from("req-2")));
    assert_eq!(list["requests"][0]["deadline_ms"], -1_500);
    let text = admin.get("/requests?format=text").body;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("    AGE  TIMES OUT IN  STAGE "), "{text}");
    assert!(
        lines[1].starts_with(" 61.5 s       -1.50 s  waiting for the response head  the poller  api-1 "),
        "{text}"
    );
    assert!(lines[2].ends_with("GET /reports?year=2026  req-1"), "{text}");
    admin.fake.has_in_flight(Vec::new());
    assert_eq!(admin.get("/requests?format=text").body, "no requests in flight\n");
}

#[test]
fn a_flood_of_requests_in_flight_is_cut_to_the_oldest() {
    let admin = Admin::start();
    admin.fake.has_in_flight((0..1_500).map(|age| in_flight("r", age)).collect());
    let list: Value = serde_json::from_str(&admin.get("/requests").body).unwrap();
    let shown = list["requests"].as_array().unwrap();
    assert_eq!(
        (&list["total"], shown.len(), &shown[999]["age_ms"]),
        (&Value::from(1_500), 1_000, &Value::from(500))
    );
    assert!(admin.get("/requests?format=text").body.ends_with("\n... and 500 more recent ones\n"));
}

#[test]
fn a_terminal_is_shown_no_control_characters() {
    let admin = Admin::start();
    admin.fake.has_in_flight(vec![in_flight("\u{1b}]0;gotcha\u{7}", 1)]);
    let text = admin.get("/requests?format=text").body;
    assert!(text.contains("\\u{1b}]0;gotcha\\u{7}"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn readiness_has_a_reason() {
    let admin = Admin::start();
    assert_eq!(admin.get("/readyz").body, "ready\n");
    admin.fake.change(|status| status.ready = false);
    let answer = admin.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (503, "not ready: no usable backend\n"));
    admin.fake.change(|status| status.draining = true);
    let answer = admin.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("not ready: stopping"), "{}", answer.body);
    let alive = admin.get("/healthz");
    assert_eq!((alive.status, alive.body.as_str()), (200, "alive\n"));
    // Probes use any host name.
    assert_eq!(admin.send("GET /healthz HTTP/1.1\r\nHost: lb-1.internal\r\n\r\n").status, 200);
}

#[test]
fn explain_passes_on_the_whole_question() {
    let admin = Admin::start();
    let target = "/explain?method=POST&url=http%3A%2F%2Fa.example%2Fb%3Fc%3Dd&header=X-Beta:+1&header=Cookie:a=b&down=api-1&down=api-2";
    let answer = admin.get(target);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "POST http://a.example/b?c=d goes to pool web\n")
    );
    let calls = admin.fake.calls();
    let [Call::Explain(question)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(question.headers, [("X-Beta".into(), "1".into()), ("Cookie".into(), "a=b".into())]);
    assert_eq!(question.down, ["api-1", "api-2"]);
    for (target, says) in [
        ("/explain", "missing parameter: write /explain?url="),
        ("/explain?url=a/b", "not an absolute URL"),
        ("/explain?url=http://a/&header=x", "is not a field"),
    ] {
        let answer = admin.get(target);
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.body.contains(says), "{target}: {}", answer.body);
    }
}

#[test]
fn a_panic_in_a_view_costs_one_answer() {
    let admin = Admin::start();
    admin.fake.panics(true);
    let answer = admin.get("/status");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (500, "500: a bug in ropewalk; see the panic in its log\n")
    );
    admin.fake.panics(false);
    assert_eq!(admin.get("/status").status, 200);
}
