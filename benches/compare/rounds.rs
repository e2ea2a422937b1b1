//! One case: every peer started, measured in alternating rounds, and ended.
//!
//! All peers run at the same time but are loaded one after another, so that what the
//! machine does otherwise falls on all alike; each round begins with another peer.
//! Each case has processes of its own, so that its peak of memory is its own.

use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use crate::arguments::{Case, Mode, Plan};
use crate::load::{Generator, Load, Pace};
use crate::origin;
use crate::peers::{Peer, Running, Setting};
use crate::process::{Process, free_address};
use crate::report::{Round, Row, Table};

/// LIMIT: how long a request may go unanswered, beyond the delay of the origin. The
/// slowest peers need a tenth of it with a thousand connections.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Measures every peer of `plan` in `case`.
pub fn measure(plan: &Plan, case: Case, folder: &Path) -> Result<Table, String> {
    let origin = Origin::start(case.origin_delay, folder)?;
    let setting = Setting {
        workers: plan.workers,
        connections: case.connections,
        origins: &origin.addresses,
        baseline: plan.baseline.as_deref(),
        folder,
    };
    let mut table = Table { case, rows: Vec::new(), failures: Vec::new() };
    let mut running = Vec::new();
    for peer in plan.peers_in(case.mode) {
        match peer.start(&setting) {
            Ok(started) => {
                running.push(started);
                table.rows.push(Row { peer, rounds: Vec::new(), memory_peak_kib: None });
            }
            Err(reason) => table.failures.push((peer, reason)),
        }
    }
    for round in 0..plan.rounds {
        for turn in 0..running.len() {
            let index = (round + turn) % running.len();
            let (target, row) = (&running[index], &mut table.rows[index]);
            match measure_once(plan, case, &origin, target) {
                Ok(round) => row.rounds.push(round),
                Err(reason) => record_failure(&mut table.failures, target.peer, reason),
            }
        }
    }
    for (target, row) in running.iter().zip(&mut table.rows) {
        match target.usage() {
            Ok(usage) => row.memory_peak_kib = usage.map(|usage| usage.memory_peak_kib),
            Err(reason) => record_failure(&mut table.failures, target.peer, reason),
        }
    }
    Ok(table)
}

/// A peer fails once, however many rounds follow.
pub fn record_failure(failures: &mut Vec<(Peer, String)>, peer: Peer, reason: String) {
    if failures.iter().all(|(failed, _)| *failed != peer) {
        failures.push((peer, reason));
    }
}

fn measure_once(plan: &Plan, case: Case, origin: &Origin, target: &Running) -> Result<Round, String> {
    let load = load(plan, case, target.address);
    let mut generator = Generator::new(&load).map_err(|error| error.to_string())?;
    let warm_up = generator.run(plan.warm_up);
    let (proxy_before, origin_before) = (target.usage()?, origin.cpu()?);
    let tally = generator.run(plan.measure);
    let (proxy_after, origin_after) = (target.usage()?, origin.cpu()?);
    // A fault in the warm-up is a fault.
    let mut faults = warm_up.faults;
    faults.merge(tally.faults);
    Ok(Round {
        latencies: tally.latencies,
        faults,
        elapsed: tally.elapsed,
        proxy_cpu: proxy_before.zip(proxy_after).map(|(before, after)| after.cpu.saturating_sub(before.cpu)),
        origin_cpu: origin_after.saturating_sub(origin_before),
        generator_cpu: tally.cpu,
    })
}

fn load(plan: &Plan, case: Case, target: SocketAddrV4) -> Load {
    let (path, body_bytes) = match case.mode {
        Mode::Download => (origin::LARGE_TARGET, origin::LARGE_BYTES),
        _ => ("/", origin::SMALL_BODY.len()),
    };
    let (pace, fields) = match case.mode {
        Mode::Close => (Pace::Close, "Connection: close\r\n"),
        Mode::Rate => (Pace::Rate(plan.rate), ""),
        _ => (Pace::KeepAlive, ""),
    };
    let request = match case.mode {
        Mode::Upload => upload(target),
        _ => format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n").into_bytes(),
    };
    Load {
        target,
        request,
        body_bytes: body_bytes as u64,
        pace,
        connections: case.connections,
        patience: PATIENCE + case.origin_delay * 2,
    }
}

fn upload(target: SocketAddrV4) -> Vec<u8> {
    let length = origin::LARGE_BYTES;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {target}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + length, b'x');
    request
}

/// The process of the origins.
pub struct Origin {
    process: Process,
    pub addresses: Vec<SocketAddrV4>,
}

impl Origin {
    /// Starts them and waits until they answer.
    pub fn start(delay: Duration, folder: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the origin does not start: {error}");
        let mut addresses = Vec::new();
        while addresses.len() < origin::BACKENDS {
            let address = free_address().map_err(failed)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let delay = delay.as_millis().to_string();
        let mut arguments = vec![origin::COMMAND.to_owned(), delay];
        arguments.extend(addresses.iter().map(ToString::to_string));
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Process::start("origin", folder, &program, &arguments).map_err(failed)?;
        for address in &addresses {
            process.wait_until_ready(*address).map_err(|reason| format!("the origin {reason}"))?;
        }
        Ok(Self { process, addresses })
    }

    fn cpu(&self) -> Result<Duration, String> {
        let usage = self.process.usage();
        usage
            .map(|usage| usage.cpu)
            .map_err(|error| format!("the origin ended while it was measured: {error}"))
    }
}
