//! At the connection limit: which clients are let in, and which connections are closed for them.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::balancer::free_address;
use super::client::{Client, get_request};
use super::operator::Operated;
use super::origin::{Next, Origin, reply};
use super::wait::{self, PATIENCE};
use super::wire::Wire;

/// A balancer with this connection limit, whose backend never answers `/stuck`.
struct Scene {
    front: SocketAddr,
    balancer: Operated,
    _origin: Origin,
}

impl Scene {
    fn new(limits: serde_json::Value) -> Self {
        let origin = Origin::serve(|head, wire| match head.target() {
            "/stuck" => {
                // Until the balancer is gone.
                let _ = wire.read_raw(1);
                Next::Close
            }
            _ => reply(wire, 200, b"ok\n"),
        });
        let front = free_address();
        let balancer = Operated::start(&json!({
            "listen": front.to_string(), "workers": 2, "limits": limits,
            "backends": [{ "url": format!("http://{}", origin.address()) }],
        }));
        Self { front, balancer, _origin: origin }
    }

    /// A connection from the loopback address that ends in `host`.
    fn connect(&self, host: u8) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).expect("bind");
        socket.connect(&self.front.into()).expect("connect");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("set a timeout");
        Client { wire: Wire::new(stream) }
    }

    /// One that has been served and waits for its next request.
    fn idle(&self, host: u8) -> Client {
        let mut client = self.connect(host);
        assert_eq!(client.get("/").head.status(), 200);
        client
    }

    /// One whose request is never answered.
    fn busy(&self, host: u8) -> Client {
        let mut client = self.connect(host);
        client.send(get_request("/stuck"));
        client
    }

    /// Waits until this many connections are parked: those that are idle, and those that wait for
    /// the backend.
    fn until_parked(&self, count: u64) {
        wait::until("they are parked", || self.balancer.status()["connections"]["parked"] == count);
    }

    /// Waits until the balancer has this many connections left.
    fn until_open(&self, count: u64) {
        wait::until("the others are closed", || self.balancer.status()["connections"]["open"] == count);
    }

    fn status_of_next(&self, host: u8) -> u16 {
        self.connect(host).get("/").head.status()
    }

    fn displaced(&self) -> u64 {
        self.balancer.status()["connections"]["displaced"].as_u64().expect("a count")
    }
}

/// Whether the balancer has closed it.
fn is_closed(client: &Client) -> bool {
    let mut stream = client.wire.stream();
    stream.set_nonblocking(true).expect("set non-blocking");
    let closed = match stream.read(&mut [0]) {
        Ok(0) => true,
        Ok(_) => panic!("it was sent something"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).expect("set blocking");
    closed
}

#[test]
fn a_client_that_holds_every_connection_cannot_lock_others_out() {
    let scene = Scene::new(json!({ "connections": 10 }));
    // Half of them never send a byte, which makes them idle from the moment they were accepted.
    let mut held = Vec::new();
    for number in 0..10 {
        held.push(if number < 5 { scene.connect(2) } else { scene.idle(2) });
        scene.until_parked(number + 1);
    }

    // Each newcomer displaces one, the longest idle first, until the newcomers' address holds more.
    let mut others = Vec::new();
    for number in 0..8 {
        others.push(scene.idle(3));
        scene.until_parked(10);
        let expected = (number + 1).min(6);
        wait::until("one has gone", || held.iter().filter(|client| is_closed(client)).count() == expected);
        let gone: Vec<_> = held.iter().map(is_closed).collect();
        assert_eq!(gone.iter().position(|closed| !closed), Some(expected), "{gone:?}");
    }
    // After that, it displaces its own.
    assert_eq!(
        others.iter().map(is_closed).collect::<Vec<_>>(),
        [[true; 2].as_slice(), &[false; 6]].concat()
    );
    assert_eq!(scene.displaced(), 8);
}

#[test]
fn a_client_with_fewer_connections_than_the_newcomer_is_not_displaced() {
    let scene = Scene::new(json!({ "connections": 6 }));
    let busy = [scene.busy(2), scene.busy(2), scene.busy(2)];
    let idle = [scene.idle(3), scene.idle(4), scene.idle(4)];
    scene.until_parked(6);
    // Of all idle connections, one of the fourth client's two is closed.
    assert_eq!(scene.status_of_next(5), 200);
    wait::until("the longest idle of the client that holds most has gone", || is_closed(&idle[1]));
    assert!(!is_closed(&idle[0]) && !is_closed(&idle[2]) && !busy.iter().any(is_closed));
    // That newcomer has left again; another takes its slot, and then the limit is reached.
    scene.until_open(5);
    let last = scene.idle(6);
    scene.until_parked(6);
    assert_eq!(scene.status_of_next(2), 503);
    assert!(!is_closed(&last) && !is_closed(&idle[0]) && !is_closed(&idle[2]));
    assert_eq!(scene.displaced(), 1);
    let metric = |series: &str| scene.balancer.metric(series);
    assert_eq!(metric("ropewalk_idle_displaced_total"), Some(1.0));
    assert_eq!(metric("ropewalk_connections_refused_total{limit=\"connections\"}"), Some(1.0));
}

#[test]
fn connections_of_one_client_can_be_limited() {
    let scene = Scene::new(json!({ "connections_per_client": 2 }));
    let mut held = vec![scene.idle(2), scene.busy(2)];
    let answer = scene.connect(2).get("/");
    assert_eq!(answer.head.status(), 503);
    assert!(answer.text().contains("this client holds as many connections as it may"), "{}", answer.text());
    assert_eq!(scene.status_of_next(3), 200);
    held.remove(0);
    wait::until("there is room again", || scene.status_of_next(2) == 200);
    let refused =
        scene.balancer.metric("ropewalk_connections_refused_total{limit=\"connections_per_client\"}");
    assert!(refused >= Some(1.0), "{refused:?}");
}
