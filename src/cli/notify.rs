//! Tells the service manager how we are: the datagrams of sd_notify(3), for units with
//! `Type=notify` or `Type=notify-reload`.
//!
//! Nothing here fails. A manager that cannot be told is one that is not there, and a balancer
//! that would stop for that reason would be a worse one.
//!
//! The crate sd-notify is not used because its socket (as of 0.5) blocks when the manager does not read,
//! and because it takes an abstract name, which begins with `@`, for a path.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// Who is told. Without a service manager, nobody.
#[derive(Debug, Default)]
pub(crate) struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// The one that started this process, if it wants to be told.
    pub(crate) fn of_this_process() -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        Self::at(&address).unwrap_or_else(|error| {
            log::warn!("cannot tell the service manager at NOTIFY_SOCKET={address:?} anything: {error}");
            Self::default()
        })
    }

    /// The one that listens at a path, or at an abstract name, which `@` precedes.
    fn at(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(Path::new(address))?,
            _ => {
                let message = "it is neither an absolute path nor a name that begins with @";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that hangs must not hang us.
        socket.set_nonblocking(true)?;
        Ok(Self(Some((socket, address))))
    }

    /// Clients are served, after a start or a reload; `status` is what `systemctl status` shows.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload has begun. [`Manager::ready`] says that it is over, whatever came of it.
    pub(crate) fn reloading(&self) {
        // By this time the manager tells a READY=1 of this reload from an earlier one.
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading the configuration"));
    }

    /// A stop has begun.
    pub(crate) fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    fn tell(&self, state: &str) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            log::warn!("cannot tell the service manager {state:?}: {error}");
        }
    }
}

/// A line break would begin another assignment.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receiver: &UnixDatagram) -> String {
        let mut bytes = [0; 512];
        let length = receiver.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_manager_at_a_path_or_an_abstract_name_is_told() {
        let folder = tempfile::tempdir().expect("scratch folder");
        let path = folder.path().join("notify");
        let name = format!("ropewalk-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("an address");
        for (address, receiver) in [
            (path.as_os_str().to_owned(), UnixDatagram::bind(&path)),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstract_address)),
        ] {
            let receiver = receiver.expect("bind");
            let manager = Manager::at(&address).expect("an address that is right");
            manager.ready("two\nlines");
            assert_eq!(told(&receiver), "READY=1\nSTATUS=two lines");
            manager.stopping("over");
            assert_eq!(told(&receiver), "STOPPING=1\nSTATUS=over");
            manager.reloading();
            let text = told(&receiver);
            let micros = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
            assert!(micros.is_some_and(|micros| micros.parse::<u64>().is_ok()), "{text}");
            assert!(text.starts_with("RELOADING=1\n"), "{text}");
        }
    }

    #[test]
    fn a_manager_that_is_not_there_is_no_trouble() {
        assert!(Manager::at(OsStr::new("not/absolute")).is_err());
        let manager = Manager::at(OsStr::new("/nowhere/notify")).expect("an address that is right");
        manager.ready("nobody hears this");
    }
}
