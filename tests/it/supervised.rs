//! Under a service manager: it is told when clients are served, of reloads and of stops, and it may
//! bind the sockets and keep them while one process follows another.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::balancer::{BINARY, Process, free_address};
use super::client::{Client, get, get_request};
use super::origin::{Origin, free_listener};
use super::wait::{self, Enough, PATIENCE};
use super::wire::Fault;

/// A service manager, but only for notifications.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("scratch folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bind");
        socket.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        Self { socket, folder }
    }

    /// The balancer as its service.
    fn command(&self, address: SocketAddr, origin: &Origin) -> Command {
        let mut command = balancer_at(address, origin);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command
    }

    /// The next notification.
    #[track_caller]
    fn told(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// All unread notifications.
    fn told_so_far(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("set non-blocking");
        let mut bytes = [0; 1024];
        std::iter::from_fn(|| self.socket.recv(&mut bytes).ok())
            .map(|length| format!("{length} bytes"))
            .collect()
    }
}

fn balancer_at(address: SocketAddr, origin: &Origin) -> Command {
    let mut command = Command::new(BINARY);
    let backend = format!("http://{}", origin.address());
    command.args(["--listen", &address.to_string(), "--backend", &backend]);
    command
}

/// Starts the balancer as a process that was passed this socket as descriptor 3. A shell moves
/// it there, and becomes the balancer, so that the process id is right.
fn pass(listener: &TcpListener, balancer: &Command, variables: &str) -> Process {
    let script = format!(r#"exec 3<&0 </dev/null; {variables}; exec "$@""#);
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(balancer.get_program()).args(balancer.get_args());
    let socket = OwnedFd::from(listener.try_clone().expect("a second descriptor"));
    Process::start_with_stdin(&mut command, Stdio::from(socket))
}

/// What a service manager sets for one socket.
const ONE_SOCKET: &str = "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=ropewalk.socket";

#[test]
fn the_manager_learns_when_clients_are_served_and_of_reloads_and_stops() {
    let (manager, origin, address) = (Manager::new(), Origin::named("origin"), free_address());
    let mut process = Process::start(&mut manager.command(address, &origin));
    let first = manager.told();
    assert!(first.starts_with("READY=1\nSTATUS=listening on http://127.0.0.1:"), "{first}");
    assert_eq!(get(address, "/").head.status(), 200);

    process.signal(Signal::HUP);
    let begun = manager.told();
    assert!(begun.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{begun}");
    let over = manager.told();
    assert_eq!(over, first);

    let mut busy = Client::connect(address);
    busy.send(get_request("/slow/300"));
    wait::until("a request is in flight", || origin.requests() == 2);
    process.terminate();
    let last = manager.told();
    assert!(last.starts_with("STOPPING=1\nSTATUS=draining"), "{last}");
    assert_eq!(busy.response().expect("the response").head.status(), 200);
    assert!(process.wait_exit(PATIENCE).success(), "{}", process.log());
    assert_eq!(manager.told_so_far(), [""; 0]);
}

#[test]
fn a_start_that_fails_is_not_called_ready() {
    let (manager, origin, holder) = (Manager::new(), Origin::named("origin"), free_listener());
    let address = holder.local_addr().expect("local address");
    let mut process = Process::start(&mut manager.command(address, &origin));
    assert_eq!(process.wait_exit(PATIENCE).code(), Some(1));
    assert_eq!(manager.told_so_far(), [""; 0]);
}

#[test]
fn a_passed_socket_serves_as_the_configured_listener() {
    let (origin, listener) = (Origin::named("origin"), free_listener());
    let address = listener.local_addr().expect("local address");
    // No other socket can be bound to the address while the test holds it: it is this one or none.
    let process = pass(&listener, &balancer_at(address, &origin), ONE_SOCKET);
    assert_eq!(get(address, "/").head.status(), 200);
    process.wait_for_line(&["listening on", &address.to_string()]);
}

#[test]
fn a_socket_passed_for_another_process_is_left_alone() {
    let (origin, listener, address) = (Origin::named("origin"), free_listener(), free_address());
    let process =
        pass(&listener, &balancer_at(address, &origin), "export LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=x");
    process.wait_for_line(&["listening on", &address.to_string()]);
    assert_eq!(get(address, "/").head.status(), 200);
}

#[test]
fn an_unusable_passed_socket_is_refused_with_the_remedy() {
    let (origin, listener, other) = (Origin::named("origin"), free_listener(), free_address());
    let passed = listener.local_addr().expect("local address").to_string();
    for (variables, expected) in [
        (ONE_SOCKET, &["no such listener", &passed, "ListenStream="][..]),
        ("export LISTEN_PID=$$ LISTEN_FDS=2", &["descriptor 4", "Bad file descriptor"]),
        ("export LISTEN_PID=$$ LISTEN_FDS=many", &["LISTEN_FDS is \"many\""]),
        ("export LISTEN_PID=$$ LISTEN_FDS=1; exec 3</dev/null", &["descriptor 3", "ListenStream="]),
    ] {
        let mut process = pass(&listener, &balancer_at(other, &origin), variables);
        assert_eq!(process.wait_exit(PATIENCE).code(), Some(1), "{variables}");
        process.wait_for_line(expected);
    }
}

#[test]
fn no_client_is_refused_when_one_process_follows_another_on_a_kept_socket() {
    let (origin, listener) = (Origin::named("origin"), free_listener());
    let address = listener.local_addr().expect("local address");
    let start = || {
        let process = pass(&listener, &balancer_at(address, &origin), ONE_SOCKET);
        process.wait_for_line(&["listening on"]);
        process
    };
    let (answered, enough) = (AtomicUsize::new(0), Enough::not_yet());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !enough.is() {
                    serve_until_closed(Client::connect(address), &answered, &enough);
                }
            });
        }
        let mut process = start();
        for _ in 0..3 {
            let before = answered.load(Ordering::Relaxed);
            wait::until("the load is on", || answered.load(Ordering::Relaxed) > before + 100);
            process.terminate();
            assert!(process.wait_exit(PATIENCE).success(), "{}", process.log());
            process = start();
        }
        let before = answered.load(Ordering::Relaxed);
        wait::until("the last one serves", || answered.load(Ordering::Relaxed) > before + 100);
        enough.say();
    });
}

