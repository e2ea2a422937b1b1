//! A backend that dies in the middle of its responses: every client must learn that its response is
//! incomplete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::channel;

use super::balancer::Balancer;
use super::client::{Client, get_request};
use super::origin::{Next, Origin};
use super::wait;
use super::wire::{Fault, Role};

/// Clients that are in the middle of a response at once.
const CLIENTS: usize = 50;

#[test]
fn every_client_of_a_dying_backend_sees_a_cut() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ];
    let (release, held) = channel::bounded::<()>(0);
    let served = Arc::new(AtomicUsize::new(0));
    let origin = Origin::serve(move |_, wire| {
        let head = heads[served.fetch_add(1, Ordering::Relaxed) % heads.len()];
        wire.send(head.as_bytes()).expect("send half a response");
        // Dies when the test drops its sender.
        let _ = held.recv_timeout(wait::PATIENCE);
        Next::Reset
    });
    let balancer = Balancer::over(&[origin.backend()]);
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(balancer.address());
            client.send(get_request("/"));
            client
        })
        .collect();
    for client in &mut clients {
        client.wire.read_head(Role::Response).expect("the head");
        assert_eq!(client.wire.read_piece(4).expect("the first half"), b"half");
    }
    drop(release);
    for client in &mut clients {
        assert_eq!(client.wire.read_rest(), Err(Fault::Cut));
    }
}
