//! The origin's side: does with each request what its fate says, and writes down what it saw.

use std::fs::File;
use std::io::Write as _;
use std::thread;

use super::fate::{Deed, Fate, append_body};
use crate::origin::Next;
use crate::wire::{Head, Wire};

/// Serves one request. The ledger gets a line for each request that came, `POST 17`, and one for
/// each whose body was complete and wrong, `damaged 17`.
pub fn serve(head: &Head, wire: &mut Wire, mut ledger: &File, seed: u64, name: &str) -> Next {
    let number: usize = name.parse().expect("a number");
    // Each origin's seed has its number mixed in; fates do not.
    let seed = seed ^ number as u64;
    let Ok(id) = head.target().trim_start_matches('/').parse::<u64>() else { return Next::Close };
    let fate = Fate::of(seed, id);
    // In one write each, which outlives a kill.
    let mut note =
        |what: &str| ledger.write_all(format!("{what} {id}\n").as_bytes()).expect("write the ledger");
    note(head.start.split(' ').next().unwrap_or_default());
    if head.field("upgrade").is_some() {
        return tunnel(&fate, wire, &mut note);
    }
    let Ok(body) = wire.read_rest() else { return Next::Close };
    if !fate.upload().starts_with(&body) {
        note("damaged");
    }
    if fate.deed == Deed::ResetUnanswered {
        return Next::Reset;
    }
    if let Deed::AnswerLate(delay) = fate.deed {
        // PACE: an origin that has to think.
        thread::sleep(delay);
    }
    let answer = answer(&fate, number, body.len());
    let (shown, next) = match fate.deed {
        Deed::Reset => (answer.len() * 3 / 4, Next::Reset),
        Deed::Close => (answer.len() * 3 / 4, Next::Close),
        _ => (answer.len(), Next::Keep),
    };
    if wire.send(&answer[..shown]).is_err() {
        return Next::Close;
    }
    if let Deed::AnswerAndClose(delay) = fate.deed {
        // PACE: long enough for the balancer to keep the connection, and to use it again.
        thread::sleep(delay);
        return Next::Close;
    }
    next
}

/// The whole response.
fn answer(fate: &Fate, number: usize, received: usize) -> Vec<u8> {
    let (status, body) = match fate.deed {
        Deed::Busy(busy_one) if busy_one == number => ("503 Busy", busy(fate.id).into_bytes()),
        _ => ("200 OK", fate.download()),
    };
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nX-Id: {}\r\nX-Received: {received}\r\n", fate.id).into_bytes();
    if fate.method == "HEAD" {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
    } else {
        append_body(&mut bytes, &body, fate.download.1);
    }
    bytes
}

/// The body of a 503.
pub fn busy(id: u64) -> String {
    format!("busy {id}\n")
}

/// Accepts the tunnel, takes what the client sends until it ends, and answers with other bytes.
fn tunnel(fate: &Fate, wire: &mut Wire, note: &mut impl FnMut(&str)) -> Next {
    let accept =
        format!("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: torture\r\nX-Id: {}\r\n\r\n", fate.id);
    if wire.send(accept.as_bytes()).is_err() {
        return Next::Close;
    }
    let Ok(received) = wire.read_to_close() else { return Next::Close };
    // A client that was cut off has sent less.
    if !fate.upload().starts_with(&received) {
        note("damaged");
    }
    let _ = wire.send(&fate.download());
    Next::Close
}
