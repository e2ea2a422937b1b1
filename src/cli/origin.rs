//! `ropewalk origin`: run one sample origin until the process is stopped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use ropewalk::internal::demo::Origin;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::args::OriginOptions;
use super::exit::{Exit, complain, say};

/// Serves until the process is stopped.
pub(crate) fn origin(options: OriginOptions) -> Exit {
    let OriginOptions { port, listen, name, delay, status, end_with_parent } = options;
    if end_with_parent && let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        complain(format_args!("this origin may keep running after the process that started it: {error}"));
    }
    // Loopback only, unless asked otherwise: the sample answers anyone and echoes what it is sent.
    let address = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default())));
    match Origin::new(&name).delay(delay).status(status).start(address) {
        Ok(address) => {
            say(format_args!("{name} listens on http://{address} (Ctrl-C stops it)"));
            loop {
                std::thread::park();
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            complain(format_args!(
                "{address} is in use; `ss -ltnp 'sport = :{}'` names the program, or take another port",
                address.port()
            ));
            Exit::Failed
        }
        Err(error) => {
            complain(format_args!("cannot listen on {address}: {error}"));
            Exit::Failed
        }
    }
}
