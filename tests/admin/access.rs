//! Access control, seen from outside. The rules themselves are unit-tested in their file.

use crate::wire::Admin;

#[test]
fn without_the_token_only_probes_are_answered() {
    let admin = Admin::with_token(Some("s3cret"));
    for target in ["/", "/style.css", "/status", "/requests", "/metrics", "/explain", "/no-such-thing"] {
        let answer = admin.get(target);
        assert_eq!(answer.status, 401, "{target}");
        assert_eq!(
            answer.field("www-authenticate"),
            "Bearer realm=\"ropewalk\", Basic realm=\"ropewalk\", charset=\"UTF-8\""
        );
        assert!(!answer.body.contains("api-1"), "{}", answer.body);
    }
    assert_eq!(admin.post("/reload").status, 401);
    assert_eq!(admin.post("/backends/api-1/drain").status, 401);
    assert!(admin.fake.calls().is_empty());
    assert_eq!((admin.get("/healthz").status, admin.get("/readyz").status), (200, 200));
}

#[test]
fn with_the_token_everything_is() {
    let admin = Admin::with_token(Some("s3cret"));
    let bearer = "Authorization: Bearer s3cret\r\n";
    for target in ["/", "/status", "/requests", "/metrics"] {
        assert_eq!(admin.ask("GET", target, bearer).status, 200, "{target}");
    }
    assert_eq!(admin.ask("POST", "/reload", bearer).status, 200);
    // A browser asks people for a name and a password: "x:s3cret".
    assert_eq!(admin.ask("GET", "/", "Authorization: Basic eDpzM2NyZXQ=\r\n").status, 200);
    assert_eq!(admin.ask("GET", "/", "Authorization: Bearer s3cre\r\n").status, 401);
}

#[test]
fn a_page_of_another_origin_gets_nothing_out_of_a_browser() {
    let admin = Admin::start();
    let rebound = admin.send("GET /status HTTP/1.1\r\nHost: rebound.example:9900\r\n\r\n");
    assert_eq!(rebound.status, 421);
    assert!(!rebound.body.contains("api-1"), "{}", rebound.body);
    let forged = admin.ask("POST", "/backends/api-1/drain", "Origin: http://evil.example\r\n");
    assert_eq!(forged.status, 403);
    assert!(admin.fake.calls().is_empty());
    let own = format!("Origin: http://{}\r\n", admin.address());
    assert_eq!(admin.ask("POST", "/backends/api-1/drain", &own).status, 200);
}
