//! Scenes: what a proxy has to bear or to be, where the answer is not requests per second.
//!
//! In three of them a herd of connections does little, slowly or all at once, while fast
//! requests at a low fixed rate show what that means for everybody else; the last one looks
//! at the program itself. Every round of every peer has a process of its own, because what
//! is resident after one herd says nothing about the next.

use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::arguments::{Case, Mode, Plan};
use crate::herd::{Herd, burst};
use crate::latency::quantile_of;
use crate::load::{Generator, Load, Pace, Tally};
use crate::origin;
use crate::peers::{Peer, Running, Setting};
use crate::process::{Usage, descriptor_limit};
use crate::rounds::{Origin, PATIENCE, record_failure};
use crate::sheet::{self, Column, Compared, Sheet, SheetRow};

/// Connections of the fast requests, and how many they are each second: too few to keep a
/// proxy busy, enough for a p99.
const FAST_CONNECTIONS: usize = 16;
const FAST_RATE: u32 = 1000;
/// A round of a scene takes three times as long as one of a load, and varies less.
const ROUNDS_DIVISOR: usize = 2;
/// Descriptors that are not for a herd, in the proxy and here.
const DESCRIPTORS_RESERVED: usize = 1536;
/// How long fast requests are offered around a burst: its second, and what comes after.
const BURST_LENGTH: Duration = Duration::from_millis(1300);

const MIB_BEFORE: Column = column("MiB before", 1, Compared::No);
const MIB_WITH: Column = column("MiB with them", 1, Compared::Ratio);
const KIB_EACH: Column = column(sheet::KIB_EACH, 2, Compared::Ratio);
const P99_ALONE: Column = column("fast p99 ms alone", 3, Compared::No);
const P99_WITH: Column = column("fast p99 ms with them", 3, Compared::Ratio);
const CORE_ALONE: Column = column("% of a core alone", 1, Compared::No);
const CORE_WITH: Column = column(sheet::CORE_WITH, 1, Compared::Ratio);
const STILL_OPEN: Column = column("still open", 0, Compared::No);
const ALL_ANSWERED: Column = column("all answered after ms", 0, Compared::Ratio);
const START: Column = column("start to first answer ms", 1, Compared::Ratio);
const IDLE_MIB: Column = column("MiB idle", 1, Compared::Ratio);
const LOADED_MIB: Column = column(sheet::LOADED_MIB, 1, Compared::Ratio);
const BINARY_MIB: Column = column("binary MiB", 1, Compared::Ratio);

const fn column(name: &'static str, digits: usize, compared: Compared) -> Column {
    Column { name, digits, compared }
}

/// Plays a scene with every peer of `plan`.
pub fn play(plan: &Plan, case: Case, folder: &Path) -> Result<Sheet, String> {
    let origin = Origin::start(case.origin_delay, folder)?;
    let connections = fit(case);
    let scene = Scene { plan, case: Case { connections, ..case }, origin: &origin, folder };
    let (title, columns) = scene.heading();
    let rows =
        plan.peers_in(case.mode).map(|peer| SheetRow { peer, rounds: Vec::new(), faults: 0 }).collect();
    let mut sheet = Sheet { mode: case.mode, title, columns, rows, failures: Vec::new() };
    for round in 0..plan.rounds.div_ceil(ROUNDS_DIVISOR) {
        for turn in 0..sheet.rows.len() {
            let index = (round + turn) % sheet.rows.len();
            let row = &mut sheet.rows[index];
            match scene.round(row.peer) {
                Ok(outcome) => {
                    row.rounds.push(outcome.figures);
                    row.faults += outcome.faults;
                }
                Err(reason) => record_failure(&mut sheet.failures, row.peer, reason),
            }
        }
    }
    Ok(sheet)
}

/// As many connections as were asked for, or as there are descriptors for: a proxy needs two
/// for each.
fn fit(case: Case) -> usize {
    let room = descriptor_limit().saturating_sub(DESCRIPTORS_RESERVED) / 2;
    case.connections.min(room.max(1))
}

struct Scene<'a> {
    plan: &'a Plan,
    case: Case,
    origin: &'a Origin,
    folder: &'a Path,
}

/// What one round gave.
struct Outcome {
    figures: Vec<Option<f64>>,
    faults: u64,
}

