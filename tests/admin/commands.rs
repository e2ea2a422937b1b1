//! `ropewalk status`, `requests`, `reload`, `drain`, `enable` and `weight`: the built binary
//! against a listener in this process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use ropewalk::internal::admin::operations::{BackendStatus, WeightChange};
use serde_json::Value;

use crate::fake::Call;
use crate::wire::Admin;

fn command(arguments: &[&str], address: &str) -> Command {
    let mut command = bare(arguments);
    command.args(["--admin", address]);
    command
}

/// A command without an admin address.
fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    command.args(arguments).env_remove("ROPEWALK_ADMIN").env_remove("ROPEWALK_ADMIN_TOKEN");
    // An HTTP proxy in the environment must be ignored.
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    command
}

fn run(admin: &Admin, arguments: &[&str]) -> Output {
    command(arguments, &admin.address().to_string()).output().unwrap()
}

/// Exit status, stdout, stderr.
fn parts(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn status_is_a_table_or_json() {
    let admin = Admin::start();
    let (code, table, complaint) = parts(run(&admin, &["status"]));
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(table.contains("\nBACKEND  STATE ") && table.contains("connection refused\n"), "{table}");
    let (code, json, _) = parts(run(&admin, &["status", "--format", "json"]));
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["pools"][1]["name"], "web");
}

/// This is all that the health check of a container needs.
#[test]
fn status_fails_when_a_pool_has_no_backend_that_takes_requests() {
    let admin = Admin::start();
    for spoil in
        [|backend: &mut BackendStatus| backend.up = false, |backend: &mut BackendStatus| backend.weight = 0]
    {
        admin.fake.change(|status| status.pools[1].backends.iter_mut().for_each(spoil));
        for format in ["text", "json"] {
            let (code, said, complaint) = parts(run(&admin, &["status", "--format", format]));
            assert_eq!(
                (code, complaint.as_str()),
                (Some(1), "no backend takes requests in web\n"),
                "{format}"
            );
            assert!(said.contains("web-1"), "{format}: {said}");
        }
        admin.fake.change(|status| {
            (status.pools[1].backends[1].up, status.pools[1].backends[1].weight) = (true, 1)
        });
        assert_eq!(run(&admin, &["status"]).status.code(), Some(0));
    }
}

#[test]
fn requests_lists_what_is_in_flight() {
    let admin = Admin::start();
    let (code, table, _) = parts(run(&admin, &["requests"]));
    assert_eq!(code, Some(0));
    assert!(table.contains("GET /reports?year=2026"), "{table}");
}

#[test]
fn changes_are_passed_on() {
    let admin = Admin::start();
    let change = |change| Call::SetWeight("web-1".into(), change);
    for (arguments, expected) in [
        (&["drain", "web-1", "--for", "1m 30s"][..], WeightChange::Drain(Some(Duration::from_secs(90)))),
        (&["drain", "web-1"], WeightChange::Drain(None)),
        (&["weight", "web-1", "7"], WeightChange::Weight(7, None)),
        (&["weight", "web-1", "7", "--for", "1h"], WeightChange::Weight(7, Some(Duration::from_secs(3600)))),
        (&["enable", "web-1"], WeightChange::Enable),
    ] {
        let (code, said, complaint) = parts(run(&admin, arguments));
        assert_eq!(code, Some(0), "{arguments:?}: {complaint}");
        assert!(said.starts_with("web-1 has weight "), "{arguments:?}: {said}");
        assert_eq!(admin.fake.calls().pop(), Some(change(expected)), "{arguments:?}");
    }
}

#[test]
fn a_reload_prints_the_changes_or_the_mistakes() {
    let admin = Admin::start();
    let (code, said, _) = parts(run(&admin, &["reload"]));
    assert_eq!((code, said.as_str()), (Some(0), "added backend api-4\nremoved backend api-0\n"));
    admin.fake.reloads_with(Err("config.json:2:3  unknown key\n1 error".into()));
    let (code, said, complaint) = parts(run(&admin, &["reload"]));
    assert_eq!((code, said.as_str()), (Some(2), ""));
    assert_eq!(complaint, "config.json:2:3  unknown key\n1 error\n");
}

#[test]
fn what_is_refused_is_status_2_with_the_reason() {
    let admin = Admin::start();
    for (arguments, says) in [
        (&["drain", "a/b c"][..], "there is no backend \"a/b c\"; there are api-1, "),
        (&["weight", "web-1", "many"], "\"many\" is not a weight"),
        (&["drain", "web-1", "--for", "5"], "\"5\" is not a duration"),
    ] {
        let (code, said, complaint) = parts(run(&admin, arguments));
        assert_eq!((code, said.as_str()), (Some(2), ""), "{arguments:?}: {complaint}");
        assert!(complaint.contains(says), "{arguments:?}: {complaint}");
    }
}

