//! NTLM and Negotiate log a connection in, not a request. A backend connection over which a client
//! has logged in must serve that client alone, and all of its requests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::balancer::free_address;
use super::client::Client;
use super::operator::{Asked, Operated};
use super::origin::{Next, Origin};
use super::wait;
use super::wire::{Head, Message, Wire};

/// The state of each connection's login at an [`origin`].
#[derive(Default)]
struct Logins {
    /// LOCK: held for one request's lookup.
    states: Mutex<HashMap<SocketAddr, State>>,
}

#[derive(Clone)]
enum State {
    /// It was sent a challenge.
    Challenged,
    LoggedIn(String),
}

/// An origin that logs connections in as Windows servers do: a request with `hello`, a challenge,
/// a request with the user's name; and then every request over that connection is that user's.
/// `/close` closes the connection after its answer.
fn origin(scheme: &'static str) -> Origin {
    let logins = Arc::new(Logins::default());
    Origin::serve(move |head, wire| {
        if wire.read_rest().is_err() {
            return Next::Close;
        }
        let (status, challenge, body) = logins.answer(head, wire, scheme);
        let challenge = challenge.map_or_else(String::new, |text| format!("WWW-Authenticate: {text}\r\n"));
        let response =
            format!("HTTP/1.1 {status} x\r\n{challenge}Content-Length: {}\r\n\r\n{body}", body.len());
        match wire.send(response.as_bytes()) {
            Ok(()) if head.target() != "/close" => Next::Keep,
            _ => Next::Close,
        }
    })
}

impl Logins {
    fn answer(&self, head: &Head, wire: &Wire, scheme: &str) -> (u16, Option<String>, String) {
        let peer = wire.stream().peer_addr().expect("a peer");
        let mut states = self.states.lock();
        let word = scheme.rsplit([',', ' ']).next().expect("a scheme");
        let token =
            head.field("Authorization").and_then(|value| value.split_once(' ')).map(|(_, token)| token);
        match (states.get(&peer).cloned(), token) {
            (Some(State::LoggedIn(user)), None) => (200, None, user),
            (_, Some("hello")) => {
                states.insert(peer, State::Challenged);
                (401, Some(format!("{word} challenge")), String::new())
            }
            (Some(State::Challenged), Some(user)) => {
                states.insert(peer, State::LoggedIn(user.to_owned()));
                (200, None, user.to_owned())
            }
            _ => (401, Some(scheme.to_owned()), String::new()),
        }
    }
}

fn ask(client: &mut Client, target: &str, authorization: &str) -> Message {
    let field = match authorization {
        "" => String::new(),
        value => format!("Authorization: {value}\r\n"),
    };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{field}\r\n"));
    client.response().expect("a response")
}

/// The user that the origin takes this client for, if it is logged in.
fn who(client: &mut Client, target: &str) -> Option<String> {
    let response = ask(client, target, "");
    (response.head.status() == 200).then(|| response.text())
}

#[track_caller]
fn log_in(client: &mut Client, target: &str, scheme: &str, user: &str) {
    assert_eq!(ask(client, target, &format!("{scheme} hello")).head.status(), 401);
    let response = ask(client, target, &format!("{scheme} {user}"));
    assert_eq!((response.head.status(), response.text().as_str()), (200, user));
}

/// One listener, and these backends in one pool called `default`.
fn config(listen: SocketAddr, origins: &[&Origin]) -> Value {
    let backends: Vec<_> = origins.iter().map(|origin| origin.backend()).collect();
    json!({ "listen": listen.to_string(), "health_check": "off", "backends": backends })
}

fn pinned(balancer: &Operated) -> u64 {
    let status = balancer.status();
    let pools = status["pools"].as_array().expect("pools").iter();
    let backends = pools.flat_map(|pool| pool["backends"].as_array().expect("backends"));
    backends.map(|backend| backend["pinned_connections"].as_u64().expect("a count")).sum()
}

#[test]
fn a_logged_in_connection_is_not_used_for_another_client() {
    for (scheme, challenge) in
        [("NTLM", "NTLM"), ("Negotiate", "Basic realm=\"x\", negotiate"), ("ntlm", "Negotiate, NTLM")]
    {
        let origin = origin(challenge);
        let listen = free_address();
        let balancer = Operated::start(&config(listen, &[&origin]));
        let (mut ann, mut bob) = (Client::connect(listen), Client::connect(listen));
        log_in(&mut ann, "/", scheme, "ann");
        assert_eq!(who(&mut bob, "/"), None, "{scheme}");
        assert_eq!(who(&mut ann, "/"), Some("ann".into()), "{scheme}");
        wait::until("the connections of both are counted", || pinned(&balancer) == 2);
        // Closed with its client, and not kept for others.
        drop(ann);
        wait::until("the connection has gone with its client", || pinned(&balancer) == 1);
        assert_eq!(who(&mut Client::connect(listen), "/"), None, "{scheme}");
        drop(bob);
        wait::until("none is left", || pinned(&balancer) == 0);
        assert_eq!(balancer.metric(&idle_series(&origin)), Some(0.0));
    }
}

