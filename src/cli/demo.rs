//! `ropewalk demo`: three sample origins and the balancer in one process, and what to type.
//!
//! The ports are the ones that the guide uses, unless they are taken; then free ones, since
//! a demonstration that fails on the machine of the first reader is none.

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use ropewalk::config::{Config, HealthCheck, HealthSettings};
use ropewalk::demo::Origin;

use super::exit::{Exit, complain, say};
use super::notify::Manager;
use super::{logging, run};

const BALANCER_PORT: u16 = 8080;
const FIRST_ORIGIN_PORT: u16 = 9001;
const ORIGINS: u16 = 3;

/// What the sample origins do without: their server takes no request with more than 16 fields,
/// and a browser sends that many before the balancer adds its own.
const REMOVED: [&str; 14] = [
    "Accept-Language",
    "Cache-Control",
    "Cookie",
    "DNT",
    "Pragma",
    "Priority",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Upgrade-Insecure-Requests",
];

/// Runs until a signal stops it.
pub(crate) fn demo() -> Exit {
    let origins: io::Result<Vec<_>> = (0..ORIGINS).map(start_origin).collect();
    let origins = match origins {
        Ok(origins) => origins,
        Err(error) => {
            complain(format_args!("cannot start a sample origin: {error}"));
            return Exit::Failed;
        }
    };
    let checked = match config(&origins).check() {
        Ok(mut checked) => {
            for route in &mut checked.plan.routes {
                route.request_headers.remove = REMOVED.map(str::to_owned).into();
            }
            checked
        }
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
            if let Some(address) = balancer.addresses().first() {
                say(welcome(*address, &origins));
            }
        },
    )
}

fn start_origin(index: u16) -> io::Result<SocketAddr> {
    let origin = Origin::new(&origin_name(usize::from(index)));
    match origin.clone().start(local(FIRST_ORIGIN_PORT + index)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => origin.start(local(0)),
        started => started,
    }
}

fn config(origins: &[SocketAddr]) -> Config {
    // Bound and let go at once: should somebody take it in between, the start says so.
    let port = match TcpListener::bind(local(BALANCER_PORT)) {
        Ok(_) => BALANCER_PORT,
        Err(_) => 0,
    };
    // Every second, so that an origin that is stopped is seen to go.
    let health_check = HealthSettings {
        path: Some("/health".to_owned()),
        interval: Some("1s".to_owned()),
        ..HealthSettings::default()
    };
    let mut config = Config::new()
        .listen(&local(port).to_string())
        .health_check(HealthCheck::Settings(Box::new(health_check)));
    for (index, origin) in origins.iter().enumerate() {
        config = config.named_backend(&origin_name(index), &format!("http://{origin}"));
    }
    config
}

/// What there is, and what to type.
fn welcome(balancer: SocketAddr, origins: &[SocketAddr]) -> String {
    let mut text = format!("The balancer:  http://{balancer}\n");
    for (index, origin) in origins.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}:      http://{origin}", origin_name(index));
    }
    let _ = write!(
        text,
        "\nIn another terminal, each backend in turn:\n\n    \
         for i in 1 2 3 4 5 6; do curl -s http://{balancer}/; done\n\n\
         What comes back, fields and all:\n\n    \
         curl -i http://{balancer}/any/path\n\n\
         Use curl, not a browser: the sample backends close the connection on a request with more than 16\n\
         header fields, which a browser's is with those that a balancer adds. It gets 502, and a few of\n\
         them take the backends down. Backends of your own are not so.\n\n\
         Ctrl-C stops everything."
    );
    text
}

fn origin_name(index: usize) -> String {
    format!("server-{}", index + 1)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_is_a_good_configuration() {
        let origins = [local(9001), local(9002), local(9003)];
        let checked = config(&origins).check().unwrap();
        assert_eq!(checked.warnings, []);
        let names: Vec<_> = checked.plan.pools[0].backends.iter().map(|backend| &*backend.name).collect();
        assert_eq!(names, ["server-1", "server-2", "server-3"]);
    }

    #[test]
    fn the_welcome_can_be_pasted() {
        let text = welcome(local(8080), &[local(9001)]);
        assert!(
            text.contains("    for i in 1 2 3 4 5 6; do curl -s http://127.0.0.1:8080/; done\n"),
            "{text}"
        );
        assert!(text.contains("server-1:      http://127.0.0.1:9001\n"), "{text}");
    }
}
