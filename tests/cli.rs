//! The built binary, from outside: exit statuses and output.
//!
//! Nothing here runs the balancer; other tests do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const GOOD: &str = r#"{ "port": 8080, "backends": [ { "url": "http://a:1" }, { "url": "http://b:1" } ] }"#;

fn ropewalk(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ropewalk")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A scratch folder with a `config.json` in it.
struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("config.json"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// Runs in the folder, so that messages hold no path of this machine.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ropewalk"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }
}

#[test]
fn without_arguments_it_says_what_to_type() {
    for arguments in [&[][..], &["check"], &["--port", "8080"]] {
        let output = ropewalk(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        let text = stderr(&output);
        assert!(text.contains("\n    ropewalk --config config.json\n"), "{arguments:?}: {text}");
        assert_eq!(text.contains("\n    ropewalk demo\n"), cfg!(feature = "demo"), "{arguments:?}: {text}");
    }
}

#[test]
fn bad_usage_is_status_2() {
    for arguments in [
        &["--no-such-flag"][..],
        &["no-such-command"],
        &["--port", "1", "--listen", "127.0.0.1:1", "--backend", "http://a"],
        &["check", "--format", "yaml"],
    ] {
        let output = ropewalk(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_and_version_are_fine() {
    let help = ropewalk(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for flag in [
        "--config",
        "--listen",
        "--port",
        "--strategy",
        "--backend",
        "--request-timeout",
        "--health-interval",
        "--workers",
        "--log-level",
        "check",
    ] {
        assert!(stdout(&help).contains(flag), "{flag} is not in the help");
    }
    assert_eq!(stdout(&ropewalk(&["--version"])), concat!("ropewalk ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn check_sums_up_a_good_file() {
    let output = Scratch::new(GOOD).run(&["check", "--config", "config.json", "--workers", "3"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().next(), Some("config.json: ok (1 listener, 2 backends, 3 workers)"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_accepts_the_example_in_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.json");
    let output = ropewalk(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn check_reports_warnings_and_is_still_fine() {
    let scratch = Scratch::new(r#"{ "retries": 1, "backends": [ { "url": "http://a:1" } ] }"#);
    let output = scratch.run(&["check", "--config", "config.json", "--workers", "2"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output).lines().next(),
        Some("config.json: ok (1 listener, 1 backend, 2 workers, 1 warning)")
    );
    assert_eq!(
        stderr(&output),
        "config.json:1:14: warning: /retries: can only redial a refused connection: a retry goes to another backend, \
         and there is only one\n   1 | { \"retries\": 1, \"backends\": [ { \"url\": \"http://a:1\" } ] }\n     |              ^\n"
    );
}

#[test]
fn check_and_run_report_the_same_errors() {
    let scratch = Scratch::new("{\n  \"prot\": 1,\n  \"backends\": [ { \"url\": \"a:1\" } ]\n}");
    let expected = "config.json:2:3: error: /prot: unknown key \"prot\"; did you mean \"port\"?\n   2 |   \"prot\": 1,\n     |   ^^^^^^\n\
                    config.json:3:26: error: /backends/0/url: \"a:1\" has no scheme; did you mean \"http://a:1\"?\n   3 |   \"backends\": [ { \"url\": \"a:1\" } ]\n     |                          ^^^^^\n\
                    2 errors\n";
    for arguments in [&["check", "--config", "config.json"][..], &["--config", "config.json"]] {
        let output = scratch.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_eq!(stderr(&output), expected, "{arguments:?}");
    }
}

#[test]
fn check_reports_to_programs_as_json() {
    let scratch = Scratch::new("{\n  \"backends\": [ { \"url\": \"a:1\" } ]\n}");
    let output = scratch.run(&["check", "--config", "config.json", "--format", "json", "--port", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "");
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"][0]["file"], "config.json");
    assert_eq!(report["problems"][0]["line"], 2);
    assert_eq!(report["problems"][0]["column"], 26);
    assert_eq!(report["problems"][0]["pointer"], "/backends/0/url");
    assert_eq!(report["problems"][0]["severity"], "error");
    assert_eq!(report["problems"][1]["flag"], "--port");
    assert_eq!(report["problems"][1]["message"], "expected a whole number from 0 to 65535, found \"x\"");

    let output = Scratch::new(GOOD).run(&["check", "--config", "config.json", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["ok"], &report["backends"]), (&Value::from(true), &Value::from(2)));
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let scratch = Scratch::new("");
    fs::write(scratch.path().with_file_name("latin1.json"), b"{ \"\xe9\": 1 }").unwrap();
    let long = fs::File::create(scratch.path().with_file_name("long.json")).unwrap();
    long.set_len(4 * 1024 * 1024 + 1).unwrap();
    for (file, expected) in [
        ("none.json", "none.json: error: there is no such file; check the path that was given\n1 error\n"),
        (".", ".: error: is a folder; name the file in it, such as config.json\n1 error\n"),
        ("long.json", "long.json: error: is longer than 4 MiB\n1 error\n"),
        (
            "/dev/zero",
            "/dev/zero: error: is not a regular file; a pipe or a device cannot be read again at a reload\n1 error\n",
        ),
        ("latin1.json", "latin1.json: error: is not UTF-8 text (byte 3)\n1 error\n"),
    ] {
        let output = scratch.run(&["check", "--config", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert_eq!(stderr(&output), expected, "{file}");
    }
}

#[test]
fn flags_alone_are_enough() {
    let output = ropewalk(&[
        "check",
        "--port",
        "0",
        "--strategy",
        "weighted-round-robin",
        "--backend",
        "http://a:1",
        "--backend",
        "http://b:1=3",
        "--request-timeout",
        "5s",
        "--health-interval",
        "1s",
        "--workers",
        "2",
        "--log-level",
        "debug",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().next(), Some("command line: ok (1 listener, 2 backends, 2 workers)"));
}

#[test]
fn flags_override_the_file() {
    let scratch = Scratch::new(
        r#"{ "port": 80800, "strategy": "x", "request_timeout": 1, "health_check": "off",
             "workers": 0, "log": { "level": "x" }, "backends": [] }"#,
    );
    let output = scratch.run(&[
        "check",
        "--config",
        "config.json",
        "--listen",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:2",
        "--strategy",
        "random",
        "--backend",
        "http://a:1",
        "--request-timeout",
        "0s",
        "--health-interval",
        "1s",
        "--workers",
        "2",
        "--log-level",
        "off",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().next(), Some("config.json: ok (2 listeners, 1 backend, 2 workers)"));
}

#[test]
fn an_admin_address_from_a_flag_keeps_the_token_of_the_file() {
    let token = r#"{ "address": "127.0.0.1:9900", "token": "0123456789abcdef" }"#;
    let text = format!(r#"{{ "admin": {token}, "backends": [ {{ "url": "http://a:1" }} ] }}"#);
    let output = Scratch::new(&text).run(&["check", "--config", "config.json", "--admin", "0.0.0.0:9901"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn mistakes_in_flags_are_reported_together() {
    let output = ropewalk(&[
        "check",
        "--port",
        "80800",
        "--strategy",
        "round_robin",
        "--backend",
        "a:1",
        "--backend",
        "http://b:1=many",
        "--request-timeout",
        "5",
        "--health-interval",
        "soon",
        "--workers",
        "0",
        "--admin",
        "9900",
        "--log-level",
        "loud",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output).lines().collect::<Vec<_>>(),
        [
            "--admin: error: 9900 is not an IP address and a port; did you mean \"127.0.0.1:9900\"?",
            "--backend: error: \"a:1\" has no scheme; did you mean \"http://a:1\"?",
            "--backend: error: expected a whole number from 0 to 256, found \"many\"",
            "--health-interval: error: \"soon\" is not a duration; write a number and a unit, like \"250ms\", \"5s\" or \"1m\"",
            "--log-level: error: \"loud\" is unknown; allowed here: off, error, warn, info, debug, trace",
            "--port: error: expected a whole number from 0 to 65535, found 80800",
            "--request-timeout: error: 5 has no unit; did you mean \"5s\"?",
            "--strategy: error: \"round_robin\" is unknown; did you mean \"round-robin\"?",
            "--workers: error: expected a whole number from 1 to 256, found 0",
            "9 errors",
        ]
    );
}

#[cfg(feature = "demo")]
mod origin {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Stdio};
    use std::time::Duration;

    use super::*;

    /// A sample origin that ends with the test.
    struct SampleOrigin {
        child: Child,
        address: String,
    }

    impl SampleOrigin {
        fn start(arguments: &[&str]) -> Self {
            let mut child = Command::new(env!("CARGO_BIN_EXE_ropewalk"))
                .args(["origin", "--name", "server-1"])
                .args(arguments)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let address =
                line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
            Self { child, address }
        }

        fn get(&self, path: &str) -> String {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut response = vec![0; 4096];
            // A read with a timeout is not restarted after a signal.
            let length = loop {
                match stream.read(&mut response) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    outcome => break outcome.unwrap(),
                }
            };
            String::from_utf8_lossy(&response[..length]).into_owned()
        }
    }

    impl Drop for SampleOrigin {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn an_origin_answers_with_its_name_and_status() {
        let origin = SampleOrigin::start(&["--port", "0", "--status", "404", "--delay", "1ms"]);
        let response = origin.get("/");
        assert!(response.starts_with("HTTP/1.1 404 Not Found\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nResponse from server-1\n"), "{response}");
        let response = origin.get("/health");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    }

    /// Origins in containers are reached from elsewhere.
    #[test]
    fn an_origin_listens_where_it_is_told_to() {
        let origin = SampleOrigin::start(&["--listen", "127.9.8.7:0"]);
        assert!(origin.address.starts_with("127.9.8.7:"), "{}", origin.address);
        assert!(origin.get("/").ends_with("\r\n\r\nResponse from server-1\n"));
    }

    #[test]
    fn an_origin_on_a_port_in_use_says_so() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port().to_string();
        let output = ropewalk(&["origin", "--port", &port, "--name", "x"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).starts_with(&format!("127.0.0.1:{port} is in use; ")), "{}", stderr(&output));
    }

    #[test]
    fn bad_options_are_status_2() {
        for arguments in [
            &["origin", "--port", "9001"][..],
            &["origin", "--name", "x"],
            &["origin", "--port", "9001", "--listen", "127.0.0.1:9001", "--name", "x"],
            &["origin", "--listen", "localhost", "--name", "x"],
            &["origin", "--port", "70000", "--name", "x"],
            &["origin", "--port", "9001", "--name", "x", "--status", "99"],
            &["origin", "--port", "9001", "--name", "x", "--delay", "5"],
        ] {
            let output = ropewalk(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
            assert!(stderr(&output).starts_with("error: "), "{arguments:?}: {}", stderr(&output));
        }
    }
}