/// GETs until the balancer ends the connection between two requests, or the test stops.
fn serve_until_closed(mut client: Client, answered: &AtomicUsize, enough: &Enough) {
    while !enough.is() {
        match client.try_get("/") {
            Ok(answer) => {
                assert_eq!(answer.head.status(), 200);
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.head.field("Connection") == Some("close") {
                    return;
                }
            }
            // It may end an idle connection, without a single byte of a response.
            Err(Fault::Closed | Fault::Cut) if !client.wire.has_unread() => return,
            Err(fault) => panic!("a request failed: {fault:?}"),
        }
    }
}

#[test]
fn a_kept_socket_does_not_keep_a_draining_process_busy() {
    let (origin, listener) = (Origin::named("origin"), free_listener());
    let address = listener.local_addr().expect("local address");
    let mut process = pass(&listener, &balancer_at(address, &origin), ONE_SOCKET);
    process.wait_for_line(&["listening on"]);
    let mut busy = Client::connect(address);
    // Longer than the wait for idleness: a process that has ended would be idle too.
    busy.send(get_request("/slow/20000"));
    wait::until("a request is in flight", || origin.requests() == 1);
    process.signal(Signal::TERM);
    process.wait_for_line(&["SIGTERM"]);
    // This client is for the next process: it waits in the socket, which stays readable.
    let mut next = Client::connect(address);
    next.send(get_request("/"));
    process.wait_until_idle();
    assert!(process.exited().is_none(), "the drain did not wait");
    assert_eq!(origin.requests(), 1, "a draining process took a new connection");

    let _second = pass(&listener, &balancer_at(address, &origin), ONE_SOCKET);
    assert_eq!(next.response().expect("the response of the next process").head.status(), 200);
}