fn idle_series(origin: &Origin) -> String {
    format!(
        "ropewalk_upstream_connections{{pool=\"default\",backend=\"{}\",state=\"idle\"}}",
        origin.address()
    )
}

#[test]
fn two_users_log_in_at_the_same_time() {
    let origins = [origin("NTLM"), origin("NTLM"), origin("NTLM")];
    let listen = free_address();
    let _balancer = Operated::start(&config(listen, &origins.each_ref()));
    let mut clients = [("ann", Client::connect(listen)), ("bob", Client::connect(listen))];
    for step in ["", "NTLM hello", "NTLM user"] {
        for (name, client) in &mut clients {
            let response = ask(client, "/", &step.replace("user", name));
            assert_eq!(response.head.status(), if step.ends_with("user") { 200 } else { 401 });
        }
    }
    // Round robin would take each to another backend.
    for _ in 0..4 {
        for (name, client) in &mut clients {
            assert_eq!(who(client, "/").as_deref(), Some(*name));
        }
    }
}

#[test]
fn two_pools_on_one_client_connection_are_logged_in_to_apart() {
    let (mail, files) = (origin("NTLM"), origin("NTLM"));
    let listen = free_address();
    let _balancer = Operated::start(&json!({
        "listen": listen.to_string(), "pools": {
            "mail": { "health_check": "off", "backends": [mail.backend()] },
            "files": { "health_check": "off", "backends": [files.backend()] },
        },
        "routes": [{ "match": { "path_prefix": "/mail" }, "pool": "mail" }, { "pool": "files" }],
    }));
    let mut client = Client::connect(listen);
    log_in(&mut client, "/mail", "NTLM", "ann");
    assert_eq!(who(&mut client, "/files"), None);
    log_in(&mut client, "/files", "NTLM", "bob");
    assert_eq!(who(&mut client, "/mail"), Some("ann".into()));
    assert_eq!(who(&mut client, "/files"), Some("bob".into()));
}

#[test]
fn a_login_outlives_reloads_and_drains_but_not_its_backend() {
    let (first, second) = (origin("NTLM"), origin("NTLM"));
    let listen = free_address();
    let balancer = Operated::start(&config(listen, &[&first]));
    let mut client = Client::connect(listen);
    log_in(&mut client, "/", "NTLM", "ann");
    balancer.reload(&config(listen, &[&first, &second]), Asked::OverHttp);
    assert_eq!(who(&mut client, "/"), Some("ann".into()));
    // Drained means: no new clients.
    let drained = balancer.post(&format!("/backends/{}/drain", first.address()));
    assert_eq!(drained.head.status(), 200, "{}", drained.text());
    assert_eq!(who(&mut client, "/"), Some("ann".into()));
    balancer.reload(&config(listen, &[&second]), Asked::OverHttp);
    assert_eq!(who(&mut client, "/"), None);
}

#[test]
fn a_login_ends_when_its_backend_closes_the_connection() {
    let origin = origin("NTLM");
    let listen = free_address();
    let balancer = Operated::start(&config(listen, &[&origin]));
    let mut client = Client::connect(listen);
    log_in(&mut client, "/", "NTLM", "ann");
    assert_eq!(who(&mut client, "/close"), Some("ann".into()));
    wait::until("a new connection is made", || who(&mut client, "/").is_none() && origin.connections() == 2);
    log_in(&mut client, "/", "NTLM", "ann");
    assert_eq!(who(&mut client, "/"), Some("ann".into()));
    drop(client);
    wait::until("nothing is left of it", || pinned(&balancer) == 0);
}

#[test]
fn clients_that_have_logged_in_wait_for_a_slot_like_others() {
    // How many requests are in flight, and the peak.
    let seen = Arc::new(Mutex::new((0_usize, 0_usize)));
    let slow = Origin::serve({
        let seen = Arc::clone(&seen);
        move |_, wire| {
            if wire.read_rest().is_err() {
                return Next::Close;
            }
            let most = {
                let mut seen = seen.lock();
                seen.0 += 1;
                seen.1 = seen.1.max(seen.0);
                seen.1
            };
            // PACE: a request takes long enough for the others to arrive as well, if they could.
            std::thread::sleep(std::time::Duration::from_millis(50));
            seen.lock().0 -= 1;
            let body = most.to_string();
            let response = format!("HTTP/1.1 200 x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            if wire.send(response.as_bytes()).is_ok() { Next::Keep } else { Next::Close }
        }
    });
    let listen = free_address();
    let mut backend = slow.backend();
    backend["max_connections"] = json!(1);
    let balancer = Operated::start(
        &json!({ "listen": listen.to_string(), "health_check": "off", "backends": [backend] }),
    );
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(listen)).collect();
    for client in &mut clients {
        assert_eq!(ask(client, "/", "NTLM x").head.status(), 200);
    }
    wait::until("each has a connection of its own", || pinned(&balancer) == 4);
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().expect("a response").head.status(), 200);
    }
    assert_eq!(seen.lock().1, 1, "the backend may have one request at a time");
    assert_eq!(slow.connections(), 4, "each over its own connection");
}
