//! Runs every `tests/exchanges/*.exchange`: the behaviour of the balancer as scripts.
//!
//! Each script has its own balancer and origins, so that no connection kept by one script can answer
//! another. Starting them takes some milliseconds, and several scripts run at once.
//! `ROPEWALK_EXCHANGES=upgrade cargo test --test it exchanges` runs those whose names contain a word.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::balancer::{Balancer, free_address};
use super::expect::compare_head;
use super::origin::{Deaf, Refusing, backend_at, free_listener};
use super::script::{Act, Actor, Script, Standing, Step};
use super::text::{Names, Text};
use super::wait;
use super::wire::{Fault, Role, Wire, latin1};

/// Scripts that run at once: they mostly wait.
const AT_ONCE: usize = 4;

#[test]
fn every_exchange_goes_as_its_script_says() {
    let scripts = scripts();
    assert!(!scripts.is_empty(), "no scripts found");
    let next = AtomicUsize::new(0);
    // LOCK: what went wrong; held to add one message.
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(path) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = run_file(path) {
                        failures.lock().push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner();
    failures.sort();
    let (failed, all) = (failures.len(), scripts.len());
    assert!(failures.is_empty(), "{failed} of {all} exchanges failed:\n\n{}\n", failures.join("\n\n"));
}

fn scripts() -> Vec<PathBuf> {
    let wanted = std::env::var("ROPEWALK_EXCHANGES").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exchanges");
    let entries = std::fs::read_dir(folder).expect("the folder of scripts");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_wanted = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "exchange")
            && path.file_stem().is_some_and(|name| name.to_string_lossy().contains(&wanted))
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_wanted).collect();
    paths.sort();
    paths
}

/// Runs one script with a balancer in the middle.
fn run_file(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let mut stage = Stage::set(&Script::backends_of(&source));
    stage.front = free_address();
    let script =
        Script::parse(&source, &stage.names()).map_err(|m| format!("{name}:{}: {}", m.line, m.what))?;
    let mut config = json!({ "workers": 2, "health_check": "off", "backends": stage.backends() });
    for (key, value) in &script.config {
        config[key] = value.clone();
    }
    let mut balancer = Balancer::start_at(stage.front, config);
    let told = stage.play(&script, |text| balancer.process().lines_with(&[text]) > 0);
    let crashed = balancer.process().lines_with(&["panic"]) > 0 || balancer.process().exited().is_some();
    let told = if crashed { told.and(Err((0, "the balancer crashed".into()))) } else { told };
    told.map_err(|(line, what)| format!("{name}:{line}: {what}\n{}", indented(&balancer.process().log())))
}

fn indented(log: &str) -> String {
    log.lines().map(|line| format!("    {line}\n")).collect()
}

/// Both sides of one exchange.
struct Stage {
    /// Where clients connect.
    front: SocketAddr,
    clients: HashMap<usize, Wire>,
    origins: Vec<Backdrop>,
    /// Connections of origins that a newer one has replaced; still open.
    aside: Vec<Wire>,
}

/// One backend and its newest connection.
enum Backdrop {
    Origin { listener: TcpListener, connection: Option<Wire> },
    Refused(Refusing),
    Deaf(Deaf),
}

/// A failure: the line of the step, and what was expected and seen.
type Failure = (usize, String);

impl Stage {
    fn set(standing: &[Standing]) -> Self {
        let origins = standing.iter().map(|standing| match standing {
            Standing::Origin => {
                let listener = free_listener();
                listener.set_nonblocking(true).expect("non-blocking");
                Backdrop::Origin { listener, connection: None }
            }
            Standing::Refused => Backdrop::Refused(Refusing::new()),
            Standing::Deaf => Backdrop::Deaf(Deaf::new()),
        });
        let origins: Vec<_> = origins.collect();
        // Without a balancer the client talks to the first origin.
        let front = origins[0].address();
        Self { front, clients: HashMap::new(), origins, aside: Vec::new() }
    }

    fn names(&self) -> Names {
        let origin = self.origins[0].address();
        Names::from([
            ("balancer", self.front.to_string()),
            ("port", self.front.port().to_string()),
            ("origin", origin.to_string()),
            ("origin-port", origin.port().to_string()),
        ])
    }

    fn backends(&self) -> Vec<Value> {
        self.origins.iter().map(|origin| backend_at(origin.address())).collect()
    }