impl Scene<'_> {
    fn heading(&self) -> (String, Vec<Column>) {
        let connections = self.case.connections;
        let herd =
            vec![MIB_BEFORE, MIB_WITH, KIB_EACH, P99_ALONE, P99_WITH, CORE_ALONE, CORE_WITH, STILL_OPEN];
        match self.case.mode {
            Mode::Idle => (format!("{connections} idle keep-alive connections"), herd),
            Mode::SlowHeads => (format!("{connections} request heads, each a byte a second"), herd),
            Mode::SlowBackend => (
                format!("{connections} requests at once to origins that take {:?}", origin::SLOW),
                vec![ALL_ANSWERED, P99_ALONE, P99_WITH],
            ),
            _ => (
                format!(
                    "The program: start, memory before and after keep-alive over {connections} connections"
                ),
                vec![START, IDLE_MIB, LOADED_MIB, BINARY_MIB],
            ),
        }
    }

    fn round(&self, peer: Peer) -> Result<Outcome, String> {
        let setting = Setting {
            workers: self.plan.workers,
            connections: self.case.connections + FAST_CONNECTIONS,
            origins: &self.origin.addresses,
            baseline: self.plan.baseline.as_deref(),
            folder: self.folder,
        };
        let running = peer.start(&setting)?;
        match self.case.mode {
            Mode::Idle => self.herd(&running, |target, count| Herd::idle(target, count, body_bytes())),
            Mode::SlowHeads => self.herd(&running, Herd::slow),
            Mode::SlowBackend => self.burst(&running),
            _ => self.footprint(&running),
        }
    }

    /// Fast requests alone, then beside a herd.
    fn herd(
        &self,
        running: &Running,
        open: impl Fn(SocketAddrV4, usize) -> io::Result<Herd>,
    ) -> Result<Outcome, String> {
        let load = fast_load(running.address);
        let mut fast = Generator::new(&load).map_err(|error| error.to_string())?;
        let warm_up = fast.run(self.plan.warm_up);
        let before = usage(running)?;
        let alone = fast.run(self.plan.measure);
        let between = usage(running)?;

        let mut herd = open(running.address, self.case.connections)
            .map_err(|error| format!("the connections were not to be had: {error}"))?;
        let stop = AtomicBool::new(false);
        let (opened, beside, after) = thread::scope(|scope| {
            if self.case.mode == Mode::SlowHeads {
                scope.spawn(|| herd.drip(&stop));
            }
            // Whatever opening them has left to do is done first.
            let settled = fast.run(self.plan.warm_up);
            let opened = usage(running);
            let beside = fast.run(self.plan.measure);
            let after = usage(running);
            stop.store(true, Ordering::Relaxed);
            Ok::<_, String>((opened?, merge(settled, beside), after?))
        })?;

        let grown_kib = after.memory_kib.saturating_sub(between.memory_kib) as f64;
        Ok(Outcome {
            figures: vec![
                Some(between.memory_kib as f64 / 1024.0),
                Some(after.memory_kib as f64 / 1024.0),
                Some(grown_kib / self.case.connections as f64),
                p99_ms(&alone),
                p99_ms(&beside),
                core_percent(before, between, alone.elapsed),
                core_percent(opened, after, beside.elapsed),
                Some(herd.count_open() as f64),
            ],
            faults: [warm_up, alone, beside].iter().map(|tally| tally.faults.total()).sum(),
        })
    }

    /// Fast requests alone, then while many slow ones are under way.
    fn burst(&self, running: &Running) -> Result<Outcome, String> {
        let load = fast_load(running.address);
        let mut fast = Generator::new(&load).map_err(|error| error.to_string())?;
        let warm_up = fast.run(self.plan.warm_up);
        let alone = fast.run(self.plan.measure);
        let (taken, beside) = thread::scope(|scope| {
            let slow = scope
                .spawn(|| burst(running.address, self.case.connections, origin::SLOW_TARGET, body_bytes()));
            let beside = fast.run(BURST_LENGTH);
            let taken = slow.join().map_err(|_| "the burst panicked".to_owned())?;
            Ok::<_, String>((taken.map_err(|error| format!("the burst failed: {error}"))?, beside))
        })?;
        Ok(Outcome {
            figures: vec![Some(taken.as_secs_f64() * 1e3), p99_ms(&alone), p99_ms(&beside)],
            faults: [warm_up, alone, beside].iter().map(|tally| tally.faults.total()).sum(),
        })
    }

    /// The program by itself, and after it has been busy.
    fn footprint(&self, running: &Running) -> Result<Outcome, String> {
        let idle = usage(running)?;
        let load =
            Load { pace: Pace::KeepAlive, connections: self.case.connections, ..fast_load(running.address) };
        let mut generator = Generator::new(&load).map_err(|error| error.to_string())?;
        let tally = generator.run(self.plan.measure);
        let loaded = usage(running)?;
        let binary = running
            .peer
            .program(self.plan.baseline.as_deref())
            .and_then(|program| std::fs::metadata(program).ok());
        Ok(Outcome {
            figures: vec![
                Some(running.start.as_secs_f64() * 1e3),
                Some(idle.memory_kib as f64 / 1024.0),
                Some(loaded.memory_kib as f64 / 1024.0),
                binary.map(|file| file.len() as f64 / (1024.0 * 1024.0)),
            ],
            faults: tally.faults.total(),
        })
    }
}

fn fast_load(target: SocketAddrV4) -> Load {
    Load {
        target,
        request: format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n").into_bytes(),
        body_bytes: body_bytes(),
        pace: Pace::Rate(FAST_RATE),
        connections: FAST_CONNECTIONS,
        patience: PATIENCE,
    }
}

fn body_bytes() -> u64 {
    origin::SMALL_BODY.len() as u64
}

/// What is counted of the second, with the faults of both.
fn merge(first: Tally, mut second: Tally) -> Tally {
    second.faults.merge(first.faults);
    second
}

fn usage(running: &Running) -> Result<Usage, String> {
    running.usage()?.ok_or_else(|| "there is no process to look at".to_owned())
}

fn p99_ms(tally: &Tally) -> Option<f64> {
    quantile_of(&tally.latencies, 0.99).map(|nanos| nanos as f64 / 1e6)
}

fn core_percent(before: Usage, after: Usage, elapsed: Duration) -> Option<f64> {
    let cpu = after.cpu.saturating_sub(before.cpu);
    (!elapsed.is_zero()).then(|| cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0)
}
