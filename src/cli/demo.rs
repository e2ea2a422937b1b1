//! `ropewalk demo`: three sample origins and the balancer, and what to type.
//!
//! The origins are processes of their own, so that one can be killed to see what happens. The ports
//! are the ones that the guide uses, unless they are taken; then free ones, since a demonstration
//! must not fail because of a busy port.

use std::fmt::Write;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use ropewalk::config::{Admin, Config, HealthCheck, HealthSettings};

use super::exit::{Exit, complain, say};
use super::notify::Manager;
use super::{logging, run};

const BALANCER_PORT: u16 = 8080;
const ADMIN_PORT: u16 = 9900;
const FIRST_ORIGIN_PORT: u16 = 9001;
const ORIGINS: u16 = 3;

/// Runs until a signal stops it.
pub(crate) fn demo() -> Exit {
    let origins: io::Result<Vec<_>> = (0..ORIGINS).map(SampleOrigin::start).collect();
    let origins = match origins {
        Ok(origins) => origins,
        Err(error) => {
            complain(format_args!("cannot start a sample origin: {error}"));
            return Exit::Failed;
        }
    };
    let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let checked = match config(&addresses).check() {
        Ok(checked) => checked,
        Err(errors) => {
            complain(errors);
            return Exit::Failed;
        }
    };
    logging::start(checked.plan.log.level);
    run::balance(
        checked.plan,
        Vec::new(),
        Manager::default(),
        |_| {},
        |balancer| {
            if let (Some(address), Some(admin)) = (balancer.addresses().first(), balancer.admin_address()) {
                let processes: Vec<_> =
                    origins.iter().map(|origin| (origin.child.id(), origin.address)).collect();
                let program = std::env::args().next().unwrap_or_else(|| "ropewalk".to_owned());
                say(welcome(&program, *address, admin, &processes));
            }
        },
    )
}

/// A sample origin that ends with the demonstration.
struct SampleOrigin {
    child: Child,
    address: SocketAddr,
}

impl SampleOrigin {
    /// Starts this program once more, as an origin.
    fn start(index: u16) -> io::Result<Self> {
        let asked = usual_or_free(FIRST_ORIGIN_PORT + index).to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "origin",
                "--end-with-parent",
                "--listen",
                &asked,
                "--name",
                &origin_name(usize::from(index)),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C must reach the balancer only, so that origins can answer the requests that it
            // lets finish.
            .process_group(0)
            .spawn()?;
        match listening_address(&mut child) {
            Some(address) => Ok(Self { child, address }),
            None => {
                let status = child.wait()?;
                Err(io::Error::other(format!("it ended at once, {status}")))
            }
        }
    }
}

impl Drop for SampleOrigin {
    fn drop(&mut self) {
        // It may have been killed already, as the demonstration suggests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an origin says first: where it listens.
fn listening_address(child: &mut Child) -> Option<SocketAddr> {
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
    line.split("http://").nth(1)?.split(' ').next()?.parse().ok()
}

fn config(origins: &[SocketAddr]) -> Config {
    // Every second, so that an origin that is stopped is seen to go.
    let health_check = HealthSettings {
        path: Some("/health".to_owned()),
        interval: Some("1s".to_owned()),
        ..HealthSettings::default()
    };
    let mut config = Config::new()
        .listen(&usual_or_free(BALANCER_PORT).to_string())
        .health_check(HealthCheck::Settings(Box::new(health_check)));
    config.admin = Some(Admin::Address(usual_or_free(ADMIN_PORT).to_string()));
    for (index, origin) in origins.iter().enumerate() {
        config = config.named_backend(&origin_name(index), &format!("http://{origin}"));
    }
    config
}

/// What to try. `program` is how this one was started, so that the lines work before it is installed.
fn welcome(program: &str, balancer: SocketAddr, admin: SocketAddr, origins: &[(u32, SocketAddr)]) -> String {
    let mut text = format!(
        "The balancer:     http://{balancer}/\n\
         The status page:  http://{admin}/\n"
    );
    for (index, (process, origin)) in origins.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}:         http://{origin}/  (process {process})", origin_name(index));
    }
    let _ = write!(
        text,
        "\nOpen the first two in a browser and reload: each answer names the next backend. Or in another terminal:\n\n    \
         for i in 1 2 3 4 5 6; do curl -s http://{balancer}/; done\n"
    );
    if let Some((process, origin)) = origins.get(1) {
        let _ = write!(
            text,
            "\nKill a backend. No request fails: those that reach it are retried on another. Within three seconds\n\
             the status page shows it down, and why. Start it again, and it gets requests again:\n\n    \
             kill -9 {process}\n    \
             {program} origin --port {} --name {}\n",
            origin.port(),
            origin_name(1)
        );
    }
    let flag = if admin.port() == ADMIN_PORT { String::new() } else { format!(" --admin {admin}") };
    let _ = write!(
        text,
        "\nWhat an operator would type:\n\n    \
         {program} status{flag}\n    \
         {program} drain {}{flag}\n\n\
         Ctrl-C stops everything.",
        origin_name(0)
    );
    text
}

fn origin_name(index: usize) -> String {
    format!("server-{}", index + 1)
}

/// The port that the guide names, or a free one. It is bound and released at once: if another
/// program takes it in between, the start reports that.
fn usual_or_free(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if TcpListener::bind(usual).is_ok() { usual } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn the_demonstration_is_a_good_configuration() {
        let origins = [local(9001), local(9002), local(9003)];
        let checked = config(&origins).check().unwrap();
        assert_eq!(checked.warnings, []);
        let names: Vec<_> = checked.plan.pools[0].backends.iter().map(|backend| &*backend.name).collect();
        assert_eq!(names, ["server-1", "server-2", "server-3"]);
        assert!(checked.plan.admin.is_some());
    }

    #[test]
    fn the_welcome_can_be_pasted() {
        let origins = [(11, local(9001)), (12, local(9002))];
        let text = welcome("ropewalk", local(8080), local(9900), &origins);
        for line in [
            "    for i in 1 2 3 4 5 6; do curl -s http://127.0.0.1:8080/; done\n",
            "server-1:         http://127.0.0.1:9001/  (process 11)\n",
            "    kill -9 12\n    ropewalk origin --port 9002 --name server-2\n",
            "    ropewalk status\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let elsewhere = welcome("ropewalk", local(8080), local(1234), &origins);
        assert!(elsewhere.contains("    ropewalk status --admin 127.0.0.1:1234\n"), "{elsewhere}");
    }
}