    /// Plays all steps; `logged` says whether the balancer's log has a line with a text.
    fn play(&mut self, script: &Script, mut logged: impl FnMut(&str) -> bool) -> Result<(), Failure> {
        for step in &script.steps {
            let taken = match &step.act {
                Act::Logs(text) => wait::within(wait::PATIENCE, || logged(text).then_some(()))
                    .ok_or_else(|| format!("expected a log line with {text:?}")),
                _ => self.take(step),
            };
            taken.map_err(|what| (step.line, what))?;
        }
        self.nothing_is_left().map_err(|what| (script.steps.last().map_or(0, |step| step.line), what))
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step.act {
            Act::Accepts => self.accept(step.actor),
            Act::Closes => {
                let closed = self.let_go(step.actor);
                closed.map(drop).ok_or_else(|| "there is no connection to close".into())
            }
            Act::Resets => {
                let reset = self.let_go(step.actor);
                reset.map(Wire::reset).ok_or_else(|| "there is no connection to reset".into())
            }
            Act::SeesClose => {
                see_close(self.wire(step.actor)?)?;
                self.let_go(step.actor);
                Ok(())
            }
            _ => {
                let role = match step.actor {
                    Actor::Client(_) => Role::Response,
                    Actor::Origin(_) | Actor::Balancer => Role::Request,
                };
                act_on(self.wire(step.actor)?, role, &step.act)
            }
        }
    }

    /// The connection of an actor, made on first use.
    fn wire(&mut self, actor: Actor) -> Result<&mut Wire, String> {
        match actor {
            Actor::Client(number) => {
                if !self.clients.contains_key(&number) {
                    let stream = TcpStream::connect(self.front).map_err(|error| error.to_string())?;
                    self.clients.insert(number, Wire::new(stream));
                }
                self.clients.get_mut(&number).ok_or_else(|| "no such client".into())
            }
            Actor::Origin(number) => {
                if matches!(self.origins.get(number - 1), Some(Backdrop::Origin { connection: None, .. })) {
                    self.accept(actor)?;
                }
                match self.origins.get_mut(number - 1) {
                    Some(Backdrop::Origin { connection: Some(wire), .. }) => Ok(wire),
                    _ => Err("no such origin".into()),
                }
            }
            Actor::Balancer => Err("the balancer only logs".into()),
        }
    }

    /// Waits for the next connection to an origin.
    fn accept(&mut self, actor: Actor) -> Result<(), String> {
        let Actor::Origin(number) = actor else { return Err("only an origin accepts".into()) };
        let Some(Backdrop::Origin { listener, connection }) = self.origins.get_mut(number - 1) else {
            return Err("no such origin".into());
        };
        let accepted = wait::within(wait::PATIENCE, || listener.accept().ok());
        let (stream, _) = accepted.ok_or("expected a connection from the balancer, saw none")?;
        stream.set_nonblocking(false).expect("blocking");
        self.aside.extend(connection.replace(Wire::new(stream)));
        Ok(())
    }

    fn let_go(&mut self, actor: Actor) -> Option<Wire> {
        match actor {
            Actor::Client(number) => self.clients.remove(&number),
            Actor::Origin(number) => match self.origins.get_mut(number - 1) {
                Some(Backdrop::Origin { connection, .. }) => connection.take(),
                _ => None,
            },
            Actor::Balancer => None,
        }
    }

    /// Checks that no peer was sent anything that the script does not mention.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        let moment = Duration::from_millis(1);
        for (number, wire) in &mut self.clients {
            unread(wire, moment).map_err(|bytes| format!("client{number} was also sent {bytes:?}"))?;
        }
        for origin in &mut self.origins {
            let Backdrop::Origin { listener, connection } = origin else { continue };
            let uncalled = listener.accept().ok().map(|(stream, _)| {
                stream.set_nonblocking(false).expect("blocking");
                Wire::new(stream)
            });
            for wire in connection.iter_mut().chain(&mut self.aside).chain(&mut uncalled.into_iter().next()) {
                unread(wire, moment).map_err(|bytes| format!("an origin was also sent {bytes:?}"))?;
            }
        }
        Ok(())
    }
}

