//! The verbs: what reaches the balancer, and what comes back.

use std::io::Write;
use std::time::Duration;

use ropewalk::internal::admin::operations::WeightChange;

use crate::fake::Call;
use crate::wire::{Admin, PATIENCE, read_answer, until_some};

fn set(backend: &str, change: WeightChange) -> Call {
    Call::SetWeight(backend.into(), change)
}

#[test]
fn a_backend_is_drained_enabled_and_weighted() {
    let admin = Admin::start();
    for (target, change) in [
        ("drain", WeightChange::Drain(None)),
        ("drain?for=5m", WeightChange::Drain(Some(Duration::from_secs(300)))),
        ("drain?for=1m+30s", WeightChange::Drain(Some(Duration::from_secs(90)))),
        ("enable", WeightChange::Enable),
        ("weight?value=3", WeightChange::Weight(3, None)),
        ("weight?for=10s&value=0", WeightChange::Weight(0, Some(Duration::from_secs(10)))),
    ] {
        let answer = admin.post(&format!("/backends/api-1/{target}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        assert!(answer.body.starts_with("api-1 has weight "), "{target}: {}", answer.body);
        assert_eq!(admin.fake.calls().pop(), Some(set("api-1", change)), "{target}");
    }
}

#[test]
fn invalid_changes_are_refused_with_the_reason() {
    let admin = Admin::start();
    for (target, says) in [
        ("drain?fro=5m", "unknown parameter \"fro\"; allowed: for"),
        ("drain?for=5", "\"5\" is not a duration"),
        ("drain?for=0s", "omit it for no time limit"),
        ("drain?for=31d", "longer than 30 days"),
        ("drain?for=5m&for=6m", "twice"),
        ("enable?for=5m", "takes none"),
        ("weight", "missing parameter: write weight?value=3"),
        ("weight?value=257", "a whole number from 0 to 256"),
        ("weight?value=-1", "a whole number from 0 to 256"),
        ("weight?value=", "a whole number from 0 to 256"),
    ] {
        let answer = admin.post(&format!("/backends/api-1/{target}"));
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.body.starts_with("400: ") && answer.body.contains(says), "{target}: {}", answer.body);
    }
    assert!(admin.fake.calls().is_empty());
}

#[test]
fn an_unknown_backend_is_refused_with_the_existing_names() {
    let admin = Admin::start();
    let answer = admin.post("/backends/a%2Fb%20c/drain");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body, "there is no backend \"a/b c\"; there are api-1, api-2, api-3, web-1, web-2\n");
}

#[test]
fn a_reload_reports_its_changes_or_its_errors() {
    let admin = Admin::start();
    let answer = admin.post("/reload");
    assert_eq!((answer.status, answer.body.as_str()), (200, "added backend api-4\nremoved backend api-0\n"));
    admin.fake.reloads_with(Ok(Vec::new()));
    assert_eq!(admin.post("/reload").body, "nothing has changed\n");
    admin.fake.reloads_with(Err("config.json:2:3  /prot  unknown key \"prot\"\n1 error".into()));
    let answer = admin.post("/reload");
    assert_eq!(answer.status, 422);
    assert_eq!(answer.body, "config.json:2:3  /prot  unknown key \"prot\"\n1 error\n");
    assert_eq!(admin.fake.calls(), [Call::Reload, Call::Reload, Call::Reload]);
}

#[test]
fn a_hung_reload_is_reported_and_does_not_delay_other_clients() {
    let admin = Admin::start();
    let ask = || {
        let mut stream = admin.connect();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        write!(stream, "POST /reload HTTP/1.1\r\nHost: {}\r\n\r\n", admin.address()).unwrap();
        stream
    };
    admin.fake.reloads_hang();
    let mut asked = ask();
    until_some("it has asked", || (admin.fake.calls().len() == 1).then_some(()));
    assert_eq!(admin.get("/healthz").status, 200);
    admin.fake.end_reloads(Ok(vec!["at last".into()]));
    assert_eq!(read_answer(&mut asked).body, "at last\n");

    // A reload that never ends.
    let mut asked = ask();
    let answer = read_answer(&mut asked);
    assert_eq!(answer.status, 504);
    let says =
        "504: the reload is still running after 10 s: reading the configuration for 10 s. It continues";
    assert!(answer.body.starts_with(says), "{}", answer.body);
    admin.fake.end_reloads(Ok(Vec::new()));
    assert_eq!(admin.get("/healthz").status, 200);
}

#[test]
fn a_change_takes_post_and_a_view_takes_get() {
    let admin = Admin::start();
    for target in ["/reload", "/backends/api-1/drain"] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = admin.ask(method, target, "");
            assert_eq!((answer.status, answer.field("allow").as_str()), (405, "POST"), "{method} {target}");
        }
    }
    let answer = admin.post("/status");
    assert_eq!((answer.status, answer.field("allow").as_str()), (405, "GET, HEAD"));
    assert!(admin.fake.calls().is_empty());
}
