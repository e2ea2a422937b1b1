//! What the person typed, turned into what the benchmark does.
//!
//! Nothing below this file looks at raw arguments. The defaults are chosen so that
//! a whole run of every mode and every peer ends within a quarter of an hour.

use std::num::ParseIntError;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::peers::Peer;

/// What is measured: a load, whose requests are counted, or a scene, where something else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Each connection sends its next request when the last one is answered.
    #[value(name = "keepalive")]
    KeepAlive,
    /// Each request has a connection of its own.
    Close,
    /// Requests are sent at fixed times, whether or not earlier ones are answered.
    Rate,
    /// Keep-alive requests for a body of 10 MiB.
    Download,
    /// Keep-alive requests with a body of 10 MiB.
    Upload,
    /// Many connections that have had their answer and stay.
    Idle,
    /// Many connections whose request heads come a byte a second.
    SlowHeads,
    /// Many requests at once to a backend that takes a second.
    SlowBackend,
    /// How soon a program answers, and how large it is.
    Footprint,
}

impl Mode {
    /// Whether what is counted are the requests themselves.
    pub fn is_load(self) -> bool {
        !matches!(self, Self::Idle | Self::SlowHeads | Self::SlowBackend | Self::Footprint)
    }

    /// Whether `peer` can take part.
    pub fn admits(self, peer: Peer) -> bool {
        match (peer, self) {
            // Its server never closes a connection and holds bodies in memory whole.
            (Peer::May, _) => matches!(self, Self::KeepAlive | Self::Rate | Self::SlowBackend),
            // The ureq variant forwards no bodies. Scenes ask what a connection costs a proxy; a
            // thread of it waits for each head, so it has no part in them.
            (Peer::Ureq, _) => self.is_load() && self != Self::Upload,
            // Scenes are about the proxy. How late fast requests are beside a burst is also a
            // matter of the generator and the origins, which the burst keeps busy as well.
            (Peer::Direct, _) => self.is_load() || self == Self::SlowBackend,
            _ => true,
        }
    }
}

/// One table of the report: a mode, its number of connections and how long origins take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub mode: Mode,
    pub connections: usize,
    pub origin_delay: Duration,
}

/// Everything a run is told.
#[derive(Debug)]
pub struct Plan {
    pub cases: Vec<Case>,
    pub peers: Vec<Peer>,
    pub baseline: Option<PathBuf>,
    pub rate: u32,
    pub workers: usize,
    pub rounds: usize,
    pub measure: Duration,
    pub warm_up: Duration,
    pub out: Option<PathBuf>,
    pub picture: Option<PathBuf>,
}

impl Plan {
    /// Who takes part in `mode`: whoever is installed and can.
    pub fn peers_in(&self, mode: Mode) -> impl Iterator<Item = Peer> {
        let here = move |peer: &Peer| mode.admits(*peer) && peer.version(self.baseline.as_deref()).is_some();
        self.peers.iter().copied().filter(here)
    }
}

/// Reads the options of a run.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Plan, clap::Error> {
    Typed::try_parse_from(arguments).map(Typed::plan)
}

/// Compares ropewalk with its peers and prints the result as Markdown.
#[derive(Debug, Parser)]
#[command(name = "compare", no_binary_name = true)]
struct Typed {
    /// Loads and scenes to measure (default: all)
    #[arg(long = "mode", value_name = "LIST", value_delimiter = ',')]
    modes: Vec<Mode>,
    /// Who is measured (default: all that are installed)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Another build of ropewalk, to compare with this one
    #[arg(long, value_name = "PROGRAM")]
    baseline: Option<PathBuf>,
    /// Client connections (default: 1,4,16,64,256,1000 for keepalive; each other mode has its own)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    connections: Vec<u32>,
    /// Requests per second offered in mode rate
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Threads or processes of each proxy (default: cores, at least 2)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// Times that every peer is measured in turn; half of it in scenes (default: 4)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Length of one measure (default: 2)
    #[arg(long = "seconds", value_name = "S", value_parser = seconds)]
    measure: Option<Duration>,
    /// Milliseconds that the origins take to answer
    #[arg(long = "origin-delay", value_name = "LIST", value_delimiter = ',', value_parser = millis, default_value = "0")]
    origin_delays: Vec<Duration>,
    /// Write the report to FILE as well
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw the main results into FILE, as SVG
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// A smoke test: every mode, small, one round of a third of a second
    #[arg(long)]
    quick: bool,
}

