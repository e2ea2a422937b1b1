//! Every call on a connection to a backend fails once, in a run of its own, in every way it can.
//!
//! A run is two requests over one client connection. Whatever fails, the client never gets a
//! response that only looks complete, never two for one request, and a request that must not be
//! repeated reaches backends once.

use rustix::io::Errno;

use crate::net::memory::Peer;
use crate::proxy::scene::{GET, OK, POST, Scene};

/// LIMIT: steps of one run, far more than it needs.
const STEPS_MAX: usize = 50;

/// Sends a request twice, with a fault at one call. Returns what the client got each time, what the
/// backends got, and how many calls there were.
fn run(request: &str, fault: Option<(usize, Errno)>) -> (Vec<String>, Vec<String>, usize) {
    let mut scene = Scene::new();
    if let Some((number, error)) = fault {
        scene.network.fail_call(number, error);
    }
    let mut backends: Vec<(Peer, usize)> = Vec::new();
    let mut got = Vec::new();
    let mut before = 0;
    for _ in 0..2 {
        scene.client_sends(request);
        for _ in 0..STEPS_MAX {
            while let Some((_, backend)) = scene.network.accept() {
                backends.push((backend, 0));
            }
            for (backend, answered) in &mut backends {
                let asked = backend.received().matches("/x HTTP").count();
                // In two pieces, so that a fault can come between them.
                if asked > *answered {
                    *answered = asked;
                    let (head, rest) = OK.split_at(30);
                    scene.backend_sends(backend, head);
                    scene.backend_sends(backend, rest);
                }
            }
            scene.turn();
        }
        let all = scene.client.received();
        got.push(all.get(before..).unwrap_or_default().to_owned());
        before = all.len();
        if scene.client.is_ended() {
            break;
        }
    }
    let received = backends.iter().map(|(backend, _)| backend.received()).collect();
    (got, received, scene.network.calls())
}

fn check(request: &str, may_repeat: bool) {
    let (got, _, calls) = run(request, None);
    assert!(got.len() == 2 && got.iter().all(|got| got.ends_with("fine")), "{got:?}");
    assert!(calls > 5, "{calls} calls");
    for number in 0..calls {
        for error in [Errno::CONNRESET, Errno::PIPE, Errno::TIMEDOUT, Errno::AGAIN] {
            let (got, received, _) = run(request, Some((number, error)));
            let story = format!("call {number} fails with {error}: {got:?}, {received:?}");
            for got in &got {
                assert!(got.matches("HTTP/1.1 ").count() <= 1, "two responses: {story}");
                let whole = got.starts_with("HTTP/1.1 200") && got.ends_with("fine");
                let refused =
                    got.starts_with("HTTP/1.1 50") && got.contains("Proxy-Status: ropewalk; error=");
                let cut = got.is_empty() || got.starts_with("HTTP/1.1 200") && !got.ends_with("fine");
                assert!(whole || refused || cut, "{story}");
            }
            let sent: usize = received.iter().map(|received| received.matches("/x HTTP").count()).sum();
            assert!(may_repeat || sent <= got.len(), "sent twice: {story}");
        }
    }
}

#[test]
fn a_fault_at_any_call_of_a_get_never_makes_a_false_response() {
    check(GET, true);
}

#[test]
fn a_fault_at_any_call_of_a_post_never_sends_it_twice() {
    check(POST, false);
}
