//! An upload: how it is checked before a backend is chosen, its deadlines, and what happens to it
//! when the response comes first.
//!
//! The bytes themselves are moved by `request.rs` and `splice.rs`.

use crate::base::buffer::Size;
use crate::base::clock::Moment;
use crate::config::plan::Timeouts;
use crate::http::{self, ChunkPart};
use crate::net::io::Io;
use crate::net::wait::{Reason, Wait};
use crate::proxy::client::Client;
use crate::proxy::context::Context;
use crate::proxy::exchange::{Exchange, Stage, Upload, UploadState};
use crate::proxy::failure::Failure;
use crate::proxy::step::Step;

/// Checks what has arrived of a chunked body before a backend is chosen, so that a malformed one
/// costs no connection. Nothing is consumed: the body is decoded again when it is sent.
pub(super) fn check_arrived(client: &Client, exchange: &Exchange, cx: &mut Context) -> Result<(), Failure> {
    let UploadState::Chunked(decoder) = &exchange.upload.state else { return Ok(()) };
    let body_max = exchange.routed.route.and_then(|route| exchange.snapshot.route(route).body_max);
    let (mut decoder, mut rest, mut size) = (decoder.clone(), client.inbound.bytes(), 0);
    loop {
        match decoder.next(rest).map_err(Failure::BadBody)? {
            ChunkPart::Data { skip, len } => {
                cx.turn.charge_chunks(1);
                size += len as u64;
                rest = rest.get(skip + len..).unwrap_or_default();
            }
            ChunkPart::More { .. } => return Ok(()),
            ChunkPart::End { skip, len } => {
                let section = rest.get(skip..skip + len).unwrap_or_default();
                return http::parse_trailers(section, |_| ()).map_err(Failure::BadTrailers);
            }
        }
        if body_max.is_some_and(|max| size > max) {
            return Err(Failure::BodyTooLarge);
        }
    }
}

/// A wait for more of the body. Until a client that waits for a 100 has got it, the wait is the
/// backend's (RFC 9110, section 10.1.1).
pub(super) fn wait_for_body(upload: &Upload, timeouts: &Timeouts) -> Wait {
    if upload.awaits_continue {
        let deadline = upload.moved + timeouts.response_head;
        return Wait::until(deadline, Reason::ResponseHead);
    }
    let deadline = (upload.moved + timeouts.body_idle).min(upload.too_slow_at);
    Wait::until(deadline, Reason::RequestBody)
}

/// Notes that the client has sent some of the body. All that it had sent before has been passed
/// on, so the time since then was spent waiting for it.
pub(super) fn body_arrived(upload: &mut Upload, timeouts: &Timeouts, now: Moment) {
    if upload.awaits_continue {
        body_may_begin(upload, timeouts, now);
    } else {
        upload.timeout_from = upload.timeout_from + now.since(upload.moved);
    }
    upload.moved = now;
}

/// The client need not wait for a 100 any longer: from now on the body's own deadlines apply.
pub(super) fn body_may_begin(upload: &mut Upload, timeouts: &Timeouts, now: Moment) {
    upload.awaits_continue = false;
    upload.moved = now;
    if upload.too_slow_at != Moment::NEVER {
        upload.too_slow_at = now + timeouts.body_grace;
    }
}

/// After a complete response, while the client still sends its request: whether the backend gets
/// the rest of it. It does unless the backend said that it closes (RFC 9110, section 10.1.1), or
/// has closed.
pub(super) fn goes_on(client: &mut Client, exchange: &mut Exchange, cx: &mut Context) -> bool {
    let Some(link) = &mut exchange.link else { return false };
    client.outbound.release_if_empty(&mut cx.buffers);
    if !link.reads_on || link.write_closed || !link.inbound.is_empty() {
        return false;
    }
    // Bytes after the response are unsolicited: such a connection is not reused.
    let read = link.stream.read(&mut link.inbound, &mut cx.buffers, Size::Small);
    link.inbound.release_if_empty(&mut cx.buffers);
    if !matches!(read, Ok(Io::Blocked)) {
        return false;
    }
    if std::mem::take(&mut exchange.download.ends_by_closing) {
        client.stream.finish_writing();
    }
    true
}

/// Ends an upload whose response has begun, for a reason that need not cut the response.
pub(super) fn give_up(exchange: &mut Exchange, failure: Failure) -> Step {
    exchange.record.fail(failure);
    if let Some(link) = &mut exchange.link {
        link.write_closed = true;
    }
    Step::Go(Stage::Exchange)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    const START: Moment = Moment::from_nanos(1 << 40);

    fn at(seconds: u64) -> Moment {
        START + Duration::from_secs(seconds)
    }

    /// 30 s for a silent body, 20 s of grace, 30 s for a response head.
    fn timeouts() -> Timeouts {
        Config::new().backend("http://a").check().unwrap().plan.timeouts.clone()
    }

    /// A request whose head has just been sent, under a minimum rate.
    fn sent() -> Upload {
        let mut upload = Upload::new(START);
        upload.too_slow_at = at(20);
        upload
    }

    #[test]
    fn the_time_of_waiting_for_the_body_is_not_the_uploads() {
        let mut upload = sent();
        body_arrived(&mut upload, &timeouts(), at(10));
        // The backend takes three seconds for it.
        upload.moved = at(13);
        body_arrived(&mut upload, &timeouts(), at(18));
        assert_eq!(upload.timeout_from, START + Duration::from_secs(15));
    }

    #[test]
    fn a_body_is_waited_for_until_it_is_silent_or_slow_for_too_long() {
        let mut upload = sent();
        let wait = wait_for_body(&upload, &timeouts());
        assert_eq!((wait.deadline, wait.reason), (at(20), Reason::RequestBody));
        upload.too_slow_at = Moment::NEVER;
        assert_eq!(wait_for_body(&upload, &timeouts()).deadline, at(30));
    }

    #[test]
    fn a_client_that_waits_for_its_100_waits_for_the_backend() {
        let mut upload = sent();
        upload.awaits_continue = true;
        let wait = wait_for_body(&upload, &timeouts());
        assert_eq!((wait.deadline, wait.reason), (at(30), Reason::ResponseHead));
        // It comes late, and only then the body's own deadlines begin.
        body_may_begin(&mut upload, &timeouts(), at(29));
        let wait = wait_for_body(&upload, &timeouts());
        assert_eq!((wait.deadline, wait.reason), (at(49), Reason::RequestBody));
        assert_eq!(upload.timeout_from, START);
    }

    #[test]
    fn a_client_need_not_wait_for_its_100() {
        let mut upload = sent();
        upload.awaits_continue = true;
        body_arrived(&mut upload, &timeouts(), at(5));
        assert!(!upload.awaits_continue);
        assert_eq!((upload.moved, upload.too_slow_at, upload.timeout_from), (at(5), at(25), START));
    }

    #[test]
    fn a_body_without_a_minimum_rate_is_never_too_slow() {
        let mut upload = Upload::new(START);
        upload.awaits_continue = true;
        body_may_begin(&mut upload, &timeouts(), at(5));
        assert_eq!(upload.too_slow_at, Moment::NEVER);
    }
}
