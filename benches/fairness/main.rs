//! What one client can do to the others: small requests beside an attacker, attack by attack.
//!
//! `cargo bench --bench fairness` prints, for each attack, how long small requests on a kept
//! connection took, and small requests on a connection each. Balancer, backend, attacker and probe
//! are processes of their own, so that none of them waits for another's lock; a figure is the worst
//! of several rounds. Where processors are few the attacker takes its share of them too: the row
//! `none` shows what is left without one.

#![allow(clippy::disallowed_methods, reason = "a benchmark waits and measures by the real clock")]
#![allow(unreachable_pub, reason = "`pub` here says what a module offers its siblings")]

mod attack;
mod backend;
mod probe;
#[path = "../compare/process.rs"]
#[allow(dead_code, reason = "the comparison uses all of it")]
mod process;

use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use attack::Kind;
use probe::Seen;
use process::Process;

const USAGE: &str = "\
usage: cargo bench --bench fairness -- [OPTIONS]
  --attacks LIST      attacks to make (default: all; `--list` prints them)
  --connections LIST  connections of the attacker (default: 1,4)
  --program PROGRAM   another build of ropewalk
  --rounds N          rounds of which the worst is shown (default: 3)
  --seconds S         length of a round (default: 3)
  --quick             one short round of each, to see that everything runs";

/// How long an attack goes on before others are looked at.
const HEAD_START: Duration = Duration::from_millis(500);

struct Plan {
    attacks: Vec<Kind>,
    connections: Vec<usize>,
    program: PathBuf,
    rounds: usize,
    length: Duration,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(process::LEASH) => Err(process::leash(arguments.drain(1..)).to_string()),
        Some(backend::COMMAND) => backend::serve(&arguments[1..]),
        Some(attack::COMMAND) => attack::run(&arguments[1..]),
        Some(probe::COMMAND) => probe::run(&arguments[1..]),
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            println!("Nothing to test here; `cargo bench --bench fairness` measures.");
            Ok(())
        }
        _ => parse(&arguments).and_then(|plan| plan.as_ref().map_or(Ok(()), measure)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Option<Plan>, String> {
    let mut plan = Plan {
        attacks: Kind::ALL.to_vec(),
        connections: vec![1, 4],
        program: PathBuf::from(env!("CARGO_BIN_EXE_ropewalk")),
        rounds: 3,
        length: Duration::from_secs(3),
    };
    let mut arguments = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(option) = arguments.next() {
        if option == "--quick" {
            (plan.rounds, plan.length, plan.connections) = (1, Duration::from_millis(300), vec![1]);
            continue;
        }
        if option == "--list" || option == "--help" {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            println!("{USAGE}\n\nattacks: {}", names.join(","));
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{option}: a value is missing\n\n{USAGE}"))?;
        let number =
            |text: &str| text.parse::<usize>().map_err(|_| format!("{option}: {text:?} is no number"));
        match option.as_str() {
            "--attacks" => plan.attacks = value.split(',').map(Kind::from_name).collect::<Result<_, _>>()?,
            "--connections" => plan.connections = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--program" => plan.program = PathBuf::from(value),
            "--rounds" => plan.rounds = number(value)?.max(1),
            "--seconds" => plan.length = Duration::from_secs(number(value)?.max(1) as u64),
            _ => return Err(format!("{option} is no option\n\n{USAGE}")),
        }
    }
    Ok(Some(plan))
}

fn measure(plan: &Plan) -> Result<(), String> {
    process::raise_descriptor_limit().map_err(|error| error.to_string())?;
    println!("Worst of {} rounds of {:?}, in milliseconds.\n", plan.rounds, plan.length);
    println!("| attack | connections | kept: median | p99 | worst | new: median | p99 | worst | served |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for &kind in &plan.attacks {
        let counts = if kind == Kind::None { &[0][..] } else { &plan.connections };
        for &connections in counts {
            let mut worst = [Seen::default(); 2];
            for _ in 0..plan.rounds {
                let round = play(plan, kind, connections)?;
                worst = [worst[0].worse(round[0]), worst[1].worse(round[1])];
            }
            let [kept, new] = worst;
            println!("| {} | {connections} | {kept} | {new} | {}, {} |", kind.name(), kept.count, new.count);
        }
    }
    Ok(())
}

/// One round: what the probe on a kept connection saw, and the one with a connection each.
fn play(plan: &Plan, kind: Kind, connections: usize) -> Result<[Seen; 2], String> {
    let text = |error: std::io::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(text)?;
    let folder = folder.path();
    let (balancer, backend) =
        (process::free_address().map_err(text)?, process::free_address().map_err(text)?);
    let this = std::env::current_exe().map_err(text)?;
    let start =
        |name: &str, arguments: &[String]| Process::start(name, folder, &this, arguments).map_err(text);

    let mut serves = start("backend", &[backend::COMMAND.to_owned(), backend.to_string()])?;
    serves.wait_until_ready(backend).map_err(|error| format!("the backend {error}"))?;
    let config = configure(folder, balancer, backend).map_err(text)?;
    let mut ropewalk =
        Process::start("ropewalk", folder, &plan.program, &["--config".to_owned(), config]).map_err(text)?;
    ropewalk.wait_until_ready(balancer).map_err(|error| format!("ropewalk {error}"))?;

    let _attacker = match kind {
        Kind::None => None,
        kind => {
            let arguments = [attack::COMMAND, kind.name(), &connections.to_string(), &balancer.to_string()];
            Some(start("attacker", &arguments.map(str::to_owned))?)
        }
    };
    std::thread::sleep(HEAD_START);
    probe::measure(&this, balancer, plan.length)
}

/// A balancer with a route that it answers itself, one that guards, and one for everything else.
fn configure(folder: &Path, address: SocketAddrV4, backend: SocketAddrV4) -> std::io::Result<String> {
    let file = folder.join("config.json");
    // What `openssl passwd -6 -salt abcdefgh secret` prints.
    let hash =
        "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.";
    let config = serde_json::json!({
        "listen": [address.to_string()],
        "workers": 2,
        "log": { "level": "error" },
        "limits": { "requests_per_connection": 0 },
        "pools": { "p": { "backends": [{ "url": format!("http://{backend}") }], "retries": 0 } },
        "routes": [
            { "match": { "path": "/ok" }, "respond": { "status": 200, "body": "ok" } },
            { "match": { "path_prefix": "/guarded" }, "basic_auth": { "users": { "ann": hash } }, "pool": "p" },
            { "match": { "path": "/none" }, "respond": { "status": 404, "body": "none" } },
            { "pool": "p" },
        ],
    });
    std::fs::write(&file, config.to_string())?;
    Ok(file.display().to_string())
}
