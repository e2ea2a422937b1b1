//! What a request costs in system calls, compared with what is on record.
//!
//! Unlike time, this does not depend on the machine, so CI can hold it: `cargo bench --bench
//! syscalls` runs the balancer under strace, sends it keep-alive requests one after another,
//! and fails when a kind of call is made more often than the record below allows. Whoever
//! lowers a figure lowers the record with it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use ropewalk::internal::base::clock;
use rustix::process::{Pid, Signal, kill_process};

const REQUESTS: usize = 5_000;

/// Calls per request on record: the name in strace's table, and how many.
///
/// A request that comes alone: read it, check the kept connection, send it, read the response,
/// send that, and wait twice.
const RECORD: &[(&str, f64)] = &[("recvfrom", 3.0), ("sendto", 2.0), ("ppoll", 2.0)];

/// What each may exceed its record by, and all others together may come to: starting, stopping
/// and the odd task that stayed quiet for longer than the patience.
const MARGIN: f64 = 0.25;

fn main() -> ExitCode {
    if !Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("strace is needed to count system calls; on Debian: apt-get install strace");
        return ExitCode::FAILURE;
    }
    let folder = std::env::temp_dir().join(format!("ropewalk-syscalls-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a scratch folder");
    let outcome = thread::scope(|scope| {
        let origin = TcpListener::bind("127.0.0.1:0").expect("an origin");
        let origin_address = origin.local_addr().expect("its address");
        scope.spawn(move || serve_one(&origin));
        // Bound and let go: the balancer takes it a moment later.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let config = format!(
            r#"{{"listen":"{address}","health_check":"off","limits":{{"requests_per_connection":0}},"backends":[{{"url":"http://{origin_address}"}}]}}"#
        );
        let (file, table) = (folder.join("config.json"), folder.join("table"));
        fs::write(&file, config).expect("write the configuration");
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-c", "-o"])
            .arg(&table)
            .arg(env!("CARGO_BIN_EXE_ropewalk"))
            .arg("--config")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("start strace");
        let mut client = connect(address);
        for _ in 0..REQUESTS {
            exchange(&mut client);
        }
        stop(&mut strace);
        fs::read_to_string(&table).expect("strace's table")
    });
    let _ = fs::remove_dir_all(&folder);
    judge(&outcome)
}

/// Compares strace's table with the record.
fn judge(table: &str) -> ExitCode {
    let calls = |line: &str| -> Option<(String, f64)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let count: f64 = words.get(3)?.parse().ok()?;
        Some((words.last()?.to_string(), count / REQUESTS as f64))
    };
    let counted: Vec<_> = table.lines().filter_map(calls).filter(|(name, _)| name != "total").collect();
    let mut worst = ExitCode::SUCCESS;
    println!("| system call | per request | on record |\n|---|---:|---:|");
    for (name, record) in RECORD {
        let seen = counted.iter().find(|(other, _)| other == name).map_or(0.0, |(_, seen)| *seen);
        println!("| {name} | {seen:.2} | {record:.2} |");
        if seen > record + MARGIN || seen < record - MARGIN {
            eprintln!("{name}: {seen:.2} per request, {record:.2} on record");
            worst = ExitCode::FAILURE;
        }
    }
    let is_other = |name: &str| RECORD.iter().all(|(other, _)| *other != name);
    let others: f64 = counted.iter().filter(|(name, _)| is_other(name)).map(|(_, seen)| seen).sum();
    println!("| all others | {others:.2} | {MARGIN:.2} at most |");
    if others > MARGIN {
        eprintln!("other calls: {others:.2} per request:\n{table}");
        worst = ExitCode::FAILURE;
    }
    worst
}

/// Answers every request on one connection after another.
fn serve_one(listener: &TcpListener) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    stream.set_nodelay(true).expect("no delay");
    let mut piece = [0; 4096];
    for _ in 0..REQUESTS {
        let Ok(1..) = stream.read(&mut piece) else { return };
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("answer");
    }
}

fn exchange(client: &mut TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n").expect("send");
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while !bytes.ends_with(b"hello") {
        let count = client.read(&mut piece).expect("a response");
        assert_ne!(count, 0, "the connection ended: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let deadline = clock::now() + Duration::from_secs(20);
    loop {
        match TcpStream::connect(address) {
            Ok(client) => {
                client.set_nodelay(true).expect("no delay");
                client.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound");
                return client;
            }
            Err(error) => assert!(clock::now() < deadline, "the balancer does not accept: {error}"),
        }
        thread::yield_now();
    }
}

/// Ends the balancer, whose end ends strace.
fn stop(strace: &mut Child) {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let child =
        fs::read_to_string(children).ok().and_then(|list| list.split_whitespace().next()?.parse().ok());
    match child.and_then(Pid::from_raw) {
        Some(balancer) => kill_process(balancer, Signal::TERM).expect("end the balancer"),
        None => strace.kill().expect("end strace"),
    }
    strace.wait().expect("strace's end");
}