#[test]
fn the_token_comes_from_a_flag_a_file_or_the_environment() {
    let admin = Admin::with_token(Some("s3cret"));
    let address = admin.address().to_string();
    let (code, _, complaint) = parts(run(&admin, &["status"]));
    assert_eq!(code, Some(2));
    assert!(
        complaint.contains(
            "none was given; give it with --config FILE, --token-file FILE or ROPEWALK_ADMIN_TOKEN"
        ),
        "{complaint}"
    );
    let (code, _, complaint) = parts(run(&admin, &["status", "--token", "wrong"]));
    assert_eq!(code, Some(2));
    assert!(complaint.contains("the one given is wrong"), "{complaint}");
    assert_eq!(run(&admin, &["status", "--token", "s3cret"]).status.code(), Some(0));
    let output = command(&["status"], &address).env("ROPEWALK_ADMIN_TOKEN", "s3cret").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for (text, expected) in [("s3cret\n", (Some(0), "")), ("\n", (Some(2), " is empty\n"))] {
        fs::write(&file, text).unwrap();
        let (code, _, complaint) = parts(run(&admin, &["status", "--token-file", file.to_str().unwrap()]));
        assert_eq!(code, expected.0, "{complaint}");
        assert!(complaint.ends_with(expected.1), "{complaint}");
    }
    let (code, _, complaint) = parts(run(&admin, &["status", "--token-file", "/no/such/token"]));
    assert_eq!(code, Some(2));
    assert!(complaint.starts_with("cannot read the token file /no/such/token: "), "{complaint}");
}

/// Every command finds the listener of the configuration that is running.
#[test]
fn the_address_and_the_token_come_from_the_configuration() {
    let admin = Admin::with_token(Some("s3cret"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let file_name = file.to_str().unwrap();
    fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    let port = admin.address().port();
    // The rest of the file may be invalid at the moment. 0.0.0.0 is where it listens, not where to
    // connect.
    for address in [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")] {
        let text =
            format!(r#"{{ "prot": 1, "admin": {{ "address": "{address}", "token_file": "token" }} }}"#);
        fs::write(&file, text).unwrap();
        for arguments in [
            &["status"][..],
            &["requests"],
            &["reload"],
            &["drain", "web-1"],
            &["weight", "web-1", "7"],
            &["enable", "web-1"],
        ] {
            let (code, _, complaint) = parts(bare(arguments).args(["--config", file_name]).output().unwrap());
            assert_eq!((code, complaint.as_str()), (Some(0), ""), "{arguments:?}");
        }
    }
    assert_eq!(bare(&["status", "-c", file_name]).output().unwrap().status.code(), Some(0));
    for (text, says) in [
        (r#"{ "backends": [] }"#, "has no admin listener; give it \"admin\": \"127.0.0.1:9900\""),
        (r#"{ "admin": 9900 }"#, "did you mean \"127.0.0.1:9900\"?"),
        (r#"{ "admin": "#, "config.json"),
    ] {
        fs::write(&file, text).unwrap();
        let (code, said, complaint) = parts(bare(&["status", "--config", file_name]).output().unwrap());
        assert_eq!((code, said.as_str()), (Some(2), ""), "{complaint}");
        assert!(complaint.contains(says), "{complaint}");
    }
}

/// What is given closer to the command takes precedence.
#[test]
fn flags_override_the_configuration_and_that_overrides_the_environment() {
    let admin = Admin::start();
    let (right, wrong) = (admin.address().to_string(), "127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, address: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!(r#"{{ "admin": "{address}" }}"#)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right_file, wrong_file) = (file("right.json", &right), file("wrong.json", wrong));
    for (arguments, variable) in [
        (&["--admin", &right, "--config", &wrong_file][..], wrong),
        (&["--config", &right_file], wrong),
        (&[], &right),
    ] {
        let output = bare(&["status"]).args(arguments).env("ROPEWALK_ADMIN", variable).output().unwrap();
        let (code, _, complaint) = parts(output);
        assert_eq!((code, complaint.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn without_a_listener_the_message_says_how_to_enable_it() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, said, complaint) = parts(command(&["status"], &free).output().unwrap());
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(complaint.starts_with(&format!("nothing listens on {free}. ")), "{complaint}");
    assert!(complaint.contains("--admin 127.0.0.1:9900"), "{complaint}");
}

#[test]
fn an_address_without_a_port_is_refused() {
    for address in ["localhost", "9900", ":9900", "[::1]"] {
        let (code, said, complaint) = parts(command(&["status"], address).output().unwrap());
        assert_eq!((code, said.as_str()), (Some(2), ""), "{address}");
        assert!(complaint.contains("write it like --admin 127.0.0.1:9900"), "{complaint}");
    }
}

#[test]
fn another_server_at_the_address_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
    });
    let (code, said, complaint) = parts(command(&["reload"], &address).output().unwrap());
    stranger.join().unwrap();
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(complaint.contains("is not a ropewalk admin listener"), "{complaint}");
}

#[test]
fn a_drain_can_be_waited_for() {
    let admin = Admin::start();
    let address = admin.address().to_string();
    let mut child = command(&["drain", "web-1", "--wait"], &address).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("web-1 has weight 0"));
    assert_eq!(lines.next().as_deref(), Some("web-1: 4 in flight"));
    let in_flight = |active| admin.fake.change(|status| status.pools[1].backends[0].active = active);
    in_flight(1);
    assert_eq!(lines.next().as_deref(), Some("web-1: 1 in flight"));
    in_flight(0);
    assert_eq!(lines.next().as_deref(), Some("web-1: 0 in flight"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_wait_for_a_drain_is_bounded() {
    let admin = Admin::start();
    let (code, _, complaint) = parts(run(&admin, &["drain", "web-1", "--wait=300ms"]));
    assert_eq!((code, complaint.as_str()), (Some(1), "web-1 still has 4 in flight after 300ms\n"));
}