impl Backdrop {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Origin { listener, .. } => listener.local_addr().expect("local address"),
            Self::Refused(refusing) => refusing.address(),
            Self::Deaf(deaf) => deaf.address(),
        }
    }
}

fn act_on(wire: &mut Wire, role: Role, act: &Act) -> Result<(), String> {
    match act {
        Act::Sends(bytes) => wire.send(bytes).map_err(|error| format!("cannot send: {error}")),
        Act::SendsBytewise(bytes) => bytes
            .iter()
            .try_for_each(|byte| wire.send(&[*byte]))
            .map_err(|error| format!("cannot send: {error}")),
        Act::Sees { head, body, trailers } => {
            let seen = wire.read_message(role).map_err(|fault| missing("a message", &fault))?;
            compare_head(head, &seen.head)?;
            if !body.matches(&seen.body) {
                return Err(format!("expected the body {:?}, saw {:?}", body.show(), seen.text()));
            }
            compare_trailers(trailers, &seen.trailers)
        }
        Act::SeesHead(head) => {
            let seen = wire.read_head(role).map_err(|fault| missing("a head", &fault))?;
            compare_head(head, &seen)
        }
        Act::SeesHeadOnly(head) => {
            let seen = wire.read_head(role).map_err(|fault| missing("a head", &fault))?;
            wire.expect_no_body();
            compare_head(head, &seen)
        }
        Act::SeesStatus(status) => {
            let seen =
                wire.read_message(role).map_err(|fault| missing(&format!("status {status}"), &fault))?;
            match seen.head.status() {
                code if code == *status => Ok(()),
                _ => Err(format!("expected status {status}, saw {:?} {:?}", seen.head.start, seen.text())),
            }
        }
        Act::SeesBody(expected) => see_body(wire, expected),
        Act::SeesEnd => match wire.read_piece(usize::MAX) {
            Ok(piece) if piece.is_empty() => Ok(()),
            Ok(piece) => Err(format!("expected the end of the body, saw {:?}", latin1(&piece))),
            Err(fault) => Err(missing("the end of the body", &fault)),
        },
        Act::SeesBytes(expected) => match wire.read_raw(expected.len()) {
            Ok(seen) if seen == *expected => Ok(()),
            Ok(seen) => Err(format!("expected {:?}, saw {:?}", latin1(expected), latin1(&seen))),
            Err(fault) => Err(missing(&format!("{:?}", latin1(expected)), &fault)),
        },
        Act::SeesCut => see_cut(wire),
        Act::SeesNothing(bound) => match wire.read_unexpected(*bound) {
            Ok(bytes) if bytes.is_empty() => Ok(()),
            Ok(bytes) => Err(format!("expected silence, saw {:?}", latin1(&bytes))),
            Err(fault) => Err(missing("silence", &fault)),
        },
        Act::HalfCloses => wire.half_close().map_err(|error| format!("cannot half-close: {error}")),
        Act::SeesHalfClose => see_close(wire),
        Act::SeesClose | Act::Accepts | Act::Closes | Act::Resets | Act::Logs(_) => {
            Err("not a step of an open connection".into())
        }
    }
}

fn see_body(wire: &mut Wire, expected: &[u8]) -> Result<(), String> {
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let piece = wire.read_piece(expected.len() - seen.len());
        let piece = piece.map_err(|fault| missing(&format!("the body {:?}", latin1(expected)), &fault))?;
        if piece.is_empty() {
            break;
        }
        seen.extend_from_slice(&piece);
    }
    if seen == expected {
        return Ok(());
    }
    Err(format!("expected the body {:?}, saw {:?}", latin1(expected), latin1(&seen)))
}

fn see_close(wire: &mut Wire) -> Result<(), String> {
    match wire.read_to_close() {
        Ok(bytes) if bytes.is_empty() => Ok(()),
        Ok(bytes) => Err(format!("expected the connection to close, saw {:?}", latin1(&bytes))),
        Err(fault) => Err(missing("the connection to close", &fault)),
    }
}

fn see_cut(wire: &mut Wire) -> Result<(), String> {
    loop {
        match wire.read_piece(usize::MAX) {
            Err(Fault::Cut) => return Ok(()),
            Err(fault) => return Err(missing("a cut", &fault)),
            Ok(piece) if piece.is_empty() => return Err("expected a cut, saw a clean end".into()),
            Ok(_) => {}
        }
    }
}

