//! What the person typed, turned into what the benchmark does.
//!
//! Nothing below this file looks at raw arguments. The defaults are chosen so that
//! a whole run of every mode and every peer ends within a quarter of an hour.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::peers::Peer;

/// Printed for `--help` and below every mistake.
pub const USAGE: &str = "\
usage: cargo bench --bench compare -- [OPTIONS]
  --mode LIST          loads: keepalive, close, rate, download, upload;
                       scenes: idle, slow-heads, slow-backend, footprint (default: all)
  --peers LIST         direct, ropewalk, baseline, nginx, haproxy, async, ureq, may
                       (default: all)
  --baseline PROGRAM   another build of ropewalk, to compare with this one
  --connections LIST   client connections (default: 1,4,16,64,256,1000 for keepalive;
                       each other mode has a default of its own)
  --rate N             requests per second offered in mode rate (default: 10000)
  --workers N          threads or processes of each proxy (default: cores, at least 2)
  --rounds N           times that every peer is measured in turn; half of it in scenes
                       (default: 4)
  --seconds S          length of one measure (default: 2)
  --origin-delay LIST  milliseconds that the origins take to answer (default: 0)
  --out FILE           write the report to FILE as well
  --picture FILE       draw the main results into FILE, as SVG
  --quick              a smoke test: every mode, small, one round of a third of a second";

/// What is measured: a load, whose requests are counted, or a scene, where something else is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each connection sends its next request when the last one is answered.
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
    const ALL: [Self; 9] = [
        Self::KeepAlive,
        Self::Close,
        Self::Rate,
        Self::Download,
        Self::Upload,
        Self::Idle,
        Self::SlowHeads,
        Self::SlowBackend,
        Self::Footprint,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::KeepAlive => "keepalive",
            Self::Close => "close",
            Self::Rate => "rate",
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Idle => "idle",
            Self::SlowHeads => "slow-heads",
            Self::SlowBackend => "slow-backend",
            Self::Footprint => "footprint",
        }
    }

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
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Plan, String> {
    let mut arguments = arguments.into_iter();
    let mut typed = Typed::default();
    while let Some(option) = arguments.next() {
        if option == "--quick" {
            typed.quick = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{option} is unknown or lacks its value"))?;
        let wrong = |problem: String| format!("{option} {value}: {problem}");
        match option.as_str() {
            "--mode" => typed.modes = Some(list(&value).map_err(wrong)?),
            "--peers" => typed.peers = Some(list(&value).map_err(wrong)?),
            "--baseline" => typed.baseline = Some(PathBuf::from(value)),
            "--connections" => typed.connections = Some(counts(&value).map_err(wrong)?),
            "--rate" => typed.rate = Some(positive(&value).map_err(wrong)?),
            "--workers" => typed.workers = Some(positive(&value).map_err(wrong)?),
            "--rounds" => typed.rounds = Some(positive(&value).map_err(wrong)?),
            "--seconds" => typed.measure = Some(seconds(&value).map_err(wrong)?),
            "--origin-delay" => typed.origin_delays = Some(delays(&value).map_err(wrong)?),
            "--out" => typed.out = Some(PathBuf::from(value)),
            "--picture" => typed.picture = Some(PathBuf::from(value)),
            _ => return Err(format!("{option} is not an option")),
        }
    }
    Ok(typed.plan())
}

#[derive(Default)]
struct Typed {
    quick: bool,
    modes: Option<Vec<Mode>>,
    peers: Option<Vec<Peer>>,
    baseline: Option<PathBuf>,
    connections: Option<Vec<usize>>,
    rate: Option<u32>,
    workers: Option<u32>,
    rounds: Option<u32>,
    measure: Option<Duration>,
    origin_delays: Option<Vec<Duration>>,
    out: Option<PathBuf>,
    picture: Option<PathBuf>,
}

impl Typed {
    fn plan(self) -> Plan {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let (rounds, seconds, warm_up) = if self.quick { (1, 0.3, 0.1) } else { (4, 2.0, 0.5) };
        let delays = self.origin_delays.unwrap_or_else(|| vec![Duration::ZERO]);
        let mut cases = Vec::new();
        for mode in self.modes.unwrap_or_else(|| Mode::ALL.to_vec()) {
            let defaults = if self.quick { quick_connections(mode) } else { default_connections(mode) };
            for connections in self.connections.as_deref().unwrap_or(defaults) {
                let case = |delay: &Duration| Case { mode, connections: *connections, origin_delay: *delay };
                cases.extend(delays.iter().map(case));
            }
        }
        Plan {
            cases,
            peers: self.peers.unwrap_or_else(|| Peer::ALL.to_vec()),
            baseline: self.baseline,
            rate: self.rate.unwrap_or(10_000),
            workers: self.workers.map_or(cores, |workers| workers as usize),
            rounds: self.rounds.unwrap_or(rounds) as usize,
            measure: self.measure.unwrap_or(Duration::from_secs_f64(seconds)),
            warm_up: Duration::from_secs_f64(warm_up),
            out: self.out,
            picture: self.picture,
        }
    }
}

fn default_connections(mode: Mode) -> &'static [usize] {
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
fn quick_connections(mode: Mode) -> &'static [usize] {
    match mode {
        Mode::KeepAlive | Mode::Close | Mode::Rate | Mode::Footprint => &[16],
        Mode::Download | Mode::Upload => &[2],
        Mode::Idle | Mode::SlowHeads | Mode::SlowBackend => &[100],
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|mode| mode.word() == word).ok_or_else(|| format!("{word} is not a mode"))
    }
}

fn list<T: FromStr<Err = String>>(value: &str) -> Result<Vec<T>, String> {
    value.split(',').map(str::parse).collect()
}

fn counts(value: &str) -> Result<Vec<usize>, String> {
    value.split(',').map(|count| positive(count).map(|count| count as usize)).collect()
}

fn positive(value: &str) -> Result<u32, String> {
    match value.parse() {
        Ok(0) | Err(_) => Err("not a whole number above zero".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn delays(value: &str) -> Result<Vec<Duration>, String> {
    let delay = |text: &str| text.parse().map(Duration::from_millis);
    value.split(',').map(|text| delay(text).map_err(|_| "not whole numbers".to_owned())).collect()
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

    fn parsed(line: &str) -> Result<Plan, String> {
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
        assert_eq!(modes, Mode::ALL);
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
