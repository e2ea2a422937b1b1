//! The status page. Only eyes can judge its looks; here is what must hold regardless of them.

use crate::wire::Admin;

#[test]
fn the_page_shows_what_matters_in_words() {
    let admin = Admin::start();
    admin.fake.change(|status| {
        status.reloads.last_error = "config.json:7:18  /backends/1/url  no scheme".into();
        status.access_log_dropped = 12;
    });
    let page = admin.get("/").body;
    for shown in [
        ">ready<",
        ">UP<",
        ">DOWN<",
        ">DRAINED<",
        "connection refused",
        "least-connections",
        "4m 12s left",
        // The drained backend is not counted.
        "1 of 3 up",
        "of 5 up",
        // Attempts that failed there and were retried.
        "retried <b>37</b>",
        "10.0.0.5:8080",
        "11.5 MiB",
        "3d 2h",
        "config.json:7:18",
        "12 lines",
        "response_head_timeout",
        "the last 24 probes, 5 failed; the last one 5 s ago: connection refused",
    ] {
        assert!(page.contains(shown), "{shown} is not on the page");
    }
    assert!(page.contains("<title>(1 down) ropewalk: ready</title>"));
}

/// A pool whose backends are all drained answers 503 as one whose backends are all down.
#[test]
fn a_pool_without_a_backend_for_requests_is_announced() {
    let admin = Admin::start();
    assert!(!admin.get("/").body.contains("No usable backend"));
    admin.fake.change(|status| {
        let [first, second] = status.pools[1].backends.as_mut_slice() else { panic!("two backends") };
        (first.up, second.weight) = (false, 0);
    });
    let page = admin.get("/").body;
    assert!(page.contains("<b>No usable backend</b> in web: all are down, ejected or drained"), "{page}");
}

#[test]
fn the_page_reloads_itself_unless_it_is_told_not_to() {
    let admin = Admin::start();
    assert!(admin.get("/").body.contains(r#"<meta http-equiv="refresh" content="5">"#));
    assert!(admin.get("/?refresh=2").body.contains(r#"<meta http-equiv="refresh" content="2">"#));
    assert!(!admin.get("/?refresh=0").body.contains("http-equiv=\"refresh\""));
    for bad in ["/?refresh=soon", "/?refresh=-1", "/?refresh=3601"] {
        assert_eq!(admin.get(bad).status, 400, "{bad}");
    }
}

#[test]
fn the_page_runs_nothing_and_loads_nothing_from_elsewhere() {
    let admin = Admin::start();
    let answer = admin.get("/");
    let policy = answer.field("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    let page = answer.body;
    for banned in ["<script", "javascript:", " onload", " style=", "http://", "https://", "<form", "<iframe"]
    {
        assert!(!page.contains(banned), "{banned} is on the page");
    }
    let style = admin.get("/style.css").body;
    assert!(style.contains("prefers-color-scheme: dark"));
    assert!(!style.contains("@import") && !style.contains("url("));
}

#[test]
fn names_with_markup_are_escaped() {
    const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;";
    let admin = Admin::start();
    admin.fake.change(|status| {
        let hostile = || HOSTILE.to_owned();
        status.listeners[0].name = hostile();
        status.listeners[0].address = hostile();
        status.reloads.last_error = hostile();
        status.requests[3].listener = hostile();
        let pool = &mut status.pools[0];
        pool.name = hostile();
        for backend in &mut pool.backends {
            (backend.name, backend.address, backend.reason) = (hostile(), hostile(), hostile());
            for probe in &mut backend.probes {
                probe.text = hostile();
            }
        }
    });
    let page = admin.get("/").body;
    assert!(page.contains("&lt;script&gt;alert(1)"), "it is not shown at all");
    for tag in ["<script", "<img"] {
        assert!(!page.contains(tag), "{tag} came through");
    }
    // Nor was an attribute closed early: each quote before the remains of a tag was escaped too.
    let remains = "&gt;&lt;script";
    assert_eq!(page.matches(remains).count(), page.matches(&format!("&quot;{remains}")).count());
}
