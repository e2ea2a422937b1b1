//! What the person typed, turned into what the benchmark does.
//!
//! Nothing below this file looks at raw arguments. The defaults are chosen so that
//! a whole run of every mode and every peer ends within ten minutes.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::peers::Peer;

/// Printed for `--help` and below every mistake.
pub const USAGE: &str = "\
usage: cargo bench --bench compare -- [OPTIONS]
  --mode LIST          keepalive, close, rate, download (default: all four)
  --peers LIST         direct, ropewalk, nginx, haproxy, async, ureq (default: all)
  --connections LIST   client connections for keepalive (default: 1,16,64,256,1000;
                       the other modes then have a default of their own)
  --rate N             requests per second offered in mode rate (default: 10000)
  --workers N          threads or processes of each proxy (default: cores, at least 2)
  --rounds N           times that every peer is measured in turn (default: 4)
  --seconds S          length of one measure (default: 2)
  --origin-delay MS    milliseconds that the origins take to answer (default: 0)
  --out FILE           write the report to FILE as well
  --quick              a smoke test: 16 connections, one round of half a second";

/// The kind of load.
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
}

/// One table of the report: a mode and its number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub mode: Mode,
    pub connections: usize,
}

/// Everything a run is told.
#[derive(Debug)]
pub struct Plan {
    pub cases: Vec<Case>,
    pub peers: Vec<Peer>,
    pub rate: u32,
    pub workers: usize,
    pub rounds: usize,
    pub measure: Duration,
    pub warm_up: Duration,
    pub origin_delay: Duration,
    pub out: Option<PathBuf>,
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
            "--connections" => typed.connections = Some(counts(&value).map_err(wrong)?),
            "--rate" => typed.rate = Some(positive(&value).map_err(wrong)?),
            "--workers" => typed.workers = Some(positive(&value).map_err(wrong)?),
            "--rounds" => typed.rounds = Some(positive(&value).map_err(wrong)?),
            "--seconds" => typed.measure = Some(seconds(&value).map_err(wrong)?),
            "--origin-delay" => typed.origin_delay = Duration::from_millis(number(&value).map_err(wrong)?),
            "--out" => typed.out = Some(PathBuf::from(value)),
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
    connections: Option<Vec<usize>>,
    rate: Option<u32>,
    workers: Option<u32>,
    rounds: Option<u32>,
    measure: Option<Duration>,
    origin_delay: Duration,
    out: Option<PathBuf>,
}

impl Typed {
    fn plan(self) -> Plan {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let (modes, rounds, seconds, warm_up) = if self.quick {
            (vec![Mode::KeepAlive], 1, 0.5, 0.2)
        } else {
            (vec![Mode::KeepAlive, Mode::Close, Mode::Rate, Mode::Download], 4, 2.0, 0.5)
        };
        let connections = self.connections.or_else(|| self.quick.then(|| vec![16]));
        let cases = self.modes.unwrap_or(modes).into_iter().flat_map(|mode| {
            let connections = connections.clone().unwrap_or_else(|| default_connections(mode));
            connections.into_iter().map(move |connections| Case { mode, connections })
        });
        Plan {
            cases: cases.collect(),
            peers: self.peers.unwrap_or_else(|| Peer::ALL.to_vec()),
            rate: self.rate.unwrap_or(10_000),
            workers: self.workers.map_or(cores, |workers| workers as usize),
            rounds: self.rounds.unwrap_or(rounds) as usize,
            measure: self.measure.unwrap_or(Duration::from_secs_f64(seconds)),
            warm_up: Duration::from_secs_f64(warm_up),
            origin_delay: self.origin_delay,
            out: self.out,
        }
    }
}

fn default_connections(mode: Mode) -> Vec<usize> {
    match mode {
        Mode::KeepAlive => vec![1, 16, 64, 256, 1000],
        Mode::Close | Mode::Rate => vec![64],
        Mode::Download => vec![8],
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "keepalive" => Ok(Self::KeepAlive),
            "close" => Ok(Self::Close),
            "rate" => Ok(Self::Rate),
            "download" => Ok(Self::Download),
            _ => Err(format!("{word} is not a mode")),
        }
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

fn number(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| "not a whole number".to_owned())
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
    fn the_default_run_ends_within_ten_minutes() {
        let plan = parsed("").expect("no option is no mistake");
        let measures = plan.cases.len() * plan.peers.len() * plan.rounds;
        let whole = (plan.measure + plan.warm_up) * u32::try_from(measures).expect("a small number");
        assert!(whole <= Duration::from_secs(9 * 60), "{whole:?} leaves no time to start and stop");
    }

    #[test]
    fn modes_and_connections_multiply() {
        let plan = parsed("--mode close,rate --connections 8,9").expect("a good line");
        let case = |mode, connections| Case { mode, connections };
        assert_eq!(
            plan.cases,
            [case(Mode::Close, 8), case(Mode::Close, 9), case(Mode::Rate, 8), case(Mode::Rate, 9)]
        );
    }

    #[test]
    fn quick_yields_to_what_is_typed() {
        let plan = parsed("--quick --rounds 3").expect("a good line");
        assert_eq!(plan.rounds, 3);
        assert_eq!(plan.cases, [Case { mode: Mode::KeepAlive, connections: 16 }]);
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
        ] {
            assert!(parsed(line).is_err(), "{line} was accepted");
        }
    }
}