fn compare_trailers(expected: &[Text], seen: &[(String, String)]) -> Result<(), String> {
    let seen: Vec<String> = seen.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let alike = expected.iter().zip(&seen).all(|(text, line)| text.matches(line.as_bytes()));
    if alike && expected.len() == seen.len() {
        return Ok(());
    }
    let expected: Vec<String> = expected.iter().map(Text::show).collect();
    Err(format!("expected the trailers {expected:?}, saw {seen:?}"))
}

/// The unread bytes that came, as an error.
fn unread(wire: &mut Wire, bound: Duration) -> Result<(), String> {
    match wire.read_unexpected(bound) {
        Ok(bytes) if !bytes.is_empty() => Err(latin1(&bytes)),
        _ => Ok(()),
    }
}

fn missing(what: &str, fault: &Fault) -> String {
    let seen = match fault {
        Fault::Silence => "nothing more".into(),
        Fault::Closed => "a closed connection".into(),
        Fault::Cut => "a connection cut or reset".into(),
        Fault::Malformed(how) => format!("something malformed: {how}"),
    };
    format!("expected {what}, saw {seen}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_can_be_read() {
        for path in scripts() {
            let source = std::fs::read_to_string(&path).expect("a script");
            let stage = Stage::set(&Script::backends_of(&source));
            let read = Script::parse(&source, &stage.names());
            let script = read.unwrap_or_else(|m| panic!("{}:{}: {}", path.display(), m.line, m.what));
            assert!(source.starts_with("# "), "{} does not begin with what it shows", path.display());
            assert!(!script.steps.is_empty(), "{} does nothing", path.display());
        }
    }

    /// Plays a script with nothing in the middle: the client speaks to the origin.
    fn play_directly(source: &str) -> Result<(), Failure> {
        let mut stage = Stage::set(&[Standing::Origin]);
        let script = Script::parse(source, &stage.names()).expect("a script");
        stage.play(&script, |_| false)
    }

    const REQUEST: &str = "client sends\n| GET / HTTP/1.1\n| Host: {origin}\n|\n\
                           origin sees\n| GET / HTTP/1.1\n| Host: {origin}\n|\n";

    #[test]
    fn an_exchange_that_goes_as_written_passes() {
        let rest = "origin sends\n| HTTP/1.1 200 OK\n| Content-Length: 2\n|\n| hi\\\norigin closes\n\
                    client sees\n| HTTP/1.1 200 OK\n| Content-Length: 2\n|\n| hi\\\nclient sees close\n";
        assert_eq!(play_directly(&format!("{REQUEST}{rest}")), Ok(()));
    }

    #[test]
    fn a_difference_is_reported_with_its_line() {
        let rest = "origin sends\n| HTTP/1.1 200 OK\n| Content-Length: 2\n|\n| hi\\\n\
                    client sees\n| HTTP/1.1 200 OK\n| Content-Length: 2\n|\n| ho\\\n";
        let (line, what) = play_directly(&format!("{REQUEST}{rest}")).expect_err("a difference");
        assert_eq!((line, what.as_str()), (14, "expected the body \"ho\", saw \"hi\""));
    }

    #[test]
    fn bytes_that_the_script_does_not_mention_fail_it() {
        let (_, what) = play_directly("client sends\n| GET / HTTP/1.1\n|\n").expect_err("unread bytes");
        assert!(what.contains("also sent"), "{what}");
        let rest = "origin sends\n| HTTP/1.1 204 No Content\n|\n| more\nclient sees status 204\n";
        let (_, what) = play_directly(&format!("{REQUEST}{rest}")).expect_err("unread bytes");
        assert!(what.contains("more"), "{what}");
    }

    #[test]
    fn a_cut_and_a_clean_end_are_told_apart() {
        let head = "origin sends\n| HTTP/1.1 200 OK\n| Content-Length: 2\n|\n| h\\\n";
        let cut = format!(
            "{REQUEST}{head}origin closes\nclient sees head\n| HTTP/1.1 200 OK\n| ...\nclient sees cut\n"
        );
        assert_eq!(play_directly(&cut), Ok(()));
        let whole = cut.replace("| h\\", "| hi\\");
        let (_, what) = play_directly(&whole).expect_err("a clean end");
        assert_eq!(what, "expected a cut, saw a clean end");
    }
}