impl Typed {
    fn plan(self) -> Plan {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let (rounds, seconds, warm_up) = if self.quick { (1, 0.3, 0.1) } else { (4, 2.0, 0.5) };
        let mut cases = Vec::new();
        for mode in or_all(self.modes) {
            let defaults = if self.quick { quick_connections(mode) } else { default_connections(mode) };
            let connections = if self.connections.is_empty() { defaults } else { &self.connections };
            for connections in connections.iter().map(|count| *count as usize) {
                let case = |delay: &Duration| Case { mode, connections, origin_delay: *delay };
                cases.extend(self.origin_delays.iter().map(case));
            }
        }
        Plan {
            cases,
            peers: or_all(self.peers),
            baseline: self.baseline,
            rate: self.rate,
            workers: self.workers.map_or(cores, |workers| workers as usize),
            rounds: self.rounds.unwrap_or(rounds) as usize,
            measure: self.measure.unwrap_or(Duration::from_secs_f64(seconds)),
            warm_up: Duration::from_secs_f64(warm_up),
            out: self.out,
            picture: self.picture,
        }
    }
}

fn or_all<T: ValueEnum>(typed: Vec<T>) -> Vec<T> {
    if typed.is_empty() { T::value_variants().to_vec() } else { typed }
}

fn default_connections(mode: Mode) -> &'static [u32] {
    match mode {
        Mode::KeepAlive => &[1, 4, 16, 64, 256, 1000],
        Mode::Close | Mode::Rate => &[64],
        Mode::Download | Mode::Upload => &[8],
        Mode::Idle | Mode::SlowHeads => &[10_000],
        Mode::SlowBackend => &[1000],
        Mode::Footprint => &[256],
    }
}

/// Enough of each to see that it works.
fn quick_connections(mode: Mode) -> &'static [u32] {
    match mode {
        Mode::KeepAlive | Mode::Close | Mode::Rate | Mode::Footprint => &[16],
        Mode::Download | Mode::Upload => &[2],
        Mode::Idle | Mode::SlowHeads | Mode::SlowBackend => &[100],
    }
}

fn millis(value: &str) -> Result<Duration, ParseIntError> {
    value.parse().map(Duration::from_millis)
}

fn seconds(value: &str) -> Result<Duration, String> {
    let seconds: f64 = value.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // The processor time of /proc comes in steps of 10 ms: a shorter measure would be noise.
    if !(0.1..=600.0).contains(&seconds) {
        return Err("a measure takes from 0.1 to 600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Plan, clap::Error> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_default_run_ends_within_a_quarter_of_an_hour() {
        let plan = parsed("").expect("no option is no mistake");
        let loads = plan.cases.iter().filter(|case| case.mode.is_load());
        let admitted = |case: &Case, peer: Peer| peer != Peer::Baseline && case.mode.admits(peer);
        let peers = |case: &Case| plan.peers.iter().filter(|peer| admitted(case, **peer)).count();
        let measures = loads.map(peers).sum::<usize>() * plan.rounds;
        let whole = (plan.measure + plan.warm_up) * u32::try_from(measures).expect("a small number");
        // Scenes take three minutes; what is left is for starting and stopping.
        assert!(whole <= Duration::from_secs(11 * 60), "the loads take {whole:?}");
    }

    #[test]
    fn modes_connections_and_delays_multiply() {
        let plan = parsed("--mode close,rate --connections 8,9 --origin-delay 0,2").expect("a good line");
        assert_eq!(plan.cases.len(), 8);
        let last = Case { mode: Mode::Rate, connections: 9, origin_delay: Duration::from_millis(2) };
        assert_eq!(plan.cases.last(), Some(&last));
    }

    #[test]
    fn quick_tries_every_mode_and_yields_to_what_is_typed() {
        let plan = parsed("--quick --rounds 3").expect("a good line");
        assert_eq!(plan.rounds, 3);
        let modes: Vec<_> = plan.cases.iter().map(|case| case.mode).collect();
        assert_eq!(modes, Mode::value_variants());
    }

    #[test]
    fn mistakes_are_named() {
        for line in [
            "--mode fast",
            "--connections 0",
            "--seconds 0",
            "--seconds x",
            "--rate",
            "--nonsense 1",
            "--peers nginx,",
            "--origin-delay 2ms",
        ] {
            assert!(parsed(line).is_err(), "{line} was accepted");
        }
    }
}
