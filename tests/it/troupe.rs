//! Origins that run as processes, so that they can be killed, stopped and started during requests.
//!
//! Each records which requests reached it in a ledger, which outlives it: a request that was sent twice
//! shows even if the first origin that saw it is dead. The program of such an origin is this test
//! program, with one test selected and an environment variable set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::balancer::{Process, free_address};
use super::origin::{Next, Origin, listener_at};
use super::wait;
use super::wire::{Head, Wire};

/// The number of origins.
pub const ORIGINS: usize = 4;

/// What turns this program into an origin.
#[derive(Clone, Copy)]
pub struct Part {
    /// The path of the test that calls [`Part::play_if_cast`].
    pub test: &'static str,
    /// The variable that says where to listen and what to do.
    pub variable: &'static str,
}

/// What an origin does with a request: its ledger, the seed and its name come with each.
pub type Serve = fn(&Head, &mut Wire, &File, u64, &str) -> Next;

impl Part {
    /// Runs as an origin until this process is ended, if the variable is set; otherwise does nothing.
    pub fn play_if_cast(self, serve: Serve) {
        let Ok(part) = std::env::var(self.variable) else { return };
        // Even a killed test run does not leave it behind.
        let died = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        died.expect("a death signal");
        let (address, ledger, seed, name): (SocketAddr, PathBuf, u64, String) =
            serde_json::from_str(&part).expect("a part to play");
        let ledger = File::options().create(true).append(true).open(ledger).expect("a ledger");
        let _origin =
            Origin::serve_at(listener_at(address), move |head, wire| serve(head, wire, &ledger, seed, &name));
        loop {
            thread::park();
        }
    }
}

/// What may happen to a running origin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is killed, and started again later.
    Kill,
    /// It is stopped, and continued later: it accepts connections but does not answer.
    Stop,
}

/// The origins.
pub struct Troupe {
    /// Where they listen, whether they run or not.
    pub addresses: [SocketAddr; ORIGINS],
    ledgers: Vec<PathBuf>,
    part: Part,
    seed: u64,
    rng: fastrand::Rng,
    /// Those that run, by their number.
    running: BTreeMap<usize, Process>,
    stopped: BTreeSet<usize>,
}

impl Troupe {
    /// Starts all of them. Their ledgers are in `folder`.
    pub fn new(folder: &Path, part: Part, seed: u64) -> Self {
        let addresses = std::array::from_fn(|_| free_address());
        let ledgers = (0..ORIGINS).map(|number| folder.join(number.to_string())).collect();
        let rng = fastrand::Rng::with_seed(seed);
        let (running, stopped) = (BTreeMap::new(), BTreeSet::new());
        let mut troupe = Self { addresses, ledgers, part, seed, rng, running, stopped };
        troupe.recover();
        troupe
    }

    /// Makes trouble for a while.
    pub fn misbehave(&mut self, period: Duration, troubles: &[Trouble]) {
        let start = Instant::now();
        while start.elapsed() < period {
            // PACE: how long each state lasts.
            thread::sleep(Duration::from_millis(self.rng.u64(50..300)));
            let number = self.rng.usize(..ORIGINS);
            match (self.running.get_mut(&number), self.rng.u8(..3)) {
                (None, _) => self.start(number),
                (Some(process), 0) if troubles.contains(&Trouble::Kill) => {
                    process.kill();
                    self.running.remove(&number);
                    self.stopped.remove(&number);
                }
                (Some(process), _) if self.stopped.remove(&number) => process.signal(Signal::CONT),
                (Some(process), 1) if troubles.contains(&Trouble::Stop) => {
                    process.signal(Signal::STOP);
                    self.stopped.insert(number);
                }
                (Some(_), _) => {}
            }
        }
    }

    /// Brings all of them back.
    pub fn recover(&mut self) {
        for number in 0..ORIGINS {
            match self.running.get(&number) {
                Some(process) => process.signal(Signal::CONT),
                None => self.start(number),
            }
        }
        self.stopped.clear();
        for address in self.addresses {
            wait::until("the origin accepts connections", || TcpStream::connect(address).is_ok());
        }
    }

    /// Everything they recorded, line by line.
    pub fn ledgers(&self) -> String {
        self.ledgers.iter().map(|ledger| fs::read_to_string(ledger).expect("a ledger")).collect()
    }

    fn start(&mut self, number: usize) {
        let part = json!([
            self.addresses[number].to_string(),
            self.ledgers[number].display().to_string(),
            self.seed ^ number as u64,
            number.to_string(),
        ]);
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([self.part.test, "--exact", "--nocapture"]).env(self.part.variable, part.to_string());
        self.running.insert(number, Process::start(&mut command));
    }
}
